"""A server that cannot be reached is asked now and then by one, and everybody else knows at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdbfs.demo import StandIn, connectomedb
from cdbfs.errors import BrokeOff, Dropped, ServerFault, StillUnreachable, TimedOut, Unreachable
from cdbfs.xnat.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker
from cdbfs.xnat.http import Http, Limits
from cdbfs.xnat.session import Route, Session
from tests.ports import free_port
from tests.xnat.servers import Request, Scripted, reply


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(breaker: Breaker, error: Exception | None = None) -> None:
    with breaker.asking():
        if error is not None:
            raise error


def fail(breaker: Breaker, times: int = FAILURES) -> None:
    for _ in range(times):
        with pytest.raises(Unreachable, match=r"^nobody there$"):
            ask(breaker, Unreachable("nobody there"))


def test_a_few_failures_do_not_open_it() -> None:
    breaker = Breaker(Clock())
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open
    ask(breaker)


def test_failures_in_a_row_open_it_and_the_reason_is_told() -> None:
    breaker = Breaker(Clock())
    fail(breaker)
    assert breaker.is_open
    with pytest.raises(StillUnreachable, match=r"nobody there; it is tried again"):
        ask(breaker)


def test_failures_with_a_success_between_them_do_not_open_it() -> None:
    breaker = Breaker(Clock())
    fail(breaker, FAILURES - 1)
    ask(breaker)
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open


@pytest.mark.parametrize("error", [ServerFault("500"), BrokeOff("cut"), TimedOut("slow"), Dropped("reset")])
def test_a_server_that_is_there_but_fails_does_not_open_it(error: Exception) -> None:
    breaker = Breaker(Clock())
    for _ in range(5 * FAILURES):
        with pytest.raises(type(error)):
            ask(breaker, error)
    assert not breaker.is_open


def test_after_a_pause_one_is_let_through_and_the_others_are_not() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    fail(breaker)
    clock.now += FIRST_PAUSE
    with breaker.asking(), pytest.raises(StillUnreachable):
        ask(breaker)
    assert not breaker.is_open


def test_the_first_request_that_goes_out_closes_it_before_its_answer_comes() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    fail(breaker)
    clock.now += FIRST_PAUSE
    with breaker.asking():
        breaker.connected()
        ask(breaker)


def test_the_pause_grows_but_never_over_its_bound() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    fail(breaker)
    waited = []
    for _ in range(6):
        began = clock.now
        while True:
            try:
                ask(breaker, Unreachable("nobody there"))
            except StillUnreachable:
                clock.now += 0.25
            except Unreachable:
                break
        waited.append(clock.now - began)
    assert waited == sorted(waited)
    assert waited[0] == FIRST_PAUSE
    assert waited[-1] == LONGEST_PAUSE


def test_one_who_is_let_through_and_hears_nothing_holds_up_nobody_for_long() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    fail(breaker)
    clock.now += FIRST_PAUSE
    with breaker.asking():
        clock.now += LONGEST_PAUSE
        ask(breaker)
        assert not breaker.is_open


def test_a_server_that_is_gone_is_not_tried_by_everybody_and_is_back_within_ten_seconds() -> None:
    port = free_port()
    session = Session(Http(f"http://127.0.0.1:{port}", Limits(connect=2.0)), None)
    route = Route("/data/version", max_bytes=1000, deadline=20.0, pause=0.01)
    with pytest.raises(Unreachable):
        session.get(route, "/data/version")
    assert session.http.breaker.is_open
    with pytest.raises(StillUnreachable):
        session.get(route, "/data/version")
    with StandIn(connectomedb(1), port=port):
        session = Session(session.http, None)
        ends = time.monotonic() + 10.0
        while session.http.breaker.is_open and time.monotonic() < ends:
            try:
                session.http.send("GET", "/data/version")
            except StillUnreachable:
                time.sleep(0.05)
        assert session.http.send("GET", "/data/version").status == 200
        session.close()


def test_while_a_server_that_is_back_thinks_long_others_are_let_through() -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def script(request: Request) -> Iterator[bytes]:
        if request.target == "/slow":
            arrived.set()
            assert go_on.wait(30)
        yield reply(b"done")

    with Scripted(script) as server, ThreadPoolExecutor(1) as pool:
        http = Http(server.url)
        fail(http.breaker)
        time.sleep(FIRST_PAUSE + 0.05)
        slow = pool.submit(http.send, "GET", "/slow")
        assert arrived.wait(30)
        ends = time.monotonic() + 30
        while http.breaker.is_open and time.monotonic() < ends:
            time.sleep(0.01)  # the client's thread is a moment behind the server's
        try:
            assert http.send("GET", "/next").body == b"done"
        finally:
            go_on.set()
        assert slow.result(30).body == b"done"
        http.close()


def test_a_name_that_does_not_resolve_opens_it() -> None:
    http = Http("https://no-such-host.invalid", Limits(connect=2.0))
    for _ in range(FAILURES):
        with pytest.raises(Unreachable):
            http.send("GET", "/data/version")
    with pytest.raises(StillUnreachable, match=r"no-such-host\.invalid"):
        http.send("GET", "/data/version")
    http.close()


def test_a_connection_that_breaks_before_the_answer_is_no_reason_to_give_up_the_server() -> None:
    with Scripted(lambda request: []) as server:
        http = Http(server.url)
        for _ in range(FAILURES + 1):
            with pytest.raises(Dropped):
                http.send("GET", "/crash")
        http.close()
