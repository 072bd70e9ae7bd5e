"""File times that move whenever bytes do.

What the server says of changes is not enough: a subject that left a project, or an experiment that was shared,
has no date. rsync and make compare size and time only, and would keep an old copy.

Used by source. Threads: any; `_lock` is held for dictionary operations only.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Hashable
from typing import Callable

from cachetools import LRUCache

KEEP = 65536
SECOND = 10**9
"""rsync compares whole seconds."""


def digest(data: bytes) -> bytes:
    """What tells versions of a file apart."""
    return hashlib.blake2b(data, digest_size=16).digest()


class Stamps:
    """The last (digest, mtime) of each file that can change."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: LRUCache[Hashable, tuple[bytes, int]] = LRUCache(KEEP)

    def mtime(self, key: Hashable, digest: bytes, said: int) -> int:
        """The mtime of a file whose bytes have `digest` now, and which the server says changed at `said`.

        The same bytes keep their mtime; other bytes get a later one, if need be that of this moment.
        """
        with self._lock:
            known, mtime = self._known.get(key, (b"", said))
            if known != digest:
                mtime = said if said > mtime or not known else max(self._clock(), mtime + SECOND)
                self._known[key] = (digest, mtime)
            return mtime
