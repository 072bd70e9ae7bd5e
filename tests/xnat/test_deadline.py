"""The deadline is a hard end whatever the server drips, and leaves nothing behind when it was not needed."""

from __future__ import annotations

import itertools
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Union

import pytest

from cdbfs.errors import CdbfsError, TimedOut, Unreachable
from cdbfs.xnat.deadline import Deadline
from cdbfs.xnat.http import Http, Limits
from tests.xnat.servers import TLS, Request, Scripted

pytestmark = pytest.mark.usefixtures("swept")

PATIENT = Limits(5.0, 5.0)
SHORT = 0.15
"""The deadline of what must not come to its end; every drop comes well within it."""
GRACE = 0.5
"""How late a loaded machine may be."""
DROP = 0.01
QUICK = b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = b"HTTP/1.1 200 \r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\0"
"""A packed answer up to the name of the file that was packed, which may be of any length."""

Parts = Iterable[Union[bytes, float]]
Pair = tuple[socket.socket, socket.socket]


def dripping(drop: bytes, first: bytes = b"") -> Iterator[bytes | float]:
    """`first`, and then `drop` for ever."""
    yield first
    for _ in itertools.count():
        yield drop
        yield DROP


DRIPS = {
    "status line": (b"1", b"HTTP/1.1 2"),
    "header lines": (b"X: y\r\n", b"HTTP/1.1 200 \r\n"),
    "header bytes": (b"x", b"HTTP/1.1 200 \r\nX: "),
    "1xx answers": (b"HTTP/1.1 100 Continue\r\n\r\n", b""),
    "header of a 1xx answer": (b"X: y\r\n", b"HTTP/1.1 100 Continue\r\n"),
    "body without a length": (b"x", b"HTTP/1.1 200 \r\n\r\n"),
    "body with a length": (b"x", b"HTTP/1.1 200 \r\nContent-Length: 1000000\r\n\r\n"),
    "chunks": (b"1\r\nx\r\n", CHUNKED),
    "chunk": (b"x", CHUNKED + b"fffff\r\n"),
    "chunk-size line": (b"0", CHUNKED),
    "chunk extension": (b"x", CHUNKED + b"1;"),
    "trailers": (b"X: y\r\n", CHUNKED + b"1\r\nx\r\n0\r\n"),
    "packed body": (b"n", GZIP),
    "page": (b"x", b"HTTP/1.1 500 \r\nContent-Type: text/html\r\n\r\n<html>"),
    "nothing": (b"", b""),
}


