"""One run of a transport: files that this process has locked, from reservation to the verified file in its place.

Used by transfers, in a thread of its own. What an earlier attempt left, also of a process that was killed, is gone
on with. An attempt that ended early is followed by others, with growing pauses, for as long as each moves on;
md5 decides whether a file is whole, and one that is not is fetched anew once.

Threads: `run` is the run's own thread; the transport calls the Watch's methods from any.
"""

from __future__ import annotations

import contextlib
import errno as codes
import hashlib
import logging
import os
import stat
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from cdbfs.errors import Cancelled, CdbfsError, Interrupted, NoSpace, ours
from cdbfs.hcp.transport import Again, Order, Transport
from cdbfs.store.packages import marks
from cdbfs.store.packages.boards import Board
from cdbfs.store.packages.kept import KeptPackages, read_md5
from cdbfs.store.packages.layout import sidecar
from cdbfs.store.packages.locks import Lock
from cdbfs.store.packages.slots import Slots
from cdbfs.store.packages.space import Space, arrived
from cdbfs.store.packages.transfer import Transfer

log = logging.getLogger(__name__)

FRUITLESS = 5
"""Attempts in a row that brought nothing, after which it is given up."""
BLOCKED = 2
"""The same, where a firewall seems to let nothing through, and nothing came at all: each takes long by itself."""
LONGEST_PAUSE = 30.0
TELL_SECONDS = 0.5
SMALL = 2**20
"""Reserved for a file of which nothing is known."""
GROWTH = 64 * 2**20
"""What is reserved at a time for a file whose size is not known."""
NO_ROOM = (codes.ENOSPC, codes.EDQUOT)
FULL = "the disk of cache_dir is full"
UNUSABLE = "cache_dir cannot be used"
BLOCK = 2**20
CANCELLED = "the transfer was ended by somebody who removed it from .cdbfs/transfers, or by cdbfs"
UNWANTED = "nobody waited for it any more"


@dataclass(frozen=True)
class Parts:
    """What a run works with; `pause` is the first one between attempts, seconds."""

    kept: KeptPackages
    space: Space
    slots: Slots
    transport: Transport
    grace: float
    ending: threading.Event
    pause: float = 1.0
    wait: Callable[[float], None] = time.sleep


@dataclass
class Held:
    """A file of the run: its transfer, the lock on it, the board that tells others of it."""

    transfer: Transfer
    lock: Lock
    board: Board
    error: CdbfsError | None = None
    """Why it cannot be had, where the transport said so of this one, or the disk."""
    full: bool = False
    """It is larger than there is room for, so its session must end."""
    damaged: int = 0
    """How often it arrived with a wrong md5."""
    looked: float = 0.0
    """When its marks were looked at last, and what they said."""
    unwanted: bool = False
    told: float = 0.0
    size: int = 0
    """Bytes reserved."""

    @property
    def file(self) -> str:
        return self.transfer.file


