"""Ask once: at most one run of a job for a key, however many wait for it.

Used by listings and documents. The job runs in a worker of the pool, so a waiter can be interrupted or lose its
patience while the job goes on for the others, and for whoever asks next. A job that has not begun when the last
of its waiters leaves is dropped: nobody wants it any more.

Threads: any may call. `_lock` guards the table of running jobs and is never held while a job runs or while
somebody waits; it is reentrant because cancelling a future calls back at once. `Waiters` has a lock of its own,
taken alone.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

from cdbfs.caller import Caller
from cdbfs.errors import Interrupted, TimedOut, TooManyWaiters

T = TypeVar("T")


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

    def __init__(self, workers: int, waiters: Waiters) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="cdbfs-fetch")
        self._waiters = waiters
        self._lock = threading.RLock()
        self._running: dict[Hashable, _Run] = {}

    def start(self, key: Hashable, job: Callable[[], T]) -> Future[T]:
        """The run of `job` for `key`: the one under way, else a new one. It is not dropped."""
        return self._join(key, job).future

    def run(self, key: Hashable, job: Callable[[], T], caller: Caller, what: str) -> T:
        """What `job` returns or raises. Besides, raises TooManyWaiters, and what Caller.wait raises."""
        with self._waiters.one_more():
            run = self._join(key, job)
            try:
                result: T = caller.wait(run.future, what)
            except (Interrupted, TimedOut):
                self._leave(run)
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

    def _leave(self, run: _Run) -> None:
        with self._lock:
            run.wanted -= 1
            if run.wanted == 0:
                run.future.cancel()  # only one that has not begun can be cancelled

    def _landed(self, key: Hashable) -> None:
        with self._lock:
            self._running.pop(key, None)
