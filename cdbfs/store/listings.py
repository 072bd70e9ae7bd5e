"""Listings in memory: fresh for a while, then served as they are while one request refreshes them.

Used by tree/, which hands in the function that fetches and builds one. Who must have a younger one waits for that
request. A listing that the server refuses (401, 403, 404) is withheld; one that cannot be refreshed for another
reason goes on being served.

Threads: any. `_lock` guards the table; fetching happens in Flight's workers without it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Callable, TypeVar

from cachetools import LRUCache

from cdbfs.caller import Caller
from cdbfs.errors import AccessRefused, CdbfsError, Interrupted, NotFound, ours
from cdbfs.events import Journal
from cdbfs.store.flight import Flight

T = TypeVar("T")


@dataclass(frozen=True)
class _Kept:
    value: Any
    asked: float
    """When (on the clock) it came, or since then could not be had anew."""
    due: float
    """When (on the clock) it is to be refreshed."""


class Listings:
    """At most `keep` listings, each fresh for `ttl` seconds."""

    def __init__(
        self,
        flight: Flight,
        journal: Journal,
        *,
        keep: int = 512,
        ttl: float = 300.0,
        retry_pause: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._flight = flight
        self._journal = journal
        self._ttl = ttl
        self._retry_pause = retry_pause
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: LRUCache[Hashable, _Kept] = LRUCache(keep)

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self, key: Hashable, fetch: Callable[[], T], caller: Caller, what: str, *, longest: float = math.inf
    ) -> T:
        """The listing `key`: kept, if not for over `longest` seconds; else fetched.

        One that is older is served only where it cannot be had anew, or not in time, and then for `longest`
        seconds before that is tried again. Raises what `fetch` raises, and what Flight.run does.
        """
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            return self._flight.run(key, lambda: self._fetch(key, fetch, None), caller, what)
        if self._clock() - kept.asked > longest:
            return self._renewed(key, fetch, caller, what, kept)
        if self._clock() >= kept.due:
            self._flight.start(key, lambda: self._refresh(key, fetch, what, kept))
        value: T = kept.value
        return value

    def _renewed(self, key: Hashable, fetch: Callable[[], T], caller: Caller, what: str, kept: _Kept) -> T:
        """In place of `kept`; itself where there is none."""
        try:
            return self._flight.run(key, lambda: self._refresh(key, fetch, what, kept), caller, what)
        except (AccessRefused, NotFound, Interrupted):
            raise
        except CdbfsError as error:
            self._after_failure(key, error, what, kept)
        value: T = kept.value
        return value

    def _fetch(self, key: Hashable, fetch: Callable[[], T], kept: _Kept | None) -> T:
        """From the server, unless another run came between the caller's look, which found `kept`, and this one."""
        with self._lock:
            present = self._kept.get(key)
        if present is not None and present is not kept:
            found: T = present.value
            return found
        value = fetch()
        with self._lock:
            now = self._clock()
            self._kept[key] = _Kept(value, now, now + self._ttl)
        return value

    def _refresh(self, key: Hashable, fetch: Callable[[], T], what: str, kept: _Kept) -> T:
        try:
            return self._fetch(key, fetch, kept)
        except Exception as error:
            self._after_failure(key, error, what, kept)
            raise

    def _after_failure(self, key: Hashable, error: Exception, what: str, kept: _Kept) -> None:
        """`kept` goes on being served, or is gone where the server refused. Told once, whoever comes with it."""
        with self._lock:
            if self._kept.get(key) is not kept:
                return
            del self._kept[key]
            if not isinstance(error, (AccessRefused, NotFound)):
                now = self._clock()
                self._kept[key] = replace(kept, asked=now, due=now + self._retry_pause)
        self._journal.record(ours(error), what)
