"""One exchange over a real socket: whole, or the right error, within its deadline and bounds."""

from __future__ import annotations

import gzip
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdbfs.errors import BrokeOff, CdbfsError, Interrupted, ServerFault, TimedOut, TooLarge, Unreachable
from cdbfs.xnat.deadline import Stop
from cdbfs.xnat.http import Answer, Http, Limits
from tests.demo import recordings
from tests.xnat.servers import Request, Scripted, reply

pytestmark = pytest.mark.usefixtures("swept")

PATIENT = Limits(1.0, 5.0)
CHUNKED = b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def server(*parts: bytes | float, limits: Limits = PATIENT) -> Iterator[tuple[Http, Scripted]]:
    """A server that answers every request with `parts` (see Script), and a client of it."""

    def script(request: Request) -> Iterable[bytes | float]:
        return parts

    with Scripted(script) as running:
        http = Http(running.url, limits)
        try:
            yield http, running
        finally:
            http.close()


def answer(*parts: bytes | float) -> Answer:
    with server(*parts) as (http, _):
        return http.send("GET", "/data/x")


def test_an_answer_with_its_length_comes_whole() -> None:
    got = answer(reply(b"a" * 200_000, headers={"X-Kind": "long"}))
    assert (got.status, got.headers["x-kind"], got.body) == (200, "long", b"a" * 200_000)


def test_a_chunked_answer_comes_whole() -> None:
    assert answer(CHUNKED, b"3\r\nabc\r\n", 0.01, b"2\r\nde\r\n0\r\n\r\n").body == b"abcde"


def test_an_answer_that_ends_with_its_connection_comes_whole() -> None:
    assert answer(b"HTTP/1.1 200 \r\n\r\nabc", 0.01, b"de").body == b"abcde"


def test_an_answer_without_a_body_is_empty() -> None:
    assert answer(reply(b"")).body == b""


def test_a_compressed_answer_that_drips_comes_whole() -> None:
    packed = gzip.compress(b"score,value\n" * 1000)
    head = reply(b"", headers={"Content-Length": str(len(packed)), "Content-Encoding": "gzip"})
    drops = [part for at in range(len(packed)) for part in (packed[at : at + 1], 0.001)]
    assert answer(head, *drops).body == b"score,value\n" * 1000


def test_a_status_is_handed_on_and_is_no_error_here() -> None:
    assert answer(reply(b"gone", 404)).status == 404


@pytest.mark.parametrize(
    "parts",
    [
        (reply(b"abc", headers={"Content-Length": "10"}),),
        (CHUNKED + b"a\r\nabc",),
        (CHUNKED + b"3\r\nabc\r\n",),
        (CHUNKED + b"zz\r\nabc\r\n",),
    ],
    ids=["short of its length", "inside a chunk", "without the last chunk", "no chunk size"],
)
def test_an_answer_that_is_cut_is_no_answer(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(BrokeOff, match="/data/x broke off"):
        answer(*parts)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00\xff\x00\xff\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000,
        b"HTTP/1.1 200 \r\n" + b"X: y\r\n" * 200 + b"\r\n",
        reply(b"not gzip", headers={"Content-Encoding": "gzip"}),
        b"HTTP/1.1 200 \r\nContent-Length: 5, 6\r\n\r\nabcdef",
    ],
    ids=["nothing", "zeros", "ssh", "status", "long line", "headers", "gzip", "two lengths"],
)
def test_garbage_is_an_error_of_ours_in_plain_words(garbage: bytes) -> None:
    with pytest.raises(CdbfsError) as caught:
        answer(garbage)
    assert isinstance(caught.value, (Unreachable, ServerFault))
    assert not re.search(r"0x[0-9a-f]|object at|HTTPConnectionPool|SSH|\n", str(caught.value))


def test_silence_before_the_answer_ends_in_time() -> None:
    with (
        server(5.0, limits=Limits(1.0, 0.1)) as (http, _),
        pytest.raises(TimedOut, match="fell silent at /data/x"),
    ):
        http.send("GET", "/data/x")