@pytest.fixture(params=list(DRIPS))
def drip(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """What comes again and again, and what came before it."""
    return DRIPS[request.param]


@contextmanager
def client(server: Scripted, limits: Limits = PATIENT) -> Iterator[Http]:
    http = Http(server.url, limits)
    try:
        yield http
    finally:
        http.close()


@contextmanager
def ends_in_time(seconds: float = SHORT, error: type[CdbfsError] = TimedOut) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(error):
        yield
    assert seconds - 0.01 <= time.monotonic() - began < seconds + GRACE


def timers() -> int:
    return sum(isinstance(thread, threading.Timer) for thread in threading.enumerate())


def test_whatever_drips_ends_at_the_deadline(drip: tuple[bytes, bytes]) -> None:
    with Scripted(lambda request: dripping(*drip)) as server, client(server) as http, ends_in_time():
        http.send("GET", "/data/x", deadline=SHORT)


def test_the_reason_names_the_request_and_the_time_it_had() -> None:
    told = pytest.raises(TimedOut, match=r"^no whole answer to /data/x within 0\.15 s$")
    with Scripted(lambda request: dripping(*DRIPS["header lines"])) as server, client(server) as http, told:
        http.send("GET", "/data/x", deadline=SHORT)


def test_an_answer_that_drips_and_is_whole_in_time_is_taken() -> None:
    parts = [part for byte in QUICK for part in (bytes([byte]), 0.001)]
    with Scripted(lambda request: parts) as server, client(server) as http:
        assert http.send("GET", "/data/x", deadline=5.0).body == b"ok"


def test_an_answer_after_some_1xx_answers_is_taken() -> None:
    parts: list[bytes | float] = [b"HTTP/1.1 100 Continue\r\n\r\n", DROP, b"HTTP/1.1 100 \r\nX: y\r\n\r\n", QUICK]
    with Scripted(lambda request: parts) as server, client(server) as http:
        assert http.send("GET", "/data/x", deadline=5.0).body == b"ok"


def test_a_connection_is_used_again_after_the_deadline_of_its_last_request() -> None:
    with Scripted(lambda request: [QUICK], lasting=True) as server, client(server) as http:
        for _ in range(3):
            assert http.send("GET", "/data/x", deadline=0.05).body == b"ok"
            time.sleep(0.06)
        assert (server.connections, len(server.requests)) == (1, 3)


def test_the_deadline_of_each_request_is_its_own_on_one_connection() -> None:
    def script(request: Request) -> Parts:
        return [QUICK] if request.target == "/data/quick" else dripping(*DRIPS["header lines"])

    with Scripted(script, lasting=True) as server, client(server) as http:
        assert http.send("GET", "/data/quick", deadline=60.0).body == b"ok"
        with ends_in_time():
            http.send("GET", "/data/slow", deadline=SHORT)
        assert server.connections == 1


def test_after_a_deadline_that_passed_the_next_request_is_answered() -> None:
    def script(request: Request) -> Parts:
        return [QUICK] if request.target == "/data/quick" else dripping(*DRIPS["body without a length"])

    with Scripted(script, lasting=True) as server, client(server) as http:
        for _ in range(2):
            with pytest.raises(TimedOut):
                http.send("GET", "/data/slow", deadline=0.05)
            assert http.send("GET", "/data/quick").body == b"ok"


def test_one_thread_that_runs_out_of_time_takes_none_from_others() -> None:
    def script(request: Request) -> Parts:
        if request.target == "/data/drips":
            return dripping(*DRIPS["header lines"])
        return [QUICK[:20], 3 * SHORT, QUICK[20:]]

    with Scripted(script, lasting=True) as server, client(server) as http, ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(http.send, "GET", "/data/slow", deadline=10.0) for _ in range(4)]
        drips = [pool.submit(http.send, "GET", "/data/drips", deadline=SHORT) for _ in range(4)]
        assert [type(future.exception(5)) for future in drips] == [TimedOut] * 4
        assert [future.result(5).body for future in slow] == [b"ok"] * 4


def test_timers_do_not_pile_up() -> None:
    def script(request: Request) -> Parts:
        return [QUICK] if request.target == "/data/quick" else dripping(*DRIPS["1xx answers"])

    before = timers()
    with Scripted(script, lasting=True) as server, client(server) as http:
        for _ in range(100):
            http.send("GET", "/data/quick", deadline=600.0)
            assert timers() - before <= 5  # one that was cancelled takes a moment to go
        for _ in range(3):
            with pytest.raises(TimedOut):
                http.send("GET", "/data/slow", deadline=0.02)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    nobody = Http(url)
    for _ in range(20):
        with pytest.raises(Unreachable):
            nobody.send("GET", "/data/x", deadline=600.0)
    nobody.close()
    ends = time.monotonic() + 2
    while timers() > before:
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_a_request_through_a_proxy_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Scripted(lambda request: dripping(*DRIPS["header lines"])) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        http = Http("http://db.example.invalid", PATIENT)
        with ends_in_time():
            http.send("GET", "/data/x", deadline=SHORT)
        http.close()
        assert proxy.requests[0].target == "http://db.example.invalid/data/x"


