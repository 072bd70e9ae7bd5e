"""The filesystem calls: paths in, the tree's answers out, errors as errno.

Used by binding through mfusepy or fusepy, whose names and argument lists these are. What can change under one
name is opened direct_io and read from the handle's own version, so that a handle never sees two.

Which version that is, versions decides.

Threads: libfuse calls from up to max_threads threads. `_lock` guards the handles and is held for dictionary
operations only.
"""

from __future__ import annotations

import errno as codes
import itertools
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Callable

from cdbfs.caller import Caller, name_of
from cdbfs.config import Settings
from cdbfs.errors import IsADirectory, NoSuchName, NotPermitted, ReadOnly
from cdbfs.events import Journal
from cdbfs.mount.binding import congestion_threshold
from cdbfs.mount.callers import Callers
from cdbfs.mount.changing import Changing, in_search
from cdbfs.mount.fading import Fading
from cdbfs.mount.handles import Handle, Lasting, OwnFile, Reading
from cdbfs.mount.pages import Pages
from cdbfs.mount.reporting import reports
from cdbfs.mount.versions import Shown, Versions
from cdbfs.query.directory import SearchDirectory
from cdbfs.query.queries import ERROR, RESULT
from cdbfs.tree.inodes import inode, inodes_in, own_inode
from cdbfs.tree.nodes import (
    Attributes,
    Content,
    Directory,
    File,
    Kind,
    Link,
    Node,
    Own,
    Result,
    Version,
    attributes,
)
from cdbfs.tree.packages import PACKAGES, PackageFile
from cdbfs.tree.transfers import TransferFile
from cdbfs.tree.tree import Tree
from cdbfs.tree.unpacked import UNPACKED

TYPE_BITS = {Kind.DIRECTORY: stat.S_IFDIR, Kind.FILE: stat.S_IFREG, Kind.LINK: stat.S_IFLNK}
PERMISSIONS = {Kind.DIRECTORY: 0o555, Kind.FILE: 0o444, Kind.LINK: 0o777}
FORGET_SECONDS = 1.0
Listed = tuple[bytes, int, int]
"""A name in a directory, the bits of its type, and its inode number; 0: the one of its path."""
LASTING = (f"/{PACKAGES}/", f"/{UNPACKED}/")
"""Where files may be opened that never change."""


