"""The HTTP/1.1 server of the stand-in, and the bridge from it to a WSGI application.

Keep-alive, one daemon thread a connection. An answer without Content-Length goes out chunked, as XNAT
1.6.4 sends its tables and documents. Scripted faults that need the socket are played here. Used by
``standin``. The application and the rules it is given must be safe to use from many threads.
"""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Protocol
from urllib.parse import unquote_to_bytes

from cdbfs.demo import pages
from cdbfs.demo.faults import Fault

_LONGEST_REQUEST_LINE = 8192
_NO_BODY = (204, 304)
_LOOK_SECONDS = 0.02
"""How soon a request that waits under a fault sees that the fault is over."""


@dataclass
class Answer:
    """A finished answer on its way out; one that is not chunked carries its Content-Length."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    chunked: bool

    @property
    def announced(self) -> int | None:
        """The length that the header tells, which need not be that of the body."""
        told = [value for name, value in self.headers if name.lower() == "content-length"]
        return int(told[0]) if told else None


class Backend(Protocol):
    """What the HTTP layer needs to know of the stand-in."""

    latency: float
    short_body_seconds: float

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]: ...

    def arrived(self, method: str, path: str) -> list[Fault]: ...

    def is_control(self, path: str) -> bool: ...

    def is_transfer(self, path: str) -> bool: ...

    def transfer(self, connection: socket.socket, body: bytes) -> None: ...

    def counted_as(self, target: str) -> str: ...


class Server(ThreadingHTTPServer):
    """The listening socket and its connections."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], backend: Backend) -> None:
        self.backend = backend
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        # The base class asks the resolver for the host's name here, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the server's."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """End every open connection, idle ones included."""
        self.stopping.set()
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_GET  # noqa: N815
    do_POST = do_GET  # noqa: N815
    do_PUT = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815
    do_OPTIONS = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: tests and the demo own the terminal."""

    def _serve(self) -> None:
        body = self._request_body()
        if len(self.requestline) > _LONGEST_REQUEST_LINE:
            self.close_connection = True
            self._send(_container_answer(400, "Request header is too large"))
            return
        path = self.path.partition("?")[0]
        if self.server.backend.is_control(path):
            self._send(self._call(body))
            return
        if self.server.backend.is_transfer(path):
            self.close_connection = True
            self.server.backend.transfer(self.connection, body)
            return
        faults = self.server.backend.arrived(self.command, self.server.backend.counted_as(self.path))
        self._wait(self.server.backend.latency)
        self._play(faults, body)

    def _request_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunked_body()
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            length = 0
        return self.rfile.read(length) if length > 0 else b""

    def _chunked_body(self) -> bytes:
        parts: list[bytes] = []
        while True:
            size = int(self.rfile.readline().split(b";")[0].strip() or b"0", 16)
            if size == 0:
                while self.rfile.readline().strip():
                    pass
                return b"".join(parts)
            parts.append(self.rfile.read(size))
            self.rfile.readline()

    # --- faults

    def _play(self, faults: list[Fault], body: bytes) -> None:
        for fault in faults:
            if fault.kind == "delay":
                self._wait(fault.number("seconds"), fault.over)
        fault_or_none = next((f for f in faults if f.kind != "delay"), None)
        if fault_or_none is None:
            self._send(self._call(body))
        elif fault_or_none.kind == "reset":
            self._reset()
        else:
            self._answer_badly(fault_or_none, body)

    def _answer_badly(self, fault: Fault, body: bytes) -> None:
        made = _made_answer(fault)
        if made is not None:
            self._send(made)
            return
        answer = self._call(body)
        count = int(fault.number("bytes"))
        if fault.kind == "truncate":
            self._send(_shortened(answer, count))
        elif fault.kind == "cut":
            self._cut(answer, count)
        elif fault.kind == "stall":
            self._stall(answer, count, fault)
        elif fault.kind == "drip":
            self._drip(answer, max(1, count), fault)
        else:
            self._drip_header(answer, max(1, count), fault)

    def _cut(self, answer: Answer, count: int) -> None:
        self._head(answer)
        # The whole chunk is announced and only part of it sent, as when a server dies while writing.
        start = f"{len(answer.body):x}\r\n".encode() if answer.chunked and answer.body else b""
        self.wfile.write(start + answer.body[:count])
        self.wfile.flush()
        self.close_connection = True

    def _stall(self, answer: Answer, count: int, fault: Fault) -> None:
        self._head(answer)
        self._piece(answer, answer.body[:count])
        self._wait(fault.number("seconds"), fault.over)
        self._piece(answer, answer.body[count:])
        self._end(answer)

    def _drip(self, answer: Answer, count: int, fault: Fault) -> None:
        self._head(answer)
        for start in range(0, len(answer.body), count):
            self._piece(answer, answer.body[start : start + count])
            self._wait(fault.number("seconds"), fault.over)
        self._end(answer)

    def _drip_header(self, answer: Answer, count: int, fault: Fault) -> None:
        wire, self.wfile = self.wfile, io.BytesIO()
        try:
            self._send(answer)
            whole = self.wfile.getvalue()
        finally:
            self.wfile = wire
        for start in range(0, len(whole), count):
            self.wfile.write(whole[start : start + count])
            self.wfile.flush()
            self._wait(fault.number("seconds"), fault.over)

    def _reset(self) -> None:
        # A zero linger time makes close() send a reset in place of an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        # The base class would now flush what is closed; this ends the connection's thread quietly.
        raise ConnectionResetError("a scripted reset")

    def _wait(self, seconds: float, over: threading.Event | None = None) -> None:
        """For so long; less, when the rule that says so is over or the server stops."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and not (over is not None and over.is_set()):
            if self.server.stopping.wait(left if over is None else min(left, _LOOK_SECONDS)):
                return

    # --- answers

    def _call(self, body: bytes) -> Answer:
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            started[:] = [status, headers]

        result = self.server.backend.wsgi(self._environ(body), start_response)
        try:
            content = b"".join(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        status, headers = started
        chunked = not any(name.lower() == "content-length" for name, _ in headers)
        return Answer(status, headers, content, chunked and int(status[:3]) not in _NO_BODY)

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "REQUEST_URI": self.path,
            "SERVER_NAME": self.server.server_name,
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": str(self.client_address[0]),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            environ.setdefault("HTTP_" + name.upper().replace("-", "_"), value)
        return environ

    def _send(self, answer: Answer) -> None:
        self._head(answer)
        self._piece(answer, answer.body)
        self._end(answer)

    def _head(self, answer: Answer) -> None:
        code, _, reason = answer.status.partition(" ")
        self.send_response_only(int(code), reason)
        self.send_header("Date", self.date_time_string())
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _piece(self, answer: Answer, data: bytes) -> None:
        if not data or self.command == "HEAD":
            return
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if answer.chunked else data)
        self.wfile.flush()

    def _end(self, answer: Answer) -> None:
        if answer.chunked and self.command != "HEAD":
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        if self.command != "HEAD" and answer.announced not in (None, len(answer.body)):
            # Seen on XNAT 1.6.4: what was announced and is not there is waited for, until the container gives up.
            self._wait(self.server.backend.short_body_seconds)
            self.close_connection = True


