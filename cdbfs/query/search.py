"""A search as it is asked of a server, and what becomes of the answer: every name resolved, every value checked.

Made by check and documents, used by document, result and run. Constants and data only, any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from cdbfs.query.model import Value
from cdbfs.xnat.models import SearchField


@dataclass(frozen=True)
class Criterion:
    """One comparison as the server is asked: field id, operator, text of the value."""

    field: SearchField
    operator: str
    value: str

    @property
    def is_null_test(self) -> bool:
        """Whether it asks for NULL, or NOT NULL: XNAT takes these for words only where it is told not to quote."""
        return self.operator == "IS"


@dataclass(frozen=True)
class CriteriaSet:
    """Criteria and sets of them, joined by AND or OR."""

    method: str
    parts: tuple[Part, ...]


Part = Union[Criterion, CriteriaSet]


@dataclass(frozen=True)
class Output:
    """One column of the result: from which field, under which name."""

    field: SearchField
    header: str


@dataclass(frozen=True)
class SortKey:
    """``column`` is an index into the fields asked for."""

    column: int
    descending: bool
    numeric: bool


@dataclass(frozen=True)
class Layout:
    """What becomes of an answer."""

    asked: tuple[SearchField, ...]
    """The columns of the answer, without doubles: first those of `outputs`, last the `spare` ones."""
    outputs: tuple[Output, ...]
    spare: int = 0
    """How many of the last fields may be missing: they only keep rows apart that are alike in all others."""
    kept: CriteriaSet | None = None
    """What a row must meet beside what the server saw to: see joins."""
    order: tuple[SortKey, ...] = ()
    limit: int | None = None


@dataclass(frozen=True)
class Search:
    """What is asked of the server, and what becomes of the answer."""

    type: str
    where: CriteriaSet | None
    layout: Layout
    project: Value | None = None
    """The one searched in; `where` has it, too."""
