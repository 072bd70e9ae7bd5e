"""The filesystem calls: paths in, the tree's answers out, errors as errno.

Used by binding through mfusepy or fusepy, whose names and argument lists these are. What can change under one
name is opened direct_io and read from the handle's own version, so that a handle never sees two.

Which version that is, versions decides.

Threads: libfuse calls from up to max_threads threads. `_lock` guards the handles and is held for dictionary
operations only.
"""

from __future__ import annotations

import errno as codes
import functools
import itertools
import logging
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Callable, NoReturn, TypeVar

from cachetools import TTLCache

from cdbfs.caller import Caller
from cdbfs.config import Settings
from cdbfs.errors import CdbfsError, Interrupted, NoSuchName, ReadOnly, ours
from cdbfs.events import Journal
from cdbfs.mount.binding import congestion_threshold
from cdbfs.mount.versions import Versions
from cdbfs.tree.nodes import Attributes, Content, Directory, Entry, File, Kind, Link, attributes
from cdbfs.tree.tree import Tree, inode

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

TYPE_BITS = {Kind.DIRECTORY: stat.S_IFDIR, Kind.FILE: stat.S_IFREG, Kind.LINK: stat.S_IFLNK}
PERMISSIONS = {Kind.DIRECTORY: 0o555, Kind.FILE: 0o444, Kind.LINK: 0o777}
FORGET_SECONDS = 1.0
LET_GO_SECONDS = 1.0
LET_GO_AGAIN = 2
MOST_LET_GO = 1000
UNREPORTED = (NoSuchName, ReadOnly, Interrupted)
"""Everyday answers, which would bury real failures in `.cdbfs/errors`."""


def _reports(operation: F) -> F:
    """Turn what the tree raises into the OSError that the binding expects, and note it in the journal."""

    @functools.wraps(operation)
    def wrapper(self: Operations, path: str, *args: Any) -> Any:
        try:
            return operation(self, path, *args)
        except CdbfsError as error:
            if not isinstance(error, UNREPORTED):
                self.journal.record(error, path.lstrip("/") or "/")
            raise OSError(error.errno, str(error)) from None
        except OSError:
            raise
        except BaseException as error:  # SystemExit too: no call may end the mount, and fusepy cannot pass it on
            self._log_once(operation.__name__, error)
            self.journal.record(ours(error), path.lstrip("/") or "/")
            raise OSError(codes.EIO, "a fault in cdbfs itself") from None

    return wrapper  # type: ignore[return-value]


