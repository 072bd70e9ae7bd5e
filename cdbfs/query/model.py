"""A query as the parser leaves it: frozen, with the place in the text of everything that can be wrong.

Used by parse and check. Data and pure functions, any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Union

SUBJECT = "subject"
PROJECT = "project"
"""Names of our own: the subject's label (in the project asked for), and the one project to search in."""


class Place(NamedTuple):
    """Line and column in the query's text, both from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Field:
    """A field as it was written: ``NEO_NEOFAC_A``, ``xnat:subjectData.GENDER_TEXT`` or a schema path."""

    name: str
    place: Place
    quoted: bool = False
    """In double quotes: taken as it is, never for one of our own names."""


@dataclass(frozen=True)
class Value:
    """A literal: its text, and whether it was written as a number."""

    text: str
    is_number: bool
    place: Place


@dataclass(frozen=True)
class Column:
    """A column of the result, under the name asked for."""

    field: Field
    header: str


@dataclass(frozen=True)
class Comparison:
    """``field operator value``; operators are = != < <= > >= LIKE and NOT LIKE."""

    field: Field
    operator: str
    value: Value


@dataclass(frozen=True)
class Null:
    """``field IS NULL``, or its opposite."""

    field: Field
    negated: bool


@dataclass(frozen=True)
class And:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """In the parser only: a Query's condition holds none."""

    part: Condition


Condition = Union[Comparison, Null, And, Or, Not]
"""What a row must meet; IN and BETWEEN are said with these."""


@dataclass(frozen=True)
class Order:
    """One of ORDER BY's columns, by field or by the header it has in the result."""

    field: Field
    descending: bool


@dataclass(frozen=True)
class Query:
    """``columns`` is empty for ``SELECT *``; ``project`` is the one project searched in."""

    type: Field
    columns: tuple[Column, ...]
    condition: Condition | None
    project: Value | None
    order: tuple[Order, ...]
    limit: int | None


def is_project(field: Field) -> bool:
    """Whether this is the project searched in, and no field."""
    return not field.quoted and field.name.lower() == PROJECT


def comparisons(condition: Condition) -> Iterator[Comparison | Null]:
    """Every comparison of a condition without NOT, in the query's order."""
    if isinstance(condition, (And, Or)):
        for part in condition.parts:
            yield from comparisons(part)
    elif isinstance(condition, (Comparison, Null)):
        yield condition
