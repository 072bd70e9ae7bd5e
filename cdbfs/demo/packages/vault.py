"""The zips of the stand-in on disk, made when they are first asked for.

Used by ``desk`` and ``aspera``. Any thread: who asks first for a zip makes it, all others wait; the lock is
held over no work. A few zips are kept; one that was given away is made again, the same one, when it is asked for.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from cdbfs.demo.packages import layout, zips
from cdbfs.demo.packages.offers import Given, Packages

KEPT = 100
KEPT_BYTES = 12 * 2**30
_PIECE = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """One package of one subject, by the label that it is asked by; ``given`` is what a test said of it."""

    label: str
    id: str
    given: Given | None = None

    @property
    def name(self) -> str:
        """The name of its zip."""
        return f"{self.label}_{self.id}.zip"

    @property
    def key(self) -> str:
        """Tells it from the same of another subject with that label."""
        return f"{self.given.subject_id if self.given is not None else ''}:{self.name}"


class Vault:
    """The zips of one state of the data."""

    def __init__(self, directory: Path, packages: Packages) -> None:
        self._directory = directory
        self._packages = packages
        self._made: OrderedDict[str, Future[Path]] = OrderedDict()
        self._digests: dict[str, str] = {}
        self._lock = threading.Lock()

    def zip(self, wanted: Wanted) -> Path:
        """The file of a zip; open it at once, it may be given away when others are made."""
        with self._lock:
            found = self._made.get(wanted.key)
            ours = found is None
            future = self._made.setdefault(wanted.key, Future()) if found is None else found
            self._made.move_to_end(wanted.key)
        if ours:
            self._make(wanted, future)
        return future.result()

    def md5(self, wanted: Wanted) -> bytes:
        """The file beside a zip, as md5sum writes it."""
        given = wanted.given.md5 if wanted.given is not None else None
        digest = self._digest(wanted) if given is None else given
        return f"{digest}  {wanted.name}\n".encode() if digest else b""

    def _digest(self, wanted: Wanted) -> str:
        with self._lock:
            known = self._digests.get(wanted.key)
        if known is None:
            known = _digest(self.zip(wanted))
            with self._lock:
                self._digests[wanted.key] = known
        return known

    def _make(self, wanted: Wanted, future: Future[Path]) -> None:
        try:
            path = self._file(wanted)
        except BaseException as error:
            with self._lock:
                del self._made[wanted.key]
            future.set_exception(error)
            raise
        future.set_result(path)
        self._give_away()

    def _file(self, wanted: Wanted) -> Path:
        held = wanted.given.held if wanted.given is not None else None
        if isinstance(held, Path):
            return held
        folder = self._directory / wanted.key.partition(":")[0].replace("/", "%2F")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / wanted.name.replace("/", "%2F")
        if held is None:
            zips.write(path, members(self._packages, wanted), str(self._packages.seed))
        else:
            path.write_bytes(held if isinstance(held, bytes) else held())
        os.utime(path, (zips.MADE_AT, zips.MADE_AT))
        return path

    def _give_away(self) -> None:
        for path in self._too_many():
            path.unlink(missing_ok=True)

    def _too_many(self) -> list[Path]:
        with self._lock:
            sizes = {name: self._size(future) for name, future in self._made.items()}
            over, count = sum(sizes.values()) - KEPT_BYTES, len(sizes) - KEPT
            gone: list[Path] = []
            for name in list(sizes)[:-1]:
                if over <= 0 and count <= 0:
                    break
                if sizes[name]:
                    gone.append(self._made.pop(name).result())
                    over, count = over - sizes[name], count - 1
            return gone

    def _size(self, future: Future[Path]) -> int:
        """Bytes of ours on the disk; 0: not made yet, or a file of the test's."""
        if not future.done() or future.exception() is not None:
            return 0
        path = future.result()
        return path.stat().st_size if self._directory in path.parents and path.exists() else 0


def members(packages: Packages, wanted: Wanted) -> list[layout.Member]:
    """The files of a package that is made up."""
    total = packages.total(wanted.label, wanted.id)
    return layout.members(wanted.id, wanted.label, packages.size, total)


def _digest(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
