"""The user's own directory behind search/: a plain directory on disk, passed through.

Used by queries and directory. Paths are relative to the shelf, "" is the shelf itself. Each step of a path is
taken from the directory before it, and no link is followed: a link that somebody puts there leads where *its
reader* may go, never where this process may. Modes are stored as far as `umask` leaves them; nothing is set-id.

What the system refuses is raised as OSError with its errno, as os does.

Threads: any; nothing is kept but the path of the directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno as codes
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cdbfs.errors import ConfigError
from cdbfs.store.disk import make_private

_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
"""os.rename knows no flags, and without RENAME_NOREPLACE `mv -n` would replace. Missing before glibc 2.28."""
if _renameat2 is not None:
    _renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
ROOT = STEP & ~os.O_NOFOLLOW
"""The shelf itself may be a link of the user's: what it lies in is his alone."""
OPENED = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""Added to every open: nothing that lies there may lead elsewhere, or make us wait."""
PASSED_ON = os.O_ACCMODE | os.O_APPEND | os.O_TRUNC | os.O_EXCL | os.O_SYNC | os.O_DSYNC
RENAME_NOREPLACE = 1
MOST_ASIDE = 1000
HIDDEN = ".fuse_hidden"
"""How libfuse names a file that was removed while it is open; it is not listed."""
NOT_EMPTY = (codes.ENOTEMPTY, codes.EEXIST)


class Name(NamedTuple):
    """A name in a directory, and what it names."""

    name: str
    type_bits: int
    device: int
    inode: int


class Shelf:
    """The directory `root`, made where it is missing."""

    def __init__(self, root: Path, umask: int) -> None:
        self.root = root
        self._mask = 0o777 & ~umask

    def prepare(self) -> None:
        """Make the directory, with the mode that `umask` leaves it. Raises ConfigError."""
        try:
            make_private(self.root)
            os.chmod(self.root, self._mask)
        except OSError as error:
            raise ConfigError(f"search_dir: {self.root} cannot be used: {error.strerror}") from None

    # -- looking

    def stat(self, path: str) -> os.stat_result:
        with self._at(path) as (directory, name):
            return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def names(self, path: str) -> list[Name]:
        """What lies in a directory, in order of names."""
        with self._directory(path) as directory, os.scandir(directory) as entries:
            device = os.fstat(directory).st_dev
            found = [
                Name(entry.name, _type_bits(entry), device, entry.inode())
                for entry in entries
                if not entry.name.startswith(HIDDEN)
            ]
        return sorted(found)

    def target(self, path: str) -> str:
        with self._at(path) as (directory, name):
            return os.readlink(name, dir_fd=directory)

    def access(self, path: str, mode: int) -> None:
        """Raises PermissionError where this user may not."""
        with self._at(path) as (directory, name):
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode) or os.access(name, mode, dir_fd=directory):
                return
        raise PermissionError(codes.EACCES, os.strerror(codes.EACCES))

    # -- files

    def open(self, path: str, flags: int, mode: int | None = None) -> int:
        """A descriptor; with a `mode`, the file is made where it is missing."""
        create = os.O_CREAT if mode is not None else 0
        with self._at(path) as (directory, name):
            found = flags & PASSED_ON | create | OPENED
            return os.open(name, found, (mode or 0) & self._mask, dir_fd=directory)

    @contextmanager
    def reading(self, path: str) -> Iterator[BinaryIO]:
        """A regular file, open to be read. Raises OSError."""
        descriptor = self.open(path, os.O_RDONLY)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(codes.EISDIR, os.strerror(codes.EISDIR))
            if not stat.S_ISREG(mode):
                raise OSError(codes.EINVAL, os.strerror(codes.EINVAL))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                yield file
        finally:
            os.close(descriptor)

    def truncate(self, path: str, length: int) -> None:
        descriptor = self.open(path, os.O_WRONLY)
        try:
            os.ftruncate(descriptor, length)
        finally:
            os.close(descriptor)

    def unlink(self, path: str) -> None:
        with self._at(path) as (directory, name):
            os.unlink(name, dir_fd=directory)

    def link(self, path: str, new: str) -> None:
        with self._at(path) as (from_dir, name), self._at(new) as (to_dir, new_name):
            os.link(name, new_name, src_dir_fd=from_dir, dst_dir_fd=to_dir, follow_symlinks=False)

    def symlink(self, target: str, path: str) -> None:
        with self._at(path) as (directory, name):
            os.symlink(target, name, dir_fd=directory)

    # -- files and directories

    def rename(self, path: str, new: str, flags: int = 0) -> None:
        """`flags` are those of renameat2(2): not to replace, to exchange."""
        with self._at(path) as (from_dir, name), self._at(new) as (to_dir, new_name):
            if flags == 0:
                os.rename(name, new_name, src_dir_fd=from_dir, dst_dir_fd=to_dir)
            elif _renameat2 is None:
                raise OSError(codes.EINVAL, os.strerror(codes.EINVAL))
            elif _renameat2(from_dir, os.fsencode(name), to_dir, os.fsencode(new_name), flags):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))

    def set_aside(self, path: str) -> None:
        """Rename what has that name to the first of x~, x~2, x~3 that is free."""
        for number in range(1, MOST_ASIDE):
            try:
                self._rename_if_free(path, f"{path}~{number if number > 1 else ''}")
                return
            except FileExistsError:
                continue

    def _rename_if_free(self, path: str, new: str) -> None:
        try:
            self.rename(path, new, RENAME_NOREPLACE)
        except OSError as error:
            if error.errno not in (codes.EINVAL, codes.ENOSYS):
                raise
            self.link(path, new)  # as on NFS, which knows no flags of renames
            self.unlink(path)

    def mkdir(self, path: str, mode: int) -> None:
        with self._at(path) as (directory, name):
            os.mkdir(name, mode & self._mask, dir_fd=directory)

    def rmdir(self, path: str) -> None:
        """Remove a directory that lists nothing; who has a file open that was removed from it keeps it."""
        with self._at(path) as (directory, name):
            try:
                os.rmdir(name, dir_fd=directory)
            except OSError as error:
                if error.errno not in NOT_EMPTY or not self._cleared(path):
                    raise
                os.rmdir(name, dir_fd=directory)

    def chmod(self, path: str, mode: int) -> None:
        with self._at(path) as (directory, name):
            found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            if stat.S_ISLNK(os.fstat(found).st_mode):
                raise OSError(codes.EOPNOTSUPP, os.strerror(codes.EOPNOTSUPP))  # Linux has no lchmod
            # Not by name: that would follow a link put there meanwhile.
            os.chmod(f"/proc/self/fd/{found}", mode & self._mask)
        finally:
            os.close(found)

    def utimens(self, path: str, times: tuple[int, int]) -> None:
        """Access and modification time, nanoseconds since the epoch."""
        with self._at(path) as (directory, name):
            os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)

    def sync(self, path: str) -> None:
        """Write a directory's names to the disk itself."""
        with self._directory(path) as directory:
            os.fsync(directory)

    def statvfs(self) -> os.statvfs_result:
        with self._directory("") as directory:
            return os.fstatvfs(directory)

    # -- parts

    @contextmanager
    def _directory(self, path: str) -> Iterator[int]:
        """A descriptor of a directory."""
        descriptor = self._root()
        try:
            for step in filter(None, path.split("/")):
                below = os.open(step, STEP, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _at(self, path: str) -> Iterator[tuple[int, str]]:
        """A descriptor of the directory that holds `path`, and the name in it."""
        above, _, name = path.rpartition("/")
        with self._directory(above) as directory:
            yield directory, name or "."

    def _cleared(self, path: str) -> bool:
        """Whether a directory is empty now, since there was nothing in it but what is hidden."""
        with self._directory(path) as directory:
            names = os.listdir(directory)
            if not all(name.startswith(HIDDEN) for name in names):
                return False
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)
        return True

    def _root(self) -> int:
        try:
            return os.open(self.root, ROOT)
        except FileNotFoundError:
            self.prepare()  # somebody took it away; what is in use must not vanish
            return os.open(self.root, ROOT)


def _type_bits(entry: os.DirEntry[str]) -> int:
    with contextlib.suppress(OSError):
        if entry.is_symlink():
            return stat.S_IFLNK
        if entry.is_dir(follow_symlinks=False):
            return stat.S_IFDIR
    return stat.S_IFREG
