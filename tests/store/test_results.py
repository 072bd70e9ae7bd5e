"""Results on disk: whole or not there, private, and the least recently opened go first."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from cdbfs.errors import TooLarge
from cdbfs.store.disk import PART, PART_SECONDS
from cdbfs.store.results import Results


def write(results: Results, key: str, text: str) -> None:
    with results.writing(key) as out:
        out.write(text)


def content(results: Results, key: str) -> bytes | None:
    found = results.open(key)
    if found is None:
        return None
    try:
        return found.read(found.size, 0)
    finally:
        found.close()


def test_a_result_is_whole_or_not_there(tmp_path: Path) -> None:
    results = Results(tmp_path / "a" / "r", 1000)
    assert content(results, "k") is None
    with results.writing("k") as out:
        out.write("id,ü\n1,2\n")
        assert results.find("k") is None
    assert content(results, "k") == "id,ü\n1,2\n".encode()
    kept = results.find("k")
    assert kept is not None
    assert kept.size == 10
    assert abs(kept.mtime - time.time_ns()) < 60 * 10**9


def test_one_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    results = Results(tmp_path, 1000)
    write(results, "k", "old\n")

    def fail() -> None:
        with results.writing("k") as out:
            out.write("new")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        fail()
    assert content(results, "k") == b"old\n"
    assert os.listdir(tmp_path) == ["k.csv"]


def test_results_are_private(tmp_path: Path) -> None:
    results = Results(tmp_path / "r", 1000)
    write(results, "k", "a\n")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "r", tmp_path / "r" / "k.csv")]
    assert modes == [0o700, 0o600]


def test_who_has_one_open_keeps_it(tmp_path: Path) -> None:
    results = Results(tmp_path, 1000)
    write(results, "k", "old\n")
    found = results.open("k")
    assert found is not None
    write(results, "k", "newer\n")
    assert found.read(100, 0) == b"old\n"
    assert found.read(2, 1) == b"ld"
    results.drop("k")
    assert found.read(100, 0) == b"old\n"
    found.close()
    assert content(results, "k") is None
    results.drop("k")


def test_a_character_that_no_file_can_hold_is_escaped(tmp_path: Path) -> None:
    results = Results(tmp_path, 1000)
    write(results, "k", "\ud800,\r\n")
    assert content(results, "k") == b"\\ud800,\r\n"


def test_what_was_not_opened_for_longest_goes_first(tmp_path: Path) -> None:
    results = Results(tmp_path, 250)
    for key in "abc":
        write(results, key, "x" * 80)
    assert content(results, "a") is not None  # so that b is the oldest
    write(results, "d", "x" * 80)
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "c.csv", "d.csv"]


def test_the_newest_stays(tmp_path: Path) -> None:
    results = Results(tmp_path, 250)
    write(results, "a", "x" * 80)
    write(results, "b", "x" * 240)
    assert os.listdir(tmp_path) == ["b.csv"]


def test_opening_one_leaves_its_time(tmp_path: Path) -> None:
    results = Results(tmp_path, 1000)
    write(results, "k", "a\n")
    os.utime(tmp_path / "k.csv", (5, 7))
    found = results.open("k")
    assert found is not None
    found.close()
    assert found.mtime == 7 * 10**9
    assert (tmp_path / "k.csv").stat().st_mtime == 7
    assert (tmp_path / "k.csv").stat().st_atime > 5


def test_a_link_in_its_place_is_no_result(tmp_path: Path) -> None:
    results = Results(tmp_path / "r", 1000)
    write(results, "other", "a\n")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "r" / "k.csv").symlink_to(tmp_path / "secret")
    assert content(results, "k") is None


def test_parts_of_killed_writers_go(tmp_path: Path) -> None:
    results = Results(tmp_path, 1000)
    old, young = tmp_path / f"{PART}old", tmp_path / f"{PART}young"
    for part in (old, young):
        part.write_text("half")
    os.utime(old, (0, time.time() - PART_SECONDS - 10))
    write(results, "k", "a\n")
    assert sorted(os.listdir(tmp_path)) == sorted(["k.csv", young.name])


def test_a_result_larger_than_all_may_be_is_refused(tmp_path: Path) -> None:
    results = Results(tmp_path, 100)

    def grow() -> None:
        with results.writing("k") as out:
            for _ in range(11):
                out.write("x" * 10)

    with pytest.raises(TooLarge, match="over 100"):
        grow()
    assert os.listdir(tmp_path) == []
