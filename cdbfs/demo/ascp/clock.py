"""How fast a transfer goes and may go. Used by ``receiver``. For one thread."""

from __future__ import annotations

import time


class Meter:
    """Bytes of a session since it began; ``rate`` is the most bits a second, which a manager may change."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.began = time.monotonic()
        self.bytes = 0
        self._from = self.began
        self._since = 0

    def add(self, count: int) -> None:
        self.bytes += count
        self._since += count

    def set_rate(self, rate: float) -> None:
        """From now on."""
        self.rate, self._from, self._since = rate, time.monotonic(), 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def speed(self) -> float:
        """Bits a second, on the average."""
        return self.bytes * 8 / max(self.seconds, 1e-6)

    def due_in(self) -> float:
        """Seconds until more may come."""
        return self._from + self._since * 8 / self.rate - time.monotonic() if self.rate > 0 else 0.0
