"""The stand-in server: a real HTTP server on loopback that answers as an XNAT does, 1.6 or 1.8.

The public interface of ``cdbfs.demo``; used by the demo command and by tests. Every method may be called
from any thread. What it is asked for transfers of packages stands in ``transfers``.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Callable
from urllib.parse import unquote

from werkzeug.wrappers import Request

from cdbfs.demo import control, tokens
from cdbfs.demo.app import Application
from cdbfs.demo.dataset import DataSet
from cdbfs.demo.dialect import DIALECTS
from cdbfs.demo.faults import Fault, Faults, make_fault
from cdbfs.demo.guard import Guard
from cdbfs.demo.http import Server
from cdbfs.demo.routes import packages
from cdbfs.demo.sessions import LOCKED_SECONDS, SESSIONS_PER_USER, Sessions
from cdbfs.demo.transfers import Transfers
from cdbfs.demo.world import World

_CONTROL = "/_control"


class StandIn(Transfers):
    """A server over a data set. Use it as a context manager, or call ``start`` and ``stop``.

    ``latency`` seconds pass before every answer; a session dies after ``session_seconds`` of no use, and a
    user has ``sessions_per_user`` at most. ``failed_logins`` wrong passwords in a row (0: any number;
    None: as many as the dialect's) lock an account for ``locked_seconds``. Alias tokens last ``token_seconds``.
    A connection hangs for ``short_body_seconds`` when a range promised more than the file has (the recorded
    server's for 60).
    ``dialect`` is a name of ``DIALECTS``; ``clock`` gives the seconds of all these since 1970.
    """

    def __init__(
        self,
        data: DataSet,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency: float = 0.0,
        session_seconds: float = 900.0,
        sessions_per_user: int = SESSIONS_PER_USER,
        failed_logins: int | None = None,
        locked_seconds: float = LOCKED_SECONDS,
        token_seconds: float = tokens.SECONDS,
        short_body_seconds: float = 2.0,
        dialect: str = "1.6",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.latency = latency
        self._own_url = not data.site_url
        self.short_body_seconds = short_body_seconds
        self._address = (host, port)
        traits = DIALECTS[dialect]
        self._sessions = Sessions(
            session_seconds,
            per_user=sessions_per_user,
            failed_logins=traits.failed_logins if failed_logins is None else failed_logins,
            locked_seconds=locked_seconds,
            clock=clock,
        )
        self._faults = Faults()
        guard = Guard(self._sessions, tokens.Tokens(clock, token_seconds), self._faults, traits)
        self._app = Application(World(data), guard, self._desk)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    # --- life

    def start(self) -> StandIn:
        """Listen and answer; the port is bound when this returns."""
        if self._server is not None:
            raise RuntimeError("the stand-in is running already")
        self._server = Server(self._address, self)
        self._open()
        self._app.world = self._placed(self._app.world)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="cdbfs-demo-server",
            daemon=True,
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and end every connection; without effect when not running."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is None or thread is None:
            return
        server.shutdown()
        server.close_connections()
        server.server_close()
        thread.join()
        self._close()

    def __enter__(self) -> StandIn:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a slash at the end."""
        if self._server is None:
            raise RuntimeError("the stand-in is not running")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def dialect(self) -> str:
        """The name of the dialect."""
        return self._app.dialect.name

    @property
    def control(self) -> str:
        """The URL below which the control interface answers."""
        return self.url + _CONTROL

    # --- data

    @property
    def data(self) -> DataSet:
        """The data being served."""
        return self._app.world.data

    def replace(self, data: DataSet) -> None:
        """Publish another state of the data; a request sees either the old state or the new one."""
        self._own_url = not data.site_url
        self._app.world = self._placed(World(data))

    def _placed(self, world: World) -> World:
        """The world with this server's URL, unless its data name another or there is none yet."""
        return world.at(self.url) if self._own_url and self._server is not None else world

    # --- counts and sessions

    def counts(self) -> dict[str, int]:
        """How often each ``METHOD /route/{template}`` was asked, refused requests included."""
        with self._lock:
            return dict(sorted(self._counts.items()))

    def session_counts(self) -> dict[str, int]:
        """Logins that succeeded and that were refused, and the sessions open now."""
        return {
            "logins": self._sessions.logins,
            "refused_logins": self._sessions.refused,
            "sessions": len(self._sessions),
        }

    def reset_counts(self) -> None:
        with self._lock:
            self._counts.clear()
        self._sessions.reset_counts()
        self._node.reset()

    def expire_sessions(self) -> None:
        """Every session dies, as after the idle time."""
        self._sessions.expire_all()

    # --- faults

    def fault(self, route: str, kind: str, *, times: int | None = None, **parameters: Any) -> None:
        """Misbehave on a route: a template, ``METHOD template`` or ``*``; kinds as in ``faults``."""
        self._faults.add(make_fault(route, kind, times=times, **parameters))

    def faults(self) -> list[dict[str, object]]:
        """The faults in force, also those of transfers."""
        return [*self._faults.shown(), *self.ascp_faults()]

    def clear_faults(self) -> None:
        self._faults.clear()
        self.clear_ascp_faults()

    # --- what the HTTP layer asks

    def is_control(self, path: str) -> bool:
        return path == _CONTROL or path.startswith(_CONTROL + "/")

    def counted_as(self, target: str) -> str:
        """The path of a request, with its query where that says what is asked."""
        path = target.partition("?")[0]
        return target if path == packages.ROUTE else path

    def arrived(self, method: str, path: str) -> list[Fault]:
        """Count a request; the faults that hit it. ``path`` is as ``counted_as`` gives it."""
        plain, _, query = path.partition("?")
        route, _ = self._app.route(unquote(plain))
        if route == packages.ROUTE:
            route = packages.kind(method, query)
        with self._lock:
            self._counts[f"{method} {route}"] += 1
        return self._faults.take(method, route)

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.is_control(environ["PATH_INFO"]):
            return control.respond(Request(environ), self)(environ, start_response)
        return self._app(environ, start_response)
