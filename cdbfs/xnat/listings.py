"""The server's tables as lists of frozen rows.

`ResultSet` JSON: every value a string, null as "" (seen on XNAT 1.6.4); a server that gives numbers, nulls, or
fewer columns is understood too. Columns are found by name, since XNAT orders them as it likes and adds its own.
JSON rather than CSV: XNAT folds line breaks inside CSV values.

Threads: plain functions.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, TypeVar

from cdbfs.errors import ServerFault, TooLarge
from cdbfs.xnat.models import Experiment, Project, SavedSearch, Subject

Row = TypeVar("Row", Project, Subject, Experiment)

SUBJECT_COLUMNS = tuple(field.name for field in fields(Subject))
EXPERIMENT_COLUMNS = tuple(field.name for field in fields(Experiment))

MOST_ROWS = 500_000
MOST_VALUES = 7_000_000
"""Bounds on what JSON makes of a few bytes: `{}` is 64 bytes of memory, a row with its names a thousand."""


def parse(body: bytes, row_type: type[Row], what: str) -> list[Row]:
    """The rows of a listing, each ID once, in the server's order; rows without an ID are left out.

    Raises ServerFault where `body` is no listing or holds fewer rows than it announces, TooLarge where it would
    take far more memory than its text.
    """
    names = [field.name for field in fields(row_type)]
    found: dict[str, Row] = {}
    try:
        for raw in rows(body, what):
            item = text(raw.get("ID"))
            if item and item not in found:
                found[item] = row_type(**{name: text(raw.get(name)) for name in names})
    except RecursionError:  # a value that could just be read, and not be written
        raise ServerFault(f"{what} is not a listing") from None
    return list(found.values())


def saved_searches(body: bytes, what: str) -> list[SavedSearch]:
    """The rows of the list of stored searches, each ID once; its columns are those of the database, in lower case.

    Raises as `parse` does.
    """
    found: dict[str, SavedSearch] = {}
    try:
        for raw in rows(body, what):
            item = text(raw.get("id"))
            if item and item not in found:
                told = (text(raw.get("brief_description")), text(raw.get("description")))
                found[item] = SavedSearch(item, *told)
    except RecursionError:  # as in `parse`
        raise ServerFault(f"{what} is not a listing") from None
    return list(found.values())


def _check(body: bytes, what: str) -> None:
    if body.count(b"{") > MOST_ROWS:
        raise TooLarge(f"{what} has over {MOST_ROWS} rows")
    if body.count(b",") + body.count(b"[") > MOST_VALUES:
        raise TooLarge(f"{what} has over {MOST_VALUES} values")


def rows(body: bytes, what: str) -> list[dict[str, Any]]:
    """The rows of any table of the server. Raises ServerFault where `body` is none or not whole, or TooLarge."""
    _check(body, what)
    try:
        result_set = json.loads(body)["ResultSet"]
        result = result_set["Result"]
        announced = result_set.get("totalRecords")
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        raise ServerFault(f"{what} is not a listing{' (it is empty)' if not body.strip() else ''}") from None
    if not isinstance(result, list) or not all(isinstance(row, dict) for row in result):
        raise ServerFault(f"{what} is not a listing")
    # Quoted, and absent where a newer server pages (xnat 1.8).
    if _is_more(announced, len(result)):
        raise ServerFault(f"{what} announces {announced} rows and has {len(result)}")
    return result


def _is_more(announced: object, rows: int) -> bool:
    try:
        return isinstance(announced, (str, int)) and int(announced) > rows
    except ValueError:
        return False


def text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
