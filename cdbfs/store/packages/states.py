"""What is known of each zip that is here, or was: a small file in its object, which outlives its eviction.

Used by kept and unpacker. Threads and processes: any; it is written beside its place and renamed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from cdbfs.hcp.models import Package
from cdbfs.store.disk import PART, read_file

STATE = "state.json"
MOST_REMEMBERED = 4096
UNREADABLE = (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError)


@dataclass(frozen=True)
class State:
    """What is known of a zip."""

    subject: str
    id: str
    size: int
    mtime: int
    """Nanoseconds since the epoch."""
    md5: str

    @property
    def package(self) -> Package:
        return Package(self.subject, self.id)

    @property
    def identity(self) -> str:
        """What tells versions of the zip apart."""
        return f"{self.md5} {self.size}"


def read(directory: Path) -> State | None:
    """The state in an object, if there is one that can be trusted."""
    try:
        return _parsed(read_file(directory / STATE))
    except UNREADABLE:
        return None


def glance(directory: Path) -> State | None:
    """The same, read again only where the file is another one: for who looks, and looks often.

    Where the directory is another host's, what this tells may be a minute old: NFS looks no sooner.
    """
    path = os.path.join(directory, STATE)
    try:
        found = os.stat(path, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            return None
        return _remembered(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    except UNREADABLE:
        return None


def write(directory: Path, state: State) -> None:
    """Put a state in its object, synced. Raises OSError."""
    descriptor, part = tempfile.mkstemp(prefix=PART, dir=directory)
    try:
        with open(descriptor, "wb") as file:
            file.write(json.dumps(asdict(state)).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, directory / STATE)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


@functools.lru_cache(MOST_REMEMBERED)
def _remembered(path: str, *signature: int) -> State:
    return _parsed(read_file(Path(path)))


def _parsed(text: bytes) -> State:
    found = json.loads(text)
    return State(
        str(found["subject"]), str(found["id"]), int(found["size"]), int(found["mtime"]), str(found["md5"])
    )
