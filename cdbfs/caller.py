"""Who asks, and how long may it take: handed down from mount/ (or a test) to whatever waits.

Threads: a Caller belongs to the thread that made it; `interrupted` is called in that thread only, because
libfuse answers it by the calling thread.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass, replace
from typing import Callable, TypeVar

from cdbfs.errors import Interrupted, TimedOut

T = TypeVar("T")

POLL_SECONDS = 0.05
"""How soon a waiting caller notices that it was interrupted."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Caller:
    """One request from outside: its process, its patience, and how to see that it was given up."""

    pid: int = 0
    uid: int = 0
    patience: float = 120.0
    """Seconds this caller waits for one thing before ETIMEDOUT; what it waits for goes on without it."""
    interrupted: Callable[[], bool] = _never
    ends: float = math.inf
    """When (time.monotonic) it loses its patience for all that it waits for together."""

    def unhurried(self) -> Caller:
        """The same, but waiting for as long as what it waits for moves on, which is to see to its own end."""
        return replace(self, patience=math.inf, ends=math.inf)

    def left(self) -> float:
        """Seconds it would wait from now on."""
        return min(self.patience, self.ends - time.monotonic())

    def wait(self, future: Future[T], what: str) -> T:
        """The future's result. Raises Interrupted, TimedOut, or what the future raised."""
        deadline = time.monotonic() + self.left()
        while True:
            left = deadline - time.monotonic()
            wait([future], timeout=max(0.0, min(POLL_SECONDS, left)))
            if future.done():
                try:
                    return future.result()
                except CancelledError:
                    raise Interrupted("the mount is ending") from None
            if self.interrupted():
                raise Interrupted(f"interrupted while waiting for {what}")
            if left <= 0:
                raise TimedOut(f"{what} did not come within {self.patience:g} s")


def name_of(process: int) -> str:
    """The name of a process's program; "" where there is none (proc(5): comm)."""
    try:
        with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def process_of(thread: int) -> int:
    """The process that a thread is of: the kernel names threads (proc(5): Tgid in status)."""
    try:
        with open(f"/proc/{thread}/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Tgid:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return thread


NOBODY = Caller()
"""A caller that is no process: background work and tests."""
