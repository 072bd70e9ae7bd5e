"""All transfers of this process: each file fetched once, however many want it, in however many processes.

Used by packages. Who gets the lock on a file transfers it; everybody else watches the board of who has it, and
has the file, or the reason why there is none, when the lock is free. A process that was killed may leave a program
that goes on writing: it is ended before anybody else begins. A failure is remembered for a moment, so that those
who come right after it do not each try again.

Threads: any. Each run has a thread of its own; `_lock` guards the table and is never held while one waits.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cdbfs.caller import Caller, process_of
from cdbfs.errors import Cancelled, CdbfsError, Interrupted, TimedOut, ours
from cdbfs.store.flight import Waiters
from cdbfs.store.packages import boards, marks
from cdbfs.store.packages.arrival import Arrival, Held, Parts
from cdbfs.store.packages.boards import Board, Told
from cdbfs.store.packages.layout import Layout, Wanted
from cdbfs.store.packages.locks import Lock, take, take_within
from cdbfs.store.packages.transfer import Transfer

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
BOARD_SECONDS = 10.0
CLOSE_SECONDS = 5.0
TRIES = 5
"""How often a transfer that was just being ended is begun anew for who joined it."""


@dataclass(frozen=True)
class Patience:
    """Seconds: how long a failure is remembered, and how long another process may say nothing new."""

    retry_pause: float = 5.0
    silence: float = 180.0
    by: str = ""
    """What names the settings that transfers go by: what fails by others need not fail by these."""


class Transfers:
    """Fetches files with `parts`; `waiters` counts who waits."""

    def __init__(self, layout: Layout, parts: Parts, waiters: Waiters, patience: Patience) -> None:
        self._layout = layout
        self._parts = parts
        self._waiters = waiters
        self._patience = patience
        self._lock = threading.Lock()
        self._under_way: dict[str, Transfer] = {}
        self._logged: set[str] = set()

    def fetch(self, wanted: Wanted, expected: int, caller: Caller) -> None:
        """Have the file here; waits for as long as it moves on.

        Raises why it cannot be had, TooManyWaiters, or Interrupted.
        """
        with self._waiters.one_more():
            for _ in range(TRIES):
                transfer = self._join(wanted, expected)
                with transfer.waited_for(process_of(caller.pid)):
                    try:
                        caller.wait(transfer.future, wanted.file)
                        return
                    except Interrupted:
                        if not transfer.future.done() or self._parts.ending.is_set():
                            raise
            raise TimedOut(f"the transfer of {wanted.file} was ended again and again; try later")

    def begin(self, wanted: Sequence[tuple[Wanted, int]]) -> list[Transfer]:
        """Start what is not under way, in one session of the transport; each with what it is expected to take.

        Whoever begins them is to wait for them with `waited_for`, or they end after a grace.
        """
        with self._lock:
            found = {each.file: self._to_join(each) for each, _ in wanted}
            new = [self._new(each, expected) for each, expected in wanted if found[each.file] is None]
            self._under_way.update({transfer.file: transfer for transfer in new})
        if new:
            self._start(new)
        by_file = {transfer.file: transfer for transfer in new}
        return [found[each.file] or by_file[each.file] for each, _ in wanted]

    def told(self) -> list[Told]:
        """How all transfers of this scope stand, in this process and in others, by file."""
        with self._lock:
            here = {transfer.file: transfer.told() for transfer in self._under_way.values()}
        with contextlib.suppress(OSError):
            for path in self._layout.active.glob("*.json"):
                if path.name.removesuffix(".json") not in here and boards.is_live(path):
                    told = boards.read(path)
                    if told is not None and f"{told.file}.json" == path.name:
                        here[told.file] = told
        return [here[file] for file in sorted(here)]

    def cancel(self, file: str) -> None:
        """End the transfer of a file, wherever it runs."""
        with self._lock:
            transfer = self._under_way.get(file)
        if transfer is not None:
            transfer.cancelled = True
        with contextlib.suppress(OSError):
            self._layout.cancel(file).touch(0o600)

    def close(self) -> None:
        """End all of this process, and their programs; what has arrived stays for the next."""
        self._parts.ending.set()
        ends = time.monotonic() + CLOSE_SECONDS
        while self._under_way and time.monotonic() < ends:
            time.sleep(LOOK_SECONDS / 4)

    # -- parts

    def _to_join(self, wanted: Wanted) -> Transfer | None:
        """With the lock: the transfer of a file, unless it is being ended: a new one then waits for its end."""
        transfer = self._under_way.get(wanted.file)
        if transfer is None or transfer.cancelled or transfer.ending:
            return None
        if transfer.wanted != wanted:
            raise CdbfsError(f"{wanted.file} of another subject is on its way; try again later")
        return transfer

    def _new(self, wanted: Wanted, expected: int) -> Transfer:
        """With the lock: a transfer of its own; one before it that is being cancelled says nothing about it."""
        before = self._under_way.get(wanted.file)
        transfer = Transfer(wanted, expected)
        transfer.after_a_cancel = before is not None and before.cancelled
        return transfer

    def _join(self, wanted: Wanted, expected: int) -> Transfer:
        with self._lock:
            transfer = self._to_join(wanted)
        if transfer is not None:
            return transfer
        since = time.time() - self._patience.retry_pause
        failed = boards.failure(self._layout.failed(wanted), since, self._patience.by)
        if failed is not None and not isinstance(failed, Cancelled):  # who asks after that wants it
            raise failed
        return self.begin([(wanted, expected)])[0]

    def _start(self, transfers: list[Transfer]) -> None:
        if self._parts.ending.is_set():
            for transfer in transfers:
                self._over(transfer, Interrupted("the mount is ending"))
            return
        try:
            threading.Thread(target=self._run, args=(transfers,), name="cdbfs-transfer", daemon=True).start()
        except RuntimeError as error:
            for transfer in transfers:
                self._over(transfer, CdbfsError(f"no thread for a transfer: {error}"))

    def _run(self, transfers: list[Transfer]) -> None:
        """In a thread of its own."""
        try:
            held = self._held(transfers)
            if held:
                Arrival(self._parts, held, self._done).run()
        except BaseException as error:
            if not isinstance(error, CdbfsError):
                self._log_once(error)
            for transfer in transfers:
                self._over(transfer, ours(error))

    def _held(self, transfers: list[Transfer]) -> list[Held]:
        """Those of which this process now has the lock; the others are waited for, alone in this thread or each in
        one of its own."""
        if len(transfers) == 1:
            lock = self._awaited(transfers[0])
            return [] if lock is None else [self._hold(transfers[0], lock)]
        held: list[Held] = []
        try:
            for transfer in transfers:
                lock = take(self._layout.lock(transfer.wanted))
                if lock is None:
                    self._start([transfer])
                else:
                    held.append(self._hold(transfer, lock))
        except BaseException as error:
            for each in held:
                self._done(each, ours(error))
            raise
        return held

    def _hold(self, transfer: Transfer, lock: Lock) -> Held:
        wanted = transfer.wanted
        try:
            for path in (self._layout.failed(wanted), self._layout.cancel(wanted.file)):
                with contextlib.suppress(OSError):
                    path.unlink()
            # Who looks whether it is live holds it for a moment.
            board = Board(self._layout.board(wanted), take_within(self._layout.board(wanted), BOARD_SECONDS))
        except BaseException:
            lock.release()
            raise
        transfer.take_over()
        board.tell(transfer.told())
        return Held(transfer, lock, board)

    def _log_once(self, error: BaseException) -> None:
        """The traceback of a fault of our own, once for each kind: a log of years must stay small."""
        if type(error).__name__ not in self._logged:
            self._logged.add(type(error).__name__)
            log.exception("a fault in cdbfs itself in a transfer")

    def _awaited(self, transfer: Transfer) -> Lock | None:
        """The lock on a file, once who has it is done; None where that ended the matter."""
        wanted, began = transfer.wanted, time.time()
        board = self._layout.board(wanted)
        seen, last, changed = False, 0, time.monotonic()
        transfer.after_a_cancel |= self._layout.cancel(wanted.file).exists()
        while True:
            lock = take(self._layout.lock(wanted))
            if lock is not None:
                return self._still_to_do(transfer, lock, began if seen else None)
            told = boards.read(board)
            if told is not None and not boards.is_live(board):
                boards.end_orphan(told)
            elif told is not None:
                transfer.follow(told)
            seen = seen or told is not None
            if boards.beat(board) != last:
                last, changed = boards.beat(board), time.monotonic()
            self._check_patience(transfer, changed)
            marks.renew(self._layout.mark(wanted.file), transfer.waits_here())
            time.sleep(LOOK_SECONDS)

    def _check_patience(self, transfer: Transfer, changed: float) -> None:
        if self._parts.ending.is_set():
            raise Interrupted("the mount is ending")
        if transfer.unwanted_for() > LOOK_SECONDS * 10:
            raise Interrupted("nobody waited for it here any more")
        if time.monotonic() - changed > self._patience.silence:
            raise TimedOut(f"another process transfers {transfer.file}, and does not answer")

    def _still_to_do(self, transfer: Transfer, lock: Lock, since: float | None) -> Lock | None:
        """Whether it is still to be fetched after another process had it, who may have failed."""
        failed = None
        if since is not None:
            failed = boards.failure(self._layout.failed(transfer.wanted), since, self._patience.by)
        if failed is None or (isinstance(failed, Cancelled) and transfer.after_a_cancel):
            return lock
        with contextlib.suppress(OSError):
            self._layout.mark(transfer.file).unlink()
        lock.release()
        self._over(transfer, failed)
        return None

    def _done(self, held: Held, error: CdbfsError | None) -> None:
        wanted = held.transfer.wanted
        if error is not None and not isinstance(error, Interrupted):
            boards.note_failure(self._layout.failed(wanted), error, time.time(), self._patience.by)
        for path in (self._layout.cancel(wanted.file), self._layout.mark(wanted.file)):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        held.board.close()
        held.lock.release()
        self._over(held.transfer, error)

    def _over(self, transfer: Transfer, error: CdbfsError | None) -> None:
        with self._lock:
            if self._under_way.get(transfer.file) is transfer:
                del self._under_way[transfer.file]
        if error is None:
            transfer.succeed()
        else:
            transfer.fail(error)
