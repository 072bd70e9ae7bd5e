"""Which rows a search is about: comparisons as the database makes them, with XNAT's own traps.

XNAT pastes a comparison's operator into SQL as it stands, so operators are case-sensitive and a value that
does not fit the field's kind is an error of the whole search. A criterion that names a display field and one
that names a schema path differ: ``!=`` finds nulls only by display field, LIKE looks for a substring only by
path, BETWEEN and IN fail by path. Seen on XNAT 1.6.4, but for what an override of formatting does, which is
read from XNAT's source.

Used by ``engine``. Pure functions, any thread.
"""

from __future__ import annotations

import datetime
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, Optional

from cdbfs.demo.search.query import CriteriaSet, Criterion
from cdbfs.demo.search.values import Getter, Item, Value

Combination = Mapping[str, Optional[Item]]
"""One row of the joined tables: element -> item, None where nothing joins."""
Test = Callable[[Combination], bool]
Compare = Callable[[Value], bool]


class BadCriterion(Exception):
    """A comparison that the database refuses: the search is a 500."""


@dataclass(frozen=True)
class Reference:
    """What a criterion's ``schema_field`` stands for; ``by_path`` when it is no display field's id."""

    element: str
    getter: Getter
    kind: str
    by_path: bool


Resolve = Callable[[str], Reference]
"""Finds what a criterion's field names; raises BadCriterion."""

