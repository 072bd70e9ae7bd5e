"""Of which version of a file the kernel has pages: one page cache for a path, whatever handles are open.

Used by operations for packages and their members, whose pages the kernel keeps from one open to the next. A
package may be published anew under its name, with the same size and times: then the pages are of no use any more.
Who opens another version than the one that is open elsewhere reads past them.

Threads: any; the lock is held for dictionary operations only.
"""

from __future__ import annotations

import threading
from collections import Counter

from cachetools import LRUCache

MOST = 10_000
"""Paths of which it is known; of others the kernel reads the bytes anew."""


class Pages:
    """What every open and close of a lasting version is told to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Counter[str]] = {}
        self._of: LRUCache[str, str] = LRUCache(MOST)

    def opened(self, path: str, identity: str) -> tuple[bool, bool]:
        """Whether the new handle is to read past the pages, and whether those that are there are its version's."""
        with self._lock:
            handles = self._open.setdefault(path, Counter())
            others = any(other != identity for other in handles)
            handles[identity] += 1
            if others:
                return True, False
            keep = self._of.get(path) == identity
            self._of[path] = identity
            return False, keep

    def closed(self, path: str, identity: str) -> None:
        """A handle is gone."""
        with self._lock:
            handles = self._open[path]
            handles[identity] -= 1
            handles += Counter()  # drops what is 0
            if not handles:
                del self._open[path]
