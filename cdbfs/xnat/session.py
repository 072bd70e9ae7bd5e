"""One JSESSION with the server: logged in once, renewed once by one thread, ended at exit.

Used by client. A session seems over when the server answers 401, or a page for people (or a redirect to one)
where data were asked for, or gives out a new session (seen on XNAT 1.6.4; the last is how an open server makes a
guest of us). Then one thread asks whether it is, logs in again if so, and everybody else waits for it.

After one refused login none is tried again: XNAT locks an account after 20, and a full session table looks like a
wrong password. A server that hands out sessions and then refuses them gets no further login for `login_pause`.

Threads: any. `_lock` guards the few fields and is never held over network I/O; who renews publishes a Future, and
the others wait for that.
"""

from __future__ import annotations

import base64
import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

from cdbfs.caller import Caller
from cdbfs.credentials import Credentials
from cdbfs.errors import (
    AccessRefused,
    BadRequest,
    BrokeOff,
    CdbfsError,
    Interrupted,
    LoginRefused,
    NotFound,
    ServerFault,
    SessionRefused,
    StillUnreachable,
    TimedOut,
    Unreachable,
)
from cdbfs.xnat.deadline import Stop
from cdbfs.xnat.http import Answer, Http, Params

LOGIN_PATH = "/data/JSESSION"
AUTH_PATH = "/data/auth"
GOODBYE_SECONDS = 2.0
FRUITLESS_LOGINS = 2
REDIRECTS = (301, 302, 303, 307, 308)
NEW_SESSION = re.compile(r"\bJSESSIONID=([^;,\s]+)")
SESSION_ID = re.compile(r"[!-~]{1,200}\Z")


@dataclass(frozen=True)
class Route:
    """A kind of request: its path template (also its name in status.json), and how hard it is tried."""

    template: str
    max_bytes: int
    deadline: float = 120.0
    """Seconds for all attempts together."""
    attempts: int = 3
    """Reading is repeatable: a lost connection, a 429 or a 502 to 504 is tried again, with a growing pause."""
    pause: float = 0.2
    silence: float | None = None
    """Seconds that the server may say nothing, where that is not the usual: it computes before it answers."""
    once: bool = False
    """The server is to do it once: it is sent again only after a new login, if `attempts` is 1, too."""


@dataclass(frozen=True)
class _Ask:
    """One question, as it is sent at each attempt."""

    method: str
    path: str
    params: Params | None = None
    body: bytes | None = None
    sink: BinaryIO | None = None
    stop: Stop | None = None