class Operations(Changing):
    """What the binding calls. Operations that are not here are unknown to the kernel, which then asks no more."""

    use_ns = True
    flag_nopath = flag_nullpath_ok = 1
    """Paths are left out where there is a handle: libfuse would lock them, and who removes or renames a file would
    wait for all that its readers wait for."""
    flag_utime_omit_ok = 1
    """Without it libfuse 2 sets both times or none, and does not tell which is now; libfuse 3 always does."""

    def __init__(
        self,
        tree: Tree,
        search: SearchDirectory,
        journal: Journal,
        settings: Settings,
        interrupted: Callable[[], bool],
        context: Callable[[], tuple[int, int, int]],
        make_forget: Callable[[], Callable[[str], None]],
    ) -> None:
        self.journal = journal
        self.logged: set[str] = set()
        self.search = search
        self.save_wait = settings.save_wait
        self.callers = Callers(interrupted, context)
        self._tree = tree
        self._settings = settings
        self._make_forget = make_forget
        self._invalidation = ThreadPoolExecutor(1, thread_name_prefix="cdbfs-invalidation")
        self._fading: Fading | None = None
        """None where the kernel remembers nothing."""
        self._lock = threading.Lock()
        self.hidden: dict[str, str] = {}
        self._handles: dict[int, Handle] = {}
        self._listed: dict[int, tuple[str, list[Listed]]] = {}
        """What each open directory lists: as with files, one version from open to close."""
        self._numbers = itertools.count(1)
        self._pages = Pages()
        self._versions = Versions(settings.attr_timeout, settings.listing_ttl, 2 * settings.max_document_bytes)
        self._owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}

    # -- life ---------------------------------------------------------------------------------------------------

    def init_with_config(self, connection: Any, config: Any) -> None:
        forget = self._make_forget()
        self._versions.forget = self._forgetting(forget)
        self._fading = Fading(forget)
        if connection is not None:
            # Reads that wait must not fill the kernel's queue, which holds 12 by default.
            connection.max_background = self._settings.max_threads
            connection.congestion_threshold = congestion_threshold(self._settings)

    def destroy(self, path: str) -> None:
        self.end()

    def end(self) -> None:
        """Let go of everybody who waits."""
        self.callers.end()

    def search_ended(self, names: frozenset[str]) -> None:
        """Make the kernel forget the results of a search that is over, before anybody hears of it."""
        for name in names:
            for suffix in (RESULT, ERROR):
                self._versions.forget(f"/{name.removesuffix(RESULT)}{suffix}")

    # -- looking ------------------------------------------------------------------------------------------------

    @reports
    def getattr(self, path: str | None, fi: Any = None) -> dict[str, int]:
        # Not by `fi`: the kernel mostly asks without a handle, even for fstat.
        if path is None:
            handle = self.handle(fi.fh)
            if isinstance(handle, OwnFile):
                return self._stat(handle.path, _own_attributes(os.fstat(handle.descriptor)))
            path = handle.path
        caller = self.callers.patient(self._settings.lookup_deadline)
        try:
            node = self._tree.node(path, caller)
        except NoSuchName:
            return self._stat(path, self._still_open(path))
        if isinstance(node, File):
            shown = self._versions.to_show(path, lambda: node.content(caller))
        elif isinstance(node, PackageFile) and not node.is_here():
            shown = self._announced(path, node, caller)
        elif isinstance(node, Result):
            shown = self._versions.to_show(path, node.shown)
        else:
            return self._stat(path, attributes(node, caller))
        return self._stat(path, Attributes(Kind.FILE, shown.size, shown.mtime, writable=node.writable))

    def _announced(self, path: str, node: PackageFile, caller: Caller) -> Shown:
        """Of a package that is not here. The kernel is not to remember a size that is announced only.

        Some programs go by what stat says of a file that they are about to open, and nothing else: they get it.
        """
        if name_of(caller.pid) in self._settings.stat_fetches:
            node.open(caller).close()
        elif self._fading is not None:
            self._fading.soon(path)
        return self._versions.to_show(path, node.shown)

    @reports
    def opendir(self, path: str) -> int:
        """Gets what readdir will list: the C library takes an ENOENT of readdir's for the end of the directory."""
        entries = [
            (name.encode("utf-8", "surrogateescape"), TYPE_BITS[kind], number)
            for name, kind, number in self._tree.entries(
                path, self.callers.patient(self._settings.lookup_deadline)
            )
        ]
        with self._lock:
            number = next(self._numbers)
            self._listed[number] = (path, entries)
        return number

    @reports
    def readdir(self, path: str | None, fh: int, offset: int) -> Iterator[Listed]:
        """Name, type and inode number of each entry from the `offset`th on, as binding hands them over."""
        opened, entries = self._open_directory(fh)
        return _listed(opened, entries, offset)

    @reports
    def releasedir(self, path: str | None, fh: int) -> int:
        with self._lock:
            self._listed.pop(fh, None)
        return 0

    @reports
    def readlink(self, path: str) -> str:
        node = self._tree.node(path, self.callers.patient(self._settings.lookup_deadline))
        if not isinstance(node, Link):
            raise OSError(codes.EINVAL, "not a link")
        return node.target

    @reports
    def access(self, path: str, mode: int) -> int:
        below = in_search(path)
        node = self._tree.node(path, self.callers.patient(self._settings.lookup_deadline))
        if below is not None and not isinstance(node, Result):
            self.search.access(below, mode)
            return 0
        if mode & os.W_OK and not node.writable:
            raise ReadOnly(path)
        if mode & os.X_OK and not isinstance(node, Directory):
            raise OSError(codes.EACCES, "not a program")
        return 0

    @reports
    def statfs(self, path: str) -> dict[str, int]:
        """The cache's volume, since that is where the space goes; in search/ that of the queries."""
        in_cache = in_search(path) is None
        volume = os.statvfs(_existing(self._settings.cache_dir)) if in_cache else self.search.statvfs()
        names = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail")
        return {**{f"f_{name}": getattr(volume, f"f_{name}") for name in names}, "f_namemax": 255}

    # -- reading ------------------------------------------------------------------------------------------------

    @reports
    def open(self, path: str, fi: Any) -> int:
        below = in_search(path)
        if below is not None:
            return self.opened(self._open_in_search(path, below, fi.flags), fi)
        if _is_to_change(fi.flags):
            raise ReadOnly(path)
        caller = self.callers.patient(self._settings.request_deadline)
        if path.startswith(LASTING):
            node = self._tree.node(path, caller)
            if isinstance(node, Result) and node.lasting:
                return self._open_lasting(path, node, caller, fi)
        version = self._versions.to_open(path, lambda: self._version(self._tree.node(path, caller), caller))
        return self.opened(Reading(path, version, self._versions), fi)

    def _open_lasting(self, path: str, node: Result, caller: Caller, fi: Any) -> int:
        """A package or a member of one. What is open never changes, so that the kernel keeps its bytes; the size
        that was shown may have been announced only, and is made exact before anybody has a handle."""
        version = self._versions.latest(path, node.open(caller))
        identity = "" if isinstance(version, Content) else version.identity
        direct, keep = self._pages.opened(path, identity)
        self.opened(Lasting(path, version, self._versions, self._pages, identity), fi)
        fi.direct_io, fi.keep_cache = int(direct), int(keep)
        return 0

    @reports
    def read(self, path: str | None, size: int, offset: int, fi: Any) -> bytes:
        return self.handle(fi.fh).read(size, offset)

    @reports
    def release(self, path: str | None, fi: Any) -> int:
        with self._lock:
            handle = self._handles.pop(fi.fh)
        handle.close()
        return 0

    def cancel(self, path: str) -> None:
        node = self._tree.node(path, self.callers.patient(self._settings.lookup_deadline))
        if not isinstance(node, TransferFile):
            raise ReadOnly(path)
        node.cancel()

    # -- handles ------------------------------------------------------------------------------------------------

    def opened(self, handle: Handle, fi: Any) -> int:
        with self._lock:
            fi.fh = next(self._numbers)
            self._handles[fi.fh] = handle
        fi.direct_io = 1
        return 0

    def handle(self, number: int) -> Handle:
        with self._lock:
            found = self._handles.get(number)
        if found is None:
            raise OSError(codes.EBADF, "no such handle")
        return found

    def directory(self, number: int) -> str:
        return self._open_directory(number)[0]

    def _open_directory(self, number: int) -> tuple[str, list[Listed]]:
        with self._lock:
            found = self._listed.get(number)
        if found is None:
            raise OSError(codes.EBADF, "no such handle")
        return found

    def _open_in_search(self, path: str, below: str, flags: int) -> Handle:
        caller = self.callers.patient(self._settings.lookup_deadline)
        try:
            node = self._tree.node(path, caller)
            if isinstance(node, Own):
                return OwnFile(path, self.search.open(below, flags), written=bool(flags & os.O_TRUNC))
        except (NoSuchName, FileNotFoundError):
            # Another mount took it away, and the kernel does not know yet. It looks anew then, and creates it.
            raise OSError(codes.ESTALE, os.strerror(codes.ESTALE)) from None
        if _is_to_change(flags):
            raise NotPermitted("the result of a query is not written by hand")
        return Reading(path, self._versions.latest(path, self._version(node, caller)), self._versions)

    def _version(self, node: Node, caller: Caller) -> Version:
        """The present version of a file."""
        if isinstance(node, Result):
            # Checking the query may need listings before the search itself.
            return node.open(
                self.callers.patient(self._settings.request_deadline + self._settings.search_deadline)
            )
        if isinstance(node, File):
            return node.content(caller)
        raise IsADirectory("a directory is not read as a file")

    # -- parts --------------------------------------------------------------------------------------------------

    def _still_open(self, path: str) -> Attributes:
        """Of a result whose query is gone, for those who read it. Raises NoSuchName."""
        shown = self._versions.opened(self.hidden.get(path, path)) if in_search(path) is not None else None
        if shown is None:
            raise NoSuchName(path)
        return Attributes(Kind.FILE, shown.size, shown.mtime)

    def _forgetting(self, forget: Callable[[str], None]) -> Callable[[str], None]:
        """`forget` in a thread of its own, waited for with a deadline: it asks the kernel, which may ask us."""

        def forget_soon(path: str) -> None:
            wait([self._invalidation.submit(forget, path)], FORGET_SECONDS)

        return forget_soon

    def _stat(self, path: str, found: Attributes) -> dict[str, int]:
        if found.own is not None:
            return self._own_stat(found.own)
        permissions = PERMISSIONS[found.kind] | (stat.S_IWUSR if found.writable else 0)
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

    def _own_stat(self, found: os.stat_result) -> dict[str, int]:
        """Of a file in search/, as it is on disk, under the umask."""
        return {
            "st_mode": stat.S_IFMT(found.st_mode) | stat.S_IMODE(found.st_mode) & ~self._settings.umask,
            "st_nlink": found.st_nlink,
            "st_ino": own_inode(found.st_dev, found.st_ino),
            "st_size": found.st_size,
            "st_blocks": found.st_blocks,
            "st_mtime": found.st_mtime_ns,
            "st_ctime": found.st_ctime_ns,
            "st_atime": found.st_atime_ns,
            **self._owner,
        }


def _listed(directory: str, entries: Sequence[Listed], offset: int) -> Iterator[Listed]:
    """Nothing in here fails: who goes through it would not be told why."""
    if offset < 1:
        yield b".", stat.S_IFDIR, inode(directory)
    if offset < 2:
        yield b"..", stat.S_IFDIR, inode(os.path.dirname(directory))
    inode_of = inodes_in(directory)
    for index in range(max(0, offset - 2), len(entries)):
        name, type_bits, number = entries[index]
        yield name, type_bits, number or inode_of(name)


def _is_to_change(flags: int) -> bool:
    return flags & os.O_ACCMODE != os.O_RDONLY or flags & (os.O_TRUNC | os.O_APPEND) != 0


def _own_attributes(found: os.stat_result) -> Attributes:
    return Attributes(Kind.FILE, found.st_size, found.st_mtime_ns, found)


def _existing(directory: Path) -> Path:
    return next(path for path in (directory, *directory.parents) if path.exists())
