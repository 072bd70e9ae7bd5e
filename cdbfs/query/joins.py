"""Fields of which an item has several values: those of other experiments of its subject, and of its shares.

XNAT joins them: a condition finds the items of which *any* value meets it, and the answer then has a row for
*each* value. A reader of SQL expects the rows that meet it. So each part of the top conjunction that speaks of a
joined type with columns in the result is asked of the server, and looked at again row by row.

Used by check. Pure functions; names may ask the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cdbfs.errors import QueryError
from cdbfs.query import fields as known
from cdbfs.query.conditions import translated
from cdbfs.query.kinds import Kind, kind_of
from cdbfs.query.model import And, Comparison, Condition, Null, comparisons
from cdbfs.query.names import Names
from cdbfs.query.search import CriteriaSet
from cdbfs.xnat.models import SearchField

_COMPARED = ("=", "!=", "LIKE", "NOT LIKE")
"""What is the same everywhere for texts: their order is the database's own."""


def joined(fields: Iterable[SearchField], root: str) -> dict[str, None]:
    """What those fields join to the type searched, where it may have several matches."""
    found: dict[str, None] = {}
    for field in fields:
        if field.element not in (root, known.SUBJECT_TYPE):
            found[field.element] = None
        if known.SHARES in field.path:
            found[f"{field.element}{known.SHARES}"] = None
    return found


def looked_at_again(condition: Condition | None, shown: Sequence[SearchField], names: Names) -> CriteriaSet | None:
    """The parts of a condition that rows must meet one by one. Raises QueryError where that cannot be told."""
    columns = joined(shown, names.root.type)
    parts = condition.parts if isinstance(condition, And) else (condition,) if condition else ()
    kept = [part for part in parts if columns.keys() & _joined_by(part, names).keys()]
    for part in kept:
        _check(part, columns, names)
    return CriteriaSet("AND", tuple(translated(part, names) for part in kept)) if kept else None


def _joined_by(part: Condition, names: Names) -> dict[str, None]:
    return joined((names.resolve(one.field) for one in comparisons(part)), names.root.type)


def _check(part: Condition, columns: dict[str, None], names: Names) -> None:
    missing = _joined_by(part, names).keys() - columns.keys()
    if missing:
        raise QueryError(
            f"this joins {' and '.join(sorted({*missing, *columns}))} with OR: select a column of each",
            next(comparisons(part)).field.place,
        )
    for one in comparisons(part):
        _check_kind(one, names.resolve(one.field))


def _check_kind(one: Comparison | Null, field: SearchField) -> None:
    kind = kind_of(field)
    if isinstance(one, Comparison) and kind is Kind.TEXT and one.operator not in _COMPARED:
        raise QueryError(
            f"{field.id} holds texts, whose order is the server's own; where {field.element} is joined, "
            "they can only be compared with =, !=, LIKE and IS NULL",
            one.field.place,
        )
