"""One HTTP exchange with the server, within deadlines and bounds, to one origin only.

Used by session. No redirect is followed and no cookie is kept here: what goes with a request is what session
says, and the answer is whole or an error is raised.

Threads: an Http may be used from any thread; requests' connection pool below it is thread-safe, and nothing else
of requests' Session is changed after it was made.
"""

from __future__ import annotations

import http.client
import io
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import BinaryIO, Union

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from cdbfs import __version__
from cdbfs.errors import BrokeOff, CdbfsError, Dropped, Interrupted, ServerFault, TimedOut, TooLarge, Unreachable
from cdbfs.xnat.breaker import Breaker
from cdbfs.xnat.deadline import Deadline, Stop, WatchedAdapter

USER_AGENT = f"cdbfs/{__version__} python-requests/{requests.__version__}"
CHUNK = 64 * 1024
Params = Union[Mapping[str, str], str]
"""A query: its values, or the string as it is to be sent."""
NO_HTTP = (http.client.BadStatusLine, http.client.UnknownProtocol)
HEAD = 1024
"""Bytes of an answer that are kept where the rest goes elsewhere: enough to tell a page from data."""


@dataclass(frozen=True)
class Limits:
    """Deadlines in seconds."""

    connect: float = 5.0
    silence: float = 30.0


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: CaseInsensitiveDict[str]
    body: bytes

    @property
    def is_html(self) -> bool:
        """Whether this is a page for people: a login or error page, whatever the status says."""
        return self.headers.get("Content-Type", "").lower().startswith("text/html") or self.body[:200].lstrip()[
            :9
        ].lower().startswith((b"<html", b"<!doctype"))


class _Session(requests.Session):
    """requests' Session without its look at redirects: even where it is to follow none, it reads their whole body,
    whatever its size, and stumbles over a target that is no address."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class Http:
    """Sends requests to the server at `url` and nowhere else."""

    def __init__(
        self, url: str, limits: Limits = Limits(), connections: int = 8, adapter: BaseAdapter | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.breaker = Breaker()
        self._limits = limits
        self._session = _Session()
        # requests would read netrc for any host; proxies and certificates of the environment stay in force.
        self._session.trust_env = False
        self._session.proxies.update(requests.utils.get_environ_proxies(self.url, no_proxy=None))
        self._session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["User-Agent"] = USER_AGENT
        mounted = adapter or WatchedAdapter(pool_connections=1, pool_maxsize=connections)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, mounted)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float = 120.0,
        max_bytes: int = 2**20,
        body: bytes | None = None,
        sink: BinaryIO | None = None,
        silence: float | None = None,
        stop: Stop | None = None,
    ) -> Answer:
        """The whole answer to one request, within `deadline` seconds and `max_bytes`.

        Where a `sink` is given, the body of an answer with status 200 goes there, and only its beginning is kept;
        what the sink raises is raised. `silence` is for a route whose answers take longer to begin than others.
        `stop` ends it from another thread.

        Raises Unreachable (at once where that is known), TimedOut, TooLarge, Interrupted where it was stopped, or
        ServerFault for an answer that breaks off.
        """
        stop = stop or Stop()
        with self.breaker.asking():
            return self._exchange(method, path, params, headers, deadline, max_bytes, body, sink, silence, stop)

    def close(self) -> None:
        """Drop all connections."""
        self._session.close()

    def _exchange(
        self,
        method: str,
        path: str,
        params: Params | None,
        headers: Mapping[str, str] | None,
        deadline: float,
        max_bytes: int,
        body: bytes | None,
        sink: BinaryIO | None,
        silence: float | None,
        stop: Stop,
    ) -> Answer:
        guard = Deadline(deadline, self.breaker.connected)
        try:
            with (
                guard,
                stop.ending(guard),
                self._session.request(
                    method,
                    self.url + path,
                    params=params,
                    headers=headers,
                    data=body,
                    timeout=(min(self._limits.connect, deadline), min(silence or self._limits.silence, deadline)),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                into = sink if sink is not None and response.status_code == 200 else io.BytesIO()
                head = _receive(response, max_bytes, path, into)
                whole = into.getvalue() if isinstance(into, io.BytesIO) else head
                answer = Answer(response.status_code, response.headers, whole)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            if stop.stopped:
                raise Interrupted(f"the request for {path} was given up") from None
            if guard.passed:
                raise TimedOut(f"no whole answer to {path} within {round(deadline, 2):g} s") from None
            raise self._meaning(error, path) from None
        if stop.stopped:
            raise Interrupted(f"the request for {path} was given up")
        if guard.passed:  # an answer without a length ends wherever its connection does
            raise TimedOut(f"no whole answer to {path} within {round(deadline, 2):g} s")
        return answer

    def _meaning(self, error: Exception, path: str) -> CdbfsError:
        """What went wrong with a request, in our own words."""
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Unreachable(f"{self.url} gave no connection in time")
        if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)):
            return TimedOut(f"the server fell silent at {path}")
        if isinstance(error, requests.exceptions.SSLError):
            if "WRONG_VERSION_NUMBER" in str(error):
                return Unreachable(f"{self.url} does not speak https; perhaps it is an http server")
            return Unreachable(f"{self.url} could not prove who it is: {_root(error)}")
        if isinstance(error, (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError)):
            return BrokeOff(f"the answer to {path} broke off")
        if isinstance(error, requests.exceptions.ConnectionError):
            if error.args and isinstance(error.args[0], urllib3.exceptions.ProtocolError):
                return Dropped(f"{self.url} broke the connection: {_root(error)}")
            return Unreachable(f"{self.url} cannot be reached: {_root(error)}")
        return ServerFault(f"no usable answer to {path}: {type(error).__name__}")


def _receive(response: requests.Response, max_bytes: int, path: str, sink: BinaryIO) -> bytes:
    """Write the body to `sink`; its beginning."""
    head = b""
    size = 0
    raw = response.raw
    while True:
        # read1 gives what has come: read and iter_content would wait for a full block of a server that drips.
        part = raw.read1(CHUNK, decode_content=True)
        if not part:
            return head
        size += len(part)
        if size > max_bytes:
            raise TooLarge(f"the answer to {path} is over {max_bytes} bytes")
        if len(head) < HEAD:
            head += part[:HEAD]
        sink.write(part)


def _root(error: BaseException) -> str:
    """The innermost reason, without the object addresses and URLs that urllib3 puts around it."""
    reason: object = error
    while isinstance(reason, BaseException):
        if isinstance(reason, ssl.SSLCertVerificationError):
            reason = reason.verify_message  # its `reason` is CERTIFICATE_VERIFY_FAILED, whatever is wrong
            break
        if isinstance(reason, NO_HTTP) and not isinstance(reason, ConnectionError):
            return "it does not speak HTTP"  # the exception holds the line that came, which may be anything
        inner = getattr(reason, "reason", None) or (reason.args[-1] if reason.args else None)
        if not isinstance(inner, (BaseException, str)) or inner is reason:
            break
        reason = inner
    text = "".join(c if c.isprintable() else " " for c in str(reason).rpartition(": ")[2]).strip()
    return text[:200] or type(error).__name__
