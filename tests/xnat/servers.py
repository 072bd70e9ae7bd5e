"""Servers for these tests: a scripted one on a real socket, and an adapter that answers without one."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Callable, NamedTuple, Union

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse


class Request(NamedTuple):
    """What a client sent; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


TLS = b"\x16\x03"
"""How a client begins that wants encryption."""

Script = Callable[[Request], Iterable[Union[bytes, float]]]
"""What to send for a request: bytes, and between them seconds of silence. At its end the connection closes."""


def reply(body: bytes = b"", status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer with its length, after which the connection closes."""
    given = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    lines = [f"HTTP/1.1 {status} ", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Scripted:
    """A server on loopback that answers each request by a script, and notes the requests.

    `lasting`: connections stay open for further requests. `tls`: it is spoken on all of them.
    """

    def __init__(self, script: Script, *, lasting: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self._lasting = lasting
        self._tls = tls
        self._script = script
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def connections(self) -> int:
        """How many there were so far."""
        return len(self._connections)

    def __enter__(self) -> Scripted:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if self._tls is None:
                self._answer(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._answer(secured)

    def _answer(self, connection: socket.socket) -> None:
        while True:
            request = _read(connection)
            if request is None:
                return
            self.requests.append(request)
            for part in self._script(request):
                if isinstance(part, bytes):
                    connection.sendall(part)
                elif self._ending.wait(part):
                    return
            if not self._lasting:
                return


def _read(connection: socket.socket) -> Request | None:
    head = b""
    while b"\r\n\r\n" not in head:
        if head.startswith(TLS):
            return Request("TLS", "", {})
        received = connection.recv(4096)
        if not received:
            return None
        head += received
    above, _, body = head.partition(b"\r\n\r\n")
    first, *lines = above.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = [line.partition(": ") for line in lines]
    headers = {name.lower(): value for name, _, value in pairs}
    left = int(headers.get("content-length", "0")) - len(body)
    while left > 0:  # what is not read when the connection closes resets it, and may take the answer away
        received = connection.recv(min(left, 4096))
        if not received:
            break
        left -= len(received)
    return Request(method, target, headers)


class Reply(NamedTuple):
    """An answer of `Fake`."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Fake(BaseAdapter):
    """Answers requests without a socket by a function, which may raise; notes the requests."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self._answer = answer

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        seen = Request(request.method or "", request.path_url, headers)
        self.requests.append(seen)
        status, body, given = self._answer(seen)
        response = requests.Response()
        response.status_code = status
        response.headers = CaseInsensitiveDict(given)
        response.raw = HTTPResponse(io.BytesIO(body), headers=given, status=status, preload_content=False)
        response.request = request
        response.url = request.url or ""
        return response

    def close(self) -> None:
        """Nothing is open."""


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
