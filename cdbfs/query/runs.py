"""Searches under way, and their results: each asked once, however many wait, and kept by what was asked.

Used by the nodes of search/, saved/ and tables/. A Job says what to ask; its key is the hash of that, so that a
result belongs to a query's text and not to its name. At most SEARCHES run at once, since one may keep a server
busy for minutes; one that nobody wants any more, since all names that asked for it have another text now, gives up
its place. A result past its time to live is served while a search in the background replaces it. A failure is
remembered until a search of the same key succeeds; it leaves the last good result, unless the server refuses.

Threads: any. `_lock` guards the tables and is never held while a search runs or somebody waits; it is reentrant
because cancelling a future calls back at once. Searches run in the workers of one pool.
"""

from __future__ import annotations

import contextlib
import errno as codes
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

from cachetools import LRUCache

from cdbfs.caller import Caller
from cdbfs.config import SEARCHES
from cdbfs.errors import AccessRefused, CdbfsError, GivenUp, Interrupted, NoSpace, NotFound, ours
from cdbfs.events import Journal
from cdbfs.store.flight import Waiters
from cdbfs.store.results import Kept, OnDisk, Results, Writer
from cdbfs.xnat.deadline import Stop

log = logging.getLogger(__name__)

MOST_FAILURES = 10_000
SKEW = 60 * 10**9
"""Nanoseconds by which the clock of the disk may be ahead of ours."""
UNWANTED = "nobody wants this search any more"
FULL = (codes.ENOSPC, codes.EDQUOT)


@dataclass(frozen=True)
class Job:
    """One question: its key, and how its result is written. `make` raises CdbfsError or OSError."""

    key: str
    make: Callable[[Writer, Stop], object]


@dataclass(frozen=True)
class Failure:
    """Why a search failed, as text (an exception keeps all that it passed), and when (ns since the epoch)."""

    reason: str
    when: int


@dataclass
class Run:
    """A search under way, or waiting for its place; for all names that want it."""

    job: Job
    awaited: bool
    """Whether who opens the result waits for it although there is an older one: somebody asked for a new one."""
    names: set[str]
    stop: Stop = field(default_factory=Stop)
    future: Future[None] = field(init=False)


