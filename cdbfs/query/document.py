"""A Search -> the XML document that asks a server for it (namespace and elements: XNAT's security.xsd).

Used by whoever runs a search. Written so that every XNAT reads it alike: no IN, no BETWEEN, no empty search_where,
at least one field, and an ID that names no cached view. Pure functions, any thread.
"""

from __future__ import annotations

from typing import Any

from lxml import etree

from cdbfs.query.search import CriteriaSet, Criterion, Search
from cdbfs.xnat.models import SearchField

XDAT = "http://nrg.wustl.edu/security"


def document(search: Search) -> bytes:
    """The search as an xdat:bundle, to be run."""
    root = _bundle(search, f"@{search.type}", "", "")
    for number, field in enumerate(search.layout.asked):
        _field(root, number, field, field.id)
    return _with_criteria(root, search)


def stored(search: Search, name: str, brief: str, description: str) -> bytes:
    """The search as an xdat:bundle, to be stored under the ID `name`, with its columns' headers.

    The order of rows cannot be stored. Fields that are no columns, as those that keep rows apart, are not shown.
    """
    root = _bundle(search, name, brief, description)
    shown = {output.field: output.header for output in reversed(search.layout.outputs)}
    for number, field in enumerate(search.layout.asked):
        _field(root, number, field, shown.get(field, field.id), visible=field in shown)
    return _with_criteria(root, search)


def _bundle(search: Search, name: str, brief: str, description: str) -> Any:
    root = etree.Element(_tag("bundle"), nsmap={"xdat": XDAT})
    root.set("ID", name)
    root.set("brief-description", brief)
    root.set("description", description)
    root.set("secure", "false")
    root.set("allow-diff-columns", "0")
    _text(root, "root_element_name", search.type)
    return root


def _with_criteria(root: Any, search: Search) -> bytes:
    if search.where is not None:
        _set(root, "search_where", search.where)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _field(root: Any, number: int, field: SearchField, header: str, *, visible: bool = True) -> None:
    asked = etree.SubElement(root, _tag("search_field"))
    if not visible:
        asked.set("visible", "false")
    _text(asked, "element_name", field.element)
    _text(asked, "field_ID", field.id)
    _text(asked, "sequence", str(number))
    _text(asked, "type", field.kind)
    _text(asked, "header", header)


def _set(parent: Any, tag: str, criteria: CriteriaSet) -> None:
    """In the schema's order: criteria first, then the sets within."""
    node = etree.SubElement(parent, _tag(tag), method=criteria.method)
    for part in criteria.parts:
        if isinstance(part, Criterion):
            _criterion(node, part)
    for part in criteria.parts:
        if isinstance(part, CriteriaSet):
            _set(node, "child_set", part)


def _criterion(parent: Any, criterion: Criterion) -> None:
    # 1 is for the words NULL and NOT NULL: in quotes they would be texts, and no database takes IS 'NULL'.
    override = "1" if criterion.is_null_test else "0"
    node = etree.SubElement(parent, _tag("criteria"), override_value_formatting=override)
    _text(node, "schema_field", f"{criterion.field.element}/{criterion.field.id}")
    _text(node, "comparison_type", criterion.operator)
    _text(node, "value", criterion.value)


def _text(parent: Any, tag: str, text: str) -> None:
    etree.SubElement(parent, _tag(tag)).text = text


def _tag(name: str) -> str:
    return f"{{{XDAT}}}{name}"
