"""A hard end for one exchange: at the deadline its socket is shut, whatever the server drips.

Used by http. Socket time-outs bound each silence only; a server that sends a byte of its header now and then would
hold a worker for ever.

Threads: a Deadline belongs to the thread that makes the request; a Timer's thread shuts the socket, or that of who
stops a Stop. `_lock` orders them; Stop's own is taken for its fields only.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Callable

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_current = threading.local()


class Deadline:
    """While entered, ends the exchange that this thread makes after `seconds`; `passed` tells if it had to.

    `sent` is called, in that thread, when the request went out on a connection and the answer is awaited.
    """

    def __init__(self, seconds: float, sent: Callable[[], None] = lambda: None) -> None:
        self.passed = False
        self.sent = sent
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self.end)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        _current.deadline = self
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.deadline = None
        self._timer.cancel()
        with self._lock:
            self._socket = None

    def watch(self, used: socket.socket) -> None:
        """From now on `used` is what to shut."""
        with self._lock:
            self._socket = used
            if self.passed:
                _shut(used)

    def end(self) -> None:
        """Shut the socket now, or as soon as there is one."""
        with self._lock:
            self.passed = True
            if self._socket is not None:
                _shut(self._socket)


def _shut(used: socket.socket) -> None:
    with contextlib.suppress(OSError):
        used.shutdown(socket.SHUT_RDWR)


class Stop:
    """Ends the exchange that somebody gave it to, now or as soon as it begins, from any thread."""

    def __init__(self) -> None:
        self.stopped = False
        self._lock = threading.Lock()
        self._deadline: Deadline | None = None

    def stop(self) -> None:
        """What is under way is not wanted any more."""
        with self._lock:
            self.stopped = True
            deadline = self._deadline
        if deadline is not None:
            deadline.end()

    @contextlib.contextmanager
    def ending(self, deadline: Deadline) -> Iterator[None]:
        """Within, `stop` ends what `deadline` would end."""
        with self._lock:
            self._deadline = deadline
        try:
            if self.stopped:
                deadline.end()
            yield
        finally:
            with self._lock:
                self._deadline = None


class _Watched:
    """A connection that tells the thread's Deadline which socket it waits at."""

    sock: Any

    def _new_conn(self) -> Any:
        used = super()._new_conn()  # type: ignore[misc]
        self._watch(used)  # a proxy may drip its answer to CONNECT, a server its part of the handshake
        return used

    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        deadline = self._watch(self.sock)
        if deadline is not None:
            deadline.sent()
        return super().getresponse(*args, **kwargs)  # type: ignore[misc]

    def _watch(self, used: Any) -> Deadline | None:
        deadline: Deadline | None = getattr(_current, "deadline", None)
        if deadline is not None and used is not None:
            deadline.watch(used)
        return deadline


class _Connection(_Watched, HTTPConnection):
    pass


class _SecureConnection(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS = {"http": _Pool, "https": _SecurePool}


class WatchedAdapter(HTTPAdapter):
    """requests' adapter, over connections that a Deadline can end."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager
