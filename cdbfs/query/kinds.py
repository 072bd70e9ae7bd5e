"""Kinds of fields: how XNAT compares them, which values they take, and what their values are worth.

XNAT quotes a value by its field's declared type (`DisplayField.needsSQLQuotes`, from 1.5 to 1.9): texts, dates and
timestamps; everything else goes into SQL as it stands, so that it must be a number. Used by check, documents,
filter and result. Pure functions, any thread.
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Union

from cdbfs.xnat.models import SearchField


class Kind(Enum):
    """What can be said of a field's values."""

    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    DATE = "date"
    TIMESTAMP = "point in time"
    OTHER = "other"

    @property
    def is_number(self) -> bool:
        return self in (Kind.WHOLE, Kind.NUMBER)


Worth = Union[str, Decimal, datetime.datetime]

_TEXTS = ("string", "char", "varchar")
_WHOLES = ("int", "long", "short", "byte", "bigint", "smallint")
_NUMBERS = ("float", "double", "decimal", "numeric", "number", "real")
_TIMESTAMPS = ("timestamp", "datetime")
_LARGEST = 300
"""Digits before, or zeros after, a number's point."""
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})\Z", re.ASCII)
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})\Z", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\Z", re.ASCII)


def kind_of(field: SearchField) -> Kind:
    """By its declared type; but XNAT's own times are timestamps, though it calls them dates or strings."""
    if re.search(r"/meta/(insert_date|last_modified)\b", field.path):
        return Kind.TIMESTAMP
    declared = field.kind.lower().rpartition(":")[2]
    if declared in _TEXTS:
        return Kind.TEXT
    if declared in _WHOLES or declared.endswith("integer"):
        return Kind.WHOLE
    if declared in _NUMBERS:
        return Kind.NUMBER
    if declared == "date":
        return Kind.DATE
    return Kind.TIMESTAMP if declared in _TIMESTAMPS else Kind.OTHER


def worth(text: str, kind: Kind) -> Worth | None:
    """What a field's text says, to be compared; None for null, as an empty text is to XNAT, and for nonsense."""
    if not text:
        return None
    if kind.is_number:
        return number(text)
    if kind in (Kind.DATE, Kind.TIMESTAMP):
        return moment(text)
    return text


def number(text: str) -> Decimal | None:
    """A finite number of a reasonable size."""
    try:
        found = Decimal(text.strip())
    except InvalidOperation:
        return None
    if "_" in text or not found.is_finite() or abs(found.adjusted()) > _LARGEST:
        return None
    return found


def plain(found: Decimal) -> str:
    """A number as every database reads it: digits and a point."""
    text = format(found, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) if found else "0"


def moment(text: str) -> datetime.datetime | None:
    """A date, also as MM/DD/YYYY, with or without a time of day; a date alone is its midnight."""
    day, _, clock = text.strip().partition(" ")
    iso, american = _DATE.match(day), _AMERICAN.match(day)
    time = _CLOCK.match(clock.strip() or "0:00")
    if not time or not (iso or american):
        return None
    if iso:
        year, month, date = iso.groups()
    elif american:
        month, date, year = american.groups()
    hours, minutes, seconds, fraction = time.groups("0")
    micro = int(fraction.ljust(6, "0")[:6])
    try:
        return datetime.datetime(  # noqa: DTZ001 - XNAT's dates have no zone
            int(year), int(month), int(date), int(hours), int(minutes), int(seconds), micro
        )
    except ValueError:
        return None
