"""Listings: fresh, stale while one refresh runs, withheld when refused, served when the server is away."""

from __future__ import annotations

import errno
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdbfs.caller import NOBODY, Caller
from cdbfs.errors import (
    AccessRefused,
    CdbfsError,
    Interrupted,
    LoginRefused,
    NotFound,
    ServerFault,
    SessionRefused,
    TimedOut,
    Unreachable,
)
from cdbfs.events import Journal
from cdbfs.store.flight import Flight, Waiters
from cdbfs.store.listings import Listings

FAILURES = [Unreachable("away"), TimedOut("slow"), ServerFault("broken"), SessionRefused("no"), LoginRefused("no")]


class Shelf:
    """Listings on a clock that is moved by hand, and a server whose listing is `answer`."""

    def __init__(self, keep: int = 512) -> None:
        self.now = 1000.0
        self.answer: str | CdbfsError = "first"
        self.fetches = 0
        self.journal = Journal()
        self.flight = Flight(2, Waiters(100))
        self.listings = Listings(
            self.flight, self.journal, keep=keep, ttl=300.0, retry_pause=10.0, clock=lambda: self.now
        )

    def fetch(self) -> str:
        self.fetches += 1
        if isinstance(self.answer, CdbfsError):
            raise self.answer
        return self.answer

    def get(self, key: str = "key", longest: float = math.inf, caller: Caller = NOBODY) -> str:
        return self.listings.get(key, self.fetch, caller, "the list", longest=longest)

    def settle(self, key: str = "key") -> None:
        """Wait for a refresh under way."""
        self.flight.start(key, lambda: None).exception(5)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    made.flight.close()


def test_a_fresh_listing_is_asked_for_once(shelf: Shelf) -> None:
    assert shelf.get() == "first"
    shelf.answer = "second"
    shelf.now += 299.9
    assert shelf.get() == "first"
    shelf.settle()
    assert shelf.fetches == 1


def test_a_stale_listing_is_served_at_once_while_it_is_refreshed(shelf: Shelf) -> None:
    shelf.get()
    refreshing, let_go = threading.Event(), threading.Event()

    def slow() -> str:
        refreshing.set()
        assert let_go.wait(5)
        return "second"

    shelf.now += 300.0
    for _ in range(5):
        assert shelf.listings.get("key", slow, NOBODY, "the list") == "first"
    assert refreshing.wait(5)
    let_go.set()
    shelf.settle()
    assert shelf.get() == "second"
    assert shelf.fetches == 1


def test_a_refreshed_listing_is_fresh_again(shelf: Shelf) -> None:
    shelf.get()
    shelf.now += 300.0
    shelf.get()
    shelf.settle()
    shelf.now += 299.0
    shelf.get()
    shelf.settle()
    assert shelf.fetches == 2


def test_a_first_fetch_that_fails_is_raised_and_not_kept(shelf: Shelf) -> None:
    for number in (1, 2):
        shelf.answer = Unreachable("away")
        with pytest.raises(Unreachable):
            shelf.get()
        assert shelf.fetches == number
    shelf.answer = "first"
    assert shelf.get() == "first"
    assert shelf.journal.failures() == ()


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_a_listing_that_cannot_be_refreshed_goes_on_being_served(shelf: Shelf, error: CdbfsError) -> None:
    shelf.get()
    shelf.now += 300.0
    shelf.answer = error
    assert shelf.get() == "first"
    shelf.settle()
    assert shelf.get() == "first"
    (failure,) = shelf.journal.failures()
    assert (failure.errno, failure.what, failure.reason) == (error.errno, "the list", str(error))


def test_a_failed_refresh_is_tried_again_after_the_pause_and_no_sooner(shelf: Shelf) -> None:
    shelf.get()
    shelf.now += 300.0
    shelf.answer = Unreachable("away")
    shelf.get()
    shelf.settle()
    shelf.answer = "second"
    shelf.now += 9.9
    assert shelf.get() == "first"
    shelf.settle()
    assert shelf.fetches == 2
    shelf.now += 0.1
    assert shelf.get() == "first"
    shelf.settle()
    assert shelf.get() == "second"


