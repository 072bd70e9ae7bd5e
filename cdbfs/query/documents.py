"""A search document that a user wrote or took from XNAT or pyxnat, checked as a query in SQL is.

Used by run and saving; by saved for the columns alone. What the server would answer with an error that says
nothing, or silently with something else, is said before it is asked: unknown types and fields, operators, an
empty search_where, an IN beside other criteria. The document itself is sent as it is, so what its criteria
mean is XNAT's matter.

Threads: pure functions; `fields_of` may ask the server.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from cdbfs.errors import NotFound, QueryError, ServerFault, TooLarge
from cdbfs.query.document import XDAT
from cdbfs.query.fields import Fields, FieldsOf, nearest, type_named, unknown
from cdbfs.query.kinds import Kind, kind_of, number
from cdbfs.query.model import Field, Place
from cdbfs.query.search import Layout, Output
from cdbfs.xnat import xml
from cdbfs.xnat.models import SearchField

DEEPEST = 100
MOST_COLUMNS = 10_000
_ROOTS = ("bundle", "Search", "search", "stored_search")
_OPERATORS = ("=", "!=", "<>", "<", "<=", ">", ">=", "LIKE", "NOT LIKE", "BETWEEN", "IN")
_NULL_TESTS = ("IS", "IS NOT", "IS NULL", "IS NOT NULL")
_PATHS = ("ID", "label", "project", "sharing/share/project", "sharing/share/label")
"""Schema paths that every type of item has, whether a field shows them or not."""


@dataclass(frozen=True)
class Column:
    """A visible xdat:search_field, as it is written."""

    node: etree._Element
    element: str
    id: str
    value: str
    header: str


@dataclass(frozen=True)
class Document:
    """A search document that was found to be right."""

    id: str
    type: str
    layout: Layout


def check(document: bytes, types: Sequence[str], fields_of: FieldsOf) -> Document:
    """What a document asks for. Raises QueryError, and what `fields_of` raises."""
    root = _parsed(document)
    return _Checker(types, fields_of).document(root)


def _parsed(document: bytes) -> etree._Element:
    try:
        root = xml.parse(document, "the query")
    except (ServerFault, TooLarge) as error:
        found = re.search(r"line (\d+), column (\d+)", str(error))
        raise QueryError(str(error), (int(found[1]), int(found[2])) if found else None) from None
    name = etree.QName(root)
    if name.namespace != XDAT or name.localname not in _ROOTS:
        raise QueryError(f"a search document is an xdat:bundle, with xdat standing for {XDAT}", _place(root))
    return root


def columns(root: etree._Element) -> list[Column]:
    """The visible fields of a search document, in their sequence. Raises TooLarge."""
    nodes = [node for node in _children(root, "search_field") if node.get("visible", "true") not in ("false", "0")]
    if len(nodes) > MOST_COLUMNS:
        raise TooLarge(f"the search shows over {MOST_COLUMNS} columns")
    nodes.sort(key=_sequence)
    names = ("element_name", "field_ID", "value", "header")
    return [Column(node, *(_text(node, name).strip() for name in names)) for node in nodes]


def outputs(fields: Sequence[SearchField], headers: Sequence[str]) -> tuple[Output, ...]:
    """Columns under their headers where these tell them apart, else under their fields' ids."""
    ids = Counter(field.id for field in dict.fromkeys(fields))
    unlike = len({*headers}) == len(headers) and "" not in headers
    names = headers if unlike else [f.id if ids[f.id] == 1 else f"{f.element}.{f.id}" for f in fields]
    return tuple(Output(field, name) for name, field in dict(zip(names, fields)).items())


def allowed_users(root: etree._Element) -> list[str]:
    """The logins that a stored search is open to, where it is `secure`."""
    return [_text(node, "login").strip() for node in _children(root, "allowed_user")]


def allow_only(root: etree._Element, user: str) -> None:
    """Open a search document to one login, and to nobody else."""
    for node in [*_children(root, "allowed_user"), *_children(root, "allowed_groups")]:
        root.remove(node)
    node = etree.SubElement(root, f"{{{XDAT}}}allowed_user")  # these come last
    etree.SubElement(node, f"{{{XDAT}}}login").text = user


