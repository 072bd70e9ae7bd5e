"""Packages from a directory: a lab's mirror, or Connectome in a Box.

A file is looked for in a few places (PATTERNS). Links are followed, wherever they lead: the directory is the
user's own choice, mirrors made by git-annex or of several disks consist of links, and the md5 is checked. It is
copied to a name of its own and renamed when it is whole, so that what an earlier attempt left is gone on with,
and what another transport left is not.

Used by transports.

Threads: any; a copy runs in a thread of its own, which a disk that does not answer may keep for ever: it is then
left with a file that has no name any more.
"""

from __future__ import annotations

import contextlib
import errno as codes
import glob
import os
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from cdbfs.errors import CdbfsError, NoSpace, NotFound, TimedOut, TooLarge, Unreachable
from cdbfs.hcp.models import Package
from cdbfs.hcp.names import check_packages, files_of
from cdbfs.hcp.transport import Again, Order, Watch, check_wanted

PATTERNS = (
    "{file}",
    "{subject}/{file}",
    "{subject}/*/{file}",
    "*/{subject}/{file}",
    "*/{subject}/*/{file}",
)
"""Below the directory: the last is the server's own tree, {project}/{subject}/{preproc, unproc, ...}/."""
PART = ".part"
LOOK_SECONDS = 0.1
LEAVE_SECONDS = 3.0
"""What a copy may take to see that it is to end."""
BLOCK = 4 * 2**20
FULL = (codes.ENOSPC, codes.EDQUOT)
NOT_HERE = (codes.EXDEV, codes.ENOSYS, codes.EINVAL, codes.EOPNOTSUPP, codes.EPERM, codes.EBADF, codes.ETXTBSY)
"""What a kernel says that cannot copy between these two files by itself."""

Step = Callable[[int, int, int, int], int]
"""Copy from one descriptor to another at an offset, at most so many bytes; how many it were."""


def copy_some(source: int, target: int, offset: int, count: int) -> int:
    """The fastest way that works: in the filesystem, in the kernel, or through our memory."""
    for way in (_in_filesystem, _in_kernel):
        try:
            copied = way(source, target, offset, count)
        except AttributeError:
            continue
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
            continue
        if copied:
            return copied
    block = os.pread(source, count, offset)
    return os.pwrite(target, block, offset) if block else 0


def _in_filesystem(source: int, target: int, offset: int, count: int) -> int:
    return os.copy_file_range(source, target, count, offset, offset)


def _in_kernel(source: int, target: int, offset: int, count: int) -> int:
    os.lseek(target, offset, os.SEEK_SET)
    return os.sendfile(target, source, offset, count)


@dataclass(frozen=True)
class DirectoryTransport:
    """A Transport that copies from `root`."""

    root: Path
    stall: float
    step: Step = copy_some

    def fetch(self, order: Order, watch: Watch) -> None:
        check_packages(order.packages)
        check_wanted(watch)
        packages = files_of(order.packages)
        if not self.root.is_dir():
            raise Again(Unreachable(f"packages_dir, {self.root}, is not there; is it mounted?"))
        found = {file: self._find(packages[file], file) for file in order.files}
        missing = [file for file, source in found.items() if source is None]
        for file in missing:
            error = NotFound(
                f"packages_dir has no {file}; looked for below {self.root}: {_looked(packages[file])}"
            )
            if len(missing) == len(found):
                raise error
            watch.failed(file, error)
        for file, source in found.items():
            if source is not None:
                self._fetch(source, order.into / file, watch)

    def _find(self, package: Package, file: str) -> Path | None:
        subject, name = glob.escape(package.subject), glob.escape(file)
        for pattern in PATTERNS:
            below = pattern.format(subject=subject, file=name)
            for path in sorted(glob.glob(os.path.join(glob.escape(str(self.root)), below))):
                if os.path.isfile(path):
                    return Path(path)
        return None

    def _fetch(self, source: Path, target: Path, watch: Watch) -> None:
        copy = _Copy(source, target, self.step)
        thread = threading.Thread(target=copy.run, name="cdbfs-transfer-copy", daemon=True)
        thread.start()
        try:
            self._attend(copy, thread, target.name, watch)
        finally:
            copy.leave()
            thread.join(LEAVE_SECONDS)
            if thread.is_alive():
                copy.give_away()
        if copy.error is not None:
            raise copy.error

    def _attend(self, copy: _Copy, thread: threading.Thread, file: str, watch: Watch) -> None:
        told, changed = -1, time.monotonic()
        while True:
            thread.join(LOOK_SECONDS)
            over, now = not thread.is_alive(), time.monotonic()
            if copy.done != told and copy.size is not None:
                told, changed = copy.done, now
                watch.moved(file, copy.done, copy.size)
            if over:
                return
            check_wanted(watch)
            if now - changed > self.stall:
                raise Again(TimedOut(f"the copy from packages_dir stood still for {self.stall:g} s"))


