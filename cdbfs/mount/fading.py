"""Has the kernel forget sizes that were announced only, as soon as it has been told them.

Used by operations, on libfuse 3: its time-outs are those of the whole mount. To forget a path before the kernel
has taken the answer would be in vain, so each is forgotten a moment later, and again for answers that took longer.

Threads: any may call `soon`; each moment has a thread of its own that forgets.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Callable

MOMENTS = (0.0003, 0.002, 0.05)
"""Seconds after the answer."""
MOST = 10_000
"""Paths that wait to be forgotten; of more, the kernel remembers what it was told for attr_timeout."""


class Fading:
    """Forgets by `forget`."""

    def __init__(self, forget: Callable[[str], None]) -> None:
        self._forget = forget
        self._waiting = [queue.Queue[tuple[float, str]](MOST) for _ in MOMENTS]
        for seconds, waiting in zip(MOMENTS, self._waiting):
            threading.Thread(target=self._work, args=(seconds, waiting), name="cdbfs-fading", daemon=True).start()

    def soon(self, path: str) -> None:
        """The kernel is being told a size of this path that it is not to remember."""
        for waiting in self._waiting:
            if not waiting.full():
                waiting.put((time.monotonic(), path))

    def _work(self, seconds: float, waiting: queue.Queue[tuple[float, str]]) -> None:
        while True:
            told, path = waiting.get()
            time.sleep(max(0.0, told + seconds - time.monotonic()))
            self._forget(path)
