"""The journal: bounded, repetitions counted, every failure one line."""

from __future__ import annotations

import errno
import threading

from cdbfs.errors import NotFound, ServerFault, TimedOut
from cdbfs.events import LONGEST, Failure, Journal


def test_failures_are_kept_in_order_with_their_time() -> None:
    times = iter([1.0, 2.0])
    journal = Journal(clock=lambda: next(times))
    journal.record(NotFound("gone"), "/a")
    journal.record(TimedOut("slow"), "/b")
    assert journal.failures() == (
        Failure(1.0, errno.ENOENT, "/a", "gone"),
        Failure(2.0, errno.ETIMEDOUT, "/b", "slow"),
    )


def test_one_that_repeats_itself_is_counted_with_its_last_time() -> None:
    times = iter([1.0, 2.0, 3.0])
    journal = Journal(clock=lambda: next(times))
    for _ in range(3):
        journal.record(NotFound("gone"), "/a")
    assert journal.failures() == (Failure(3.0, errno.ENOENT, "/a", "gone", times=3),)


def test_one_that_comes_again_after_another_is_listed_again() -> None:
    journal = Journal(clock=lambda: 0.0)
    for what in ("/a", "/b", "/a"):
        journal.record(NotFound("gone"), what)
    assert [(failure.what, failure.times) for failure in journal.failures()] == [("/a", 1), ("/b", 1), ("/a", 1)]


def test_another_reason_or_errno_is_another_failure() -> None:
    journal = Journal(clock=lambda: 0.0)
    for error in (NotFound("x"), NotFound("y"), ServerFault("y")):
        journal.record(error, "/a")
    assert len(journal.failures()) == 3


def test_the_oldest_are_forgotten() -> None:
    journal = Journal(keep=3)
    for number in range(5):
        journal.record(NotFound("gone"), f"/{number}")
    assert [failure.what for failure in journal.failures()] == ["/2", "/3", "/4"]


def test_a_failure_is_one_line() -> None:
    failure = Failure(0.0, errno.ENOENT, "/projects/a\nb", "said \x1b[31m\r\u2028\udcff ü", times=2)
    line = failure.line()
    assert line == ("1970-01-01T00:00:00Z ENOENT /projects/a\\nb: said \\x1b[31m\\r\\u2028\\udcff ü (2 times)")
    assert line.encode().splitlines() == [line.encode()]


def test_an_unknown_errno_is_a_number() -> None:
    assert Failure(0.0, 9999, "/a", "why").line() == "1970-01-01T00:00:00Z 9999 /a: why"


def test_many_threads_lose_no_failure() -> None:
    journal = Journal()

    def record() -> None:
        for _ in range(200):
            journal.record(NotFound("gone"), "/a")

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(failure.times for failure in journal.failures()) == 1600


def test_what_is_kept_of_a_failure_is_short() -> None:
    journal = Journal()
    journal.record(NotFound("x" * 10**6), "y" * 10**6)
    (failure,) = journal.failures()
    assert (len(failure.what), len(failure.reason)) == (LONGEST, LONGEST)
    assert failure.reason.endswith("...")
