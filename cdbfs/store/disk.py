"""Small objects on disk, shared by all mounts of a user, that may be lost at any time but are never wrong.

Used by documents. One file an object: a line of JSON that says what it is and the SHA-256 of all else, then the
bytes; written beside and renamed into place. The digest, not fsync, is what guards against a half-written file: a
file that does not match is dropped and fetched again. A full or missing disk costs speed, never an answer; what is
wrong with it stands in the journal.

Threads and processes: any; rename is atomic, and a file that vanishes while it is read counts as absent.
"""

from __future__ import annotations

import contextlib
import errno as codes
import hashlib
import json
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cdbfs.errors import ConfigError
from cdbfs.events import Journal

SWEEP_AFTER = 0.05
"""How much of the cap is written between two looks at the size of the whole."""
SWEEP_TO = 0.9
"""A sweep goes on until this much of the cap is used."""
PART = ".part-"
PART_SECONDS = 3600.0
"""A part that is older belongs to nobody: its writer was killed."""


@dataclass(frozen=True)
class Found:
    """An object from disk: its bytes, and when it was written (epoch seconds)."""

    body: bytes
    written: float


class DiskCache:
    """Objects in `directory` (made private, 0700), at most about `cap` bytes of them."""

    def __init__(self, directory: Path, cap: int, journal: Journal | None = None) -> None:
        self._directory = directory
        self._cap = cap
        self._journal = journal or Journal()
        self._lock = threading.Lock()
        self._unswept = cap
        """Bytes written since the last sweep; as good as too many at first: many mounts are short."""
        self._complaint = ""
        """Why the last object could not be kept; told once, until one can be kept again."""

    def read(self, name: str, version: str) -> Found | None:
        """The object, or None where there is none that can be trusted."""
        path = self._path(name, version)
        try:
            content = read_file(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._note(error, name, f"the copy kept on disk cannot be read: {error.strerror}")
            return None
        head, _, body = content.partition(b"\n")
        written = _written(head)
        if written is not None and head == _head(name, version, body, written):
            with contextlib.suppress(OSError):
                os.utime(path)  # least recently used goes first
            return Found(body, written)
        self._journal.note(codes.EIO, name, "the copy kept on disk is damaged, and is fetched again")
        self.drop(name, version)
        return None

    def has(self, name: str, version: str) -> bool:
        """Whether there seems to be one, without reading it."""
        return os.path.exists(self._path(name, version))  # Path.exists raises where it may not look

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
            self._complaint = ""
        except OSError as error:
            complaint = f"documents cannot be kept on disk: {error.strerror}"
            if complaint != self._complaint:
                self._note(error, str(self._directory), complaint)
            self._complaint = complaint

    def _note(self, error: OSError, what: str, reason: str) -> None:
        self._journal.note(error.errno or codes.EIO, what, reason)

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, part = tempfile.mkstemp(prefix=PART, dir=path.parent)  # mode 0600
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
        latest = time.time() - PART_SECONDS
        for path in self._directory.glob("*/*"):
            with contextlib.suppress(OSError):
                state = path.stat()
                if path.name.startswith(PART) and state.st_mtime < latest:
                    path.unlink()
                else:
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


def own(directory: Path, setting: str) -> None:
    """Make the directory that a setting names, and refuse one that others could put things into.

    Raises ConfigError.
    """
    try:
        make_private(directory)
        found = directory.stat()
    except OSError as error:
        raise ConfigError(f"{setting}={directory} cannot be used: {error.strerror}") from None
    if found.st_uid != os.geteuid() or found.st_mode & 0o022 or not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(f"{setting}={directory} must be yours alone to write to")


def make_private(directory: Path) -> None:
    """mkdir -p with mode 0700 for every directory made; mkdir(parents=True) would give it to the last one only."""
    if not directory.is_dir():
        make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def read_file(path: Path, most: int = -1) -> bytes:
    """The bytes of a file, or the first of them. Never waits, whatever lies there: a FIFO would hold a worker for
    ever. Raises OSError, also for a link."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOFOLLOW)) as file:
        return file.read(most) or b""


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
