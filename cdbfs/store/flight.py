"""Ask once: at most one run of a job for a key, however many wait for it.

Used by listings and documents. The job runs in a worker of the pool, so a waiter can be interrupted or lose its
patience while the job goes on for the others, and for whoever asks next. A job that has not begun when the last
of its waiters leaves is dropped: nobody wants it any more.

What a waiter lost his patience with is not waited for by those who come right after him. The kernel lets only one
lookup of a name reach us at a time: the others would wait as long as he did, one after the other.

Threads: any may call. `_lock` guards the table of running jobs and is never held while a job runs or while
somebody waits; it is reentrant because cancelling a future calls back at once. `Waiters` has a lock of its own,
taken alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from cachetools import TTLCache

from cdbfs.caller import Caller
from cdbfs.errors import Interrupted, TimedOut, TooManyWaiters

T = TypeVar("T")

GIVEN_UP_SECONDS = 2.0
"""How long after a waiter timed out the next ones do at once; short, so that a second try is a real one."""
MOST_GIVEN_UP = 10_000
AS_LONG = 1.1
"""Who would wait so much longer than the one who gave up counts as no more patient than he."""


class Waiters:
    """How many callers wait, over all flights of a mount: at most `limit`, so that threads stay free."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._now = 0

    @property
    def now(self) -> int:
        return self._now

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Raises TooManyWaiters."""
        with self._lock:
            if self._now >= self._limit:
                raise TooManyWaiters(f"{self._now} readers wait for the server already; try again later")
            self._now += 1
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


@dataclass
class _Run:
    future: Future[Any]
    wanted: int = 0
    """Those who wait for it, and background work."""


class Flight:
    """Runs jobs in `workers` threads for callers that `waiters` counts."""

    def __init__(self, workers: int, waiters: Waiters, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="cdbfs-fetch")
        self._waiters = waiters
        self._lock = threading.RLock()
        self._running: dict[Hashable, _Run] = {}
        self._given_up: TTLCache[Hashable, float] = TTLCache(MOST_GIVEN_UP, GIVEN_UP_SECONDS, clock)
        """Keys that somebody timed out with, and how long he had waited."""

    def start(self, key: Hashable, job: Callable[[], T]) -> Future[T]:
        """The run of `job` for `key`: the one under way, else a new one. It is not dropped."""
        return self._join(key, job).future

    def run(self, key: Hashable, job: Callable[[], T], caller: Caller, what: str) -> T:
        """What `job` returns or raises. Besides, raises TooManyWaiters, and what Caller.wait raises."""
        patience = caller.left()
        self._refuse_what_was_given_up(key, patience, what)
        with self._waiters.one_more():
            run = self._join(key, job)
            try:
                result: T = caller.wait(run.future, what)
            except Interrupted:
                self._leave(run)
                raise
            except TimedOut:
                self._leave(run)
                self._give_up(key, run, patience)
                raise
            return result

    def close(self) -> None:
        """Take no more jobs; those that have not begun are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _join(self, key: Hashable, job: Callable[[], Any]) -> _Run:
        with self._lock:
            run = self._running.get(key)
            if run is None:
                try:
                    run = self._running[key] = _Run(self._pool.submit(job))
                except RuntimeError:
                    raise Interrupted("the mount is ending") from None
                run.future.add_done_callback(lambda _: self._landed(key))
            run.wanted += 1
            return run

    def _refuse_what_was_given_up(self, key: Hashable, patience: float, what: str) -> None:
        with self._lock:
            waited = self._given_up.get(key)
        if waited is not None and patience <= waited * AS_LONG:
            raise TimedOut(f"{what} did not come within {waited:.3g} s")

    def _give_up(self, key: Hashable, run: _Run, patience: float) -> None:
        with self._lock:
            if run.future.cancelled() or not run.future.done():
                self._given_up[key] = patience

    def _leave(self, run: _Run) -> None:
        with self._lock:
            run.wanted -= 1
            if run.wanted == 0:
                run.future.cancel()  # only one that has not begun can be cancelled

    def _landed(self, key: Hashable) -> None:
        with self._lock:
            self._running.pop(key, None)
            self._given_up.pop(key, None)
