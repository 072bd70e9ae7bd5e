"""A circuit breaker: while no connection to the server can be made, nobody waits to learn it again.

Used by http. After `FAILURES` connections in a row that could not be made, what is asked is refused at once; one
request every few seconds is let through, and the first that gets a connection ends it. Only connections count: a
server that answers with errors, breaks off or is slow is there, and may have another answer to another question.

Threads: any; `_lock` guards the few fields and is never held while anything is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

from cdbfs.errors import Dropped, StillUnreachable, Unreachable

FAILURES = 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 4.0
"""Seconds between two that are let through; it doubles from the first to the longest."""


class Breaker:
    """Closed while the server can be reached; open from the last of `FAILURES` failures to the next connection."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._due = 0.0
        self._reason = ""

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around one exchange. Raises StillUnreachable instead, where it would be in vain."""
        self._admit()
        try:
            yield
        except Dropped:
            self.connected()
            raise
        except Unreachable as error:
            self._failed(str(error))
            raise
        else:
            self.connected()

    def connected(self) -> None:
        """The server took a request: it is there, however long its answer takes."""
        with self._lock:
            self._failures = 0
            self._pause = FIRST_PAUSE

    def _admit(self) -> None:
        with self._lock:
            if not self.is_open:
                return
            now = self._clock()
            if now < self._due:
                raise StillUnreachable(f"{self._reason}; it is tried again every few seconds")
            self._due = now + self._pause  # this one tries; the next does if nothing came of it by then

    def _failed(self, reason: str) -> None:
        with self._lock:
            if self.is_open:
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._failures += 1
            self._reason = reason
            self._due = self._clock() + self._pause
