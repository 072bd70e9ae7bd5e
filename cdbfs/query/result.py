"""The server's answer to a search -> the CSV asked for.

Used by run. Columns are found by type and field id, rows counted against what the server announces; ORDER BY and
LIMIT are ours, since XNAT sorts by one column and limits cached searches only: see order. CSV as RFC 4180 has it,
but with LF: a header row, null is empty.

Threads: plain functions; every answer and result belongs to one thread.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Callable, TypeVar

from cdbfs.errors import ServerFault
from cdbfs.query import filter as filtering
from cdbfs.query.filter import Row
from cdbfs.query.order import in_order, ranking
from cdbfs.query.search import Layout
from cdbfs.store.results import Writer
from cdbfs.xnat.searches import Answer, Columns

Item = TypeVar("Item")


def write_csv(answer: BinaryIO, layout: Layout, out: Writer, workspace: Path) -> int:
    """Write the result to `out`; the number of rows. Raises ServerFault or OSError, and `out` is then not whole.

    `workspace` is a directory for what is too large to be sorted in memory.
    """
    try:
        return _write_csv(answer, layout, out, workspace)
    except (ValueError, csv.Error) as error:  # of a number of thousands of digits; of NUL, on Python 3.10
        raise ServerFault(f"the answer to the search cannot be read: {error}"[:200]) from None


def _write_csv(answer: BinaryIO, layout: Layout, out: Writer, workspace: Path) -> int:
    table = Answer(answer)
    keys = _keys(table.columns(), layout)
    rows: Iterator[Row] = _counted(table, keys, layout.spare)
    if layout.kept is not None:
        rows = filter(filtering.test(layout.kept, layout.asked), rows)
    line = line_maker()
    shown = _picking([layout.asked.index(output.field) for output in layout.outputs])
    if layout.order:
        rank = ranking(layout.order)
        ranked = ([rank(row), line(shown(row))] for row in rows)
        lines = _limited(in_order(ranked, workspace), layout.limit)
    else:
        lines = (line(shown(row)) for row in _limited(rows, layout.limit))
    out.write(line([output.header for output in layout.outputs]))
    written = 0
    for text in lines:
        out.write(text)
        written += 1
    return written


class _Returned:
    """What a csv.writer is to write to, so that its `writerow` returns the line."""

    @staticmethod
    def write(text: str) -> str:
        return text


def line_maker() -> Callable[[Sequence[str]], str]:
    """What makes a row's line. Cells without a character of CSV's own, as most, are joined, which is faster.

    With lines that end in LF, csv leaves a lone CR unquoted, and readers end the row there; and a line of nothing
    but blanks, which readers take for an empty one and leave out.
    """
    quoting = csv.writer(_Returned, lineterminator="\n").writerow
    quoting_all = csv.writer(_Returned, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow

    def line(cells: Sequence[str]) -> str:
        text = ",".join(cells)
        if "\r" in text or text.isspace():
            return quoting_all(cells)  # type: ignore[no-any-return]
        if '"' in text or "\n" in text or text.count(",") >= len(cells) or not text:
            return quoting(cells)  # type: ignore[no-any-return]
        return text + "\n"

    return line


def _picking(places: Sequence[Any]) -> Callable[[Any], Row]:
    """What takes the cells at some keys or indexes, all of which there must be."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[place] for place in places)


def _keys(columns: Columns, layout: Layout) -> list[str | None]:
    """The key in the answer's rows of each field asked for."""
    keys = [columns.key(field.element, field.id) for field in layout.asked]
    needed = len(keys) - layout.spare
    for field, key in zip(layout.asked[:needed], keys):
        if key is None:
            raise ServerFault(f"the server left the column {field.id} of {field.element} out of its answer")
    return keys


def _counted(answer: Answer, keys: Sequence[str | None], spare: int) -> Iterator[Row]:
    """The rows. Raises ServerFault at their end where they are not as many as announced, or lack a column."""
    count = 0
    unseen = {key for key in keys[: len(keys) - spare] if key is not None}
    pick = _picking(keys)
    for row in answer.rows():
        count += 1
        if unseen:
            unseen.difference_update(row)
        try:
            cells = pick(row)
        except KeyError:
            cells = tuple(["" if key is None else row.get(key, "") for key in keys])
        yield cells
    total = answer.total()
    if count != total:
        raise ServerFault(f"the answer to the search announces {total} rows and has {count}")
    if count and unseen:
        raise ServerFault(f"no row of the answer to the search has its column {min(unseen)}")


def _limited(rows: Iterator[Item], limit: int | None) -> Iterator[Item]:
    """The first `limit` rows; the others are read all the same, since only whole answers are answers."""
    yield from islice(rows, limit)
    for _ in rows:
        pass
