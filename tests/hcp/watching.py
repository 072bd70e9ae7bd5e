"""Who watches transfers in these tests: notes what is told, and stops them when told to."""

from __future__ import annotations

import threading
from typing import Callable

from cdbfs.errors import CdbfsError


class Noted:
    """A Watch; `at` is called with each file and the bytes that are there."""

    def __init__(self, at: Callable[[str, int], None] = lambda file, done: None) -> None:
        self.moves: list[tuple[str, int, int | None]] = []
        self.failures: dict[str, CdbfsError] = {}
        self.programs: list[int] = []
        self.looks = 0
        self.stop = threading.Event()
        self._at = at

    @property
    def stopped(self) -> bool:
        self.looks += 1
        return self.stop.is_set()

    def moved(self, file: str, done: int, size: int | None) -> None:
        self.moves.append((file, done, size))
        self._at(file, done)

    def failed(self, file: str, error: CdbfsError) -> None:
        self.failures[file] = error

    def started(self, pid: int) -> None:
        self.programs.append(pid)

    def done(self, file: str) -> list[int]:
        """What was told of a file, in order."""
        return [done for each, done, _ in self.moves if each == file]
