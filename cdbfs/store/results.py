"""Results of searches on disk: one file a result, named by the key of what was asked, whole or not there.

Used by query/runs. A result is written beside, synced and renamed into place, so that a file that has its name is
whole, also after a crash; its mtime is when the search ran. All mounts of a user share them. What has not been
opened for longest goes first when they take more than their share of the disk.

Threads and processes: any; rename is atomic, and whoever has a result open keeps it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cdbfs.errors import TooLarge
from cdbfs.store.disk import PART, PART_SECONDS, make_private

SUFFIX = ".csv"
READ_ONLY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True)
class Kept:
    """A result that is there: its size in bytes, and when its search ran (nanoseconds since the epoch)."""

    size: int
    mtime: int
    volatile = False


@dataclass(frozen=True)
class OnDisk(Kept):
    """A result, open: whoever has it closes it."""

    descriptor: int
    identity: str = ""
    """Of a package: what tells its versions apart."""

    def read(self, size: int, offset: int) -> bytes:
        """The bytes from `offset`, at most `size`."""
        return os.pread(self.descriptor, size, offset)

    def close(self) -> None:
        os.close(self.descriptor)


class Writer(Protocol):
    """Takes a result's text, part by part."""

    def write(self, text: str, /) -> int: ...


class _Bounded:
    """A file that takes no more than `most` characters: what a server sends may grow a thousandfold as CSV."""

    def __init__(self, file: Writer, most: int) -> None:
        self._file = file
        self._left = most
        self._most = most

    def write(self, text: str, /) -> int:
        self._left -= len(text)
        if self._left < 0:
            raise TooLarge(f"the result is over {self._most} characters")
        return self._file.write(text)


class Results:
    """Results in `directory` (made private, 0700), at most about `cap` bytes of them."""

    def __init__(self, directory: Path, cap: int) -> None:
        self.directory = directory
        self._cap = cap

    def find(self, key: str) -> Kept | None:
        """What is kept for a key."""
        try:
            found = os.stat(self._path(key), follow_symlinks=False)
        except OSError:
            return None
        return Kept(found.st_size, found.st_mtime_ns)

    def open(self, key: str) -> OnDisk | None:
        """The result, open; None where there is none."""
        try:
            descriptor = os.open(self._path(key), READ_ONLY)
        except OSError:
            return None
        found = os.fstat(descriptor)
        with contextlib.suppress(OSError):  # least recently opened goes first; its mtime stays
            os.utime(descriptor, ns=(time.time_ns(), found.st_mtime_ns))
        return OnDisk(found.st_size, found.st_mtime_ns, descriptor)

    @contextmanager
    def writing(self, key: str) -> Iterator[Writer]:
        """A text file that becomes the result of `key` when the block ends without an error.

        Raises OSError, and TooLarge for a result that would take more than all may.
        """
        make_private(self.directory)
        descriptor, part = tempfile.mkstemp(prefix=PART, dir=self.directory)  # mode 0600
        try:
            with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                yield _Bounded(file, self._cap)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self._path(key))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        with contextlib.suppress(OSError):  # the result is there all the same
            self._sweep(key)

    def drop(self, key: str) -> None:
        """Forget the result."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self.directory / (key + SUFFIX)

    def _sweep(self, newest: str) -> None:
        """Remove what was not opened for longest until the whole is under its cap, and parts of killed writers."""
        files = []
        for entry in os.scandir(self.directory):
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if not entry.name.startswith(PART):
                    files.append((found.st_atime_ns, found.st_size, entry))
                elif found.st_mtime < time.time() - PART_SECONDS:
                    os.unlink(entry.path)
        total = sum(size for _, size, _ in files)
        for _, size, entry in sorted(files, key=lambda file: file[0]):
            if total <= self._cap or entry.name == newest + SUFFIX:
                return
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
                total -= size
