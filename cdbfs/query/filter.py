"""Whether a row of an answer meets criteria: as the server compares, and nulls as SQL has them.

Used by result for what a server does not see to: see joins. NOT is pushed down to the comparisons before, so that
"unknown" may count as false.

Threads: pure functions.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from typing import Any, Callable

from cdbfs.query.kinds import kind_of, worth
from cdbfs.query.search import CriteriaSet, Criterion, Part
from cdbfs.xnat.models import SearchField

Row = tuple[str, ...]
Test = Callable[[Row], bool]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def test(part: Part, asked: Sequence[SearchField]) -> Test:
    """What tells whether a row of those columns meets `part`."""
    if isinstance(part, Criterion):
        return _criterion(part, asked.index(part.field))
    tests = [test(inner, asked) for inner in part.parts]
    if part.method == "AND":
        return lambda row: all(met(row) for met in tests)
    return lambda row: any(met(row) for met in tests)


def fields(part: Part) -> set[SearchField]:
    """The fields that `part` speaks of."""
    if isinstance(part, CriteriaSet):
        return {field for inner in part.parts for field in fields(inner)}
    return {part.field}


def _criterion(criterion: Criterion, column: int) -> Test:
    if criterion.is_null_test:
        wanted = criterion.value == "NULL"
        return lambda row: (row[column] == "") == wanted
    if criterion.operator.endswith("LIKE"):
        return _like(criterion, column)
    kind = kind_of(criterion.field)
    value = worth(criterion.value, kind)
    compare = _COMPARE[criterion.operator]

    def met(row: Row) -> bool:
        held = worth(row[column], kind)
        return held is not None and compare(held, value)

    return met


def _like(criterion: Criterion, column: int) -> Test:
    """XNAT lowers both sides; ``%`` is any text, ``_`` any character."""
    parts = ({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in criterion.value.lower())
    match = re.compile("".join(parts), re.DOTALL).fullmatch
    wanted = criterion.operator == "LIKE"
    return lambda row: row[column] != "" and (match(row[column].lower()) is not None) == wanted