class Session:
    """Sends requests as one user (or as guest, with no credentials)."""

    def __init__(self, http: Http, credentials: Credentials | None, login_pause: float = 600.0) -> None:
        self.http = http
        self.logins = 0
        self.counts: Counter[str] = Counter()
        """Requests sent, by route template."""
        self._credentials = credentials
        self._login_pause = login_pause
        self._lock = threading.Lock()
        self._jsession = ""
        self._generation = 0
        self._unproven = 0
        """How many sessions in a row the server gave out and then answered nothing with."""
        self._logged_in_at = 0.0
        self._refusal: LoginRefused | None = None
        self._renewal: Future[None] | None = None
        self._closed = False

    @property
    def user(self) -> str:
        return self._credentials.user if self._credentials else "guest"

    def login(self, deadline: float = 120.0) -> None:
        """Log in now. Raises LoginRefused, Unreachable, TimedOut or ServerFault."""
        self._renew(self._generation, deadline)

    def get(
        self,
        route: Route,
        path: str,
        params: Mapping[str, str] | None = None,
        sink: BinaryIO | None = None,
        stop: Stop | None = None,
    ) -> Answer:
        """The answer to a GET that asks for data, status 200. Raises what the status or the network means.

        `sink` and `stop` are as for `post`.
        """
        return self._ask(route, _Ask("GET", path, params, None, sink, stop))

    def post(
        self,
        route: Route,
        path: str,
        params: Params,
        body: bytes,
        sink: BinaryIO | None = None,
        stop: Stop | None = None,
    ) -> Answer:
        """As `get`, for a question that has a body and changes nothing; the answer goes to `sink`, if given.

        `params` may be a query string that is written already, where the server wants its commas as they are.
        Raises Interrupted where `stop` was stopped meanwhile.
        """
        return self._ask(route, _Ask("POST", path, params, body, sink, stop))

    def put(self, route: Route, path: str, params: Mapping[str, str], body: bytes) -> Answer:
        """Have the server store `body`: the only request that changes something there. Raises as `get`."""
        return self._ask(route, _Ask("PUT", path, params, body))

    def _ask(self, route: Route, ask: _Ask) -> Answer:
        ends = time.monotonic() + route.deadline
        pause = route.pause
        for attempt in range(1, route.attempts + 1):
            try:
                return self._ask_once(route, ask, ends)
            except StillUnreachable:
                raise
            except (Unreachable, BrokeOff):
                if attempt == route.attempts or time.monotonic() + pause > ends:
                    raise
            time.sleep(pause)
            pause *= 2
        raise AssertionError("a Route has at least one attempt")

    def close(self) -> None:
        """End the session on the server, as well as a short deadline allows."""
        with self._lock:
            self._closed = True
            jsession, self._jsession = self._jsession, ""
        if jsession:
            with contextlib.suppress(CdbfsError):  # the server forgets it by itself a quarter of an hour later
                self.http.send("DELETE", LOGIN_PATH, headers=_cookie(jsession), deadline=GOODBYE_SECONDS)
        self.http.close()

    def _ask_once(self, route: Route, ask: _Ask, ends: float) -> Answer:
        path = ask.path
        for last in (False, True):
            generation, jsession = self._current(ends)
            with self._lock:
                self.counts[route.template] += 1
            if ask.sink is not None:
                ask.sink.seek(0)
                ask.sink.truncate()
            answer = self.http.send(
                ask.method,
                path,
                params=ask.params,
                headers=_cookie(jsession),
                deadline=_left(ends, path),
                max_bytes=route.max_bytes,
                body=ask.body,
                sink=ask.sink,
                silence=route.silence,
                stop=ask.stop,
            )
            page = answer.status == 200 and answer.is_html
            if not page and not _session_is_over(answer, jsession):
                with self._lock:
                    self._unproven = 0
                return _checked(answer, path)
            if last:
                break
            self._renew(generation, _left(ends, path))
            if route.once and not self._is_renewed(generation):
                break
        if page:
            raise ServerFault(f"the server sent a page for people instead of data at {path}")
        raise AccessRefused(f"the server refuses its own session at {path}")

    def _is_renewed(self, generation: int) -> bool:
        with self._lock:
            return self._generation != generation

    def _current(self, ends: float) -> tuple[int, str]:
        with self._lock:
            if self._refusal:
                raise LoginRefused(str(self._refusal))
            generation, jsession = self._generation, self._jsession
        if jsession:
            return generation, jsession
        self._renew(generation, _left(ends, LOGIN_PATH))
        return self._current(ends)

    def _renew(self, seen: int, deadline: float) -> None:
        """See to it that there is a session newer than generation `seen`: log in, or wait for who does."""
        with self._lock:
            if self._generation != seen:
                return
            if self._refusal:
                raise LoginRefused(str(self._refusal))
            if self._closed:
                raise Interrupted("the mount is ending")
            renewal, mine = self._renewal, self._renewal is None
            if renewal is None:
                renewal = self._renewal = Future()
        if not mine:
            Caller(patience=deadline).wait(renewal, "the login")
            return
        try:
            jsession = self._working_session(time.monotonic() + deadline)
        except BaseException as error:
            self._settle(renewal, error)
            raise
        self._settle(renewal, None, jsession)

    def _working_session(self, ends: float) -> str:
        """The present session if it lives, else a new one."""
        with self._lock:
            jsession = self._jsession
        if jsession and self._lives(jsession, ends):
            return jsession
        self._refuse_to_hammer()
        return self._log_in(_left(ends, LOGIN_PATH))

    def _lives(self, jsession: str, ends: float) -> bool:
        """Whether a session lives although it was refused something, or got a page where data were asked for.

        GET /data/auth says who is logged in, and 401 without a session. Without this look, an item that the server
        cannot show would cost a login each time it is asked for.
        """
        with self._lock:
            self.counts[AUTH_PATH] += 1
        answer = self.http.send("GET", AUTH_PATH, headers=_cookie(jsession), deadline=_left(ends, AUTH_PATH))
        return answer.status == 200 and not answer.is_html and not _session_is_over(answer, jsession)

    def _refuse_to_hammer(self) -> None:
        """Raise if the last logins brought sessions that never worked, and were not long ago."""
        with self._lock:
            since = time.monotonic() - self._logged_in_at
            fruitless = self._unproven
        if fruitless >= FRUITLESS_LOGINS and since < self._login_pause:
            raise SessionRefused(
                "the server gives out sessions and then refuses them; "
                f"the next login is tried in {self._login_pause - since:.0f} s"
            )

    def _settle(self, renewal: Future[None], error: BaseException | None, jsession: str = "") -> None:
        with self._lock:
            self._renewal = None
            if error is None and jsession != self._jsession:
                self._jsession = jsession
                self._generation += 1
                self._unproven += 1
                self._logged_in_at = time.monotonic()
            elif isinstance(error, LoginRefused):
                self._refusal = error
        if error is None:
            renewal.set_result(None)
        else:
            renewal.set_exception(error)

    def _log_in(self, deadline: float) -> str:
        """GET /data/JSESSION: the body is the bare session id; 401 is a refusal, on every version.

        Newer servers (xnat 1.8) give anybody a session, also where it opens nothing: a guest's is looked at.
        """
        ends = time.monotonic() + deadline
        with self._lock:
            self.logins += 1
        credentials = self._credentials
        answer = self.http.send(
            "GET",
            LOGIN_PATH,
            headers=_basic(credentials) if credentials else None,
            deadline=deadline,
        )
        if answer.status in (401, 403):
            raise LoginRefused(self._refusal_text())
        if answer.status in REDIRECTS:
            raise ServerFault(self._redirect_text(answer.headers.get("Location", "")))
        if answer.status != 200:
            raise ServerFault(
                f"the login got status {answer.status}; is {self.http.url} an XNAT server's address?"
            )
        jsession = answer.body.decode("latin-1").split(";")[0].strip()
        if answer.is_html or not SESSION_ID.match(jsession):
            raise ServerFault(f"the login got a page, no session; is {self.http.url} an XNAT server's address?")
        if credentials is None and not self._lives(jsession, ends):
            raise LoginRefused(self._refusal_text())
        return jsession

    def _redirect_text(self, location: str) -> str:
        """Names the other address without its path, which may hold a session."""
        try:
            target = urlsplit(location)
            host, port = target.hostname, target.port
        except ValueError:
            host = port = None
        if not host or not location.isprintable():
            return f"the login is redirected; is {self.http.url} an XNAT server's address?"
        other = f"{target.scheme}://{host}" + (f":{port}" if port else "")
        return f"{self.http.url} sends the login on to {other}; if you trust that address, mount it instead"

    def _refusal_text(self) -> str:
        if self._credentials is None:
            return (
                f"{self.http.url} lets no guest in: set CDBFS_USER and CDBFS_PASSWORD, "
                "or add the server to ~/.netrc"
            )
        return (
            f"{self.http.url} refused the login of {self.user}: wrong password, locked account or too many "
            "sessions; it is not tried again until you mount anew"
        )