class Operations:
    """What the binding calls. Operations that are not here are unknown to the kernel, which then asks no more."""

    use_ns = True

    def __init__(
        self,
        tree: Tree,
        journal: Journal,
        settings: Settings,
        interrupted: Callable[[], bool],
        context: Callable[[], tuple[int, int, int]],
        make_forget: Callable[[], Callable[[str], None]],
    ) -> None:
        self.journal = journal
        self._tree = tree
        self._settings = settings
        self._interrupted = interrupted
        self._context = context
        self._make_forget = make_forget
        self._invalidation = ThreadPoolExecutor(1, thread_name_prefix="cdbfs-invalidation")
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._handles: dict[int, tuple[str, Content]] = {}
        self._listed: dict[int, list[Entry]] = {}
        """What each open directory lists: as with files, one version from open to close."""
        self._let_go: TTLCache[int, int] = TTLCache(MOST_LET_GO, LET_GO_SECONDS)
        """Threads that were interrupted while they waited, and how often they are still let go."""
        self._logged: set[str] = set()
        self._numbers = itertools.count(1)
        self._versions = Versions(settings.attr_timeout, settings.listing_ttl, 2 * settings.max_document_bytes)
        self._owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}

    # -- life ---------------------------------------------------------------------------------------------------

    def init_with_config(self, connection: Any, config: Any) -> None:
        self._versions.forget = self._forgetting(self._make_forget())
        if connection is not None:
            # Reads that wait must not fill the kernel's queue, which holds 12 by default.
            connection.max_background = self._settings.max_threads
            connection.congestion_threshold = congestion_threshold(self._settings)

    def destroy(self, path: str) -> None:
        self.end()

    def end(self) -> None:
        """Let go of everybody who waits."""
        self._ending.set()

    # -- looking ------------------------------------------------------------------------------------------------

    @_reports
    def getattr(self, path: str, fi: Any = None) -> dict[str, int]:
        # Not by `fi`: the kernel asks without a handle even for fstat.
        caller = self._caller(self._settings.lookup_deadline)
        node = self._tree.node(path, caller)
        if isinstance(node, File):
            content = self._versions.to_show(path, lambda: node.content(caller))
            return self._stat(path, Attributes(Kind.FILE, len(content.data), content.mtime))
        return self._stat(path, attributes(node, caller))

    @_reports
    def opendir(self, path: str) -> int:
        """Gets what readdir will list: the C library takes an ENOENT of readdir's for the end of the directory."""
        entries = list(self._tree.entries(path, self._caller(self._settings.lookup_deadline)))
        with self._lock:
            number = next(self._numbers)
            self._listed[number] = entries
        return number

    @_reports
    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        with self._lock:
            entries = self._listed.get(fh)
        if entries is None:
            raise OSError(codes.EBADF, "no such handle")
        below = path.rstrip("/") + "/"
        here = {"st_mode": stat.S_IFDIR, "st_ino": inode(path)}
        listed = [(".", here, 0), ("..", {"st_mode": stat.S_IFDIR, "st_ino": inode(os.path.dirname(path))}, 0)]
        listed += [
            (name, {"st_mode": TYPE_BITS[kind], "st_ino": inode(below + name)}, 0) for name, kind in entries
        ]
        return listed

    @_reports
    def releasedir(self, path: str, fh: int) -> int:
        with self._lock:
            self._listed.pop(fh, None)
        return 0

    @_reports
    def readlink(self, path: str) -> str:
        node = self._tree.node(path, self._caller(self._settings.lookup_deadline))
        if not isinstance(node, Link):
            raise OSError(codes.EINVAL, "not a link")
        return node.target

    @_reports
    def access(self, path: str, mode: int) -> int:
        if mode & os.W_OK:
            raise ReadOnly(path)
        node = self._tree.node(path, self._caller(self._settings.lookup_deadline))
        if mode & os.X_OK and not isinstance(node, Directory):
            raise OSError(codes.EACCES, "not a program")
        return 0

    @_reports
    def statfs(self, path: str) -> dict[str, int]:
        """The cache's volume: that is where the space goes."""
        volume = os.statvfs(_existing(self._settings.cache_dir))
        names = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail")
        return {**{f"f_{name}": getattr(volume, f"f_{name}") for name in names}, "f_namemax": 255}

    # -- reading ------------------------------------------------------------------------------------------------

    @_reports
    def open(self, path: str, fi: Any) -> int:
        if fi.flags & os.O_ACCMODE != os.O_RDONLY or fi.flags & (os.O_TRUNC | os.O_APPEND):
            raise ReadOnly(path)
        caller = self._caller(self._settings.request_deadline)
        content = self._versions.to_open(path, lambda: self._tree.content(path, caller))
        with self._lock:
            fi.fh = next(self._numbers)
            self._handles[fi.fh] = (path, content)
        fi.direct_io = 1
        return 0

    @_reports
    def read(self, path: str, size: int, offset: int, fi: Any) -> bytes:
        return self._handle(fi.fh).data[offset : offset + size]

    @_reports
    def release(self, path: str, fi: Any) -> int:
        with self._lock:
            opened, content = self._handles.pop(fi.fh)
        self._versions.closed(opened, content)
        return 0

    # -- refusing -----------------------------------------------------------------------------------------------

    @_reports
    def _refuse(self, path: str, *args: Any) -> NoReturn:
        raise ReadOnly(path)

    chmod = chown = create = link = mkdir = mknod = rename = rmdir = symlink = truncate = unlink = utimens = (
        _refuse
    )

    # -- parts --------------------------------------------------------------------------------------------------

    def _log_once(self, operation: str, error: BaseException) -> None:
        """The traceback of a fault of our own, once for each kind: a log of years must stay small."""
        kind = f"{operation} {type(error).__name__}"
        if kind not in self._logged:
            self._logged.add(kind)
            log.exception("a fault in cdbfs itself in %s", operation)

    def _caller(self, patience: float) -> Caller:
        uid, _, pid = self._context()
        return Caller(pid, uid, patience, lambda: self._given_up(pid), time.monotonic() + patience)

    def _given_up(self, pid: int) -> bool:
        """Whether the one that waits is to be let go: it was interrupted, or the mount ends.

        Who was interrupted and waits again at once is let go again, LET_GO_AGAIN times: R looks for its Ctrl-C
        only when stat has failed, and open, twice. No more, since Python asks again until it is let in.
        """
        if self._ending.is_set():
            return True
        interrupted = self._interrupted()
        with self._lock:
            if interrupted:
                self._let_go[pid] = LET_GO_AGAIN
                return True
            left = self._let_go.get(pid, 0)
            if left:
                self._let_go[pid] = left - 1
        return left > 0

    def _forgetting(self, forget: Callable[[str], None]) -> Callable[[str], None]:
        """`forget` in a thread of its own, waited for with a deadline: it asks the kernel, which may ask us."""

        def forget_soon(path: str) -> None:
            wait([self._invalidation.submit(forget, path)], FORGET_SECONDS)

        return forget_soon

    def _handle(self, number: int) -> Content:
        with self._lock:
            found = self._handles.get(number)
        if found is None:
            raise OSError(codes.EBADF, "no such handle")
        return found[1]

    def _stat(self, path: str, found: Attributes) -> dict[str, int]:
        permissions = PERMISSIONS[found.kind]
        if found.kind is not Kind.LINK:
            permissions &= ~self._settings.umask
        return {
            "st_mode": TYPE_BITS[found.kind] | permissions,
            "st_nlink": 1,
            "st_ino": inode(path),
            "st_size": found.size,
            "st_blocks": -(-found.size // 512),
            "st_mtime": found.mtime,
            "st_ctime": found.mtime,
            "st_atime": found.mtime,
            **self._owner,
        }


def _existing(directory: Path) -> Path:
    return next(path for path in (directory, *directory.parents) if path.exists())
