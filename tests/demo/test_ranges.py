"""Byte ranges, looked at on the wire: what a client is told and what it then gets."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from cdbfs.demo import StandIn

from . import labs
from .labs import BYTES, DATA, ODD, SESSION, ask


@dataclass(frozen=True)
class Wire:
    """An answer as it came: ``body`` is all that arrived before the connection ended or the length was full."""

    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module", params=["1.6", "1.8"])
def standin(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with StandIn(labs.lab(), dialect=request.param, short_body_seconds=0.05) as running:
        yield running


@pytest.fixture(scope="module")
def cookie(standin: StandIn) -> str:
    return ask(standin, "/data/JSESSION").text


def fetch(standin: StandIn, cookie: str, path: str, asked: str, method: str = "GET", **headers: str) -> Wire:
    place = urlsplit(standin.url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    try:
        sent = {"Cookie": f"JSESSIONID={cookie}", "Range": asked, **headers}
        connection.request(method, path, headers=sent)
        answer = connection.getresponse()
        try:
            body = answer.read()
        except http.client.IncompleteRead as error:
            body = error.partial
        return Wire(answer.status, {n.lower(): v for n, v in answer.getheaders()}, body)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("asked", "told", "length", "body"),
    [
        ("bytes=0-9", "0-9", 10, BYTES[:10]),
        ("bytes=1000-", "1000-1023", 24, BYTES[1000:]),
        ("bytes=-10", "1014-1023", 10, BYTES[-10:]),
        ("bytes=0-2000", "0-2000", 2001, BYTES),
        ("bytes=1000-1024", "1000-1024", 25, BYTES[1000:]),
        ("bytes=2000-3000", "2000-3000", 1001, b""),
        ("bytes=2000-", "2000-1023", -976, b""),
        ("bytes=1024-", "1024-1023", 0, b""),
        ("bytes=9-0", "9-0", -8, b""),
        ("bytes=-2000", "-976-1023", 2000, BYTES),
        ("bytes=-0", "1024-1023", 0, b""),
    ],
)
def test_one_range_is_answered_as_asked(
    asked: str, told: str, length: int, body: bytes, standin: StandIn, cookie: str
) -> None:
    for method, expected in (("GET", body), ("HEAD", b"")):
        answer = fetch(standin, cookie, DATA + "/data.bin", asked, method)
        assert (answer.status, answer.body) == (206, expected)
        assert answer.headers["content-range"] == f"bytes {told}/1024"
        assert answer.headers["content-length"] == str(length)
        assert "last-modified" in answer.headers


@pytest.mark.parametrize("asked", ["lines=1-2", "bytes=-", "bytes=a-b", "bytes", "bytes=1", "Bytes 0-9"])
def test_what_is_no_range_is_ignored(asked: str, standin: StandIn, cookie: str) -> None:
    answer = fetch(standin, cookie, DATA + "/data.bin", asked)
    assert (answer.status, answer.body) == (200, BYTES)


@pytest.mark.parametrize("asked", ["bytes=0-9,20-29", "bytes=0-1, -1", "bytes=1-,2-3"])
def test_several_ranges_are_not_implemented(asked: str, standin: StandIn, cookie: str) -> None:
    answer = fetch(standin, cookie, DATA + "/data.bin", asked)
    assert answer.status == 501
    assert answer.headers["cache-control"] == "must-revalidate"
    assert answer.body.startswith(b"<html>")


def test_conditions_beside_a_range(standin: StandIn, cookie: str) -> None:
    since = {"If-Modified-Since": "Fri, 05 Apr 2013 06:07:08 GMT"}
    assert fetch(standin, cookie, DATA + "/data.bin", "bytes=0-9", **since).status == 304
    never = {"If-Range": "Sun, 06 Nov 1994 08:49:37 GMT"}
    assert fetch(standin, cookie, DATA + "/data.bin", "bytes=0-9", **never).body == BYTES[:10]


def test_a_range_of_an_empty_file(standin: StandIn, cookie: str) -> None:
    answer = fetch(standin, cookie, DATA + "/none.bin", "bytes=0-9")
    assert (answer.status, answer.headers["content-range"]) == (206, "bytes 0-9/0")
    assert (answer.headers["content-length"], answer.body) == ("10", b"")


@pytest.mark.parametrize(
    "path", ["/data/projects?format=csv", DATA, DATA + "?format=zip", ODD + "/x.zip!inner/one.txt", SESSION]
)
def test_only_a_bounded_range_of_a_stream_is_ignored(path: str, standin: StandIn, cookie: str) -> None:
    whole = fetch(standin, cookie, path, "")
    assert whole.status == 200
    bounded = fetch(standin, cookie, path, "bytes=0-4")
    assert (bounded.status, bounded.body) == (200, whole.body)
    for asked in ("bytes=2-", "bytes=-2"):
        refused = fetch(standin, cookie, path, asked)
        assert (refused.status, refused.body[:6]) == (500, b"<html>")
        assert refused.headers.get("content-disposition") == whole.headers.get("content-disposition")


def test_a_promise_that_cannot_be_kept_hangs() -> None:
    with StandIn(labs.lab(), short_body_seconds=3600) as standin:
        place, cookie = urlsplit(standin.url), ask(standin, "/data/JSESSION").text
        with socket.create_connection((str(place.hostname), place.port or 0), timeout=10) as connection:
            head = f"GET {DATA}/data.bin HTTP/1.1\r\nHost: x\r\nCookie: JSESSIONID={cookie}\r\n"
            connection.sendall(f"{head}Range: bytes=1020-2000\r\n\r\n".encode())
            received = b""
            while not received.endswith(b"\r\n\r\n" + BYTES[1020:]):
                received += connection.recv(4096)
            connection.settimeout(0.5)
            with pytest.raises(socket.timeout):
                connection.recv(1)
            assert ask(standin, DATA + "/data.bin").content == BYTES
            standin.stop()
            connection.settimeout(10)
            assert connection.recv(1) == b""