def _cookie(jsession: str) -> dict[str, str]:
    return {"Cookie": f"JSESSIONID={jsession}"}


def _basic(credentials: Credentials) -> dict[str, str]:
    # XNAT reads UTF-8, requests would write latin-1; the environment's bytes go out as they are.
    login = f"{credentials.user}:{credentials.password}".encode("utf-8", "surrogateescape")
    return {"Authorization": "Basic " + base64.b64encode(login).decode("ascii")}


def _left(ends: float, path: str) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimedOut(f"no answer to {path} in time")
    return left


def _session_is_over(answer: Answer, jsession: str) -> bool:
    """A refusal, a redirect to the login, or another session in place of ours: that of a guest, who sees less."""
    given = NEW_SESSION.search(answer.headers.get("Set-Cookie", ""))
    return answer.status in (401, *REDIRECTS) or (given is not None and given[1] != jsession)


def _checked(answer: Answer, path: str) -> Answer:
    if answer.status == 200:
        return answer
    if answer.status == 403:
        raise AccessRefused(f"the server forbids {path}")
    if answer.status == 404:
        raise NotFound(f"the server has no {path}, or does not show it to this login")
    if answer.status in (400, 409, 422):
        raise BadRequest(f"the server does not take the request {path}: status {answer.status}")
    if answer.status in (429, 502, 503, 504):
        raise BrokeOff(f"the server is not ready: status {answer.status} at {path}")
    raise ServerFault(f"the server failed with status {answer.status} at {path}")
