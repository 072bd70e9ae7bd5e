"""Waiting: for bytes, for a word of the manager's, for the end of whoever reads our output.

Used by ``receiver`` and ``session``. For one thread.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from cdbfs.demo.ascp.errors import CANCELLED, Failure

if TYPE_CHECKING:
    import socket

    from cdbfs.demo.ascp.clock import Meter
    from cdbfs.demo.ascp.management import Manager

_STDOUT = 1


class Stopped(BaseException):
    """A signal, or nobody reads our output any more."""


class Watch:
    """One wait for everything; ``deaf`` when a fault says that nothing but a signal counts."""

    def __init__(self, manager: Manager, meter: Meter) -> None:
        self._manager = manager
        self._meter = meter
        self._poll = select.poll()
        self._poll.register(_STDOUT, 0)  # tells only when its reader is gone
        self._wired = -1
        self._told = manager.fileno()
        if self._told is not None:
            self._poll.register(self._told, select.POLLIN)

    def ready(self, wire: socket.socket, seconds: float, *, wanted: bool) -> bool:
        """Wait for at most so long; whether ``wire`` has something, where that is ``wanted``."""
        number = wire.fileno()
        if wanted:
            self._poll.register(number, select.POLLIN)
        elif self._wired == number:
            self._poll.unregister(number)  # it would tell at once when it was cut
        self._wired = number if wanted else -1
        found = dict(self._poll.poll(max(0.0, seconds) * 1000))
        if found.get(_STDOUT, 0) & (select.POLLERR | select.POLLNVAL):
            raise Stopped
        if self._told in found:
            self._obey()
        return wanted and number in found

    def _obey(self) -> None:
        told = self._told
        for frame in self._manager.commands():
            if frame.get("Type") in ("CANCEL", "DONE"):
                raise Failure(CANCELLED, "Session cancelled by user")
            if frame.get("Type") == "RATE" and frame.get("Rate", "").isdigit():
                self._meter.set_rate(int(frame["Rate"]) * 1000.0)
        if told is not None and self._manager.fileno() is None:
            self._poll.unregister(told)
            self._told = None