class _Copy:
    """The copy of one file; `run` has a thread of its own, the fields are for anybody to look at."""

    def __init__(self, source: Path, target: Path, step: Step) -> None:
        self.done = 0
        self.size: int | None = None
        self.error: Again | CdbfsError | None = None
        self._left = threading.Event()
        self._source = source
        self._target = target
        self._part = target.with_name(target.name + PART)
        self._step = step

    def run(self) -> None:
        try:
            self._run()
        except (Again, CdbfsError) as error:
            self.error = error
        except OSError as error:
            self.error = self._meaning(error)
        except BaseException as error:  # a thread's own would be seen by nobody
            self.error = CdbfsError(f"a fault in cdbfs itself: {error!r}")

    def leave(self) -> None:
        """Have the thread end, with what it has."""
        self._left.set()

    def give_away(self) -> None:
        """What the thread may still write goes to a file without a name."""
        with contextlib.suppress(OSError):
            self._part.unlink()

    def _run(self) -> None:
        # A FIFO in a file's place must not be waited for.
        source = os.open(self._source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(source)
            if not stat.S_ISREG(found.st_mode):
                raise NotFound(f"{self._source} is no file")
            self.size = found.st_size
            if _is_copy(self._target, found):
                self.done = found.st_size
            else:
                self._copy(source, found)
        finally:
            os.close(source)

    def _copy(self, source: int, found: os.stat_result) -> None:
        if self._left.is_set():
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        target = os.open(self._part, flags, 0o600)
        try:
            self.done = _left_by_earlier(target, found)
            while self.done < found.st_size:
                if self._left.is_set():
                    return
                copied = self._step(source, target, self.done, min(BLOCK, found.st_size - self.done))
                if not copied:
                    raise Again(CdbfsError(f"{self._source} became shorter while it was copied"))
                self.done += copied
            os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
        finally:
            os.close(target)
        if not self._left.is_set():
            os.replace(self._part, self._target)

    def _meaning(self, error: OSError) -> Again | CdbfsError:
        reason = f"{self._source} could not be copied: {error.strerror}"
        if error.errno in FULL:
            return NoSpace(f"the disk that packages are kept on is full ({reason})")
        if error.errno == codes.EFBIG:
            return TooLarge(f"the disk that packages are kept on takes no file so large ({reason})")
        if error.errno in (codes.EACCES, codes.EPERM):
            return CdbfsError(reason)
        return Again(Unreachable(reason))


def _left_by_earlier(target: int, source: os.stat_result) -> int:
    """How much of the source an earlier attempt has copied; what cannot be of it is removed."""
    found = os.fstat(target)
    if found.st_size > source.st_size or found.st_mtime_ns < source.st_mtime_ns:
        os.ftruncate(target, 0)
        return 0
    return found.st_size


def _is_copy(target: Path, source: os.stat_result) -> bool:
    """Whether a file is what an earlier attempt made of this source."""
    try:
        found = os.stat(target, follow_symlinks=False)
    except OSError:
        return False
    same = (found.st_size, found.st_mtime_ns) == (source.st_size, source.st_mtime_ns)
    return stat.S_ISREG(found.st_mode) and same


def _looked(package: Package) -> str:
    return ", ".join(pattern.format(subject=package.subject, file="") or "." for pattern in PATTERNS)
