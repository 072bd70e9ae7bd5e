"""Stops a program that opens package after package, such as `grep -r`, before it has moved terabytes.

Used by packages. A program is told by its process and when that began, whichever of its threads asks.

Threads: any; `_lock` is held for dictionary operations only.
"""

from __future__ import annotations

import threading

from cachetools import LRUCache

from cdbfs.caller import name_of, process_of
from cdbfs.errors import TooManyPackages
from cdbfs.store.packages.boards import began

MOST_PROCESSES = 10_000


class Bulk:
    """At most `limit` packages a process; 0 is any number."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._fetched: LRUCache[tuple[int, int], set[str]] = LRUCache(MOST_PROCESSES)

    def one_more(self, thread: int, file: str) -> None:
        """The process of `thread` wants a package that must be fetched for it. Raises TooManyPackages."""
        if not self._limit or not thread:
            return
        process = process_of(thread)
        key = (process, began(process))
        with self._lock:
            files = self._fetched.get(key, set())
            over = file not in files and len(files) >= self._limit
            if not over:
                self._fetched[key] = files | {file}
        if over:
            name = name_of(process)
            raise TooManyPackages(
                f"process {process}{f' ({name})' if name else ''} has had {self._limit} packages fetched by "
                "opening them; for more at once use `cdbfs fetch`, or raise bulk_limit"
            )