def test_silence_within_the_answer_ends_in_time() -> None:
    parts = (reply(b"abc", headers={"Content-Length": "10"}), 5.0)
    with server(*parts, limits=Limits(1.0, 0.1)) as (http, _), pytest.raises(TimedOut):
        http.send("GET", "/data/x")


def test_a_body_that_drips_ends_at_the_deadline() -> None:
    drops = [part for _ in range(100) for part in (b"x", 0.02)]
    with server(b"HTTP/1.1 200 \r\n\r\n", *drops) as (http, _):
        began = time.monotonic()
        with pytest.raises(TimedOut, match=r"no whole answer to /data/x within 0\.2 s"):
            http.send("GET", "/data/x", deadline=0.2)
        assert time.monotonic() - began < 0.6


def test_a_header_that_drips_ends_at_the_deadline() -> None:
    drops = [part for _ in range(30) for part in (b"X: y\r\n", 0.02)]
    with server(b"HTTP/1.1 200 \r\n", *drops, b"\r\n") as (http, _):
        began = time.monotonic()
        with pytest.raises(TimedOut):
            http.send("GET", "/data/x", deadline=0.1)
        assert time.monotonic() - began < 0.5


def test_the_reason_names_the_time_that_was_waited() -> None:
    with server(5.0, limits=Limits(1.0, 30.0)) as (http, _), pytest.raises(TimedOut) as caught:
        http.send("GET", "/data/x", deadline=0.1)
    assert "30 s" not in str(caught.value)


def test_an_answer_over_its_bound_is_refused() -> None:
    with server(reply(b"x" * 1001)) as (http, _), pytest.raises(TooLarge, match="1000 bytes"):
        http.send("GET", "/data/x", max_bytes=1000)


def test_an_answer_at_its_bound_is_taken() -> None:
    with server(reply(b"x" * 1000)) as (http, _):
        assert len(http.send("GET", "/data/x", max_bytes=1000).body) == 1000


def test_a_compressed_answer_is_bounded_by_what_it_unpacks_to() -> None:
    bomb = gzip.compress(bytes(20 * 2**20))
    assert len(bomb) < 2**15
    with server(reply(bomb, headers={"Content-Encoding": "gzip"})) as (http, _), pytest.raises(TooLarge):
        http.send("GET", "/data/x", max_bytes=2**16)


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    http = Http(url)
    with pytest.raises(Unreachable, match=r"cannot be reached: [^<>]*refused$"):
        http.send("GET", "/data/x")
    http.close()


def test_tls_with_a_server_that_has_none_is_unreachable() -> None:
    with server(reply(b"plain")) as (_, running):
        http = Http(running.url.replace("http:", "https:"), Limits(1.0, 1.0))
        with pytest.raises(Unreachable, match="does not speak https; perhaps it is an http server"):
            http.send("GET", "/data/x")
        http.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with Scripted(lambda request: [reply(b"other")]) as elsewhere:
        location = {"Location": f"{elsewhere.url}/app/template/Login.vm"}
        with server(reply(b"", status, location)) as (http, here):
            got = http.send("GET", "/data/x", headers={"Cookie": "JSESSIONID=secret"})
        assert (got.status, len(here.requests), elsewhere.requests) == (status, 1, [])


def test_a_redirect_without_end_is_bounded_like_any_answer() -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n"
    with server(head, *[b"x" * 1000] * 100) as (http, _), pytest.raises(TooLarge):
        http.send("GET", "/data/x", max_bytes=2000)


def test_cookies_of_the_server_are_not_kept() -> None:
    with server(reply(b"", headers={"Set-Cookie": "JSESSIONID=theirs; Path=/"})) as (http, running):
        http.send("GET", "/data/x")
        http.send("GET", "/data/x", headers={"Cookie": "JSESSIONID=ours"})
        http.send("GET", "/data/x")
    assert [request.headers.get("cookie") for request in running.requests] == [None, "JSESSIONID=ours", None]


def test_headers_of_one_request_do_not_go_with_the_next() -> None:
    with server(reply(b"")) as (http, running):
        http.send("GET", "/data/x", headers={"Authorization": "Basic abc"})
        http.send("GET", "/data/x")
    assert "authorization" not in running.requests[1].headers


