"""What rows must meet -> criteria that mean the same on every XNAT.

No null meets a comparison, whatever kind of field it is (XNAT's != includes nulls of display fields), a value that
XNAT would read as something else is refused, and what its versions do differently is not used: numbers and dates
are unequal by being less or more, and null tests go without XNAT's quotes: alone so they fail for no kind of field
and take an empty text for null.

Used by check. Pure functions; names may ask the server.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from cdbfs.errors import QueryError
from cdbfs.query import fields as known
from cdbfs.query import kinds
from cdbfs.query.kinds import Kind, kind_of
from cdbfs.query.model import And, Comparison, Condition, Null, Or, Value, comparisons
from cdbfs.query.names import Names, checked
from cdbfs.query.search import CriteriaSet, Criterion, Part
from cdbfs.xnat.models import SearchField

MOST_COMPARISONS = 2000

_MISREAD = re.compile(r"\\|''|#39#|#3939#")
"""XNAT doubles backslashes in some versions and not in others, and makes one quote of these."""


def translated(condition: Condition, names: Names) -> Part:
    """The condition, every name resolved. Raises QueryError."""
    if sum(1 for _ in comparisons(condition)) > MOST_COMPARISONS:
        raise QueryError(f"over {MOST_COMPARISONS} comparisons are too many for one query")
    return _translated(condition, names)


def in_project(project: Value, root: str) -> Part:
    """Owned by the project or shared into it, and no other: as XNAT's own project searches say it."""
    text = checked(project.text, project.place)
    if project.is_number or text in ("", "*") or _MISREAD.search(text):
        raise QueryError("project takes a project's ID in quotes: project = 'P'", project.place)
    if root == known.PROJECT_TYPE:
        return Criterion(SearchField(root, "ID"), "=", text)
    owned = SearchField(root, "PROJECT")
    shared = SearchField(root, "sharing/share/project")
    return CriteriaSet("OR", (Criterion(shared, "=", text), Criterion(owned, "=", text)))


def _translated(condition: Condition, names: Names) -> Part:
    if isinstance(condition, And):
        return CriteriaSet("AND", tuple(_translated(part, names) for part in condition.parts))
    if isinstance(condition, Or):
        return CriteriaSet("OR", tuple(_translated(part, names) for part in condition.parts))
    if isinstance(condition, Null):
        return _null(names.resolve(condition.field), condition.negated)
    if not isinstance(condition, Comparison):
        raise TypeError("the parser leaves no NOT")
    return _comparison(names.resolve(condition.field), condition.operator, condition.value)


def _comparison(field: SearchField, operator: str, value: Value) -> Part:
    text = checked(value.text, value.place)
    if _MISREAD.search(text):
        raise QueryError(
            r"XNAT misreads a text with \ or two quotes in a row; LIKE takes _ for one character", value.place
        )
    if not text.strip():
        raise QueryError("an empty text is no value to XNAT; write IS NULL or IS NOT NULL", value.place)
    if operator.endswith("LIKE"):
        return _like(field, operator, text, value)
    if text.strip() == "*":
        raise QueryError("XNAT reads '*' as any value; write IS NOT NULL, or LIKE with %", value.place)
    kind = kind_of(field)
    if kind.is_number:
        return _of_number(field, kind, operator, _number(field, text, value))
    if kind in (Kind.DATE, Kind.TIMESTAMP):
        return _ordered(field, operator, _date(field, kind, text, value))
    if kind is Kind.OTHER:
        raise QueryError(f"XNAT compares no field of type {field.kind}; {field.id} can be IS NULL", value.place)
    if value.is_number and operator not in ("=", "!="):
        raise QueryError(
            f"{field.id} holds texts, which are not ordered as numbers; '{text}' in quotes compares as text",
            value.place,
        )
    found = Criterion(field, operator, text)
    # Some versions let null meet !=; an empty text meets it everywhere, and to XNAT is null.
    return _both(found, _null(field, negated=True)) if operator in ("!=", "<", "<=") else found


def _like(field: SearchField, operator: str, text: str, value: Value) -> Part:
    if kind_of(field) is not Kind.TEXT:
        raise QueryError(f"LIKE compares texts, and {field.id} is of type {field.kind}", value.place)
    found = Criterion(field, operator, text)
    meets_empty = (operator == "LIKE") == (not text.strip("%"))
    return _both(found, _null(field, negated=True)) if meets_empty else found


def _null(field: SearchField, negated: bool) -> Criterion:
    return Criterion(field, "IS", "NOT NULL" if negated else "NULL")


def _both(*parts: Part) -> CriteriaSet:
    return CriteriaSet("AND", parts)


def _ordered(field: SearchField, operator: str, text: str) -> Part:
    if operator == "!=":
        return CriteriaSet("OR", (Criterion(field, "<", text), Criterion(field, ">", text)))
    return Criterion(field, operator, text)


def _of_number(field: SearchField, kind: Kind, operator: str, number: Decimal) -> Part:
    """A whole-number field takes whole numbers only: XNAT answers 40.5 with an error."""
    if kind is Kind.NUMBER or number == number.to_integral_value():
        return _ordered(field, operator, kinds.plain(number))
    if operator == "=":
        return _both(_null(field, negated=False), _null(field, negated=True))
    if operator == "!=":
        return _null(field, negated=True)
    upward = operator in (">", ">=")
    bound = number.to_integral_value(ROUND_CEILING if upward else ROUND_FLOOR)
    return Criterion(field, ">=" if upward else "<=", kinds.plain(bound))


def _number(field: SearchField, text: str, value: Value) -> Decimal:
    number = kinds.number(text)
    if number is None:
        shown = text if len(text) <= 50 else f"{text[:50]}..."
        raise QueryError(f"{field.id} is a number ({field.kind}), and {shown!r} is none", value.place)
    return number


def _date(field: SearchField, kind: Kind, text: str, value: Value) -> str:
    """As all versions read it; a date field would cut a time of day off, and so move the bound."""
    moment = kinds.moment(text)
    if moment is None or value.is_number:
        raise QueryError(f"{field.id} is a date; write it as 'YYYY-MM-DD'", value.place)
    day_only = moment.time().isoformat() == "00:00:00"
    if kind is Kind.DATE and not day_only:
        raise QueryError(f"{field.id} is a date without a time of day; write 'YYYY-MM-DD'", value.place)
    return moment.date().isoformat() if day_only else moment.isoformat(" ")
