"""Who asks, as libfuse tells it: a Caller for each call, which is let go when its process is interrupted.

Used by operations. Threads: any; `_lock` is held for dictionary operations only.
"""

from __future__ import annotations

import threading
import time
from typing import Callable

from cachetools import TTLCache

from cdbfs.caller import Caller

LET_GO_SECONDS = 1.0
LET_GO_AGAIN = 2
MOST_LET_GO = 1000


class Callers:
    """Makes Callers; `interrupted` and `context` are libfuse's, to be called in the thread of the call."""

    def __init__(self, interrupted: Callable[[], bool], context: Callable[[], tuple[int, int, int]]) -> None:
        self._interrupted = interrupted
        self._context = context
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._let_go: TTLCache[int, int] = TTLCache(MOST_LET_GO, LET_GO_SECONDS)
        """Threads that were interrupted while they waited, and how often they are still let go."""

    def patient(self, seconds: float) -> Caller:
        """The one that this call is for, who waits so long for all that it needs."""
        uid, _, pid = self._context()
        return Caller(pid, uid, seconds, lambda: self._given_up(pid), time.monotonic() + seconds)

    def end(self) -> None:
        """Let go of everybody who waits."""
        self._ending.set()

    def _given_up(self, pid: int) -> bool:
        """Whether the one that waits is to be let go: it was interrupted, or the mount ends.

        Who was interrupted and waits again at once is let go again, LET_GO_AGAIN times: R looks for its Ctrl-C
        only when stat has failed, and open, twice. No more, since Python asks again until it is let in.
        """
        if self._ending.is_set():
            return True
        interrupted = self._interrupted()
        with self._lock:
            if interrupted:
                self._let_go[pid] = LET_GO_AGAIN
                return True
            left = self._let_go.get(pid, 0)
            if left:
                self._let_go[pid] = left - 1
        return left > 0
