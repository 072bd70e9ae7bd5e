"""The wire between the node and the stand-in ``ascp``: one connection a session.

A POST with what ascp was called with is answered by a line of JSON. Then ascp sends lines of JSON: which file it
wants from which byte on, which is answered by the bytes alone; and, when none come, how many it has written.
Used by ``node``. For one thread.
"""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Mapping
from typing import Any

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
_BUFFER = 4 << 20


class Talk:
    """One session's connection; methods raise OSError when ascp is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""
        self._written: int | None = None
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)

    def answer(self, answer: Mapping[str, Any]) -> None:
        self._connection.sendall(_HEAD + json.dumps(answer).encode() + b"\n")

    def command(self) -> tuple[int, int] | None:
        """The file that is wanted next (its number) and from where on; None: there is none."""
        while True:
            line = self._line()
            if line is None:
                if not self._receive():
                    return None
            elif "get" in line:
                self._written = None
                return line["get"], line["from"]

    def has_written(self, position: int) -> bool | None:
        """Whether ascp told that it has written so far; None: it is gone."""
        while select.select([self._connection], [], [], 0)[0]:
            if not self._receive():
                return None
        while (line := self._line()) is not None:
            self._written = line["at"]
        return self._written == position

    def send(self, descriptor: int, position: int, most: int) -> int:
        """Send some bytes of a file; how many."""
        return os.sendfile(self._connection.fileno(), descriptor, position, most)

    def _line(self) -> dict[str, Any] | None:
        """A line that has arrived."""
        line, end, rest = self._read.partition(b"\n")
        if not end:
            return None
        self._read = rest
        found: dict[str, Any] = json.loads(line)
        return found

    def _receive(self) -> bool:
        more = self._connection.recv(1 << 16)
        self._read += more
        return bool(more)
