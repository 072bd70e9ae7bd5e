"""What `search/elements` tells: data types and their fields; and the answer to a search, read as a stream.

An answer is JSON: XNAT's CSV folds line breaks, and tells neither which column is which nor how many rows there
are. It may be large, so it is read from a file, and no more than a piece of it, or a row, is held. Rows as XNAT
writes them are decoded by the piece, some five times as fast as by the parser that sees to all the rest.

Threads: plain functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

import ijson

from cdbfs.errors import ServerFault
from cdbfs.xnat import listings
from cdbfs.xnat.models import SearchField
from cdbfs.xnat.pieces import PIECE, cell, pieces, regular_rows


def types(body: bytes, what: str) -> list[str]:
    """The names of the data types that can be searched. Raises ServerFault."""
    return [told["ELEMENT_NAME"] for told in _told(body, ("ELEMENT_NAME",), what) if told["ELEMENT_NAME"]]


def fields(body: bytes, type_name: str, what: str) -> list[SearchField]:
    """The fields of one type, in the server's order. Raises ServerFault."""
    found = []
    for told in _told(body, _COLUMNS, what):
        if told["FIELD_ID"]:
            found.append(
                SearchField(
                    element=told["ELEMENT_NAME"] or type_name,
                    id=told["FIELD_ID"],
                    header=told["HEADER"],
                    path=told["SUMMARY"],
                    kind=told["TYPE"] or "string",
                    requires_value=told["REQUIRES_VALUE"].lower() == "true",
                    source=told["SRC"] or "0",
                    description=told["DESC"],
                )
            )
    return found


def _told(body: bytes, names: Sequence[str], what: str) -> list[dict[str, str]]:
    try:
        return [{name: listings.text(row.get(name)) for name in names} for row in listings.rows(body, what)]
    except RecursionError:  # a value that could just be read, and not be written
        raise ServerFault(f"{what} is not a listing") from None


_COLUMNS = ("FIELD_ID", "HEADER", "SUMMARY", "TYPE", "REQUIRES_VALUE", "DESC", "ELEMENT_NAME", "SRC")


MOST_COLUMNS = 20_000
"""Of an answer: those asked for, and what XNAT adds."""


@dataclass(frozen=True)
class Columns:
    """Which key a field's values have in an answer's rows."""

    keys: Mapping[tuple[str, str], str]
    """By (data type, field id)."""

    def key(self, element: str, field: str) -> str | None:
        """By the very id; else, since servers differ in that, in any case."""
        exact = self.keys.get((element, field))
        if exact is not None:
            return exact
        return self._folded.get((element.upper(), field.upper()))

    @cached_property
    def _folded(self) -> Mapping[tuple[str, str], str]:
        folded: dict[tuple[str, str], str] = {}
        for (element, field), key in self.keys.items():
            folded.setdefault((element.upper(), field.upper()), key)
        return folded