def test_a_proxy_that_drips_its_answer_to_connect_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Scripted(lambda request: dripping(*DRIPS["header lines"])) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        http = Http("https://db.example.invalid", PATIENT)
        with ends_in_time():
            http.send("GET", "/data/x", deadline=SHORT)
        http.close()
        assert proxy.requests[0][:2] == ("CONNECT", "db.example.invalid:443")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1, in one file."""
    file = tmp_path_factory.mktemp("tls") / "127.0.0.1.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    whose = ["-subj", "/CN=cdbfs test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *whose, "-keyout", str(file) + ".key", "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    file.write_bytes(Path(f"{file}.key").read_bytes() + file.read_bytes())
    return file


@pytest.fixture
def tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """For a server that clients trust."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_server_that_nobody_vouches_for_is_not_asked(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with Scripted(lambda request: [QUICK], tls=tls) as server, client(server) as http:
        with pytest.raises(Unreachable, match=r"could not prove who it is: self.signed certificate"):
            http.send("GET", "/data/x")
        assert server.requests == []


def test_whatever_drips_through_tls_ends_at_the_deadline(drip: tuple[bytes, bytes], tls: ssl.SSLContext) -> None:
    with Scripted(lambda request: dripping(*drip), tls=tls) as server, client(server) as http, ends_in_time():
        http.send("GET", "/data/x", deadline=SHORT)


def test_a_connection_through_tls_is_used_again(tls: ssl.SSLContext) -> None:
    with Scripted(lambda request: [QUICK], lasting=True, tls=tls) as server, client(server) as http:
        for _ in range(3):
            assert http.send("GET", "/data/x", deadline=0.3).body == b"ok"
        time.sleep(0.31)
        assert http.send("GET", "/data/x", deadline=5.0).body == b"ok"
        assert server.connections == 1


def test_a_handshake_that_drips_ends_at_the_deadline() -> None:
    with Scripted(lambda request: dripping(b"\0", TLS + b"\x03\x40\0")) as server:
        http = Http(server.url.replace("http:", "https:"), PATIENT)
        with ends_in_time(error=CdbfsError):
            http.send("GET", "/data/x", deadline=SHORT)
        http.close()


def ended(pair: Pair) -> bool:
    """Whether the first of a pair was shut: its peer sees the end."""
    pair[1].settimeout(0.5)
    try:
        return pair[1].recv(1) == b""
    except socket.timeout:  # TimeoutError is another before Python 3.10
        return False


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = socket.socketpair()
    yield made
    for each in made:
        each.close()


def test_what_is_watched_is_shut_at_the_deadline(pair: Pair) -> None:
    with Deadline(0.02) as deadline:
        deadline.watch(pair[0])
        assert not deadline.passed
        assert ended(pair)
        assert deadline.passed


def test_what_is_watched_only_after_the_deadline_is_shut_at_once(pair: Pair) -> None:
    """Making the connection may have taken all the time there was."""
    with Deadline(0.0) as deadline:
        ends = time.monotonic() + 5
        while not deadline.passed and time.monotonic() < ends:
            time.sleep(0.001)
        deadline.watch(pair[0])
        assert ended(pair)


def test_what_is_watched_last_is_shut(pair: Pair) -> None:
    other = socket.socketpair()
    with Deadline(0.02) as deadline:
        deadline.watch(other[0])
        deadline.watch(pair[0])
        assert ended(pair)
    other[0].send(b"x")
    for each in other:
        each.close()


def test_after_its_block_a_deadline_shuts_nothing(pair: Pair) -> None:
    with Deadline(0.02) as deadline:
        deadline.watch(pair[0])
    time.sleep(0.04)
    assert not deadline.passed
    pair[0].send(b"x")
    assert pair[1].recv(1) == b"x"


def test_a_socket_that_is_closed_already_is_no_harm() -> None:
    closed, peer = socket.socketpair()
    with Deadline(0.01) as deadline:
        deadline.watch(closed)
        closed.close()
        time.sleep(0.03)
        assert deadline.passed
    peer.close()
