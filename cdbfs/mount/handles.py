"""What an open file is to the mount: one version that is read, or a file of the user's own.

Used by operations. Threads: a handle may be used from any thread; a file of one's own is the system's matter, and
its `written` is set after the write that it tells of: a flush that comes between would take it for the old text's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from cdbfs.errors import ReadOnly
from cdbfs.mount.pages import Pages
from cdbfs.mount.versions import Versions
from cdbfs.tree.nodes import Version


class Handle(Protocol):
    """An open file; `path` is the one it was opened under."""

    @property
    def path(self) -> str: ...
    def read(self, size: int, offset: int) -> bytes: ...
    def write(self, data: bytes, offset: int) -> int: ...
    def truncate(self, length: int) -> None: ...
    def sync(self, only_data: bool) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Reading:
    """One version, which does not change while it is open."""

    path: str
    version: Version
    versions: Versions

    def read(self, size: int, offset: int) -> bytes:
        return self.version.read(size, offset)

    def write(self, data: bytes, offset: int) -> int:
        raise ReadOnly(self.path)

    def truncate(self, length: int) -> None:
        raise ReadOnly(self.path)

    def sync(self, only_data: bool) -> None:
        """Nothing was written."""

    def close(self) -> None:
        self.versions.closed(self.path, self.version)
        self.version.close()


@dataclass(frozen=True)
class Lasting(Reading):
    """A version whose bytes the kernel may keep."""

    pages: Pages
    identity: str

    def close(self) -> None:
        self.pages.closed(self.path, self.identity)
        super().close()


@dataclass
class OwnFile:
    """A file of the shelf, open as its opener wanted it."""

    path: str
    descriptor: int
    written: bool = False
    """Whether it was written since `take_written`."""

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self.descriptor, size, offset)

    def write(self, data: bytes, offset: int) -> int:
        done = os.pwrite(self.descriptor, data, offset)  # one opened to append does so, whatever the offset says
        self.written = True
        return done

    def truncate(self, length: int) -> None:
        os.ftruncate(self.descriptor, length)
        self.written = True

    def sync(self, only_data: bool) -> None:
        (os.fdatasync if only_data else os.fsync)(self.descriptor)

    def take_written(self) -> bool:
        """Whether it was written since this was asked last: shells close a file more than once."""
        written, self.written = self.written, False
        return written

    def close(self) -> None:
        os.close(self.descriptor)
