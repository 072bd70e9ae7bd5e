"""Searches under way: once however many wait, superseded ones, failures, results past their time to live."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdbfs.caller import Caller
from cdbfs.errors import (
    AccessRefused,
    CdbfsError,
    GivenUp,
    Interrupted,
    NoSpace,
    ServerFault,
    TimedOut,
    TooManyWaiters,
)
from cdbfs.events import Journal
from cdbfs.query.runs import Job, Run, Runs
from cdbfs.store.flight import Waiters
from cdbfs.store.results import Results, Writer
from cdbfs.xnat.deadline import Stop
from tests.mount.failing import wait_until

SOON = Caller(patience=10.0)
SECOND = 10**9


class Search:
    """A search that answers when it is let to, with what it is told to."""

    def __init__(self, key: str = "k", text: str = "a\n1\n", error: Exception | None = None) -> None:
        self.key = key
        self.text = text
        self.error = error
        self.asked = 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.stop: Stop | None = None

    def job(self) -> Job:
        return Job(self.key, self.make)

    def make(self, out: Writer, stop: Stop) -> None:
        self.asked += 1
        self.stop = stop
        out.write(self.text[:1])
        ends = time.monotonic() + 20
        while not self.may_end.is_set() and time.monotonic() < ends:
            if stop.stopped:
                raise Interrupted("given up")
            time.sleep(0.005)
        if self.error is not None:
            raise self.error
        out.write(self.text[1:])


class Desk:
    """Runs on a clock that is set by hand."""

    def __init__(self, directory: Path) -> None:
        self.journal = Journal()
        self.waiters = Waiters(20)
        self.now = time.time_ns()
        self.results = Results(directory, 10**6)
        self.runs = Runs(
            self.results,
            self.waiters,
            self.journal,
            ttl=100.0,
            retry_pause=5.0,
            wall_clock=lambda: self.now,
        )

    def read(self, search: Search, name: str = "x.csv", caller: Caller = SOON) -> str:
        found = self.runs.open(search.job(), name, caller)
        try:
            return found.read(found.size, 0).decode()
        finally:
            found.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "results")
    yield made
    made.runs.close()


def held(search: Search) -> Search:
    search.may_end.clear()
    return search


def reading(desk: Desk, search: Search, name: str = "x.csv") -> tuple[threading.Thread, list[object]]:
    """A thread that opens a result; what it got, or the error."""
    got: list[object] = []

    def read() -> None:
        try:
            got.append(desk.read(search, name))
        except CdbfsError as error:
            got.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, got


def under_way(desk: Desk, search: Search, name: str = "x.csv") -> Run:
    run = desk.runs.want(search.job(), name)
    wait_until(lambda: search.asked == 1)
    return run


def test_a_result_is_made_once_and_kept(desk: Desk) -> None:
    search = Search()
    assert [desk.read(search) for _ in range(3)] == ["a\n1\n"] * 3
    assert search.asked == 1
    kept = desk.runs.kept("k")
    assert kept is not None
    assert kept.size == 4


def test_many_who_wait_cost_one_search(desk: Desk) -> None:
    search = held(Search())
    readers = [reading(desk, search, f"{number % 3}.csv") for number in range(15)]
    wait_until(lambda: desk.waiters.now == 15)
    search.may_end.set()
    for thread, _ in readers:
        thread.join(10)
    assert [got for _, got in readers] == [["a\n1\n"]] * 15
    assert search.asked == 1


def test_who_wants_it_does_not_wait(desk: Desk) -> None:
    search = held(Search())
    run = under_way(desk, search)
    assert desk.runs.want(search.job(), "y.csv") is run
    assert desk.runs.now == 1
    assert desk.runs.kept("k") is None
    search.may_end.set()
    desk.runs.wait(run, "x.csv", SOON)
    assert desk.runs.now == 0
    assert desk.runs.kept("k") is not None


def test_nothing_of_a_search_that_fails_is_kept(desk: Desk, tmp_path: Path) -> None:
    search = Search(error=ServerFault("it broke"))
    with pytest.raises(ServerFault, match="it broke"):
        desk.read(search)
    assert os.listdir(tmp_path / "results") == []
    failure = desk.runs.failure("k")
    assert failure is not None
    assert failure.reason == "it broke"
    assert failure.when == desk.now
    assert [line.what for line in desk.journal.failures()] == ["x.csv"]


def test_a_failure_is_forgotten_when_it_works_again(desk: Desk) -> None:
    search = Search(error=ServerFault("it broke"))
    with pytest.raises(ServerFault):
        desk.read(search)
    search.error = None
    assert desk.read(search) == "a\n1\n"
    assert desk.runs.failure("k") is None


def test_a_failed_new_run_leaves_the_last_good_result(desk: Desk) -> None:
    search = Search()
    desk.read(search)
    search.error = TimedOut("too slow")
    run = desk.runs.want(search.job(), "x.csv")
    with pytest.raises(TimedOut, match="too slow"):
        desk.runs.wait(run, "x.csv", SOON)
    assert desk.read(search) == "a\n1\n"
    assert desk.runs.failure("k") is not None


def test_what_the_server_refuses_is_withheld(desk: Desk) -> None:
    search = Search()
    desk.read(search)
    search.error = AccessRefused("no more")
    desk.now += 101 * SECOND
    desk.read(search)  # served once more while it is asked for again
    wait_until(lambda: desk.runs.failure("k") is not None)
    with pytest.raises(AccessRefused):
        desk.read(search)
    assert desk.runs.kept("k") is None


def test_a_full_disk_is_told_as_one(desk: Desk) -> None:
    with pytest.raises(NoSpace, match="is full"):
        desk.read(Search(error=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(CdbfsError, match="cannot be kept: Permission denied"):
        desk.read(Search(error=PermissionError(errno.EACCES, "Permission denied")))


def test_a_fault_of_ours_is_told_as_one(desk: Desk) -> None:
    with pytest.raises(CdbfsError, match="a fault in cdbfs itself: KeyError"):
        desk.read(Search(error=KeyError("x")))


def test_a_new_text_gives_up_the_search_of_the_old_one(desk: Desk) -> None:
    old, new = held(Search("old")), Search("new", "b\n")
    run = under_way(desk, old)
    thread, got = reading(desk, old)
    wait_until(lambda: desk.waiters.now == 1)
    assert desk.read(new) == "b\n"
    thread.join(10)
    assert isinstance(got[0], GivenUp)
    assert run.stop.stopped
    assert desk.runs.failure("old") is None
    assert desk.runs.now == 0


def test_a_search_that_another_name_wants_goes_on(desk: Desk) -> None:
    old, new = held(Search("old")), Search("new", "b\n")
    run = under_way(desk, old, "x.csv")
    desk.runs.want(old.job(), "y.csv")
    desk.runs.want(new.job(), "x.csv")
    assert not run.stop.stopped
    desk.runs.leave("y.csv")
    assert run.stop.stopped


def test_a_search_given_up_gives_up_its_place(desk: Desk) -> None:
    slow = [held(Search(f"slow {number}")) for number in range(2)]
    for number, search in enumerate(slow):
        under_way(desk, search, f"{number}.csv")
    third = Search("third", "c\n")
    run = desk.runs.want(third.job(), "third.csv")
    time.sleep(0.1)
    assert third.asked == 0  # two at once are the most
    desk.runs.leave("0.csv")
    desk.runs.wait(run, "third.csv", SOON)
    assert desk.read(third) == "c\n"
    assert slow[1].stop is not None
    assert not slow[1].stop.stopped


def test_one_that_has_not_begun_is_dropped_when_nobody_wants_it(desk: Desk) -> None:
    slow = [held(Search(f"slow {number}")) for number in range(2)]
    for number, search in enumerate(slow):
        under_way(desk, search, f"{number}.csv")
    third = Search("third")
    thread, got = reading(desk, third, "third.csv")
    wait_until(lambda: desk.runs.now == 3)
    desk.runs.leave("third.csv")
    thread.join(10)
    assert isinstance(got[0], GivenUp)
    for search in slow:
        search.may_end.set()
    wait_until(lambda: desk.runs.now == 0)
    assert third.asked == 0


def test_who_opens_waits_for_a_run_that_somebody_asked_for(desk: Desk) -> None:
    search = Search()
    desk.read(search)
    search.text = "a\n2\n"
    held(search)
    desk.runs.want(search.job(), "x.csv")
    thread, got = reading(desk, search)
    wait_until(lambda: desk.waiters.now == 1)
    search.may_end.set()
    thread.join(10)
    assert got == ["a\n2\n"]


def test_a_result_past_its_time_is_served_while_it_is_made_anew(desk: Desk) -> None:
    search = Search()
    desk.read(search)
    search.text = "a\n2\n"
    held(search)
    desk.now += 101 * SECOND
    assert desk.read(search) == "a\n1\n"
    assert desk.read(search) == "a\n1\n"
    search.may_end.set()
    wait_until(lambda: desk.runs.now == 0)
    assert desk.read(search) == "a\n2\n"
    wait_until(lambda: search.asked == 3)  # the clock still says that the newest is too old


def test_a_failed_renewal_is_not_tried_at_every_look(desk: Desk) -> None:
    search = Search()
    desk.read(search)
    search.error = ServerFault("it broke")
    desk.now += 101 * SECOND
    for _ in range(5):
        assert desk.read(search) == "a\n1\n"
        wait_until(lambda: desk.runs.now == 0)
    assert search.asked == 2
    desk.now += 6 * SECOND
    desk.read(search)
    wait_until(lambda: search.asked == 3)


def test_a_reader_who_loses_his_patience_leaves_the_search_alone(desk: Desk) -> None:
    search = held(Search())
    with pytest.raises(TimedOut, match=r"the result of x\.csv did not come"):
        desk.read(search, caller=Caller(patience=0.1))
    with pytest.raises(Interrupted):
        desk.read(search, caller=Caller(patience=10, interrupted=lambda: True))
    search.may_end.set()
    assert desk.read(search) == "a\n1\n"
    assert search.asked == 1


def test_one_waiter_too_many_is_turned_away(desk: Desk) -> None:
    desk.waiters = Waiters(1)
    desk.runs = Runs(desk.results, desk.waiters, desk.journal, ttl=100.0, retry_pause=5.0)
    search = held(Search())
    thread, got = reading(desk, search)
    wait_until(lambda: desk.waiters.now == 1)
    with pytest.raises(TooManyWaiters):
        desk.read(search)
    search.may_end.set()
    thread.join(10)
    assert got == ["a\n1\n"]


def test_the_end_of_a_search_is_told_before_it_counts_as_over(desk: Desk) -> None:
    told: list[tuple[frozenset[str], bool]] = []
    search = held(Search())
    run = desk.runs.want(search.job(), "x.csv")
    desk.runs.want(search.job(), "y.csv")
    desk.runs.ended = lambda names: told.append((names, run.future.done()))
    search.may_end.set()
    desk.runs.wait(run, "x.csv", SOON)
    assert told == [(frozenset({"x.csv", "y.csv"}), False)]


def test_what_is_dropped_is_asked_for_again(desk: Desk) -> None:
    search = Search()
    desk.read(search)
    desk.runs.drop("k")
    assert desk.runs.kept("k") is None
    desk.read(search)
    assert search.asked == 2


def test_closing_ends_what_is_under_way_and_lets_go_of_who_waits(desk: Desk) -> None:
    search = held(Search())
    thread, got = reading(desk, search)
    wait_until(lambda: desk.waiters.now == 1)
    desk.runs.close()
    thread.join(10)
    assert isinstance(got[0], Interrupted)
    with pytest.raises(Interrupted, match="the mount is ending"):
        desk.read(Search("other"))


def test_one_that_is_given_up_while_it_writes_gives_up_its_place(desk: Desk) -> None:
    class Writing(Search):
        def make(self, out: Writer, stop: Stop) -> None:
            self.asked += 1
            ends = time.monotonic() + 20
            while time.monotonic() < ends:
                out.write("row\n")

    search = Writing("endless")
    run = under_way(desk, search)
    desk.runs.leave("x.csv")
    with pytest.raises(Interrupted):
        run.future.result(10)
    assert desk.runs.failure("endless") is None


def test_a_failure_keeps_nothing_of_the_search(desk: Desk) -> None:
    """An exception would keep the frames that it passed, with all that they hold."""
    with pytest.raises(ServerFault):
        desk.read(Search(error=ServerFault("it broke")))
    failure = desk.runs.failure("k")
    assert failure is not None
    assert [type(each) for each in vars(failure).values()] == [str, int]
