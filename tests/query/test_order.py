"""Sorting in bounded memory: as `sorted` does it, whatever goes to files, and these where they belong."""

from __future__ import annotations

import tempfile
from operator import itemgetter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdbfs.query.order import MOST_RUNS, in_order, ranking
from cdbfs.query.search import SortKey

TEXTS = st.text(st.sampled_from("ab\x00\x7f\u00e4\u20ac\ud7ff\ue000\uffff\U0001f600\U0010ffff"), max_size=3)
NUMBERS = st.one_of(
    st.integers(-3, 3).map(str),
    st.sampled_from(
        ["", "x", "NaN", "-1.5", "1e3", "1000", " 7", "1_0", "\u0663", "1e400", str(2**63), str(2**60)]
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(TEXTS, NUMBERS), max_size=12),
    st.permutations([0, 1]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 700, 10**6]),
)
def test_as_sorted_key_by_key(
    rows: list[tuple[str, str]], columns: list[int], down: bool, numbers_down: bool, held: int
) -> None:
    keys = [SortKey(0, down, False), SortKey(1, numbers_down, True)]
    rank = ranking([keys[column] for column in columns])
    found = in_order([[rank(row), repr(row)] for row in rows], Path(tempfile.gettempdir()), held)
    assert list(found) == [repr(row) for row in sorted_by(rows, [keys[column] for column in columns])]


def sorted_by(rows: list[tuple[str, str]], keys: list[SortKey]) -> list[tuple[str, str]]:
    for key in reversed(keys):
        known = [(found, row) for row in rows if (found := worth(row, key)) is not None]
        known.sort(key=itemgetter(0), reverse=key.descending)
        rows = [row for _, row in known] + [row for row in rows if worth(row, key) is None]
    return rows


def worth(row: tuple[str, str], key: SortKey) -> str | float | None:
    cell = row[key.column]
    if not key.numeric:
        return cell or None
    return None if cell in ("", "x", "NaN", "1_0", "1e400") else float(cell)


def test_more_files_than_may_be_open_are_merged(tmp_path: Path) -> None:
    count = 3 * MOST_RUNS + 5
    ranked = [[[number * 7 % 10], str(number)] for number in range(count)]
    found = list(in_order(iter(ranked), tmp_path, held=0))
    assert found == [str(number) for number in sorted(range(count), key=lambda number: number * 7 % 10)]


def test_files_are_in_the_workspace_and_have_no_name(tmp_path: Path) -> None:
    lines = in_order([[[2], "b"], [[1], "a"]], tmp_path, held=0)
    assert next(lines) == "a"
    opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.exists() or link.is_symlink()]
    assert len([target for target in opened if target.is_relative_to(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        next(in_order([[[1], "a"]], tmp_path / "none", held=0))


def test_what_fits_into_memory_needs_no_file(tmp_path: Path) -> None:
    assert list(in_order([[[2], "b"], [[1], "a"]], tmp_path / "none")) == ["a", "b"]
