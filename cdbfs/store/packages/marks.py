"""Who else wants a file that one process transfers: a mark that the others renew for as long as they do.

Used by transfers, which renews it, and by arrival and packages, which look. It is written in place, by whoever
comes: one writer may undo what another has told, who tells it again in a moment, and who reads half of it takes
it for nothing told.

Threads and processes: any.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from cdbfs.store.packages.boards import here

MARK_SECONDS = 5.0
"""How long another process wants a file after it said so."""
MOST_BYTES = 2**16


def renew(path: Path, waiting: Sequence[int]) -> None:
    """This process wants the file, for these processes that wait here."""
    mine = f"{here()} {os.getpid()}"
    now = time.time()
    told = {
        process: each for process, each in _told(path).items() if process != mine and each[0] > now - MARK_SECONDS
    }
    told[mine] = (now, tuple(waiting))
    text = json.dumps(told).encode("ascii")
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.utime(descriptor)
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)


def is_fresh(path: Path) -> bool:
    """Whether another process wants the file."""
    try:
        return time.time() - path.stat().st_mtime < MARK_SECONDS
    except OSError:
        return False


def waiting(path: Path) -> tuple[int, ...]:
    """The processes that wait for it in others."""
    latest = time.time() - MARK_SECONDS
    return tuple(sorted({process for when, found in _told(path).values() if when > latest for process in found}))


def _told(path: Path) -> dict[str, tuple[float, tuple[int, ...]]]:
    """What each process told, and when."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MOST_BYTES))
        return {str(who): (float(when), tuple(map(int, those))) for who, (when, those) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
