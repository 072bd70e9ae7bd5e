"""What ``search/elements`` answers: the types that can be searched, their fields, their display versions.

Seen on XNAT 1.6.4, faults included: the XML of a type's fields carries JSON in an attribute without escaping
it, and that of its versions is broken where it comes to all fields. Used by the routes. Pure functions,
any thread.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from html import escape

from cdbfs.demo import tables
from cdbfs.demo.search import standard
from cdbfs.demo.search.displays import Displays
from cdbfs.demo.search.fields import Display, DisplayField, Version
from cdbfs.demo.tables import Table
from cdbfs.demo.world import World

_COLUMNS = ("FIELD_ID", "HEADER", "SUMMARY", "TYPE", "REQUIRES_VALUE", "DESC", "ELEMENT_NAME", "SRC")


def elements_table(
    world: World, displays: Displays, *, secured: bool, used: bool, readable: set[str] | None
) -> Table:
    """All types; ``readable`` narrows to these ones."""
    counts = Counter(e.type for e in world.data.experiments)
    counts[standard.SUBJECT] = len(world.data.subjects)
    counts[standard.PROJECT] = len(world.data.projects)
    rows = [
        (d.element, d.singular, d.plural, str(d.secured).lower(), str(counts[d.element]))
        for d in displays
        if (d.secured or not secured)
        and (counts[d.element] or not used)
        and (readable is None or d.element in readable)
    ]
    return Table(
        ("ELEMENT_NAME", "SINGULAR", "PLURAL", "SECURED", "COUNT"), tuple(rows), "Data-Types", total=False
    )


def fields_table(displays: Iterable[Display], projects: Iterable[str]) -> Table:
    """The fields of types: those for searching, then one a readable project for the label there."""
    labels = sorted(projects)
    rows = [row for display in displays for row in _field_rows(display, labels)]
    return Table(_COLUMNS, tuple(rows), "Search Fields", total=False)


def _field_rows(display: Display, projects: Iterable[str]) -> Iterator[tuple[str, ...]]:
    for field in display.fields:
        if field.listed:
            needs = str(field.needs_value).lower()
            shown = (field.id, field.header, field.summary, field.type, needs, field.description)
            yield (*shown, display.element, "0")
    if display.label_field:
        for project in projects:
            text = f"Label within the {project} project."
            name = f"{display.label_field}={project}"
            yield (name, project, text, "string", "false", text, display.element, "2")


def fields_json(table: Table, display: Display, displays: Displays) -> bytes:
    rows = [dict(zip(table.columns, row)) for row in table.rows]
    result = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    versions = versions_json(display, displays, headers=_WITH_HEADERS)
    meta = f'"versions": {versions},"element_name": "{display.element}","title": "{table.title}"'
    return f'{{"ResultSet":{{"Result":{result}, {meta}}}}}'.encode()


def fields_xml(table: Table, display: Display, displays: Displays) -> bytes:
    plain = tables.to_xml(table).decode().partition("<results>")
    head = f'versions="{versions_json(display, displays)}" element_name="{display.element}" title="{table.title}"'
    return f"<ResultSet {head}><results>{plain[2]}".encode()


# --- versions

_Attributes = dict[str, str]
_WITH_HEADERS = frozenset({"project_bundle", "all"})
"""XNAT fills in headers as it comes to need them; as recorded, only these had theirs in a listing of fields."""


def _versions(display: Display, displays: Displays) -> Iterator[tuple[_Attributes, list[_Attributes]]]:
    for version in display.versions:
        yield _version_attributes(version), [_column(e, name, displays) for e, name in version.fields]
    fields = [f for f in display.fields if f.visible and not f.needs_value]
    yield {"name": "all"}, [_any_field(display, field) for field in fields]


def _version_attributes(version: Version) -> _Attributes:
    return {
        "name": version.name,
        "orderBy": version.order_by,
        "darkColor": version.dark,
        "lightColor": version.light,
        "defaultSortOrder": version.order,
    }


def _column(element: str, name: str, displays: Displays) -> _Attributes:
    display = displays.get(element)
    field = display.by_id.get(name) if display is not None else None
    header = {"header": field.header} if field is not None and field.header else {}
    visible = {"visible": "true"} if field is not None else {}
    return {"id": name, "element_name": element, **header, "value": "null", **visible}


def _any_field(display: Display, field: DisplayField) -> _Attributes:
    header = {"header": field.header} if field.header else {}
    return {"id": field.id, "element_name": display.element, **header, "type": field.type, "visible": "true"}


def versions_json(display: Display, displays: Displays, *, headers: Container[str] | None = None) -> str:
    """``headers`` names the versions whose fields have theirs; None: all."""
    versions: list[dict[str, object]] = []
    for head, fields in _versions(display, displays):
        full = headers is None or head["name"] in headers
        shown = [{n: v for n, v in field.items() if full or n != "header"} for field in fields]
        versions.append({**head, "fields": shown})
    whole = {"DisplayVersions": {"element_name": display.element, "versions": versions}}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def versions_xml(display: Display, displays: Displays) -> str:
    written = []
    for head, fields in _versions(display, displays):
        lines = "".join(f"<field {_written(field)}/>" for field in fields)
        if head["name"] == "all":
            lines = lines.replace("<field id=", '<field id":')
        end = "" if head["name"] == "all" else ">\n"
        written.append(f"<version {_written(head)}{end}<fields>{lines}</fields></version>")
    opened = f'<DisplayVersions element_name="{display.element}">'
    return f"{opened}\n<versions>{''.join(written)}</versions></DisplayVersions>"


def _written(attributes: _Attributes) -> str:
    return " ".join(f'{name}="{escape(text)}"' for name, text in attributes.items())
