"""Where transfers stand still, because a test wants to look at them.

Used by ``node`` and ``standin``. One condition; any thread.
"""

from __future__ import annotations

import threading
import time
from fnmatch import fnmatchcase
from typing import Callable

_LOOK_SECONDS = 0.02
"""How soon a held transfer sees that its ascp is gone."""


class Holds:
    """At most one hold is in force: files that match stop at a byte, or at once where they are past it."""

    def __init__(self) -> None:
        self._at: int | None = None
        self._file = "*"
        self._held: dict[int, tuple[str, bool]] = {}
        self._changed = threading.Condition()

    def set(self, at: int | None, file: str = "*") -> None:
        """Hold files there; None: let all go on."""
        with self._changed:
            self._at, self._file = at, file
            self._changed.notify_all()

    def limit(self, name: str, position: int) -> int | None:
        """The byte up to which a file may go on from a position; None: any."""
        with self._changed:
            if self._at is None or not fnmatchcase(name, self._file):
                return None
            return max(self._at, position)

    def wait(self, key: int, name: str, position: int, written: Callable[[], bool | None]) -> bool:
        """Until the hold is over; False: the ascp is gone. ``written``: it has all bytes so far; None: gone."""
        try:
            while self.limit(name, position) == position:
                there = written()
                if there is None:
                    return False
                with self._changed:
                    if self._held.get(key) != (name, there):
                        self._held[key] = name, there
                        self._changed.notify_all()
                    self._changed.wait(_LOOK_SECONDS)
            return True
        finally:
            with self._changed:
                self._held.pop(key, None)
                self._changed.notify_all()

    def held(self) -> list[str]:
        """The files that stand still, and whose ascp has written what was sent."""
        with self._changed:
            return sorted(name for name, there in self._held.values() if there)

    def wait_held(self, count: int, seconds: float) -> list[str]:
        """Their names, once so many do; TimeoutError."""
        ends = time.monotonic() + seconds
        with self._changed:
            while len(names := [name for name, there in self._held.values() if there]) < count:
                left = ends - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{len(names)} transfers stand still, not {count}")
                self._changed.wait(left)
            return sorted(names)