class Answer:
    """The JSON of an answer, in a file; belongs to one thread."""

    def __init__(self, file: BinaryIO, piece: int = PIECE) -> None:
        self._file = file
        self._piece = piece
        self._announced: list[str] = []
        self._among_rows = False

    def columns(self) -> Columns:
        """The answer's columns; it is read no further than needed. Raises ServerFault for what is no JSON."""
        keys: dict[tuple[str, str], str] = {}
        for told in self._tables("Columns", once=True):
            if told.get("id") and told.get("key"):
                keys.setdefault((told.get("element_name", ""), told["id"]), told["key"])
                if len(keys) > MOST_COLUMNS:
                    raise ServerFault(f"the answer to the search has over {MOST_COLUMNS} columns")
        return Columns(keys)

    def rows(self) -> Iterator[dict[str, str]]:
        """The rows, one by one. Raises ServerFault where the answer breaks off, or is no table."""
        return self._tables("Result")

    def total(self) -> int:
        """How many rows the answer announces, known when they were read. Raises ServerFault where it does not."""
        number = self._announced[0] if len(set(self._announced)) == 1 else ""
        if not number.isascii() or not number.isdigit():
            raise ServerFault("the answer to the search does not say how many rows it has")
        return int(number[:18])

    def _tables(self, name: str, *, once: bool = False) -> Iterator[dict[str, str]]:
        try:
            yield from self._read(name, once=once)
        except (ijson.JSONError, ValueError) as error:
            raise ServerFault(f"the answer to the search {self._reason(error)}") from None
        except ArithmeticError:  # decimal's, of an exponent of twenty digits
            raise ServerFault("the answer to the search cannot be read: a number is out of bounds") from None

    def _read(self, name: str, *, once: bool) -> Iterator[dict[str, str]]:
        """The maps in the array `name` of the ResultSet, each without what stands deeper in it.

        One loop over the parser's events: what it makes by itself of a path costs its depth at each event, which
        the server decides. Cells of rows must not be deep; of columns they may be.
        """
        self._file.seek(0)
        self._announced = []
        self._among_rows = False
        depth = 0
        outer = inner = key = ""
        found: dict[str, str] = {}
        wanted = False
        for event, value in ijson.basic_parse(self._file) if once else self._events():
            if event == "map_key":
                if depth == _CELL:
                    key = value
                elif depth == _INNER:
                    inner = value
                elif depth == _OUTER:
                    outer = value
            elif depth == _CELL and event == "string":  # nearly all there is
                if wanted:
                    found[key] = value
            elif event in _BEGINNINGS:
                depth += 1
                if depth <= _INNER:
                    inner = ""
                elif depth == _TABLE:
                    wanted = inner == name and outer == "ResultSet" and event == "start_array"
                    self._among_rows = wanted
                elif depth == _CELL:
                    found = {}
                    wanted_cells = event == "start_map"
                    if wanted and not wanted_cells and not once:
                        raise _no_table()
                elif depth > _DEEPEST or (wanted and not once):
                    raise _no_table()
            elif event in _ENDS:
                if depth == _CELL and wanted and wanted_cells:
                    yield found
                elif depth == _TABLE:
                    if wanted and once:
                        return
                    wanted = self._among_rows = False
                depth -= 1
            elif event == _ROWS:
                yield from value
            elif depth == _CELL:
                if wanted:
                    found[key] = cell(value)
            elif depth == _TABLE:
                if wanted and not once:
                    raise _no_table()
            elif depth == _INNER and inner == "totalRecords" and outer == "ResultSet":
                self._announced.append(cell(value))

    def _events(self) -> Iterator[tuple[str, Any]]:
        """The parser's events; and for a piece of regular rows, which it is not shown, ``(_ROWS, the rows)``.

        A piece may be kept from the parser only where that has just read the end of a row, and nothing behind it.
        To know that, it gets the last byte of what it is shown by itself.
        """
        events = ijson.sendable_list()
        parser = ijson.basic_parse_coro(events)
        behind_row = False
        for piece in pieces(self._file, self._piece):
            rows = regular_rows(piece) if behind_row else None
            if rows is not None:
                yield _ROWS, rows
                continue
            for part in filter(None, (piece[:-1], piece[-1:])):
                events.clear()
                try:
                    parser.send(part)
                finally:
                    yield from events  # also those before what cannot be read
            behind_row = self._among_rows and events[-1:] == [("end_map", None)]
        events.clear()
        parser.close()
        yield from events

    def _reason(self, error: Exception) -> str:
        lines = str(error).splitlines() or [""]
        if "EOF" in lines[0] or "ncomplete" in lines[0]:
            self._file.seek(0)
            return "breaks off" if self._file.read(1000).strip() else "is empty"
        return f"cannot be read: {lines[0].strip()[:100]}"


_OUTER, _INNER, _TABLE, _CELL = 1, 2, 3, 4
"""Depths in an answer: ``{"ResultSet": {"Result": [{"key": "value"}]}}``."""
_DEEPEST = 50
_BEGINNINGS = frozenset(("start_map", "start_array"))
_ENDS = frozenset(("end_map", "end_array"))
_ROWS = "rows"
"""An event of ours."""


def _no_table() -> ServerFault:
    return ServerFault("the answer to the search is no table")
