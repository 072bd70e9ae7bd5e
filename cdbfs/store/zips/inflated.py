"""Files of inflated members: what their names say of them, who holds them, and how they go.

Used by `members`, and by the store's eviction: `kept` lists them, `remove` takes one that nobody has open. They
lie in the directory MEMBERS of their package:

    <zip>-<number>              whole, and on the disk itself
    <zip>-<number>.<boot id>    whole, but written since the machine was started: fsync is still to come
    .part-...                   being written

The first reader does not wait for fsync. A crash of the machine may therefore leave a file of the second kind that
is not what was written; it bears the id of another boot then, and is not trusted. A crash of a process harms
neither. Small members stay files of the second kind: they are sooner inflated again than synced.

Whoever has one open holds a shared flock on that very descriptor, so that `remove` leaves it alone, on this
machine and on others that share the directory. Taken away all the same, it stays readable for who has it open.

Threads and processes: any.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cdbfs.store.disk import PART, make_private

MEMBERS = "members"
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PART_SECONDS = 60.0
"""A part that is older and not locked belongs to nobody: a writer locks it as soon as he has made it."""


@dataclass(frozen=True)
class Inflated:
    """A file that could be removed: its bytes on the disk, and when it was last opened (epoch seconds)."""

    path: Path
    size: int
    used: float


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Of this start of the machine; "" where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


class InflatedFiles:
    """The inflated members of one zip, in the directory of its package."""

    def __init__(self, directory: Path, zip_name: str, boot: str) -> None:
        """`boot` is empty where it is not known: then writers wait for fsync."""
        self._directory = directory / MEMBERS
        self._zip = zip_name
        self._boot = boot

    def open(self, number: int, size: int) -> int | None:
        """The descriptor of a member's file, held; None where there is none that can be trusted."""
        names = (self._durable(number), self._of_this_boot(number))
        for path in names if self._boot else names[:1]:
            descriptor = _held(path, size)
            if descriptor is not None:
                return descriptor
        return None

    @contextlib.contextmanager
    def writing(self, number: int) -> Iterator[int]:
        """The descriptor of an empty file, held, that becomes the member's where the block ends without an error.

        It is the caller's to close then; else it is closed and gone. Raises OSError.
        """
        make_private(self._directory)
        descriptor, part = _part(self._directory)
        try:
            yield descriptor
            if not self._boot:
                os.fsync(descriptor)
            os.replace(part, self._of_this_boot(number) if self._boot else self._durable(number))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            os.close(descriptor)
            raise

    def settle(self, number: int) -> None:
        """Bring a member's file of this boot to the disk, and give it the name that says so. Takes its time."""
        path = self._of_this_boot(number)
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | _OPEN)
            try:
                os.fsync(descriptor)
                self._link(descriptor, number)
                path.unlink()
            finally:
                os.close(descriptor)

    def _link(self, descriptor: int, number: int) -> None:
        """Name the very file that was synced: another process may have put its own there meanwhile."""
        above = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(FileExistsError):
                # With a directory's descriptor this is linkat(2), which can follow the link in /proc.
                os.link(f"/proc/self/fd/{descriptor}", self._durable(number), src_dir_fd=above)
        finally:
            os.close(above)

    def _durable(self, number: int) -> Path:
        return self._directory / f"{self._zip}-{number}"

    def _of_this_boot(self, number: int) -> Path:
        return self._directory / f"{self._zip}-{number}.{self._boot}"


def kept(directory: Path) -> Iterator[Inflated]:
    """What is in a package's directory of inflated members, parts too."""
    try:
        entries = list(os.scandir(directory / MEMBERS))
    except OSError:
        return
    for entry in entries:
        with contextlib.suppress(OSError):
            found = entry.stat(follow_symlinks=False)
            yield Inflated(Path(entry.path), found.st_blocks * 512, found.st_atime)


def remove(path: Path) -> bool:
    """Remove an inflated member's file, unless somebody has it open; whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | _OPEN)  # a lock over NFS wants a file that can be written
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def sweep(directory: Path) -> None:
    """Remove what nobody will use: parts of killed writers, and files of another boot."""
    boot = boot_id()
    latest = time.time() - _PART_SECONDS
    for file in kept(directory):
        name = file.path.name
        with contextlib.suppress(OSError):
            if name.startswith(PART):
                if file.path.stat().st_mtime < latest:
                    remove(file.path)
            elif "." in name and not name.endswith(f".{boot}"):
                remove(file.path)
    for part in directory.glob(f"{PART}*"):  # of an index
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < latest:
                part.unlink()


def _part(directory: Path) -> tuple[int, str]:
    """A new file, held, and its name."""
    while True:
        descriptor, part = tempfile.mkstemp(prefix=PART, dir=directory)  # mode 0600
        try:
            if _hold(descriptor):
                return descriptor, part
        except BaseException:
            os.close(descriptor)
            os.unlink(part)
            raise
        os.close(descriptor)  # somebody was quick to remove it


def _hold(descriptor: int) -> bool:
    """Take a shared lock on a file that still has a name; not where somebody is about to remove it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _held(path: Path, size: int) -> int | None:
    """The descriptor of a file of that size, with a shared lock on it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if found.st_size == size and stat.S_ISREG(found.st_mode) and _hold(descriptor):
            with contextlib.suppress(OSError):  # least recently opened goes first
                os.utime(descriptor, ns=(time.time_ns(), found.st_mtime_ns))
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
