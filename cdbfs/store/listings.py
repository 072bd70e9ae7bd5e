"""Listings in memory: fresh for a while, then served as they are while one request refreshes them.

Used by tree/, which hands in the function that fetches and builds one. A listing that the server refuses
(401, 403, 404) is withheld; one that cannot be refreshed for another reason goes on being served.

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
from cdbfs.errors import AccessRefused, NotFound, ours
from cdbfs.events import Journal
from cdbfs.store.flight import Flight

T = TypeVar("T")


@dataclass(frozen=True)
class _Kept:
    value: Any
    fetched: float
    """When (on the clock) it came."""
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

        Raises what `fetch` raises, and what Flight.run does.
        """
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or self._clock() - kept.fetched > longest:
            return self._flight.run(key, lambda: self._fetch(key, fetch), caller, what)
        if self._clock() >= kept.due:
            self._flight.start(key, lambda: self._refresh(key, fetch, what))
        value: T = kept.value
        return value

    def _fetch(self, key: Hashable, fetch: Callable[[], T]) -> T:
        value = fetch()
        with self._lock:
            now = self._clock()
            self._kept[key] = _Kept(value, now, now + self._ttl)
        return value

    def _refresh(self, key: Hashable, fetch: Callable[[], T], what: str) -> T:
        try:
            return self._fetch(key, fetch)
        except Exception as error:
            self._journal.record(ours(error), what)
            self._after_failure(key, error)
            raise

    def _after_failure(self, key: Hashable, error: Exception) -> None:
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is not None and not isinstance(error, (AccessRefused, NotFound)):
                self._kept[key] = replace(kept, due=self._clock() + self._retry_pause)
