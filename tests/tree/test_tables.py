"""CSV that every reader reads as it was meant."""

from __future__ import annotations

import csv as python_csv
import io

import pandas
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdbfs.tree.tables import csv

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=10) | st.text(
    " ,\"\r\n'\t;#", max_size=6
)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6)
HEADER = ("label", "ID", "value")
NASTY = [
    ("\r", "\r\n", '"'),
    (" a ", '""', "\n"),
    ("", "", ""),
    ("NA", "1e5", "007"),
    ("\u2028", "\x85", "\ufeff"),
]


@settings(deadline=None, max_examples=200)
@given(ROWS)
@example(NASTY)
def test_the_csv_module_reads_what_was_written(rows: list[tuple[str, str, str]]) -> None:
    text = csv(HEADER, rows).decode()
    assert [tuple(row) for row in python_csv.reader(io.StringIO(text, newline=""))] == [HEADER, *rows]


@settings(deadline=None, max_examples=100)
@given(ROWS)
@example(NASTY)
def test_pandas_reads_what_was_written(rows: list[tuple[str, str, str]]) -> None:
    read = pandas.read_csv(io.BytesIO(csv(HEADER, rows)), dtype=str, keep_default_na=False)
    assert tuple(read.columns) == HEADER
    assert [tuple(row) for row in read.itertuples(index=False, name=None)] == rows


def test_pandas_reads_numbers_without_options() -> None:
    read = pandas.read_csv(io.BytesIO(csv(("score", "value"), [("a", "1"), ("b", ""), ("c", "2.5")])))
    assert read["value"].sum() == 3.5


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("plain", "plain"),
        ("", ""),
        (" spaced ", " spaced "),
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        ('"', '""""'),
        ("a\nb", '"a\nb"'),
        ("a\rb", '"a\rb"'),
        ("a;b'c\td", "a;b'c\td"),
        ("é€", "é€"),
        ("\udcff", "\\udcff"),
    ],
)
def test_a_cell_is_quoted_only_where_it_must_be(cell: str, written: str) -> None:
    assert csv(("h", "i"), [(cell, "x")]).decode() == f"h,i\n{written},x\n"


def test_lines_end_in_lf_and_a_table_without_rows_is_its_header() -> None:
    assert csv(("a", "b"), []) == b"a,b\n"
    assert csv(("a", "b"), [("1", "2")]) == b"a,b\n1,2\n"
