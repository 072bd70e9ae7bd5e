"""The management port: ascp connects to it, on loopback, and tells how it goes.

Used by transport, within hcp/child's loop. Whoever else is on this machine could connect as well, so what is told
here decides how a transfer is shown, and whether it is tried again; what it brought is decided by the md5.

Threads: a Port belongs to one thread.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from types import TracebackType
from typing import Callable

from cdbfs.hcp.aspera.frames import Frame, Frames

BLOCK = 64 * 1024


class Port:
    """Listens for one connection, and tells `heard` of each frame."""

    def __init__(self, heard: Callable[[Frame], None]) -> None:
        self._heard = heard
        self._frames = Frames()
        self._connection: socket.socket | None = None
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self.listener.setblocking(False)

    @property
    def number(self) -> int:
        return int(self.listener.getsockname()[1])

    def accept(self, selector: selectors.BaseSelector) -> None:
        """Take the connection, and no further one."""
        try:
            self._connection, _ = self.listener.accept()
        except OSError:  # it is gone again
            return
        self._connection.setblocking(False)
        selector.unregister(self.listener)
        selector.register(self._connection, selectors.EVENT_READ, self._read)

    def _read(self, selector: selectors.BaseSelector) -> None:
        if self._connection is None:
            return
        try:
            block = self._connection.recv(BLOCK)
        except BlockingIOError:
            return
        except OSError:
            block = b""
        if not block:
            selector.unregister(self._connection)
        for frame in self._frames.feed(block):
            self._heard(frame)

    def __enter__(self) -> Port:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listener.close()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
