"""A stand-in that notes requests for one thing that are under way at the same time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Callable

from cdbfs.demo import DataSet, StandIn
from cdbfs.demo.faults import Fault

MADE = ("html", "empty", "garbage", "status", "reset")
"""Faults that answer without asking the application; nothing tells when they are done, which is at once."""


class Observed(StandIn):
    """`limit` says how many requests for a path may be under way at once; more are noted in `overlaps`.

    A request counts from its arrival until its answer is made: not until it is sent, since the client may have
    read it and ask the next before this thread gets on.
    """

    def __init__(self, data: DataSet, limit: Callable[[str], int], **options: Any) -> None:
        super().__init__(data, **options)
        self.overlaps: list[str] = []
        self._limit = limit
        self._under_way: Counter[str] = Counter()
        self._mine = threading.local()
        self._observing = threading.Lock()

    def arrived(self, method: str, path: str) -> list[Fault]:
        faults = super().arrived(method, path)
        if not any(fault.kind in MADE for fault in faults):
            key = self._mine.key = f"{method} {path}"
            with self._observing:
                self._under_way[key] += 1
                if self._under_way[key] > self._limit(path):
                    self.overlaps.append(f"{self._under_way[key]} at once: {key}")
        return faults

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return list(super().wsgi(environ, start_response))
        finally:
            key = getattr(self._mine, "key", None)
            self._mine.key = None
            if key is not None:
                with self._observing:
                    self._under_way[key] -= 1

    def wait_until_idle(self, seconds: float = 20.0) -> None:
        """Until nothing is under way."""
        ends = time.monotonic() + seconds
        while any(self._under_way.values()):
            assert time.monotonic() < ends, self._under_way
            time.sleep(0.005)