def test_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\ndefault login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with server(reply(b"")) as (http, running):
        http.send("GET", "/data/x")
    assert "authorization" not in running.requests[0].headers


def test_the_server_is_told_who_asks_and_takes_it_for_no_browser() -> None:
    with server(reply(b"")) as (http, running):
        http.send("GET", "/data/x")
    agent = running.requests[0].headers["user-agent"]
    assert agent.startswith("cdbfs/")
    assert not re.search("MSIE|Mozilla|AppleWebKit|Opera", agent)


def test_path_and_parameters_arrive_as_they_were_given() -> None:
    with server(reply(b"")) as (http, running):
        http.send("GET", "/data/projects/a%2Fb%20c%25", params={"format": "json", "columns": "ID,label"})
    assert running.requests[0].target == "/data/projects/a%2Fb%20c%25?format=json&columns=ID%2Clabel"


def test_a_server_below_a_path_is_asked_below_it() -> None:
    with server(reply(b"")) as (_, running):
        http = Http(running.url + "/xnat/")
        http.send("GET", "/data/x")
        http.close()
    assert running.requests[0].target == "/xnat/data/x"


def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    kept = b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"
    with server(kept) as (http, running):
        for _ in range(3):
            assert http.send("GET", "/data/x").body == b"ok"
            time.sleep(0.02)
    assert len(running.requests) == 3


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html;charset=utf-8", b"anything"),
        ("TEXT/HTML", b"anything"),
        ("text/plain", b"  \n<HTML><body>"),
        ("application/json", b"<!DOCTYPE html>"),
        ("text/xml", b"<html xmlns='x'/>"),
    ],
)
def test_a_page_for_people_is_known_by_its_type_or_its_beginning(content_type: str, body: bytes) -> None:
    assert answer(reply(body, headers={"Content-Type": content_type})).is_html


@pytest.mark.parametrize("body", [b"", b"{}", b'<?xml version="1.0"?>\n<xnat:Subject/>', b"ID,label\n<html>,x\n"])
def test_data_are_no_page_for_people(body: bytes) -> None:
    assert not answer(reply(body)).is_html


@pytest.mark.parametrize(
    "name", ["003-jsession-basic-wrong-password", "008-jsession-no-auth", "083-projects-format-bogus"]
)
def test_recorded_pages_are_pages_for_people(name: str) -> None:
    recorded = recordings.read(name)
    assert answer(reply(recorded.body.encode())).is_html


@pytest.mark.parametrize("name", ["073-projects-json", "216-doc-nt-xml", "046-version-no-login"])
def test_recorded_data_are_no_pages_for_people(name: str) -> None:
    assert not answer(reply(recordings.read(name).body.encode())).is_html


# -- given up from another thread


@pytest.mark.parametrize("parts", [(5.0,), (reply(b"a" * 10)[:-5], 5.0)], ids=["no answer", "half an answer"])
def test_a_request_that_nobody_wants_any_more_ends_at_once(parts: tuple[bytes | float, ...]) -> None:
    stop = Stop()
    with server(*parts) as (http, _):
        began = time.monotonic()
        threading.Timer(0.2, stop.stop).start()
        with pytest.raises(Interrupted, match="was given up"):
            http.send("GET", "/data/x", stop=stop)
        assert time.monotonic() - began < 3
        assert not http.breaker.is_open


def test_one_that_was_given_up_before_it_began_is_not_waited_for() -> None:
    stop = Stop()
    stop.stop()
    with server(5.0) as (http, _):
        began = time.monotonic()
        with pytest.raises(Interrupted):
            http.send("GET", "/data/x", stop=stop)
        assert time.monotonic() - began < 3


def test_giving_up_what_is_over_does_nothing() -> None:
    stop = Stop()
    with server(reply(b"abc")) as (http, _):
        assert http.send("GET", "/data/x", stop=stop).body == b"abc"
        stop.stop()
        assert http.send("GET", "/data/x").body == b"abc"