class _Checker:
    """One document, held against one server's types and fields."""

    def __init__(self, types: Sequence[str], fields_of: FieldsOf) -> None:
        self._types = types
        self._fields_of = fields_of

    def document(self, root: etree._Element) -> Document:
        named = next(_children(root, "root_element_name"), None)
        if named is None:
            raise QueryError("there is no xdat:root_element_name", _place(root))
        fields = self._type(_whole_text(named), named)
        shown = self._outputs(root)
        for where in _children(root, "search_where"):
            self._criteria(where, top=True, depth=0)
        asked = tuple(dict.fromkeys(output.field for output in shown))
        return Document(root.get("ID", ""), fields.type, Layout(asked, shown))

    def _type(self, name: str, node: etree._Element) -> Fields:
        """The fields of a type, which XNAT takes in its own case only."""
        found = type_named(Field(name, _place(node)), self._types)
        if found != name:
            raise QueryError(f"the data type is written {found}", _place(node))
        try:
            return self._fields_of(found)
        except NotFound as error:
            raise QueryError(str(error), _place(node)) from None

    # --- columns

    def _outputs(self, root: etree._Element) -> tuple[Output, ...]:
        shown = columns(root)
        if not shown:
            raise QueryError(
                "there is no visible xdat:search_field: XNAT would answer with columns of its own choice",
                _place(root),
            )
        return outputs([self._field(column) for column in shown], [column.header for column in shown])

    def _field(self, column: Column) -> SearchField:
        node, value = column.node, column.value
        fields = self._type(column.element, node)
        name = column.id
        name = name[len(fields.type) + 1 :] if name.startswith(f"{fields.type}/") else name
        found = (_exactly(fields, f"{name}={value}") if value else None) or _exactly(fields, name)
        if found is None:
            raise unknown(f"{fields.type} has no field", name, fields.near(name), _place(node))
        if found.requires_value and "=" not in found.id:
            raise QueryError(f"{found.id} is a family of fields: it needs an xdat:value", _place(node))
        return found

    # --- criteria

    def _criteria(self, node: etree._Element, *, top: bool, depth: int) -> None:
        criteria, sets = list(_children(node, "criteria")), list(_children(node, "child_set"))
        if depth > DEEPEST:
            raise QueryError(f"over {DEEPEST} sets of criteria stand within each other", _place(node))
        if not criteria and not sets:
            raise QueryError(
                "a set without criteria: some XNATs take it for an error, some for all rows", _place(node)
            )
        for criterion in criteria:
            operator = self._criterion(criterion)
            if operator == "IN" and top and len(criteria) + len(sets) > 1:
                raise QueryError(
                    "XNAT ignores what stands beside an IN: put it into an xdat:child_set", _place(criterion)
                )
        for inner in sets:
            self._criteria(inner, top=False, depth=depth + 1)

    def _criterion(self, node: etree._Element) -> str:
        """Its operator."""
        if _text(node, "custom_search").strip():
            raise QueryError("XNAT ignores criteria with an xdat:custom_search", _place(node))
        operator = _text(node, "comparison_type").strip() or "="
        known = (*_OPERATORS, *_NULL_TESTS)
        if operator not in known:
            raise unknown("XNAT has no operator", operator, nearest(operator, known), _place(node))
        field = self._compared(node)
        raw = node.get("override_value_formatting", "0") in ("1", "true")
        if field is not None and operator in _OPERATORS and not raw:
            _check_value(field, operator, _text(node, "value"), node)
        return operator

    def _compared(self, node: etree._Element) -> SearchField | None:
        """The field; None for a schema path of every item."""
        text = _text(node, "schema_field").strip()
        parts = re.match(r"([^./]+)[./](.+)\Z", text, re.DOTALL)
        if parts is None:
            raise QueryError("an xdat:schema_field names a type and a field: nt:scores/AGE", _place(node))
        fields = self._type(parts[1], node)
        if parts[2] in _PATHS:
            return None
        found = _exactly(fields, parts[2])
        if found is None:
            raise unknown(f"{fields.type} has no field", parts[2], fields.near(parts[2]), _place(node))
        return found


def _exactly(fields: Fields, name: str) -> SearchField | None:
    """The field of that id or path; XNAT drops without a word what is written in another case."""
    found = fields.find(name)
    if found is None or found.id == name or found.path == f"{fields.type}/{name}":
        return found
    return None if found.id.upper() == name.upper() else found


def _check_value(field: SearchField, operator: str, value: str, node: etree._Element) -> None:
    """XNAT answers these with an error that says nothing."""
    kind = kind_of(field)
    if "LIKE" in operator and kind is not Kind.TEXT:
        raise QueryError(f"LIKE compares texts, and {field.id} is of type {field.kind}", _place(node))
    if operator == "BETWEEN" and " AND " not in value.upper():
        raise QueryError("the value of BETWEEN is written 1 AND 2", _place(node))
    compared = kind.is_number and operator not in ("BETWEEN", "IN") and value.strip() not in ("", "*")
    if compared and number(value) is None:
        reason = f"{field.id} is a number ({field.kind}), and {value.strip()[:50]!r} is none"
        raise QueryError(reason, _place(node))
    if not value.strip() and operator != "=":
        raise QueryError("only = goes without an xdat:value", _place(node))


def _sequence(node: etree._Element) -> int:
    text = _text(node, "sequence").strip()
    return int(text) if re.match(r"-?[0-9]{1,9}\Z", text) else 0


def _children(node: etree._Element, name: str) -> Iterator[etree._Element]:
    yield from node.iterchildren(f"{{{XDAT}}}{name}")


def _text(node: etree._Element, name: str) -> str:
    child = next(_children(node, name), None)
    return "" if child is None else _whole_text(child)


def _whole_text(node: etree._Element) -> str:
    return node.text or ""


def _place(node: Any) -> Place:
    return Place(node.sourceline or 1, 0)
