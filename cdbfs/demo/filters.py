"""Filters in the address of a listing: ``label=a,b``, ``age=20-30``, ``date=01/31/2012``.

After the source of newer servers, and seen on XNAT 1.6.4 as far as recorded: a comma means or; ``*`` and ``%`` in
text make a LIKE, which has no regard to case and finds the text anywhere; numbers and dates may be ranges. Used by
``listings``. Pure functions, any thread.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Callable

Test = Callable[[str], bool]

_NUMBERS = re.compile(r"(-?\d+(?:\.\d+)?)(?:-(-?\d+(?:\.\d+)?))?\Z")
_DATES = re.compile(r"(\d\d?)/(\d\d?)/(\d{4})(?:-(\d\d?)/(\d\d?)/(\d{4}))?\Z")


class BadFilter(ValueError):
    """A value that a column of this kind cannot have: no number, or a date in ISO form."""


def matcher(wanted: str, kind: str) -> Test:
    """Whether a printed value passes a filter; kinds are int, float, date and string. Raises BadFilter."""
    make = {"int": _number, "float": _number, "date": _date}.get(kind, _text)
    tests = [make(part) for part in wanted.split(",")]
    return lambda value: any(test(value) for test in tests)


def days_before(day: str, days: int) -> str:
    """The day so many days before an ISO date (or the beginning of a timestamp), as an ISO date."""
    return (datetime.strptime(day[:10], "%Y-%m-%d").date() - timedelta(days)).isoformat()  # noqa: DTZ007


def _text(wanted: str) -> Test:
    if "*" in wanted or "%" in wanted:
        parts = [re.escape(part) for part in re.split(r"[*%]", wanted)]
        pattern = re.compile(".*".join(parts), re.IGNORECASE | re.DOTALL)
        return lambda value: pattern.search(value) is not None
    return lambda value: value == wanted


def _number(wanted: str) -> Test:
    found = _NUMBERS.match(wanted.strip())
    if found is None:
        raise BadFilter(wanted)
    low, high = float(found[1]), float(found[2] or found[1])

    def within(value: str) -> bool:
        try:
            return low <= float(value) <= high
        except ValueError:
            return False

    return within


def _date(wanted: str) -> Test:
    found = _DATES.match(wanted.strip())
    try:
        parts = [int(part) for part in found.groups() if part] if found else []
        ends = [date(year, month, day).isoformat() for month, day, year in zip(*[iter(parts)] * 3)]
    except ValueError:
        ends = []
    if not ends:
        raise BadFilter(wanted)
    return lambda value: bool(value) and ends[0] <= value[:10] <= ends[-1]
