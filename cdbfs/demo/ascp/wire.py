"""The connection to the stand-in server, which is in place of SSH and FASP both.

Used by ``session``. For one thread.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from hashlib import sha256

from cdbfs.demo.ascp.errors import CONNECTION_LOST, TCP_CLOSED, Failure, Unconnected
from cdbfs.demo.ascp.options import Options

_PATH = "/_aspera"
_BUFFER = 4 << 20
_CONNECT_SECONDS = 10.0
_LOST = "Connection lost"


class Source:
    """A file on the server, and what is to go wrong with it: kind of fault -> its parameters."""

    def __init__(self, told: Mapping[str, object]) -> None:
        self.name = str(told["name"])
        self.size = int(str(told["size"]))
        self.modified = int(str(told["modified"]))
        self.checksum = str(told.get("checksum", ""))
        self.faults = by_kind(told["faults"])


def by_kind(faults: object) -> dict[str, Mapping[str, object]]:
    assert isinstance(faults, list)  # noqa: S101 - our own server's word
    return {str(fault["kind"]): fault for fault in faults}


class Wire:
    """One session's connection."""

    def __init__(self, options: Options) -> None:
        try:
            self.socket = socket.create_connection((options.host, options.port), timeout=_CONNECT_SECONDS)
        except (OSError, ValueError, OverflowError):
            raise Unconnected(TCP_CLOSED, "Failed to open TCP connection for SSH") from None
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def open(self, options: Options, environment: Mapping[str, str]) -> dict[str, object]:
        """Say what ascp was called with; the server's answer."""
        asked = json.dumps(_called(options, environment)).encode()
        head = f"POST {_PATH} HTTP/1.1\r\nHost: {options.host}\r\nContent-Length: {len(asked)}\r\n\r\n"
        try:
            self.socket.settimeout(None)  # a large zip is made while we wait
            self.socket.sendall(head.encode("utf-8", "surrogateescape") + asked)
            return self._answer()
        except OSError:
            raise Failure(CONNECTION_LOST, _LOST) from None

    def get(self, number: int, offset: int) -> None:
        """Have a file sent from a byte on."""
        self._say({"get": number, "from": offset})

    def tell(self, position: int) -> None:
        """Say how much of it is written."""
        self._say({"at": position})

    def receive(self, buffer: memoryview) -> int:
        try:
            received = self.socket.recv_into(buffer)
        except OSError:
            received = 0
        if received == 0:
            raise Failure(CONNECTION_LOST, _LOST)
        return received

    def _say(self, line: Mapping[str, int]) -> None:
        try:
            self.socket.sendall(json.dumps(line).encode() + b"\n")
        except OSError:
            raise Failure(CONNECTION_LOST, _LOST) from None

    def _answer(self) -> dict[str, object]:
        read = b""
        while not (b"\r\n\r\n" in read and read.endswith(b"\n") and not read.endswith(b"\r\n\r\n")):
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionAbortedError
            read += more
        head, _, line = read.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionAbortedError
        answer: dict[str, object] = json.loads(line)
        return answer


def _called(options: Options, environment: Mapping[str, str]) -> dict[str, object]:
    """What the server writes down of a start: no values of the environment, only their digests."""
    token = options.token
    places = ["arguments"] * any(token in argument for argument in options.arguments) if token else []
    places += [name for name, value in environment.items() if token and token in value]
    return {
        "arguments": list(options.arguments),
        "environment": {n: sha256(os.fsencode(v)).hexdigest() for n, v in environment.items()},
        "token": token,
        "token_in": places,
        "user": options.user,
        "sources": options.sources,
        "compare": options.resume,
        "pid": os.getpid(),
    }