@pytest.mark.parametrize("error", [AccessRefused("no"), NotFound("gone")], ids=repr)
def test_a_listing_that_the_server_refuses_is_withheld(shelf: Shelf, error: CdbfsError) -> None:
    shelf.get()
    shelf.now += 300.0
    shelf.answer = error
    assert shelf.get() == "first"
    shelf.settle()
    for _ in range(2):
        with pytest.raises(type(error)):
            shelf.get()
    assert shelf.journal.failures()[0].errno in (errno.EACCES, errno.ENOENT)
    shelf.answer = "again"
    assert shelf.get() == "again"


def test_keys_are_kept_apart(shelf: Shelf) -> None:
    assert shelf.get("a") == "first"
    shelf.answer = "second"
    assert shelf.get("b") == "second"
    assert (shelf.get("a"), len(shelf.listings)) == ("first", 2)


def test_an_empty_listing_is_a_listing(shelf: Shelf) -> None:
    shelf.answer = ""
    assert [shelf.get() for _ in range(3)] == [""] * 3
    assert shelf.fetches == 1


def test_the_least_recently_used_goes_first() -> None:
    shelf = Shelf(keep=2)
    for key in ("a", "b", "a", "c", "a"):
        shelf.get(key)
    assert (shelf.fetches, len(shelf.listings)) == (3, 2)
    shelf.get("b")
    assert shelf.fetches == 4
    shelf.flight.close()


# --- where it must not be older than so many seconds


def test_one_that_is_too_old_is_fetched_before_it_is_served(shelf: Shelf) -> None:
    shelf.get(longest=5.0)
    shelf.answer = "second"
    shelf.now += 5.0
    assert shelf.get(longest=5.0) == "first"
    shelf.now += 0.1
    assert shelf.get(longest=5.0) == "second"
    shelf.now += 5.0
    assert (shelf.get(longest=5.0), shelf.fetches) == ("second", 2)


def test_it_is_fetched_once_however_many_look(shelf: Shelf) -> None:
    shelf.get(longest=5.0)
    shelf.now += 6.0
    began, let_go = threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        assert let_go.wait(5)
        return shelf.fetch()

    with ThreadPoolExecutor(20) as pool:
        looks = [pool.submit(shelf.listings.get, "key", slow, NOBODY, "it", longest=5.0) for _ in range(20)]
        assert began.wait(5)
        let_go.set()
        assert {look.result(5) for look in looks} == {"first"}
    assert shelf.fetches == 2


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_where_it_cannot_be_fetched_the_older_one_is_served_and_that_is_told(
    shelf: Shelf, error: CdbfsError
) -> None:
    shelf.get(longest=5.0)
    shelf.answer = error
    shelf.now += 6.0
    for _ in range(3):
        assert shelf.get(longest=5.0) == "first"
    assert shelf.fetches == 2
    (failure,) = shelf.journal.failures()
    assert (failure.errno, failure.what, failure.reason, failure.times) == (
        error.errno,
        "the list",
        str(error),
        1,
    )
    shelf.answer = "second"
    shelf.now += 6.0
    assert shelf.get(longest=5.0) == "second"


def test_who_loses_his_patience_gets_the_older_one_and_the_next_as_well(shelf: Shelf) -> None:
    shelf.get(longest=5.0)
    shelf.now += 6.0
    let_go = threading.Event()

    def slow() -> str:
        assert let_go.wait(5)
        return "second"

    for _ in range(3):
        assert shelf.listings.get("key", slow, Caller(patience=0.1), "the list", longest=5.0) == "first"
    (failure,) = shelf.journal.failures()
    assert (failure.errno, failure.times) == (errno.ETIMEDOUT, 1)
    let_go.set()
    shelf.settle()
    assert shelf.get(longest=5.0) == "second"


@pytest.mark.parametrize("error", [AccessRefused("no"), NotFound("gone")], ids=repr)
def test_what_the_server_refuses_by_now_is_not_served_once_more(shelf: Shelf, error: CdbfsError) -> None:
    shelf.get(longest=5.0)
    shelf.answer = error
    shelf.now += 6.0
    for _ in range(2):
        with pytest.raises(type(error)):
            shelf.get(longest=5.0)
    assert len(shelf.listings) == 0


def test_who_is_interrupted_meanwhile_gets_nothing(shelf: Shelf) -> None:
    shelf.get(longest=5.0)
    shelf.now += 6.0
    let_go = threading.Event()
    with pytest.raises(Interrupted):
        shelf.listings.get("key", let_go.wait, Caller(interrupted=lambda: True), "the list", longest=5.0)
    let_go.set()
    shelf.settle()