@dataclass
class Arrival:
    """A run for files of one kind, zips or md5s."""

    parts: Parts
    held: list[Held]
    done: Callable[[Held, CdbfsError | None], None]
    """Told of each file that is here, or cannot be had; releases it."""
    _left: list[Held] = field(default_factory=list)

    def run(self) -> None:
        """Fetch them all."""
        self._left = list(self.held)
        try:
            self.parts.kept.layout.prepare()
            self._drop_what_is_here()
            if self._left:
                with self.parts.slots.take(lambda: self.stopped):
                    for held in list(self._left):
                        self._reserve(held)
                    self._attempts()
        except Interrupted:
            pass
        except OSError as error:
            self._give_up(NoSpace(FULL) if error.errno in NO_ROOM else CdbfsError(f"{UNUSABLE}: {error.strerror}"))
        except BaseException as error:
            self._give_up(ours(error))
            if not isinstance(error, CdbfsError):
                raise
        self._give_up(Interrupted("the mount is ending" if self.parts.ending.is_set() else UNWANTED))

    # -- what the transport tells: hcp's Watch

    @property
    def stopped(self) -> bool:
        """Whether one of the files is not to be fetched any longer, or the mount ends."""
        return self.parts.ending.is_set() or any(self._is_over(held) for held in self._left)

    def moved(self, file: str, done: int, size: int | None) -> None:
        for held in self._left:
            if held.file == file:
                held.transfer.moved(done, size)
                self._tell(held)
                if max(done, size or 0) > held.size:
                    self._grow(held, size if size is not None and size >= done else done + max(done // 4, GROWTH))

    def failed(self, file: str, error: CdbfsError) -> None:
        for held in self._left:
            if file in (held.file, held.transfer.wanted.package.md5):
                held.error = error

    def started(self, pid: int) -> None:
        for held in self._left:
            held.transfer.program(pid)
            self._tell(held, now=True)

    # -- attempts

    def _attempts(self) -> None:
        fruitless, blocked, pause, cleared = 0, 0, self.parts.pause, False
        while self._left:
            before = self._done_so_far()
            try:
                self._fetch()
            except Interrupted:
                self._drop()
                continue
            except NoSpace as full:
                if cleared or not self._clear():
                    for held in self._left:
                        self._remove(held)
                    raise full from None
                cleared = True
                continue
            except Again as again:
                done = self._done_so_far()
                moved_on = done > before
                fruitless = 0 if moved_on else fruitless + 1
                blocked = blocked + 1 if again.blocked and not done else 0
                pause = self.parts.pause if moved_on else min(2 * pause, LONGEST_PAUSE)
                if fruitless >= FRUITLESS or blocked >= BLOCKED:
                    raise again.meaning from None
                self._drop()
                self._pause(pause, str(again.meaning))
                continue
            self._drop()
            self._verify()

    def _done_so_far(self) -> int:
        return sum(held.transfer.told().done for held in self._left)

    def _fetch(self) -> None:
        if self.stopped:
            raise Interrupted(UNWANTED)
        for held in self._left:
            held.transfer.phase("fetching")
            self._tell(held, now=True)
        into = self.parts.kept.layout.arriving(self._left[0].transfer.wanted.is_zip)
        packages = tuple(held.transfer.wanted.package for held in self._left)
        files = tuple(file for held in self._left for file in self._files(held))
        locks = tuple(held.lock.descriptor for held in self._left)
        self.parts.transport.fetch(Order(packages, files, into, locks), self)
        if self.parts.ending.is_set():
            raise Interrupted("the mount is ending")

    def _files(self, held: Held) -> list[str]:
        """What to ask for: a zip, and the md5 that tells whether it is whole, though one may be here from before:
        both may have been published anew."""
        wanted = held.transfer.wanted
        return [wanted.package.md5, wanted.file] if wanted.is_zip else [wanted.file]

    def _pause(self, seconds: float, reason: str) -> None:
        ends = time.monotonic() + seconds
        for held in self._left:
            held.transfer.phase(f"trying again: {reason}")
            self._tell(held, now=True)
        while time.monotonic() < ends and not self.stopped:
            self.parts.wait(min(0.1, seconds))

    # -- verifying

    def _verify(self) -> None:
        """Put what has arrived whole in its place; what is damaged is left, to be fetched anew."""
        for held in list(self._left):
            held.transfer.phase("checking")
            self._tell(held, now=True)
            try:
                self._install(held)
            except FileNotFoundError:
                self._finish(held, CdbfsError(f"the transfer ended without an error, and without {held.file}"))
            except OSError as error:
                self._finish(held, CdbfsError(f"{held.file} cannot be kept: {error.strerror}"))
            except CdbfsError as error:
                held.damaged += 1
                self._remove(held)
                if held.damaged > 1:
                    self._finish(held, error)
            else:
                self._finish(held, None)

    def _install(self, held: Held) -> None:
        """Raises CdbfsError where a file is not what it should be, OSError where the disk fails."""
        kept, wanted = self.parts.kept, held.transfer.wanted
        arriving = kept.layout.arriving(wanted.is_zip)
        beside = sidecar(wanted.package)
        told = arriving / wanted.package.md5
        for path in (arriving / wanted.file, told):
            _check_own(path)
        expected = read_md5(told if told.exists() else kept.layout.kept(beside), wanted.package)
        if wanted.is_zip:
            found = digest_and_sync(arriving / wanted.file, self._beat)
            if found != expected:
                told_by = f"{wanted.package.md5} says {expected}"
                raise CdbfsError(f"{wanted.file} arrived damaged, twice: its md5 is {found}, and {told_by}")
        if told.exists():
            _sync(told)
            kept.install(beside, told)
        if wanted.is_zip:
            kept.install(wanted, arriving / wanted.file, expected)
            self._remove(held)
            self.parts.space.changed()

    def _remove(self, held: Held) -> None:
        """All that has arrived of it, and beside it."""
        for path, _ in arrived(held.board.path):
            with contextlib.suppress(OSError):
                path.unlink()
        held.transfer.moved(0, None)

    def _beat(self) -> None:
        """Tell others now and then that this goes on."""
        for held in self._left:
            self._tell(held)

    # -- space

    def _reserve(self, held: Held) -> None:
        expected = held.transfer.expected or SMALL
        try:
            told = self.parts.space.reserve(held.board, held.transfer.told(), expected)
        except NoSpace as error:
            self._remove(held)
            self._finish(held, error)
            return
        held.transfer.reserved(told)
        held.size = expected

    def _grow(self, held: Held, size: int) -> None:
        """It is larger than was announced."""
        try:
            held.transfer.reserved(self.parts.space.reserve(held.board, held.transfer.told(), size))
            held.size = size
        except NoSpace as error:
            held.error, held.full = error, True
        except CdbfsError as error:
            log.info("%s", error)  # asked again with the next bytes

    def _clear(self) -> bool:
        """Evict for what has still to come, though by our count there was room: others fill the disk, too."""
        with contextlib.suppress(CdbfsError):
            size = sum(held.size for held in self._left)
            self.parts.space.make_room(size, [held.board.path for held in self._left])
            return True
        return False

    # -- wanted or not

    def _is_over(self, held: Held) -> bool:
        """Whether a file is not to be fetched any longer. Looks at the disk now and then: other processes."""
        if held.full or held.transfer.cancelled:
            held.transfer.ending = True
            return True
        now = time.monotonic()
        if now - held.looked >= TELL_SECONDS:
            held.looked = now
            layout = self.parts.kept.layout
            held.transfer.cancelled = layout.cancel(held.file).exists()
            mark = layout.mark(held.file)
            held.transfer.waited_for_elsewhere(marks.waiting(mark))
            held.unwanted = not marks.is_fresh(mark) and held.transfer.unwanted_for() > self.parts.grace
            self._tell(held, now=True)
        held.transfer.ending = held.transfer.cancelled or held.unwanted
        return held.transfer.ending

    def _drop(self) -> None:
        """Those that are not to be fetched any longer, or cannot be. Raises Interrupted when the mount ends."""
        if self.parts.ending.is_set():
            raise Interrupted("the mount is ending")
        for held in list(self._left):
            if held.full:
                self._remove(held)
            if held.error is not None:
                self._finish(held, held.error)
            elif self._is_over(held):
                self._finish(held, Cancelled(CANCELLED) if held.transfer.cancelled else Interrupted(UNWANTED))

    def _drop_what_is_here(self) -> None:
        for held in list(self._left):
            if self.parts.kept.find(held.transfer.wanted) is not None:
                self._finish(held, None)

    def _finish(self, held: Held, error: CdbfsError | None) -> None:
        self._left.remove(held)
        self.done(held, error)

    def _give_up(self, error: CdbfsError) -> None:
        for held in list(self._left):
            self._finish(held, Cancelled(CANCELLED) if held.transfer.cancelled else error)

    def _tell(self, held: Held, *, now: bool = False) -> None:
        moment = time.monotonic()
        if now or moment - held.told >= TELL_SECONDS:
            held.told = moment
            held.board.tell(held.transfer.told())


def _check_own(path: Path) -> None:
    """Raises CdbfsError for a link: what is verified here could be changed elsewhere afterwards."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise CdbfsError(f"{path.name} arrived as a link to another file, where a copy is needed")


def digest_and_sync(path: Path, beat: Callable[[], None]) -> str:
    """The md5 of a file, which is on its disk when this returns: both at once. Raises OSError.

    `beat` is called now and then meanwhile.
    """
    failed: list[OSError] = []

    def sync() -> None:
        try:
            _sync(path)
        except OSError as error:
            failed.append(error)

    syncing = threading.Thread(target=sync)
    syncing.start()
    try:
        digest = hashlib.md5(usedforsecurity=False)
        block = bytearray(BLOCK)
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(block):
                digest.update(memoryview(block)[:size])
                beat()
    finally:
        while syncing.is_alive():
            syncing.join(TELL_SECONDS)
            beat()
    if failed:
        raise failed[0]
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
