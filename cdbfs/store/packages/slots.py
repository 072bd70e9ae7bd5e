"""Who may transfer now: so many at once, over all processes of a user, and not two in the same moment.

Used by arrival. Servers refuse logins where many sessions begin at once (ten draw "failed to authenticate").

Threads and processes: any; a slot is a lock of the kernel's.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Callable

from cdbfs.errors import Interrupted, TimedOut
from cdbfs.store.packages.locks import POLL_SECONDS, Lock, take

STAGGER_SECONDS = 2.0
LONGEST_TURN = 6 * 3600.0
"""The largest package over a slow line takes an hour or two."""
LONGEST_POLL = 0.5


class Slots:
    """`count` slots, whose locks lie in `directory`."""

    def __init__(self, directory: Path, count: int, stagger: float = STAGGER_SECONDS) -> None:
        self._paths = [directory / f"slot.{number}" for number in range(count)]
        self._began = directory / "began"
        self._stagger = stagger

    def take(self, stopped: Callable[[], bool]) -> Lock:
        """A slot, when one is free.

        Raises Interrupted when `stopped` says so, and TimedOut where nobody began a transfer for LONGEST_TURN.
        """
        pause, last, since = POLL_SECONDS, self._last(), time.monotonic()
        while not stopped():
            for path in self._paths:
                slot = take(path)
                if slot is not None:
                    self._wait_for_others(slot, path, stopped)
                    return slot
            if self._last() != last:
                last, since = self._last(), time.monotonic()
            if time.monotonic() - since > LONGEST_TURN:
                raise TimedOut(f"other transfers did not end for {LONGEST_TURN / 3600:g} hours")
            time.sleep(pause)
            pause = min(pause * 1.2, LONGEST_POLL)
        raise Interrupted("given up while waiting for other transfers")

    def _wait_for_others(self, slot: Lock, mine: Path, stopped: Callable[[], bool]) -> None:
        """Where others transfer, until the last one that began has had time to log in."""
        if any(_is_taken(path) for path in self._paths if path != mine):
            ends = time.monotonic() + max(0.0, min(self._stagger, _age_left(self._began, self._stagger)))
            while time.monotonic() < ends and not stopped():
                time.sleep(POLL_SECONDS)
        with contextlib.suppress(OSError):
            self._began.touch(0o600)

    def _last(self) -> int:
        """When anybody began a transfer last."""
        try:
            return self._began.stat().st_mtime_ns
        except OSError:
            return 0


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
