"""One run of a job for a key, however many wait for it, and none where nobody does any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

import pytest

from cdbfs.caller import NOBODY, Caller
from cdbfs.errors import Interrupted, NotFound, TimedOut, TooManyWaiters
from cdbfs.store.flight import GIVEN_UP_SECONDS, Flight, Waiters


class Job:
    """Counts its runs; each waits until it is let go."""

    def __init__(self) -> None:
        self.runs = 0
        self.begun = threading.Event()
        self.let_go = threading.Event()

    def __call__(self) -> int:
        self.runs += 1
        self.begun.set()
        assert self.let_go.wait(5)
        return self.runs


@pytest.fixture
def waiters() -> Waiters:
    return Waiters(3)


@pytest.fixture
def flight(waiters: Waiters) -> Iterator[Flight]:
    made = Flight(2, waiters)
    yield made
    made.close()


@pytest.fixture
def single(waiters: Waiters) -> Iterator[Flight]:
    """A flight with one worker."""
    made = Flight(1, waiters)
    yield made
    made.close()


@pytest.fixture
def job() -> Iterator[Job]:
    made = Job()
    yield made
    made.let_go.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


class Guest:
    """A caller who waits in a thread of its own, and is interrupted when told so."""

    def __init__(self, pool: ThreadPoolExecutor, flight: Flight, key: str, job: Callable[[], int]) -> None:
        self.leaves = threading.Event()
        self._waits = threading.Event()
        self._answer = pool.submit(flight.run, key, job, Caller(interrupted=self._looks), "it")

    def joined(self) -> Guest:
        """When it waits for a run."""
        assert self._waits.wait(5)
        return self

    def result(self) -> int:
        return self._answer.result(5)

    def error(self) -> BaseException | None:
        return self._answer.exception(5)

    def _looks(self) -> bool:
        self._waits.set()
        return self.leaves.is_set()


def test_a_job_is_run_and_its_result_given(flight: Flight, waiters: Waiters) -> None:
    assert flight.run("key", lambda: 7, NOBODY, "it") == 7
    assert waiters.now == 0


def test_all_who_wait_for_a_key_share_one_run(
    flight: Flight, job: Job, pool: ThreadPoolExecutor, waiters: Waiters
) -> None:
    guests = [Guest(pool, flight, "key", job).joined() for _ in range(3)]
    job.let_go.set()
    assert [guest.result() for guest in guests] == [1, 1, 1]
    assert waiters.now == 0


def test_two_keys_are_two_runs_at_once(flight: Flight, pool: ThreadPoolExecutor) -> None:
    meeting = threading.Barrier(2)
    asked = [pool.submit(flight.run, key, lambda: meeting.wait(5), NOBODY, "it") for key in "ab"]
    assert sorted(future.result() for future in asked) == [0, 1]


def test_after_a_run_the_next_one_runs_anew(flight: Flight, job: Job) -> None:
    job.let_go.set()
    assert [flight.run("key", job, NOBODY, "it") for _ in range(20)] == list(range(1, 21))


def test_what_a_job_raises_all_its_waiters_get_and_the_next_run_is_free_of_it(
    flight: Flight, job: Job, pool: ThreadPoolExecutor
) -> None:
    def fail() -> int:
        job()
        raise NotFound("gone")

    guests = [Guest(pool, flight, "key", fail).joined() for _ in range(3)]
    job.let_go.set()
    assert [str(guest.error()) for guest in guests] == ["gone"] * 3
    assert flight.run("key", lambda: 7, NOBODY, "it") == 7


def test_one_who_is_interrupted_leaves_and_the_others_still_get_it(
    flight: Flight, job: Job, pool: ThreadPoolExecutor, waiters: Waiters
) -> None:
    other = pool.submit(flight.run, "key", job, NOBODY, "it")
    assert job.begun.wait(5)
    with pytest.raises(Interrupted):
        flight.run("key", job, Caller(interrupted=lambda: True), "it")
    assert waiters.now == 1
    job.let_go.set()
    assert other.result() == 1


def test_who_lost_patience_finds_the_same_run_when_asking_again(flight: Flight, job: Job) -> None:
    with pytest.raises(TimedOut):
        flight.run("key", job, Caller(patience=0.01), "it")
    job.let_go.set()
    future = flight.start("key", job)
    assert future.result(5) == 1 == job.runs


def test_waiters_over_the_limit_are_sent_away_and_the_rest_are_served(
    flight: Flight, job: Job, pool: ThreadPoolExecutor, waiters: Waiters
) -> None:
    guests = [Guest(pool, flight, "key", job).joined() for _ in range(3)]
    with pytest.raises(TooManyWaiters, match="3 readers wait"):
        flight.run("key", job, NOBODY, "it")
    assert waiters.now == 3
    job.let_go.set()
    assert [guest.result() for guest in guests] == [1, 1, 1]
    assert flight.run("key", job, NOBODY, "it") == 2


def test_after_the_end_no_job_is_taken(flight: Flight) -> None:
    flight.close()
    with pytest.raises(Interrupted, match="the mount is ending"):
        flight.run("key", lambda: 7, NOBODY, "it")


def test_who_waits_for_a_job_that_has_not_begun_learns_of_the_end(
    single: Flight, job: Job, pool: ThreadPoolExecutor
) -> None:
    single.start("busy", job)
    guest = Guest(pool, single, "later", lambda: 7).joined()
    single.close()
    assert type(guest.error()) is Interrupted


def test_who_waits_for_a_job_under_way_gets_it_even_at_the_end(
    flight: Flight, job: Job, pool: ThreadPoolExecutor
) -> None:
    waiting = pool.submit(flight.run, "key", job, NOBODY, "it")
    assert job.begun.wait(5)
    flight.close()
    job.let_go.set()
    assert waiting.result(5) == 1


def test_a_job_that_its_only_waiter_left_before_it_began_is_never_run(
    single: Flight, job: Job, pool: ThreadPoolExecutor, waiters: Waiters
) -> None:
    busy = pool.submit(single.run, "busy", job, NOBODY, "it")
    assert job.begun.wait(5)
    abandoned = Job()
    abandoned.let_go.set()
    with pytest.raises(Interrupted, match="while waiting for it"):
        single.run("later", abandoned, Caller(interrupted=lambda: True), "it")
    job.let_go.set()
    assert busy.result(5) == 1
    assert single.run("last", lambda: 7, NOBODY, "it") == 7
    assert (abandoned.runs, waiters.now) == (0, 0)


def test_a_job_that_was_dropped_is_run_for_whoever_asks_next(
    single: Flight, job: Job, pool: ThreadPoolExecutor
) -> None:
    single.start("busy", job)
    later = Job()
    later.let_go.set()
    for _ in range(3):
        with pytest.raises(Interrupted):
            single.run("later", later, Caller(interrupted=lambda: True), "it")
    asked = pool.submit(single.run, "later", later, NOBODY, "it")
    job.let_go.set()
    assert asked.result(5) == 1 == later.runs


def test_a_job_is_dropped_only_when_the_last_of_its_waiters_has_left(
    single: Flight, job: Job, pool: ThreadPoolExecutor
) -> None:
    busy = pool.submit(single.run, "busy", job, NOBODY, "it")
    assert job.begun.wait(5)
    later = Job()
    guests = [Guest(pool, single, "later", later).joined() for _ in range(2)]
    guests[0].leaves.set()
    assert type(guests[0].error()) is Interrupted
    job.let_go.set()
    assert busy.result(5) == 1
    assert later.begun.wait(5)
    later.let_go.set()
    assert guests[1].result() == 1


def test_who_lost_patience_has_left_as_well(single: Flight, job: Job, waiters: Waiters) -> None:
    single.start("busy", job)
    later = Job()
    later.let_go.set()
    with pytest.raises(TimedOut, match=r"^it did not come within 0\.01 s$"):
        single.run("later", later, Caller(patience=0.01), "it")
    job.let_go.set()
    assert single.run("last", lambda: 7, NOBODY, "it") == 7
    assert (later.runs, waiters.now) == (0, 0)


def test_who_lost_patience_takes_nothing_from_who_has_more(
    single: Flight, job: Job, pool: ThreadPoolExecutor
) -> None:
    single.start("busy", job)
    later = Job()
    later.let_go.set()
    guest = Guest(pool, single, "later", later).joined()
    with pytest.raises(TimedOut):
        single.run("later", later, Caller(patience=0.01), "it")
    job.let_go.set()
    assert guest.result() == 1


def test_a_job_that_was_started_without_a_waiter_is_not_dropped(
    single: Flight, job: Job, pool: ThreadPoolExecutor
) -> None:
    single.start("busy", job)
    future = single.start("later", lambda: 7)
    with pytest.raises(Interrupted):
        single.run("later", lambda: 8, Caller(interrupted=lambda: True), "it")
    job.let_go.set()
    assert future.result(5) == 7


def test_a_job_under_way_is_not_stopped_by_its_last_waiter_leaving(
    flight: Flight, job: Job, pool: ThreadPoolExecutor
) -> None:
    guest = Guest(pool, flight, "key", job).joined()
    assert job.begun.wait(5)
    guest.leaves.set()
    assert type(guest.error()) is Interrupted
    again = flight.start("key", job)
    job.let_go.set()
    assert again.result(5) == 1 == job.runs


def test_one_too_many_queues_nothing(single: Flight, job: Job, pool: ThreadPoolExecutor) -> None:
    guests = [Guest(pool, single, key, job).joined() for key in "abc"]
    refused = Job()
    refused.let_go.set()
    for key in "abcd":
        with pytest.raises(TooManyWaiters):
            single.run(key, refused, NOBODY, "it")
    job.let_go.set()
    assert sorted(guest.result() for guest in guests) == [1, 2, 3]
    assert single.run("last", lambda: 7, NOBODY, "it") == 7
    assert refused.runs == 0


def test_the_limit_is_one_for_all_flights(
    flight: Flight, single: Flight, job: Job, pool: ThreadPoolExecutor, waiters: Waiters
) -> None:
    guests = [Guest(pool, each, "key", job).joined() for each in (flight, single, single)]
    for each in (flight, single):
        with pytest.raises(TooManyWaiters):
            each.run("other", job, NOBODY, "it")
    job.let_go.set()
    assert all(guest.result() for guest in guests)
    assert waiters.now == 0


@pytest.mark.parametrize("error", [NotFound("gone"), RuntimeError("unforeseen"), KeyError("x")], ids=repr)
def test_a_waiter_is_counted_off_however_its_wait_ends(flight: Flight, error: Exception, waiters: Waiters) -> None:
    def fail() -> int:
        raise error

    with pytest.raises(type(error)):
        flight.run("key", fail, NOBODY, "it")
    assert waiters.now == 0


def test_guests_who_come_and_go_leave_nothing_behind(
    single: Flight, job: Job, pool: ThreadPoolExecutor, waiters: Waiters
) -> None:
    single.start("busy", job)
    runs: list[int] = []
    for number in range(10):
        with pytest.raises(Interrupted):
            single.run(number, lambda: runs.append(1), Caller(interrupted=lambda: True), "it")
    job.let_go.set()
    assert single.run("last", lambda: 7, NOBODY, "it") == 7
    assert (runs, waiters.now) == ([], 0)


def test_what_one_lost_his_patience_with_the_next_does_not_wait_for(job: Job) -> None:
    now = [0.0]
    flight = Flight(1, Waiters(9), clock=lambda: now[0])
    brief, patient = Caller(patience=0.1), Caller(patience=30)
    with pytest.raises(TimedOut, match=r"it did not come within 0\.1 s"):
        flight.run("key", job, brief, "it")
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(TimedOut, match=r"it did not come within 0\.1 s"):
            flight.run("key", job, Caller(patience=0.1), "it")
    assert time.monotonic() - began < 5  # 10 s, did each wait for himself
    with ThreadPoolExecutor(1) as pool:  # who has more patience waits; another key is another thing
        waiting = pool.submit(flight.run, "key", job, patient, "it")
        with pytest.raises(TimedOut):
            flight.run("other", lambda: 7, brief, "it")  # behind it, in the one worker
        job.let_go.set()
        assert waiting.result(5) == 1
    assert flight.run("key", job, brief, "it") == 2
    flight.close()


def test_a_second_try_some_time_later_is_a_real_one(job: Job) -> None:
    now = [0.0]
    flight = Flight(1, Waiters(9), clock=lambda: now[0])
    with pytest.raises(TimedOut):
        flight.run("key", job, Caller(patience=0.1), "it")
    now[0] += GIVEN_UP_SECONDS + 0.1
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(flight.run, "key", job, Caller(patience=10), "it")
        with pytest.raises(TimedOut):
            flight.run("key", job, Caller(patience=0.1), "it")
        job.let_go.set()
        assert waiting.result(5) == 1
    flight.close()


def test_a_job_that_never_began_is_not_waited_for_again_either(job: Job, single: Flight) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(single.run, "first", job, NOBODY, "it")
        assert job.begun.wait(5)
        runs: list[int] = []
        for _ in range(3):
            with pytest.raises(TimedOut):
                single.run("second", lambda: runs.append(1), Caller(patience=0.2), "it")
        job.let_go.set()
        assert first.result(5) == 1
    assert runs == []


def test_what_a_job_says_of_time_is_no_lost_patience(flight: Flight) -> None:
    def fail() -> int:
        raise TimedOut("the server fell silent")

    for _ in range(2):
        with pytest.raises(TimedOut, match="the server fell silent"):
            flight.run("key", fail, Caller(patience=5), "it")
    assert flight.run("key", lambda: 7, Caller(patience=5), "it") == 7
