"""File times: the server's where they suffice, and later whenever bytes are others."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdbfs.tree.stamps import KEEP, SECOND, Stamps, digest

NOW = 1_700_000_000_000_000_000


class Clock:
    """A clock on the wall that anybody may set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stamps(clock: Clock) -> Stamps:
    return Stamps(clock)


def test_at_first_the_servers_word_is_taken(stamps: Stamps) -> None:
    assert stamps.mtime("a", digest(b"1"), 7) == 7
    assert stamps.mtime("b", digest(b""), -5) == -5
    assert stamps.mtime("c", digest(b"1"), 2 * NOW) == 2 * NOW


@pytest.mark.parametrize("said", [0, 7, 8, 2 * NOW])
def test_the_same_bytes_keep_their_time_whatever_the_server_says(stamps: Stamps, said: int) -> None:
    stamps.mtime("a", digest(b"1"), 7)
    assert stamps.mtime("a", digest(b"1"), said) == 7


def test_other_bytes_have_the_time_that_the_server_says_where_it_is_later(stamps: Stamps) -> None:
    stamps.mtime("a", digest(b"1"), 7)
    assert stamps.mtime("a", digest(b"2"), 8) == 8


@pytest.mark.parametrize("said", [7, 6, -1])
def test_other_bytes_of_which_the_server_says_nothing_new_changed_now(stamps: Stamps, said: int) -> None:
    stamps.mtime("a", digest(b"1"), 7)
    assert stamps.mtime("a", digest(b"2"), said) == NOW
    assert stamps.mtime("a", digest(b"2"), said) == NOW


def test_a_time_goes_on_when_the_clock_stands_or_goes_back(stamps: Stamps, clock: Clock) -> None:
    times = [stamps.mtime("a", digest(b"0"), 7)]
    for number, now in enumerate((NOW, NOW, NOW - 5, 0), 1):
        clock.now = now
        times.append(stamps.mtime("a", digest(str(number).encode()), 7))
    assert times == [7, *(NOW + number * SECOND for number in range(4))]


def test_a_time_in_the_future_goes_on_from_there(stamps: Stamps) -> None:
    stamps.mtime("a", digest(b"1"), 2 * NOW)
    assert stamps.mtime("a", digest(b"2"), 2 * NOW) == 2 * NOW + SECOND


def test_bytes_that_come_back_are_a_change_as_well(stamps: Stamps, clock: Clock) -> None:
    """Who copied the version between would keep it."""
    stamps.mtime("a", digest(b"1"), 7)
    stamps.mtime("a", digest(b"2"), 7)
    clock.now += 2 * SECOND
    assert stamps.mtime("a", digest(b"1"), 7) == NOW + 2 * SECOND


def test_an_empty_file_is_a_version_like_others(stamps: Stamps) -> None:
    stamps.mtime("a", digest(b""), 7)
    assert stamps.mtime("a", digest(b""), 8) == 7
    assert stamps.mtime("a", digest(b"1"), 7) == NOW
    assert stamps.mtime("a", digest(b""), 7) == NOW + SECOND


def test_files_are_kept_apart(stamps: Stamps) -> None:
    keys = ["subjects", ("subjects", "P"), ("subjects", "Q"), 7]
    for said, key in enumerate(keys):
        stamps.mtime(key, digest(b"1"), said)
    stamps.mtime("subjects", digest(b"2"), 0)
    assert [stamps.mtime(key, digest(b"1"), 99) for key in keys[1:]] == [1, 2, 3]


def test_the_least_recently_used_is_forgotten_and_begins_anew(stamps: Stamps) -> None:
    for number in range(KEEP):
        stamps.mtime(number, digest(b"1"), 7)
    assert stamps.mtime(0, digest(b"1"), 8) == 7
    stamps.mtime("one more", digest(b"1"), 7)
    assert stamps.mtime(0, digest(b"1"), 8) == 7
    assert stamps.mtime(1, digest(b"1"), 8) == 8


def test_what_tells_versions_apart_is_short_and_another_for_other_bytes() -> None:
    versions = [b"", b"\0", b"a", b"b", b"a" * 10**6]
    assert len({digest(data) for data in versions}) == len(versions)
    assert {len(digest(data)) for data in versions} == {16}
    assert digest(b"a") == digest(b"a")


STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.binary(max_size=1), st.integers(0, 6), st.integers(-3, 3)), max_size=30
)


@settings(deadline=None, max_examples=200)
@given(STEPS)
def test_the_time_is_another_and_later_if_and_only_if_the_bytes_are_others(
    steps: list[tuple[str, bytes, int, int]],
) -> None:
    clock = Clock()
    clock.now = 3
    stamps = Stamps(clock)
    last: dict[str, tuple[bytes, int]] = {}
    for key, data, said, ticks in steps:
        clock.now += ticks
        mtime = stamps.mtime(key, digest(data), said)
        if key not in last:
            assert mtime == said
        else:
            before, then = last[key]
            assert mtime == then if data == before else mtime > then
        last[key] = (data, mtime)


def test_threads_that_look_at_a_change_together_see_one_time() -> None:
    ticks: Iterator[int] = iter(range(NOW, NOW + 10**6))
    stamps = Stamps(lambda: next(ticks))
    stamps.mtime("a", digest(b"1"), 7)
    barrier = threading.Barrier(8)
    seen: set[int] = set()

    def look() -> None:
        barrier.wait(5)
        for _ in range(100):
            seen.add(stamps.mtime("a", digest(b"2"), 7))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {NOW}
