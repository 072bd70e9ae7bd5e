"""Locks of the kernel's on files: held by an open descriptor, so that they end with whoever holds it.

Used by store/packages. They hold between processes and, on a network filesystem that has them, between hosts; a
program that inherits the descriptor holds the lock, too. Lock files are never removed: somebody might lock one
that nobody else can find any more.

Threads and processes: any; two descriptors of one process exclude each other, too.
"""

from __future__ import annotations

import errno as codes
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Callable

from cdbfs.errors import CdbfsError, Interrupted, NoSpace, TimedOut
from cdbfs.store.disk import make_private

POLL_SECONDS = 0.1
HELD = (codes.EAGAIN, codes.EACCES)


@dataclass(frozen=True)
class Lock:
    """A lock that is held, until `release`."""

    descriptor: int

    def release(self) -> None:
        os.close(self.descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def take(path: Path) -> Lock | None:
    """The lock of that file (made where missing); None where somebody else has it. Raises NoSpace, CdbfsError."""
    try:
        descriptor = _opened(path)
    except OSError as error:
        kind = NoSpace if error.errno in (codes.ENOSPC, codes.EDQUOT) else CdbfsError
        raise kind(f"cache_dir cannot be used: {error.strerror}") from None
    return Lock(descriptor) if locked(descriptor, fcntl.LOCK_EX) else None


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        make_private(path.parent)
        return os.open(path, flags, 0o600)


def take_within(path: Path, seconds: float, stopped: Callable[[], bool] = lambda: False) -> Lock:
    """As `take`, when it becomes free. Raises TimedOut after `seconds`, Interrupted where it was stopped."""
    ends = time.monotonic() + seconds
    while True:
        lock = take(path)
        if lock is not None:
            return lock
        if stopped():
            raise Interrupted("given up while waiting for another process")
        if time.monotonic() > ends:
            raise TimedOut(f"another process held {path.name} for {seconds:g} s")
        time.sleep(POLL_SECONDS)


def locked(descriptor: int, operation: int) -> bool:
    """Whether the lock (LOCK_SH or LOCK_EX) could be had now, and is; else the descriptor is closed.

    Raises CdbfsError where the disk has no locks.
    """
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in HELD:
            return False
        raise CdbfsError(f"the disk of cache_dir has no locks: {error.strerror}") from None
    return True
