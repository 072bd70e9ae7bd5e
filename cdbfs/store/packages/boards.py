"""What a process tells others of a transfer of its own: how far it is, what it reserved, and how it ended.

Used by transfers and space. A board is a small file that its process holds locked for as long as it lives, so that
a board without a lock is of a process that was killed. It is written in place, since the lock belongs to the file:
who reads it may meet half of it, and looks again.

Threads: a Board belongs to the thread that transfers, which others may only ask to `tell`; `read` is for any.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cdbfs import errors
from cdbfs.errors import CdbfsError
from cdbfs.store.disk import PART, read_file
from cdbfs.store.packages.locks import Lock, locked, take

MOST_BYTES = 2**16
TRIES = 3


@dataclass(frozen=True)
class Told:
    """How a transfer stands."""

    file: str
    done: int = 0
    """Bytes that have arrived."""
    size: int | None = None
    """Bytes of the whole, if known."""
    rate: float = 0.0
    """Bytes a second, lately."""
    phase: str = "waiting"
    waiting: tuple[int, ...] = ()
    """Processes that wait for it, where it runs."""
    reserved: int = 0
    """Bytes of the disk that are kept for it, those that have arrived among them."""
    process: int = 0
    program: int = 0
    """The program that writes the file, if there is one, and when it began (clock ticks since boot)."""
    program_began: int = 0
    boot: str = ""
    """Where: the boot and the host that process ids are of."""

    @property
    def seconds_left(self) -> float | None:
        if self.size is None or self.rate <= 0:
            return None
        return max(0, self.size - self.done) / self.rate


class Board:
    """The board of a transfer of this process."""

    def __init__(self, path: Path, lock: Lock) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> Board | None:
        """None where another process has it. Raises CdbfsError."""
        lock = take(path)
        return None if lock is None else cls(path, lock)

    def tell(self, told: Told) -> None:
        """Write it down; a disk that is full costs others the news, and nobody the transfer."""
        text = json.dumps(asdict(told)).encode("ascii")
        with contextlib.suppress(OSError):
            os.pwrite(self._lock.descriptor, text, 0)
            os.ftruncate(self._lock.descriptor, len(text))

    def close(self) -> None:
        """The transfer is over."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._lock.release()


def read(path: Path) -> Told | None:
    """What stands on a board; None where there is none, or nothing on it that can be read."""
    for _ in range(TRIES):
        try:
            text = read_file(path, MOST_BYTES)
        except OSError:
            return None
        told = _told(text)
        if told is not None:
            return told
    return None


def is_live(path: Path) -> bool:
    """Whether the process that wrote it is alive. Raises CdbfsError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    if not locked(descriptor, fcntl.LOCK_SH):
        return True
    os.close(descriptor)
    return False


def beat(path: Path) -> int:
    """When a board was written last (ns), as its disk tells: its process writes while it is alive. 0: never."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def note_failure(path: Path, error: CdbfsError, now: float, by: str = "") -> None:
    """Tell others why a transfer failed, at `now` (epoch seconds); `by` names the settings that it went by."""
    text = json.dumps({"kind": type(error).__name__, "reason": str(error), "when": now, "by": by})
    with contextlib.suppress(OSError):
        descriptor, part = tempfile.mkstemp(prefix=PART, dir=path.parent)  # mode 0600
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(part, path)


def failure(path: Path, since: float, by: str = "") -> CdbfsError | None:
    """Why the last transfer by the same settings failed, if it did at `since` (epoch seconds) or later."""
    try:
        found = json.loads(read_file(path, MOST_BYTES))
        kind = getattr(errors, str(found["kind"]), CdbfsError)
        when, reason = float(found["when"]), str(found["reason"])
        if found["by"] != by:
            return None
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if when < since or not (isinstance(kind, type) and issubclass(kind, CdbfsError)):
        return None
    error: CdbfsError = kind(reason)
    return error


def here() -> str:
    """The boot and the host that process ids are of."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{file.read().strip()} {socket.gethostname()}"
    return socket.gethostname()


def began(process: int) -> int:
    """When a process began, in clock ticks since boot (proc(5): field 22 of stat); 0 where there is none."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def end_orphan(told: Told) -> bool:
    """Kill the program that a killed process left, if it is of this host; it would write on.

    It leads a group of its own (hcp/child), and what it started writes as well.
    """
    if told.boot != here() or told.program <= 0 or began(told.program) != told.program_began:
        return False
    with contextlib.suppress(OSError):
        if os.getpgid(told.program) == told.program:
            os.killpg(told.program, signal.SIGKILL)
        else:
            os.kill(told.program, signal.SIGKILL)
    return True


def _told(text: bytes) -> Told | None:
    try:
        found: dict[str, Any] = json.loads(text)
        told = Told(**{**found, "waiting": tuple(map(int, found["waiting"]))})
        numbers = (told.done, told.reserved, told.process, told.program, told.program_began)
        if not all(isinstance(number, int) for number in numbers):
            return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return told
