"""Reading a search document: ``xdat:bundle``, ``xdat:Search`` or ``xdat:stored_search``.

Sent by clients, so it is parsed without entities, DTD or network. Used by the routes. Pure functions, any
thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

NAMESPACE = "http://nrg.wustl.edu/security"
_SEQUENCE = re.compile(r"-?\d{1,9}")
_ROOTS = ("bundle", "Search", "search", "stored_search")


class NotASearch(Exception):
    """A body that is not well-formed or not a search document: 422."""


@dataclass(frozen=True)
class SearchField:
    """One requested column."""

    element: str
    id: str
    sequence: int = 0
    type: str = ""
    header: str = ""
    value: str = ""
    visible: bool = True


@dataclass(frozen=True)
class Criterion:
    """One comparison; ``raw`` values go into the database's language as they are."""

    field: str
    comparison: str
    value: str
    raw: bool = False


@dataclass(frozen=True)
class CriteriaSet:
    """Comparisons and further sets, all of which (AND) or one of which (OR) must hold."""

    method: str
    criteria: tuple[Criterion, ...] = ()
    children: tuple[CriteriaSet, ...] = ()


@dataclass(frozen=True)
class Search:
    """A search document; the sets of ``where`` must all hold."""

    root: str
    fields: tuple[SearchField, ...] = ()
    where: tuple[CriteriaSet, ...] = ()
    sort_by: tuple[str, str] = ("", "")
    id: str = ""
    description: str = ""
    brief_description: str = ""
    tag: str = ""
    secure: bool = True
    allow_diff_columns: bool = True
    allowed_users: tuple[str, ...] = ()


def read(body: bytes) -> Search:
    """The search that a document describes. Raises NotASearch."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotASearch(str(error)) from None
    if etree.ElementTree(root).docinfo.internalDTD is not None:
        raise NotASearch("a document type declaration")
    name = etree.QName(root)
    if name.namespace != NAMESPACE or name.localname not in _ROOTS:
        raise NotASearch(f"not a search: {root.tag}")
    sort = next(_children(root, "sort_by"), None)
    return Search(
        root=_text(root, "root_element_name"),
        fields=tuple(_field(element) for element in _children(root, "search_field")),
        where=tuple(_set(element) for element in _children(root, "search_where")),
        sort_by=(_text(sort, "element_name"), _text(sort, "field_ID")) if sort is not None else ("", ""),
        id=root.get("ID", ""),
        description=root.get("description", ""),
        brief_description=root.get("brief-description", ""),
        tag=root.get("tag", ""),
        secure=_flag(root.get("secure"), default=True),
        allow_diff_columns=_flag(root.get("allow-diff-columns"), default=True),
        allowed_users=tuple(_text(element, "login") for element in _children(root, "allowed_user")),
    )


def _field(element: etree._Element) -> SearchField:
    sequence = _text(element, "sequence").strip()
    return SearchField(
        element=_text(element, "element_name").strip(),
        id=_text(element, "field_ID").strip(),
        sequence=int(sequence) if _SEQUENCE.fullmatch(sequence) else 0,
        type=_text(element, "type"),
        header=_text(element, "header"),
        value=_text(element, "value"),
        visible=_flag(element.get("visible"), default=True),
    )


def _set(element: etree._Element) -> CriteriaSet:
    criteria = [c for c in _children(element, "criteria") if not _text(c, "custom_search").strip()]
    return CriteriaSet(
        method="OR" if element.get("method", "AND").upper() == "OR" else "AND",
        criteria=tuple(_criterion(criterion) for criterion in criteria),
        children=tuple(_set(child) for child in _children(element, "child_set")),
    )


def _criterion(element: etree._Element) -> Criterion:
    return Criterion(
        field=_text(element, "schema_field").strip(),
        comparison=_text(element, "comparison_type").strip() or "=",
        value=_text(element, "value"),
        raw=_flag(element.get("override_value_formatting"), default=False),
    )


def _children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    yield from element.iterchildren(f"{{{NAMESPACE}}}{name}")


def _text(element: etree._Element, name: str) -> str:
    child = next(_children(element, name), None)
    return (child.text or "") if child is not None else ""


def _flag(text: str | None, *, default: bool) -> bool:
    return default if text is None or text == "" else text.strip().lower() in ("1", "true")
