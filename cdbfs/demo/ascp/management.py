"""The management port: ascp connects to whoever watches it, tells how it gets on, and does what it is told.

Used by ``session``. For one thread.
"""

from __future__ import annotations

import os
import socket

from cdbfs.demo.ascp.errors import Unconnected

_ESCAPE = "\x1bn"
"""A line break within a value."""
_LINE_SECONDS = 5.0


def identifier() -> str:
    digits = os.urandom(16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class Manager:
    """The connection to the one who watches; without an address nothing is told."""

    def __init__(self, address: str) -> None:
        self.muted = False
        self._session, self._user = identifier(), identifier()
        self._socket = _connected(address) if address else None
        self._read = b""

    def frame(self, kind: str, **fields: object) -> None:
        """Send a frame, with its fields in alphabetical order."""
        if self._socket is None or self.muted:
            return
        told = {"SessionId": self._session, "UserStr": self._user, **fields}
        lines = [f"{name}: {str(value).replace(chr(10), _ESCAPE)}" for name, value in sorted(told.items())]
        text = "\n".join(("FASPMGR 2", f"Type: {kind}", *lines, "", ""))
        try:
            self._socket.sendall(text.encode("utf-8", "surrogateescape"))
        except OSError:
            self._lose()

    def fileno(self) -> int | None:
        """What to watch for commands."""
        return None if self._socket is None else self._socket.fileno()

    def commands(self) -> list[dict[str, str]]:
        """The frames that have come, once there is something to read."""
        if self._socket is None:
            return []
        try:
            more = self._socket.recv(4096)
        except OSError:
            more = b""
        if not more:
            self._lose()
        self._read += more
        *whole, self._read = self._read.split(b"\n\n")
        return [_fields(frame.decode("utf-8", "replace")) for frame in whole]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _lose(self) -> None:
        """Nobody watches any more: the transfer goes on."""
        self.close()
        self._socket = None


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        made = socket.create_connection((host or "127.0.0.1", int(port)), timeout=_LINE_SECONDS)
    except (OSError, ValueError, OverflowError):
        raise Unconnected(50, f"Failed to connect to management port {address}") from None
    return made


def _fields(frame: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in frame.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
