"""A caller waits as long as its patience, and no longer than it is interrupted."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from cdbfs.caller import NOBODY, POLL_SECONDS, Caller
from cdbfs.errors import Interrupted, NotFound, TimedOut


def finished(value: str) -> Future[str]:
    future: Future[str] = Future()
    future.set_result(value)
    return future


def test_what_is_there_is_given_even_without_patience() -> None:
    assert Caller(patience=0.0).wait(finished("x"), "it") == "x"


def test_what_is_there_is_given_even_to_one_who_is_interrupted() -> None:
    assert Caller(interrupted=lambda: True).wait(finished("x"), "it") == "x"


def test_what_went_wrong_is_raised() -> None:
    future: Future[str] = Future()
    future.set_exception(NotFound("no such thing"))
    with pytest.raises(NotFound, match="no such thing"):
        NOBODY.wait(future, "it")


def test_what_comes_while_waiting_is_given_at_once() -> None:
    future: Future[str] = Future()
    polls = iter([False])

    def interrupted() -> bool:
        future.set_result("late")
        return next(polls)

    assert Caller(interrupted=interrupted).wait(future, "it") == "late"


def test_patience_ends() -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"the listing did not come within 0\.06 s"):
        Caller(patience=0.06).wait(Future(), "the listing")
    assert 0.06 <= time.monotonic() - began < 0.5


def test_patience_is_one_for_all_that_is_waited_for() -> None:
    caller = Caller(patience=0.2, ends=time.monotonic() + 0.2)
    for _ in range(50):
        with pytest.raises(TimedOut):
            caller.wait(Future(), "the listing")
    assert caller.left() <= 0
    assert Caller(patience=7.0).left() == 7.0
    assert time.monotonic() - caller.ends < 5  # not 50 times 0.2


def test_an_interruption_ends_the_wait_at_the_next_look() -> None:
    began = time.monotonic()
    with pytest.raises(Interrupted, match="waiting for the listing"):
        Caller(interrupted=lambda: True).wait(Future(), "the listing")
    assert time.monotonic() - began < POLL_SECONDS + 0.4


def test_what_was_called_off_is_an_interruption_and_no_stranger() -> None:
    future: Future[str] = Future()
    future.cancel()
    with pytest.raises(Interrupted):
        NOBODY.wait(future, "it")
