"""Display documents: which fields of a type can be searched and shown, and in which listings.

Seen on XNAT 1.6.4: they are static files beside the schemas. In the form that the ConnectomeDB tutorial shows,
without the links of the web pages. Used by ``routes.schemas``. Pure functions, any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from cdbfs.demo.documents import namespaces
from cdbfs.demo.search.displays import Displays
from cdbfs.demo.search.fields import Display, DisplayField, Version
from cdbfs.demo.world import World


def document(world: World, displays: Displays, path: str) -> bytes | None:
    """The display document at a path below ``/schemas`` (``nt/display/nt_scores_display.xml``), or None."""
    known = namespaces(world.data)
    for display in displays:
        prefix = display.element.partition(":")[0]
        folder = known[prefix][1].rpartition("/")[0] if prefix in known else prefix
        if path == f"{folder}/display/{display.element.replace(':', '_')}_display.xml":
            return "\n".join(_lines(display)).encode() + b"\n"
    return None


def _lines(display: Display) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    names = (
        ("schema-element", display.element),
        ("full-description", display.plural),
        ("brief-description", display.singular),
    )
    yield (
        '<Displays xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xsi:noNamespaceSchemaLocation="../../xdat/display.xsd"{_attributes(names)}>'
    )
    for field in display.fields:
        yield from _field(display.element, field)
    for version in display.versions:
        yield from _version(version)
    yield "</Displays>"


def _field(element: str, field: DisplayField) -> Iterator[str]:
    names = (
        ("id", field.id),
        ("header", field.header),
        ("visible", str(field.visible).lower()),
        ("searchable", str(field.listed).lower()),
        ("data-type", field.type),
    )
    yield f"\t<DisplayField{_attributes(names)}>"
    if field.path:
        place = (("name", "Field1"), ("schema-element", f"{element}/{field.path}"))
        yield f"\t\t<DisplayFieldElement{_attributes(place)}/>"
    yield f"\t\t<description>{escape(field.description)}</description>"
    yield "\t</DisplayField>"


def _version(version: Version) -> Iterator[str]:
    names = (
        ("versionName", version.name),
        ("default-order-by", version.order_by),
        ("default-sort-order", version.order),
    )
    yield f"\t<DisplayVersion{_attributes(names)}>"
    for element, name in version.fields:
        yield f"\t\t<DisplayFieldRef{_attributes((('id', name), ('element_name', element)))}/>"
    yield "\t</DisplayVersion>"


def _attributes(pairs: tuple[tuple[str, str], ...]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in pairs)
