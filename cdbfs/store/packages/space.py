"""The space that packages take: reserved before a transfer, given back by evicting what was not used for longest.

Used by store/packages. It is counted over all scopes of a cache directory and all processes, from the disk itself,
while the lock `space` is held: whole zips and unpacked members by their sizes, what arrives by its reservation.
A file is never evicted while somebody has it open: who opens one holds a shared lock on it.

Threads and processes: any; the lock orders them. Nothing waits while it is held but for the disk. `_lock` guards
what was counted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cdbfs import amounts
from cdbfs.errors import NoSpace
from cdbfs.store.packages import boards, volumes
from cdbfs.store.packages.boards import Board, Told
from cdbfs.store.packages.layout import MD5, ZIP, Layout
from cdbfs.store.packages.locks import locked, take_within
from cdbfs.store.results import READ_ONLY
from cdbfs.store.zips.inflated import remove

GIB = 2**30
DEFAULT_CAP = 50 * GIB
DEFAULT_SHARE = 5
"""Of the volume, one part in so many."""
LOCK_SECONDS = 30.0
PIN_SECONDS = 5.0
KEPT = ("*/objects/*/package.zip", "*/objects/*/members/*")
ARRIVING = "*/arriving/*/*"
NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs")
BOARDS = "*/active/*.json"
MOST_FILES = 200_000
"""Files that are kept, however small: they are all looked at to count the space."""
USAGE_SECONDS = 10.0
USAGE_WAIT = 0.2


@dataclass(frozen=True)
class Taken:
    """A file that takes space."""

    used: int
    """When it was used last, ns since the epoch."""
    size: int
    path: Path


@dataclass(frozen=True)
class Usage:
    """Bytes: of what is here, of what is reserved for transfers, and how much both may be."""

    kept: int
    reserved: int
    cap: int


class Space:
    """The space below `root`: at most `cap` bytes (0: the default), and `floor` bytes of the volume left free."""

    def __init__(self, root: Path, cap: int, floor: int) -> None:
        self.root = root
        self._cap = cap
        self._floor = floor
        self._lock = threading.Lock()
        self._counted = 0
        self._counting: threading.Thread | None = None
        self._due = 0.0

    @property
    def cap(self) -> int:
        """Bytes that packages may take."""
        if self._cap:
            return self._cap
        volume = self._volume()
        return min(DEFAULT_CAP, volume.f_blocks * volume.f_frsize // DEFAULT_SHARE)

    def reserve(self, board: Board, told: Told, amount: int) -> Told:
        """Keep `amount` bytes in all for a transfer, and tell so on its board. Raises NoSpace."""
        with take_within(self.root / "locks" / "space", LOCK_SECONDS):
            self._make_room(amount, [board.path])
            told = replace(told, reserved=amount)
            board.tell(told)
        return told

    def make_room(self, amount: int, of: Collection[Path] = ()) -> None:
        """Evict until `amount` bytes may be written: all of some transfers, where their boards are given.

        Raises NoSpace.
        """
        with take_within(self.root / "locks" / "space", LOCK_SECONDS):
            self._make_room(amount, of)

    def usage(self) -> Usage:
        """How much is taken, as it was counted a moment ago: never waits long, however many files there are."""
        with self._lock:
            if self._counting is None and time.monotonic() >= self._due:
                self._counting = threading.Thread(target=self._count, name="cdbfs-counting", daemon=True)
                self._counting.start()
            counting = self._counting
        if counting is not None:
            counting.join(USAGE_WAIT)
        return Usage(self._counted, sum(told.reserved for _, told in self._live()), self.cap)

    def remove_all_leftovers(self) -> int:
        """Remove what transfers left that are not under way; the bytes that became free."""
        freed = 0
        with take_within(self.root / "locks" / "space", LOCK_SECONDS):
            for taken in self._left_by_nobody():
                with contextlib.suppress(OSError):
                    taken.path.unlink()
                    freed += taken.size
        self.changed()
        return freed

    def changed(self) -> None:
        """What was counted is not so any more."""
        self._due = 0.0

    def _count(self) -> None:
        """In a thread of its own."""
        counted = sum(taken.size for taken in self._kept())
        with self._lock:
            self._counted, self._counting, self._due = counted, None, time.monotonic() + USAGE_SECONDS

    def warnings(self) -> list[str]:
        """What is not wrong, and may become so."""
        found = []
        if self._free() < self._floor:
            found.append(
                f"the disk of cache_dir has less than {amounts.size(self._floor)} left, so no package is fetched"
            )
        kind = volumes.filesystem(self.root)
        if kind.startswith(NETWORK):
            found.append(f"cache_dir lies on {kind}: what is kept there comes over the network each time")
        return found

    def _make_room(self, amount: int, of: Collection[Path]) -> None:
        """For `amount` bytes of transfers, which may have arrived in part. Nothing is evicted in vain."""
        if amount > self.cap:
            raise NoSpace(
                f"{amounts.size(amount)} are more than packages may take: raise packages_size, which is "
                f"{amounts.size(self.cap)}"
            )
        live = dict(self._live())
        others = [told for board, told in live.items() if board not in of]
        there = sum(size for board in of for _, size in arrived(board))
        kept = sorted(self._kept(), key=lambda taken: taken.used)
        all_kept = sum(taken.size for taken in kept)
        total = all_kept + sum(told.reserved for told in others)
        outstanding = sum(max(0, told.reserved - told.done) for told in others)
        missing = self._floor + outstanding + max(0, amount - there) - self._free()
        surplus = len(kept) - MOST_FILES
        self._check(amount, total - all_kept, missing - all_kept)
        self.changed()
        for taken in kept:
            if total + amount <= self.cap and missing <= 0 and surplus <= 0:
                return
            if _evict(taken.path):
                total -= taken.size
                missing -= taken.size
                surplus -= 1
        self._check(amount, total, missing)

    def _check(self, amount: int, total: int, missing: int) -> None:
        """Raises NoSpace where what packages take besides is too much, or the disk has too little."""
        if total + amount > self.cap:
            raise NoSpace(
                f"no room for {amounts.size(amount)}: all that packages may take ({amounts.size(self.cap)}) is in "
                "use; raise packages_size, or close what is open"
            )
        if missing > 0:
            raise NoSpace(
                f"the disk of the cache has too little left for {amounts.size(amount)}: packages leave "
                f"{amounts.size(self._floor)} of it free (packages_free)"
            )

    def _kept(self) -> Iterator[Taken]:
        for pattern in KEPT:
            for path in self.root.glob(pattern):
                with contextlib.suppress(OSError):
                    found = path.stat()
                    yield Taken(found.st_atime_ns, found.st_size, path)
        yield from self._left_by_nobody()

    def _left_by_nobody(self) -> Iterator[Taken]:
        live = {path for board, _ in self._live() for path, _ in arrived(board)}
        for path in self.root.glob(ARRIVING):  # of nobody: resumed if it is asked for before the space is needed
            with contextlib.suppress(OSError):
                if path not in live:
                    found = path.stat()
                    yield Taken(found.st_mtime_ns, found.st_size, path)

    def _live(self) -> Iterator[tuple[Path, Told]]:
        """Transfers under way in any process, by their boards."""
        for path in self.root.glob(BOARDS):
            told = boards.read(path)
            if told is not None and boards.is_live(path):
                yield path, told

    def _free(self) -> int:
        volume = self._volume()
        return volume.f_bavail * volume.f_frsize

    def _volume(self) -> os.statvfs_result:
        return os.statvfs(next(path for path in (self.root, *self.root.parents) if path.exists()))


def pin(path: Path) -> int | None:
    """A descriptor that reads the file, which is not evicted until it is closed; None where there is none.

    Counts as a use of it: what was not used for longest is evicted first.
    """
    ends = time.monotonic() + PIN_SECONDS
    while time.monotonic() < ends:
        try:
            descriptor = os.open(path, READ_ONLY)
        except OSError:
            return None
        if locked(descriptor, fcntl.LOCK_SH):
            found = os.fstat(descriptor)
            if found.st_nlink:
                with contextlib.suppress(OSError):  # its mtime stays
                    os.utime(descriptor, ns=(time.time_ns(), found.st_mtime_ns))
                return descriptor
            os.close(descriptor)
        time.sleep(0.001)  # it is being evicted
    return None


def arrived(board: Path) -> list[tuple[Path, int]]:
    """What has arrived of the file of a transfer, and beside it: paths and bytes.

    Programs put something before and after a name while they write: `.NAME.zip.Ab12Cd`, `NAME.zip.aspx`.
    """
    file = board.name.removesuffix(".json")
    directory = Layout(board.parent.parent).arriving(is_zip=not file.endswith(".md5"))
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(directory):
            if entry.name.startswith((file, f".{file}")):
                with contextlib.suppress(OSError):
                    found.append((Path(entry.path), entry.stat(follow_symlinks=False).st_size))
    return found


def remove_leftovers(board: Path) -> int:
    """Remove what a transfer that is not under way left; the bytes that became free."""
    freed = 0
    if not boards.is_live(board):
        for path, size in arrived(board):
            with contextlib.suppress(OSError):
                path.unlink()
                freed += size
    return freed


def _evict(path: Path) -> bool:
    """Remove a file that nobody has open; with a zip its md5, which may be another when it comes again."""
    if not remove(path):
        return False
    if path.name == ZIP:
        with contextlib.suppress(OSError):
            path.with_name(MD5).unlink()
    return True
