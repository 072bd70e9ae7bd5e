"""The server's answer to a search -> the CSV asked for.

Used by run. Columns are found by type and field id, rows counted against what the server announces; ORDER BY and
LIMIT are ours, since XNAT sorts by one column and limits cached searches only. Sorting is SQLite's, in a temporary
file, so that 100,000 rows cost no memory. CSV as RFC 4180 has it, but with LF: a header row, null is empty.

Threads: plain functions; every answer and result belongs to one thread.
"""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, BinaryIO, TextIO, Union

from cdbfs.errors import CdbfsError, ServerFault
from cdbfs.query import filter as filtering
from cdbfs.query import kinds
from cdbfs.query.filter import Row
from cdbfs.query.search import Layout, SortKey
from cdbfs.xnat.searches import Answer, Columns

Rank = Union[float, int, str, bytes, None]


def write_csv(answer: BinaryIO, layout: Layout, out: TextIO) -> int:
    """Write the result to `out`; the number of rows. Raises ServerFault, and `out` is then not whole."""
    try:
        return _write_csv(answer, layout, out)
    except ValueError as error:  # ijson's, of a number of thousands of digits, comes up anywhere after
        raise ServerFault(f"the answer to the search cannot be read: {error}"[:200]) from None


def _write_csv(answer: BinaryIO, layout: Layout, out: TextIO) -> int:
    table = Answer(answer)
    keys = _keys(table.columns(), layout)
    rows: Iterator[Row] = _counted(table, keys, layout.spare)
    if layout.kept is not None:
        rows = filter(filtering.test(layout.kept, layout.asked), rows)
    shown = [layout.asked.index(output.field) for output in layout.outputs]
    write = _writer(out)
    write([output.header for output in layout.outputs])
    written = 0
    for row in _limited(_ordered(rows, layout.order), layout.limit):
        write([row[index] for index in shown])
        written += 1
    return written


def _writer(out: TextIO) -> Any:
    """Writes a row. With lines that end in LF, csv leaves a lone CR unquoted, and readers end the row there."""
    plain = csv.writer(out, lineterminator="\n")
    quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Sequence[str]) -> None:
        writer = quoted if any("\r" in cell for cell in row) else plain
        writer.writerow(row)

    return write


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
    for row in answer.rows():
        count += 1
        if unseen:
            unseen.difference_update(row)
        yield tuple(["" if key is None else row.get(key, "") for key in keys])
    total = answer.total()
    if count != total:
        raise ServerFault(f"the answer to the search announces {total} rows and has {count}")
    if count and unseen:
        raise ServerFault(f"no row of the answer to the search has its column {min(unseen)}")


def _limited(rows: Iterator[Row], limit: int | None) -> Iterator[Row]:
    """The first `limit` rows; the others are read all the same, since only whole answers are answers."""
    yield from islice(rows, limit)
    for _ in rows:
        pass


def _ordered(rows: Iterator[Row], order: Sequence[SortKey]) -> Iterator[Row]:
    """Sorted by text or number, nulls last, equal ones as the server has them."""
    if not order:
        yield from rows
        return
    names = [f"k{number}" for number in range(len(order))]
    by = [f"{name} IS NULL, {name}{' DESC' if key.descending else ''}" for name, key in zip(names, order)]
    try:
        with closing(sqlite3.connect("")) as table:  # "" is a temporary file, deleted when it is closed
            table.execute("PRAGMA journal_mode = OFF")
            table.execute("PRAGMA cache_size = -8192")
            table.execute(f"CREATE TABLE rows ({', '.join(names)}, row)")
            places = ", ".join("?" * (len(names) + 1))
            table.executemany(f"INSERT INTO rows VALUES ({places})", _ranked(rows, order))  # noqa: S608 - no input
            for (row,) in table.execute(f"SELECT row FROM rows ORDER BY {', '.join(by)}, rowid"):  # noqa: S608
                yield tuple(json.loads(row))
    except sqlite3.Error as error:
        raise CdbfsError(f"the result cannot be sorted: {error}") from None


def _ranked(rows: Iterable[Row], order: Sequence[SortKey]) -> Iterator[tuple[Rank, ...]]:
    for row in rows:
        yield (*(_rank(row[key.column], key.numeric) for key in order), json.dumps(row))


def _rank(cell: str, numeric: bool) -> Rank:
    """What a cell is sorted by; bytes, since not every text of JSON is one of SQLite's."""
    if not cell:
        return None
    if not numeric:
        return cell.encode("utf-8", "surrogatepass")
    number = kinds.number(cell)
    if number is None:
        return None
    whole = number == number.to_integral_value() and abs(number) < 2**63  # SQLite's integers
    return int(number) if whole else float(number)
