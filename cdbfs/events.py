"""What happened lately, for `.cdbfs/`: failures as frozen events in one bounded journal.

Lower layers and mount/ record; tree/ reads when somebody looks at `.cdbfs/errors`.

Threads: a Journal may be used from any thread; its one lock is held for list operations only.
"""

from __future__ import annotations

import errno as codes
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Callable

from cdbfs.errors import CdbfsError

LONGEST = 500
"""Characters of a reason, and of what failed, that are kept: both may hold text of the server's."""


@dataclass(frozen=True)
class Failure:
    """Something failed: when (epoch seconds), which errno, on what, and why in plain words."""

    when: float
    errno: int
    what: str
    reason: str
    times: int = 1

    def line(self) -> str:
        """One line of text: controls in server-made text are escaped, so that a line stays a line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.when))
        name = codes.errorcode.get(self.errno, str(self.errno))
        again = f" ({self.times} times)" if self.times > 1 else ""
        return f"{stamp} {name} {_printable(self.what)}: {_printable(self.reason)}{again}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Journal:
    """The last failures, newest last; one that repeats itself is counted, not listed again."""

    def __init__(self, keep: int = 200, clock: Callable[[], float] = time.time) -> None:
        self._failures: deque[Failure] = deque(maxlen=keep)
        self._clock = clock
        self._lock = threading.Lock()

    def record(self, error: CdbfsError, what: str) -> None:
        """Note that `error` was what came of `what` (a path in the mount, or a request)."""
        self.note(error.errno, what, str(error))

    def note(self, errno: int, what: str, reason: str) -> None:
        """Note what went wrong without failing anybody: of the cache, say, where the server is asked instead."""
        new = Failure(self._clock(), errno, _short(what), _short(reason))
        with self._lock:
            if self._failures and _same(self._failures[-1], new):
                last = self._failures.pop()
                new = replace(new, times=last.times + 1)
            self._failures.append(new)

    def failures(self) -> tuple[Failure, ...]:
        with self._lock:
            return tuple(self._failures)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _same(a: Failure, b: Failure) -> bool:
    return (a.errno, a.what, a.reason) == (b.errno, b.what, b.reason)