def _made_answer(fault: Fault) -> Answer | None:
    """The answer of a fault that never asks the application."""
    if fault.kind == "html":
        return _plain("200 OK", "text/html;charset=ISO-8859-1", pages.LOGIN_PAGE)
    if fault.kind == "empty":
        return _plain("200 OK", "", "")
    if fault.kind == "garbage":
        return _plain("200 OK", "application/json", '{"ResultSet":{"Result":[{"ID":"Connectome')
    if fault.kind == "status":
        message = fault.parameters.get("message")
        code = int(fault.number("code", 500))
        return _container_answer(code, str(message) if message else None)
    return None


def _shortened(answer: Answer, count: int) -> Answer:
    """The answer with only the first bytes of its body, and a Content-Length that agrees."""
    body = answer.body[:count]
    headers = [(n, str(len(body)) if n.lower() == "content-length" else v) for n, v in answer.headers]
    return Answer(answer.status, headers, body, answer.chunked)


def _container_answer(status: int, message: str | None) -> Answer:
    page = pages.container(status, message)
    answer = _plain(f"{status} {pages.reason(status)}", "text/html;charset=utf-8", page)
    answer.headers.append(("Content-Language", "en"))
    return answer


def _plain(status: str, kind: str, text: str) -> Answer:
    body = text.encode("utf-8")
    headers = [("Content-Type", kind)] if kind else []
    return Answer(status, [*headers, ("Content-Length", str(len(body)))], body, chunked=False)
