"""Small objects on disk, shared by all mounts of a user, that may be lost at any time but are never wrong.

Used by documents. One file an object: a line of JSON that says what it is and the SHA-256 of all else, then the
bytes; written beside and renamed into place. The digest, not fsync, is what guards against a half-written file: a
file that does not match is dropped and fetched again. A full or missing disk costs speed, never an answer.

Threads and processes: any; rename is atomic, and a file that vanishes while it is read counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from cdbfs.errors import ConfigError

log = logging.getLogger(__name__)

SWEEP_AFTER = 0.05
"""How much of the cap is written between two looks at the size of the whole."""
SWEEP_TO = 0.9
"""A sweep goes on until this much of the cap is used."""


@dataclass(frozen=True)
class Found:
    """An object from disk: its bytes, and when it was written (epoch seconds)."""

    body: bytes
    written: float


class DiskCache:
    """Objects in `directory` (made private, 0700), at most about `cap` bytes of them."""

    def __init__(self, directory: Path, cap: int) -> None:
        self._directory = directory
        self._cap = cap
        self._lock = threading.Lock()
        self._unswept = cap
        """Bytes written since the last sweep; as good as too many at first: many mounts are short."""
        self._complained = False

    def read(self, name: str, version: str) -> Found | None:
        """The object, or None where there is none that can be trusted."""
        path = self._path(name, version)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        head, _, body = content.partition(b"\n")
        written = _written(head)
        if written is not None and head == _head(name, version, body, written):
            with contextlib.suppress(OSError):
                os.utime(path)  # least recently used goes first
            return Found(body, written)
        log.warning("a cached document is damaged and is fetched again: %s", path.name)
        self.drop(name, version)
        return None

    def has(self, name: str, version: str) -> bool:
        """Whether there seems to be one, without reading it."""
        return self._path(name, version).exists()

    def drop(self, name: str, version: str) -> None:
        """Forget the object."""
        with contextlib.suppress(OSError):
            self._path(name, version).unlink()

    def write(self, name: str, version: str, body: bytes, now: float) -> None:
        """Keep the object, written `now` (epoch seconds), if the disk lets us."""
        path = self._path(name, version)
        try:
            make_private(path.parent)
            self._write(path, _head(name, version, body, now) + b"\n" + body)
            if self._sweep_is_due(len(body)):
                self._sweep()
        except OSError as error:
            if not self._complained:
                log.warning("documents cannot be kept on disk: %s", error)
            self._complained = True

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, part = tempfile.mkstemp(prefix=".part-", dir=path.parent)  # mode 0600
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            os.replace(part, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise

    def _path(self, name: str, version: str) -> Path:
        key = hashlib.sha256(f"{name}\0{version}".encode("utf-8", "surrogatepass")).hexdigest()
        return self._directory / key[:2] / key[2:]

    def _sweep_is_due(self, size: int) -> bool:
        with self._lock:
            if 0 <= self._unswept + size < self._cap * SWEEP_AFTER:
                self._unswept += size
                return False
            self._unswept = 0
            return True

    def _sweep(self) -> None:
        """Remove the least recently used until the whole is under its cap, and parts that nobody finished."""
        files = []
        for path in self._directory.glob("*/*"):
            with contextlib.suppress(OSError):
                state = path.stat()
                files.append((state.st_mtime, state.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self._cap:
            return
        for _, size, path in sorted(files):
            if total <= self._cap * SWEEP_TO:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size


def own(cache_dir: Path) -> None:
    """Make the cache directory, and refuse one that others could put things into. Raises ConfigError."""
    try:
        make_private(cache_dir)
        found = cache_dir.stat()
    except OSError as error:
        raise ConfigError(f"cache_dir={cache_dir} cannot be used: {error.strerror}") from None
    if found.st_uid != os.geteuid() or found.st_mode & 0o022 or not os.access(cache_dir, os.W_OK | os.X_OK):
        raise ConfigError(f"cache_dir={cache_dir} must be yours alone to write to")


def make_private(directory: Path) -> None:
    """mkdir -p with mode 0700 for every directory made; mkdir(parents=True) would give it to the last one only."""
    if not directory.is_dir():
        make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def _head(name: str, version: str, body: bytes, written: float) -> bytes:
    state: dict[str, object] = {"name": name, "version": version, "written": written}
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode("ascii") + b"\n")
    digest.update(body)
    return json.dumps({**state, "sha256": digest.hexdigest()}, sort_keys=True).encode("ascii")


def _written(head: bytes) -> float | None:
    try:
        return float(json.loads(head)["written"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