_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_LIKES = ("LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE")
_NULL = (("IS NULL", ""), ("IS", "NULL"))
_NOT_NULL = (("IS NOT NULL", ""), ("IS", "NOT NULL"), ("IS NOT", "NULL"))
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_US_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(.*)", re.DOTALL)
_ATTACK = re.compile(
    r"<\s*script|\b(?:select|delete)\b.+\bfrom\b|\binsert\b.+\binto\b|\b(?:drop|alter|create)\b.+\btable\b",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Compiler:
    """Makes tests of criteria. ``empty_is_all``: a set without criteria holds; else it is an error.

    ``refuses_attacks``: a value that looks like an SQL injection is an error; else it is only a value.
    """

    resolve: Resolve
    empty_is_all: bool
    refuses_attacks: bool

    def test(self, where: CriteriaSet) -> Test:
        """The test of a set. Raises BadCriterion."""
        tests = [self._criterion(criterion) for criterion in where.criteria]
        tests += [self.test(child) for child in where.children]
        if not tests:
            if not self.empty_is_all:
                raise BadCriterion("a set without criteria")
            return _holds
        if len(tests) == 1:
            return tests[0]
        if where.method == "OR":
            return lambda row: any(test(row) for test in tests)
        return lambda row: all(test(row) for test in tests)

    def _criterion(self, criterion: Criterion) -> Test:
        if self.refuses_attacks and _ATTACK.search(criterion.value):
            raise BadCriterion("the value looks like an attack")
        reference = self.resolve(criterion.field)
        compare = comparison(criterion, reference.kind, by_path=reference.by_path)
        element, getter = reference.element, reference.getter

        def test(row: Combination) -> bool:
            item = row[element]
            value = getter(item) if item is not None else None
            if isinstance(value, tuple):
                return any(map(compare, value))
            return compare(value)

        return test


def _holds(row: Combination) -> bool:
    return True


def comparison(criterion: Criterion, kind: str, *, by_path: bool) -> Compare:
    """How one value is compared. Raises BadCriterion."""
    how, value = criterion.comparison, criterion.value
    stripped = (how, value.strip().upper())
    if stripped in _NULL or stripped in _NOT_NULL:
        return _null(kind, wanted=stripped in _NULL, raw=criterion.raw, by_path=by_path)
    if criterion.raw:
        return _raw(how, value, kind)
    if how in _LIKES:
        return _like(how, f"%{value}%" if by_path else value, kind)
    if how == "=" and not value.strip():
        return _is_null
    if value.strip() == "*" and how != "!=":
        return lambda found: _known(found, kind) is not None
    if how == "!=":
        return _unequal(value, kind, nulls=not by_path)
    if how == "BETWEEN" and not by_path:
        return _between(value, kind)
    if how == "IN" and not by_path:
        return _among([part.strip().strip("'\"") for part in value.split(",")], kind)
    if how in _ORDERED:
        return _ordered(_ORDERED[how], value, kind)
    raise BadCriterion(f"{how} {value}")


def _null(kind: str, *, wanted: bool, raw: bool, by_path: bool) -> Compare:
    """``IS NULL``: XNAT quotes the word NULL for a text or date, unless its formatting is overridden."""
    if not raw and not by_path and kind not in ("int", "float"):
        raise BadCriterion("IS 'NULL'")
    return _is_null if wanted else lambda value: not _is_null(value)


def _raw(how: str, value: str, kind: str) -> Compare:
    """A value in the database's own language: a quoted text or a bare number."""
    quoted = re.fullmatch(r"\s*'(.*)'\s*", value, re.DOTALL)
    if quoted is None and (kind not in ("int", "float") or not value.strip()):
        raise BadCriterion(value)
    text = quoted[1].replace("''", "'") if quoted is not None else value
    if how in _LIKES:
        return _like(how, text, kind, fold="ILIKE" in how)
    if how == "!=":
        return _unequal(text, kind, nulls=False)
    if how in _ORDERED:
        return _ordered(_ORDERED[how], text, kind)
    raise BadCriterion(f"{how} {value}")


def _is_null(value: Value) -> bool:
    """An empty text counts as none."""
    return value is None or value == ""


def _like(how: str, pattern: str, kind: str, *, fold: bool = True) -> Compare:
    if kind != "string":
        raise BadCriterion("LIKE of what is no text")
    flags = re.DOTALL | re.IGNORECASE if fold else re.DOTALL
    match = re.compile(_pattern(pattern), flags).fullmatch
    if how.startswith("NOT"):
        return lambda value: value is not None and match(value) is None
    return lambda value: value is not None and match(value) is not None


def _pattern(like: str) -> str:
    """A LIKE pattern as a regular expression: ``%`` any text, ``_`` any character, as they are behind a ``\\``."""
    parts = re.findall(r"\\.|.", like, re.DOTALL)
    kinds = {"%": ".*", "_": "."}
    return "".join(kinds.get(part) or re.escape(part[-1]) for part in parts)


def _unequal(value: str, kind: str, *, nulls: bool) -> Compare:
    wanted = typed(value, kind)

    def unequal(held: Value) -> bool:
        known = _known(held, kind)
        return nulls if known is None else known != wanted

    return unequal


def _between(value: str, kind: str) -> Compare:
    low, found, high = re.sub(" and ", " AND ", value, count=1, flags=re.IGNORECASE).partition(" AND ")
    if not found:
        raise BadCriterion("BETWEEN without AND")
    first, last = (typed(end.strip("'\" "), kind) for end in (low, high))

    def between(held: Value) -> bool:
        known = _known(held, kind)
        return known is not None and first <= known <= last

    return between


def _among(values: list[str], kind: str) -> Compare:
    wanted = frozenset(typed(value, kind) for value in values)
    return lambda held: _known(held, kind) in wanted


def _ordered(compare: Callable[[Any, Any], bool], value: str, kind: str) -> Compare:
    wanted = typed(value, kind)

    def ordered(held: Value) -> bool:
        known = _known(held, kind)
        return known is not None and compare(known, wanted)

    return ordered


# --- kinds


def typed(text: str, kind: str) -> Any:
    """A criterion's value as the database reads it. Raises BadCriterion where it would."""
    known = _typed(text, kind)
    if known is None:
        raise BadCriterion(f"{text!r} is no {kind}")
    return known


def _known(held: Value, kind: str) -> Any:
    """A stored value; None for NULL, and for what is not of the field's kind after all."""
    return None if held is None else held if kind == "string" else _typed(held, kind)


@lru_cache(maxsize=65_536)
def _typed(text: str, kind: str) -> Any:
    if kind == "string":
        return text
    try:
        if kind in ("int", "float"):
            return float(text) if _NUMBER.fullmatch(text.strip()) else None
        american = _US_DATE.fullmatch(text.strip())
        if american is not None:
            text = f"{american[3]}-{american[1]:0>2}-{american[2]:0>2}{american[4]}"
        return _moment(text.strip(), kind)
    except ValueError:
        return None


def _moment(text: str, kind: str) -> datetime.datetime:
    """A date or timestamp; a date alone is its midnight. Raises ValueError."""
    day, _, clock = text.partition(" ")
    whole, _, fraction = (clock or "00:00:00").partition(".")
    moment = datetime.datetime.strptime(f"{day} {whole}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - times carry no zone
    if kind == "date":
        return moment.replace(hour=0, minute=0, second=0)
    return moment.replace(microsecond=int((fraction or "0").ljust(6, "0")[:6]))


def sort_key(kind: str) -> Callable[[Value], tuple[bool, Any]]:
    """The database's order of a column: nulls last, numbers as numbers."""

    def key(value: Value) -> tuple[bool, Any]:
        known = _known(value, kind)
        return (known is None, known if known is not None else 0)

    return key
