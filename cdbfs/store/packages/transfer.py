"""A file on its way: how far it is, and who in this process wants it.

Used by transfers, which has one for each file, and by arrival, which moves it on.

Threads: any; `_lock` is held for field operations only.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Callable

from cdbfs.store.packages.boards import Told, began, here
from cdbfs.store.packages.layout import Wanted

RATE_SECONDS = 5.0


class Transfer:
    """One file under way in this process, or waited for in another."""

    def __init__(self, wanted: Wanted, expected: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.wanted = wanted
        self.expected = expected
        """Bytes, as announced or known; 0 where nothing is."""
        self.future: Future[None] = Future()
        self.cancelled = False
        self.ending = False
        """Whether it is being ended, so that nobody is to join it any more."""
        self.after_a_cancel = False
        """Whether it was wanted after the one before it was cancelled."""
        self._clock = clock
        self._lock = threading.Lock()
        self._told = Told(wanted.file, process=os.getpid(), boot=here())
        self._moves: deque[tuple[float, int]] = deque()
        self._waiting: Counter[int] = Counter()
        self._elsewhere: tuple[int, ...] = ()
        """Who waits for it in other processes."""
        self._left_at = clock()

    @property
    def file(self) -> str:
        return self.wanted.file

    @contextmanager
    def waited_for(self, process: int) -> Iterator[None]:
        """While entered, `process` waits for it."""
        with self._lock:
            self._waiting[process] += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting[process] -= 1
                self._waiting += Counter()  # drops what is 0
                self._left_at = self._clock()

    def unwanted_for(self) -> float:
        """Seconds since the last one who waited here left; 0 while somebody waits."""
        with self._lock:
            return 0.0 if self._waiting else self._clock() - self._left_at

    def told(self) -> Told:
        """How it stands."""
        with self._lock:
            waiting = tuple(sorted({*self._waiting, *self._elsewhere}))
            return replace(self._told, rate=self._rate(), waiting=waiting)

    def phase(self, phase: str) -> None:
        """What is being done: waiting, fetching, checking."""
        with self._lock:
            self._told = replace(self._told, phase=phase)

    def moved(self, done: int, size: int | None) -> None:
        """So many bytes are there."""
        with self._lock:
            self._told = replace(self._told, done=done, size=size if size is not None else self._told.size)
            now = self._clock()
            self._moves.append((now, done))
            while self._moves[0][0] < now - RATE_SECONDS:
                self._moves.popleft()

    def reserved(self, told: Told) -> None:
        """What is kept for it."""
        with self._lock:
            self._told = replace(self._told, reserved=told.reserved)

    def program(self, process: int) -> None:
        """A program writes the file now."""
        with self._lock:
            self._told = replace(self._told, program=process, program_began=began(process))

    def take_over(self) -> None:
        """It runs in this process from now on, whoever had it before."""
        with self._lock:
            self._told = Told(self.file, process=os.getpid(), boot=here())
            self._elsewhere = ()
            self._moves.clear()

    def follow(self, told: Told) -> None:
        """It runs in another process, which tells this."""
        with self._lock:
            self._told = replace(told, file=self.file)
            self._elsewhere = told.waiting
            self._moves.clear()

    def waited_for_elsewhere(self, processes: tuple[int, ...]) -> None:
        """It runs here, and these wait for it in other processes."""
        with self._lock:
            self._elsewhere = processes

    def waits_here(self) -> tuple[int, ...]:
        """The processes that wait for it here."""
        with self._lock:
            return tuple(self._waiting)

    def _rate(self) -> float:
        """With the lock."""
        if len(self._moves) < 2:
            return self._told.rate
        (first, from_bytes), (last, to_bytes) = self._moves[0], self._moves[-1]
        seconds = max(self._clock(), last) - first
        return max(0, to_bytes - from_bytes) / seconds if seconds > 0 else 0.0

    def succeed(self) -> None:
        """It is here."""
        with contextlib.suppress(Exception):
            self.future.set_result(None)

    def fail(self, error: Exception) -> None:
        """It cannot be had."""
        with contextlib.suppress(Exception):
            self.future.set_exception(error)