class Runs:
    """Runs jobs and keeps what they make."""

    def __init__(
        self,
        results: Results,
        waiters: Waiters,
        journal: Journal,
        *,
        ttl: float,
        retry_pause: float,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._results = results
        self._waiters = waiters
        self._journal = journal
        self._ttl = ttl
        self._retry_pause = retry_pause
        self.ended: Callable[[frozenset[str]], None] = lambda names: None
        """Told the names of each search that ends, before it counts as over: the kernel must forget them."""
        self._wall_clock = wall_clock
        self._pool = ThreadPoolExecutor(SEARCHES, thread_name_prefix="cdbfs-search")
        self._lock = threading.RLock()
        self._running: dict[str, Run] = {}
        """By key; a name wants one of them at the most."""
        self._failures: LRUCache[str, Failure] = LRUCache(MOST_FAILURES)

    @property
    def workspace(self) -> Path:
        """Where a search may put what is on its way to be a result."""
        return self._results.directory

    # -- looking, without waiting

    def kept(self, key: str) -> Kept | None:
        """The last good result."""
        return self._results.find(key)

    def kept_open(self, key: str) -> OnDisk | None:
        """The last good result, open."""
        return self._results.open(key)

    def failure(self, key: str) -> Failure | None:
        """Why the last search failed, if it did."""
        with self._lock:
            return self._failures.get(key)

    @property
    def now(self) -> int:
        """How many are under way, or wait for their place."""
        return len(self._running)

    # -- asking

    def open(self, job: Job, name: str, caller: Caller) -> OnDisk:
        """The result, for who opens it under `name`.

        Raises what the search raised, what `wait` does, and GivenUp where another text stands under that name now.
        """
        found = None if self._is_awaited(job.key) else self._results.open(job.key)
        if found is None:
            failed = self._waited_for(self.want(job, name), name, caller)
            found = self._results.open(job.key)
            if found is None:
                raise failed or CdbfsError(f"the result of {name} was removed as soon as it was there; try again")
        elif self._is_due(job.key, found):
            with contextlib.suppress(Interrupted):  # the mount is ending
                self.want(job, name, awaited=False)
        return found

    def want(self, job: Job, name: str, *, awaited: bool = True) -> Run:
        """The search for `name`: the one under way, else a new one. What `name` wanted before, it leaves."""
        with self._lock:
            before = self._wanted_by(name)
            run = self._running.get(job.key)
            if run is None:
                run = self._running[job.key] = Run(job, awaited, set())
                self._start(run)
            run.awaited |= awaited
            run.names.add(name)
            if before is not None and before is not run:
                self._left(before, name)
        return run

    def leave(self, name: str, unless: str = "") -> None:
        """Nobody wants what `name` wanted, at least not under that name; nothing is left of the key `unless`."""
        with self._lock:
            run = self._wanted_by(name)
            if run is not None and run.job.key != unless:
                self._left(run, name)

    def wait(self, run: Run, name: str, caller: Caller) -> None:
        """Until it is over. Raises what it raised, TimedOut, TooManyWaiters, or Interrupted.

        Whoever waits under a name that has left the run is let go, although others may still want it.
        """
        here = replace(caller, interrupted=lambda: name not in run.names or caller.interrupted())
        with self._waiters.one_more():
            here.wait(run.future, f"the result of {name}")

    def drop(self, key: str, *, failure: bool = True) -> None:
        """Forget the result, and why there is none (unless not the `failure`)."""
        self._results.drop(key)
        if failure:
            with self._lock:
                self._failures.pop(key, None)

    def close(self) -> None:
        """End all searches, and take no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for run in list(self._running.values()):
                run.stop.stop()

    # -- parts

    def _waited_for(self, run: Run, name: str, caller: Caller) -> CdbfsError | None:
        """What the search failed with. Raises what comes of waiting."""
        try:
            self.wait(run, name, caller)
        except CdbfsError as error:
            if run.stop.stopped or name not in run.names:
                raise GivenUp(f"the search for {name} was given up") from None
            if not run.future.done() or isinstance(error, Interrupted):
                raise
            return error
        return None

    def _wanted_by(self, name: str) -> Run | None:
        """With the lock: the search that a name wants."""
        return next((run for run in self._running.values() if name in run.names), None)

    def _is_awaited(self, key: str) -> bool:
        with self._lock:
            run = self._running.get(key)
            return run is not None and run.awaited

    def _is_due(self, key: str, found: OnDisk) -> bool:
        """Whether a result is too old, or of a clock that was set back, or its renewal failed a while ago."""
        now = self._wall_clock()
        failed = self.failure(key)
        if failed is not None:
            return now - failed.when >= self._retry_pause * 10**9
        return not -SKEW < now - found.mtime < self._ttl * 10**9

    def _start(self, run: Run) -> None:
        try:
            run.future = self._pool.submit(self._run, run)
        except RuntimeError:
            del self._running[run.job.key]
            raise Interrupted("the mount is ending") from None
        run.future.add_done_callback(lambda _: self._forget(run))

    def _run(self, run: Run) -> None:
        """In a worker: search, keep the result or the failure, and tell who listens."""
        key = run.job.key
        try:
            with self._results.writing(key) as out:
                run.job.make(_Wanted(out, run.stop), run.stop)
                if run.stop.stopped:
                    raise Interrupted(UNWANTED)
            with self._lock:
                self._failures.pop(key, None)
        except Exception as error:
            failed = _meaning(error)
            if not isinstance(error, (CdbfsError, OSError)):
                log.exception("a fault in cdbfs itself in a search")
            if not run.stop.stopped:
                self._failed(run, failed)
            if failed is error:
                raise
            raise failed from None
        finally:
            self.ended(self._forget(run))

    def _failed(self, run: Run, error: CdbfsError) -> None:
        if isinstance(error, (AccessRefused, NotFound)):
            self._results.drop(run.job.key)
        with self._lock:
            self._failures[run.job.key] = Failure(str(error), self._wall_clock())
            name = min(run.names, default="a search")
        self._journal.record(error, name)

    def _left(self, run: Run, name: str) -> None:
        """With the lock: give up a search that no name wants."""
        run.names.discard(name)
        if not run.names and self._running.get(run.job.key) is run:
            del self._running[run.job.key]
            run.stop.stop()
            run.future.cancel()

    def _forget(self, run: Run) -> frozenset[str]:
        """The names that wanted it until now."""
        with self._lock:
            if self._running.get(run.job.key) is run:
                del self._running[run.job.key]
            return frozenset(run.names)


class _Wanted:
    """The result's file, for as long as anybody wants the result."""

    def __init__(self, out: Writer, stop: Stop) -> None:
        self._out = out
        self._stop = stop

    def write(self, text: str) -> int:
        if self._stop.stopped:
            raise Interrupted(UNWANTED)
        return self._out.write(text)


def _meaning(error: Exception) -> CdbfsError:
    if isinstance(error, OSError) and error.errno in FULL:
        return NoSpace("the disk that results are kept on is full")
    if isinstance(error, OSError) and error.errno:
        return CdbfsError(f"the result cannot be kept: {error.strerror}")
    return ours(error)
