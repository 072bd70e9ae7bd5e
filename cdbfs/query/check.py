"""A Query -> a Search that a server can run: every name resolved, every value of its field's kind.

Used by whoever runs a query; a wrong one costs no search.

Threads: pure functions; `fields_of` may ask the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cdbfs.errors import QueryError
from cdbfs.query import fields as known
from cdbfs.query import filter as filtering
from cdbfs.query import joins
from cdbfs.query.conditions import in_project, translated
from cdbfs.query.fields import FieldsOf
from cdbfs.query.kinds import kind_of
from cdbfs.query.model import SUBJECT, Field, Order, Place, Query
from cdbfs.query.names import Names, checked
from cdbfs.query.search import CriteriaSet, Layout, Output, Part, Search, SortKey
from cdbfs.xnat.models import SearchField


def check(query: Query, types: Sequence[str], fields_of: FieldsOf) -> Search:
    """The search that a query means. Raises QueryError, and what `fields_of` raises."""
    names = Names(query, types, fields_of)
    outputs = _outputs(query, names)
    shown = [output.field for output in outputs]
    sorted_by = [_sorted_by(order, outputs, names) for order in query.order]
    kept = joins.looked_at_again(query.condition, shown, names)
    compared = sorted(filtering.fields(kept), key=lambda field: (field.element, field.id)) if kept else []
    needed = dict.fromkeys([*shown, *sorted_by, *compared])
    asked = tuple(dict.fromkeys([*needed, *_keys(shown, names)]))
    order = tuple(
        SortKey(asked.index(field), key.descending, kind_of(field).is_number)
        for field, key in zip(sorted_by, query.order)
    )
    layout = Layout(asked, outputs, len(asked) - len(needed), kept, order, query.limit)
    return Search(names.root.type, _where(query, names), layout, query.project)


def _outputs(query: Query, names: Names) -> tuple[Output, ...]:
    if not query.columns:
        everything = tuple(_everything(query, names))
        if not everything:
            raise QueryError(f"{names.root.type} lists no fields; name some", query.type.place)
        return everything
    outputs = []
    headers: set[str] = set()
    for column in query.columns:
        header = checked(column.header, column.field.place)
        if header in headers:
            raise QueryError(f"two columns are named {header}; rename one with AS", column.field.place)
        headers.add(header)
        outputs.append(Output(names.resolve(column.field), header))
    return tuple(outputs)


def _everything(query: Query, names: Names) -> Iterable[Output]:
    """``*``: the subject, and what the type lists."""
    root = names.root
    if root.type != known.PROJECT_TYPE:
        yield Output(names.subject(query.type), SUBJECT)
    for field in root.everything():
        yield Output(field, field.id)


def _sorted_by(order: Order, outputs: Sequence[Output], names: Names) -> SearchField:
    """A header of the result, exactly or in any case; else a field."""
    named = _headed(order.field, outputs)
    if named is not None:
        return named
    field = names.resolve(order.field)
    more = joins.joined([field], names.root.type).keys()
    if more - joins.joined([output.field for output in outputs], names.root.type).keys():
        raise QueryError(f"{order.field.name} may have several values a row: select it, too", order.field.place)
    return field


def _headed(field: Field, outputs: Sequence[Output]) -> SearchField | None:
    exact = [output.field for output in outputs if output.header == field.name]
    folded = [output.field for output in outputs if output.header.lower() == field.name.lower()]
    return next(iter(exact or (folded if not field.quoted else ())), None)


def _keys(shown: Sequence[SearchField], names: Names) -> Iterable[SearchField]:
    """What tells the rows apart that are alike in all columns: XNAT's are DISTINCT, SQL's are not."""
    yield names.root.key()
    for element in dict.fromkeys(field.element for field in shown):
        if element not in (names.root.type, known.SUBJECT_TYPE):
            yield names.fields(Field(element, Place(1, 1))).key()


def _where(query: Query, names: Names) -> CriteriaSet | None:
    parts: list[Part] = []
    if query.project is not None:
        parts.append(in_project(query.project, names.root.type))
    if query.condition is not None:
        found = translated(query.condition, names)
        parts.extend(found.parts if isinstance(found, CriteriaSet) and found.method == "AND" else (found,))
    return CriteriaSet("AND", tuple(parts)) if parts else None
