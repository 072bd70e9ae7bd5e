"""The filesystem calls that change something: in search/, and refused everywhere else.

A part of operations.Operations, which has the handles. Threads: any.
"""

from __future__ import annotations

import errno as codes
import os
import re
import stat
from abc import ABC, abstractmethod
from typing import Any

from cdbfs.errors import NotPermitted, ReadOnly
from cdbfs.events import Journal
from cdbfs.mount.callers import Callers
from cdbfs.mount.handles import Handle, OwnFile
from cdbfs.mount.reporting import reports
from cdbfs.query.directory import SearchDirectory
from cdbfs.query.shelf import HIDDEN
from cdbfs.tree.control import CONTROL
from cdbfs.tree.search import SEARCH
from cdbfs.tree.transfers import TRANSFERS

HIDDEN_NAME = re.compile(re.escape(f"/{HIDDEN}") + "[0-9a-f]{16}$")
"""libfuse's own: node and number (hidden_name in its fuse.c)."""
TRANSFER_FILES = f"/{CONTROL}/{TRANSFERS}/"
NO_CHANGE = -1
"""An owner that chown leaves as it is."""


def in_search(path: str) -> str | None:
    """A path of the mount as one of search/; None for one outside."""
    if path == f"/{SEARCH}":
        return ""
    return path[len(SEARCH) + 2 :] if path.startswith(f"/{SEARCH}/") else None


class Changing(ABC):
    """Needs `search`, the directory that can be changed, and `save_wait`, how long saving waits for a result."""

    journal: Journal
    logged: set[str]
    search: SearchDirectory
    save_wait: float
    callers: Callers
    hidden: dict[str, str]
    """Results that were removed while they are open: the name that libfuse has for them, and their own."""

    @abstractmethod
    def handle(self, number: int) -> Handle:
        """An open file. Raises OSError."""

    @abstractmethod
    def opened(self, handle: Handle, fi: Any) -> int:
        """Give an open file its number."""

    @abstractmethod
    def directory(self, number: int) -> str:
        """The path of an open directory. Raises OSError."""

    @abstractmethod
    def cancel(self, path: str) -> None:
        """End the transfer that a file of .cdbfs/transfers tells of."""

    def named(self, path: str | None, arguments: tuple[Any, ...]) -> str:
        if path is None:
            path = next((self.handle(each.fh).path for each in arguments if hasattr(each, "fh")), "a directory")
        return path.lstrip("/") or "/"

    # -- files

    @reports
    def create(self, path: str, mode: int, fi: Any) -> int:
        below = _within(path)
        return self.opened(OwnFile(path, self.search.open(below, fi.flags, mode)), fi)

    @reports
    def write(self, path: str | None, data: bytes, offset: int, fi: Any) -> int:
        return self.handle(fi.fh).write(data, offset)

    @reports
    def truncate(self, path: str | None, length: int, fi: Any = None) -> int:
        if fi is not None:
            self.handle(fi.fh).truncate(length)
        else:
            self.search.truncate(_within(path), length)
        return 0

    @reports
    def flush(self, path: str | None, fi: Any) -> int:
        """Comes at each close; the last one that wrote saves a query, and waits for its result."""
        handle = self.handle(fi.fh)
        if isinstance(handle, OwnFile) and handle.take_written():
            self.search.saved(_within(handle.path), self.callers.patient(self.save_wait))
        return 0

    @reports
    def fsync(self, path: str | None, only_data: int, fi: Any) -> int:
        self.handle(fi.fh).sync(bool(only_data))
        return 0

    @reports
    def unlink(self, path: str) -> int:
        if path.startswith(TRANSFER_FILES):
            self.cancel(path)
            return 0
        below = _within(path)
        if self.hidden.pop(path, None) is None:
            self.search.unlink(below)
        return 0

    @reports
    def mknod(self, path: str, mode: int, device: int) -> int:
        below = _within(path)
        if not stat.S_ISREG(mode):
            raise NotPermitted("there are only files, directories and links in search/")
        self.search.make_file(below, stat.S_IMODE(mode))
        return 0

    @reports
    def link(self, path: str, existing: str) -> int:
        self.search.link(_within(existing), _within(path))
        return 0

    @reports
    def symlink(self, path: str, target: str) -> int:
        self.search.symlink(target, _within(path))
        return 0

    # -- files and directories

    @reports
    def rename(self, path: str, new: str, flags: int = 0) -> int:
        old_below, below = _within(path), _within(new)
        if HIDDEN_NAME.search(new) and self.search.is_virtual(old_below):
            # libfuse removes what is open by renaming it, and asks for it by that name until it is closed. It may
            # do so just after we have closed it.
            self.search.unlink(old_below)
            self.hidden[new] = path
            return 0
        self.search.rename(old_below, below, flags)
        return 0

    @reports
    def mkdir(self, path: str, mode: int) -> int:
        self.search.mkdir(_within(path), mode)
        return 0

    @reports
    def rmdir(self, path: str) -> int:
        below = _within(path)
        if not below:
            raise OSError(codes.EBUSY, os.strerror(codes.EBUSY))
        self.search.rmdir(below)
        return 0

    @reports
    def chmod(self, path: str, mode: int) -> int:
        self.search.chmod(_within(path), stat.S_IMODE(mode))
        return 0

    @reports
    def chown(self, path: str, uid: int, gid: int) -> int:
        """Everything belongs to the mounting user, and goes on doing so."""
        _within(path)
        if uid not in (NO_CHANGE, os.getuid()) or gid not in (NO_CHANGE, os.getgid()):
            raise NotPermitted("what is in search/ belongs to the user that mounted it")
        return 0

    @reports
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self.search.utimens(_within(path), times)
        return 0

    @reports
    def fsyncdir(self, path: str | None, only_data: int, number: int) -> int:
        below = in_search(self.directory(number))
        if below is not None:
            self.search.sync(below)
        return 0


def _within(path: str | None) -> str:
    """A path as one of search/. Raises ReadOnly for one outside."""
    below = None if path is None else in_search(path)
    if below is None:
        raise ReadOnly(path or "")
    return below
