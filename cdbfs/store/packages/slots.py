"""Who may transfer now: so many at once, over all processes of a user, and not two in the same moment.

Used by arrival. Servers refuse logins where many sessions begin at once (ten draw "failed to authenticate").

Threads and processes: any; a slot is a lock of the kernel's.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Callable

from cdbfs.errors import Interrupted
from cdbfs.store.packages.locks import POLL_SECONDS, Lock, take

STAGGER_SECONDS = 2.0


class Slots:
    """`count` slots, whose locks lie in `directory`."""

    def __init__(self, directory: Path, count: int, stagger: float = STAGGER_SECONDS) -> None:
        self._paths = [directory / f"slot.{number}" for number in range(count)]
        self._began = directory / "began"
        self._stagger = stagger

    def take(self, stopped: Callable[[], bool]) -> Lock:
        """A slot, when one is free; whoever has one gives it back when his transfer ends, as it must.

        Raises Interrupted when `stopped` says so.
        """
        while not stopped():
            for path in self._paths:
                slot = take(path)
                if slot is not None:
                    self._wait_for_others(slot, path, stopped)
                    return slot
            time.sleep(POLL_SECONDS)
        raise Interrupted("given up while waiting for other transfers")

    def _wait_for_others(self, slot: Lock, mine: Path, stopped: Callable[[], bool]) -> None:
        """Where others transfer, until the last one that began has had time to log in."""
        if any(_is_taken(path) for path in self._paths if path != mine):
            ends = time.monotonic() + max(0.0, min(self._stagger, _age_left(self._began, self._stagger)))
            while time.monotonic() < ends and not stopped():
                time.sleep(POLL_SECONDS)
        with contextlib.suppress(OSError), open(self._began, "ab"):
            os.utime(self._began)


def _is_taken(path: Path) -> bool:
    lock = take(path)
    if lock is not None:
        lock.release()
    return lock is None


def _age_left(path: Path, seconds: float) -> float:
    try:
        return path.stat().st_mtime + seconds - time.time()
    except OSError:
        return 0.0
