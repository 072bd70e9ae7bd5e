"""The space that packages take: reserved before a transfer, given back by evicting what was not used for longest.

Used by store/packages. It is counted over all scopes of a cache directory and all processes, from the disk itself,
while the lock `space` is held: whole zips and unpacked members by their sizes, what arrives by its reservation.
A file is never evicted while somebody has it open: who opens one holds a shared lock on it.

Threads and processes: any; the lock orders them. Nothing waits while it is held but for the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cdbfs.errors import NoSpace
from cdbfs.store.packages import boards, volumes
from cdbfs.store.packages.boards import Board, Told
from cdbfs.store.packages.layout import LEFTOVERS
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
BESIDE = ".md5"
"""What a zip's md5 is called beside it, with which it arrives."""


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
            self._make_room(amount, [told.file])
            told = replace(told, reserved=amount)
            board.tell(told)
        return told

    def make_room(self, amount: int, files: Collection[str] = ()) -> None:
        """Evict until `amount` bytes may be written: all of `files` that are on their way, where some are named.

        Raises NoSpace.
        """
        with take_within(self.root / "locks" / "space", LOCK_SECONDS):
            self._make_room(amount, files)

    def usage(self) -> Usage:
        """How much is taken now."""
        kept = sum(taken.size for taken in self._kept())
        return Usage(kept, self._reserved(()), self.cap)

    def warnings(self) -> list[str]:
        """What is not wrong, and may become so."""
        found = []
        if self._free() < self._floor:
            found.append(f"the disk of cache_dir has less than {_gib(self._floor)} left, so no package is fetched")
        kind = volumes.filesystem(self.root)
        if kind.startswith(NETWORK):
            found.append(f"cache_dir lies on {kind}: what is kept there comes over the network each time")
        return found

    def _make_room(self, amount: int, files: Collection[str]) -> None:
        """For `amount` bytes of files, which may have arrived in part. Nothing is evicted in vain."""
        if amount > self.cap:
            raise NoSpace(
                f"{_gib(amount)} are more than packages may take: raise packages_size, which is {_gib(self.cap)}"
            )
        there = self._arrived(files)
        kept = sorted(self._kept(), key=lambda taken: taken.used)
        all_kept = sum(taken.size for taken in kept)
        total = all_kept + self._reserved(files)
        missing = self._floor + self._outstanding(files) + max(0, amount - there) - self._free()
        self._check(amount, total - all_kept, missing - all_kept)
        for taken in kept:
            if total + amount <= self.cap and missing <= 0:
                return
            if remove(taken.path):
                total -= taken.size
                missing -= taken.size
        self._check(amount, total, missing)

    def _check(self, amount: int, total: int, missing: int) -> None:
        """Raises NoSpace where what packages take besides is too much, or the disk has too little."""
        if total + amount > self.cap:
            raise NoSpace(
                f"no room for {_gib(amount)}: all that packages may take ({_gib(self.cap)}) is in use; "
                "raise packages_size, or close what is open"
            )
        if missing > 0:
            raise NoSpace(
                f"the disk of the cache has too little left for {_gib(amount)}: packages leave "
                f"{_gib(self._floor)} of it free (packages_free)"
            )

    def _kept(self) -> Iterator[Taken]:
        for pattern in KEPT:
            for path in self.root.glob(pattern):
                with contextlib.suppress(OSError):
                    found = path.stat()
                    yield Taken(found.st_atime_ns, found.st_size, path)
        live = {name for file, _ in self._live() for name in (file, f"{file}{BESIDE}")}
        for path in self.root.glob(ARRIVING):  # of nobody: resumed if it is asked for before the space is needed
            with contextlib.suppress(OSError):
                if not _is_of(path.name, live):
                    found = path.stat()
                    yield Taken(found.st_mtime_ns, found.st_size, path)

    def _live(self) -> Iterator[tuple[str, Told]]:
        """Transfers under way in any process, by the file's name."""
        for path in self.root.glob(BOARDS):
            told = boards.read(path)
            if told is not None and boards.is_live(path):
                yield told.file, told

    def _reserved(self, but: Collection[str]) -> int:
        """For all transfers but those of some files."""
        return sum(told.reserved for file, told in self._live() if file not in but)

    def _outstanding(self, but: Collection[str]) -> int:
        """What other transfers have reserved and not yet written."""
        return sum(max(0, told.reserved - told.done) for file, told in self._live() if file not in but)

    def _arrived(self, files: Collection[str]) -> int:
        return sum(_size(path) for path in self.root.glob(ARRIVING) if _is_of(path.name, files))

    def _free(self) -> int:
        volume = self._volume()
        return volume.f_bavail * volume.f_frsize

    def _volume(self) -> os.statvfs_result:
        return os.statvfs(next(path for path in (self.root, *self.root.parents) if path.exists()))


def pin(path: Path) -> int | None:
    """A descriptor that reads the file, which is not evicted until it is closed; None where there is none."""
    ends = time.monotonic() + PIN_SECONDS
    while True:
        try:
            descriptor = os.open(path, READ_ONLY)
        except OSError:
            return None
        if locked(descriptor, fcntl.LOCK_SH) and os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # it is being evicted
        if time.monotonic() > ends:
            return None
        time.sleep(0.001)


def _is_of(name: str, files: Collection[str]) -> bool:
    return any(name.endswith(suffix) and name[: len(name) - len(suffix)] in files for suffix in LEFTOVERS)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _gib(amount: int) -> str:
    return f"{amount / GIB:.3g} GiB"
