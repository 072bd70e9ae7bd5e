"""The display documents of a world: XNAT's own, and for each other data type one made by its generator's rule.

The rule: the field at path ``NEO/NEOFAC_A`` is called ``NEO_NEOFAC_A``, its header is the path's last part. A
type that does not name its fields gets those that its experiments hold. Used by ``engine``, ``fieldlists``
and ``bundles``. Made once for a world and never changed, any thread.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from cdbfs.demo.dataset import DataType
from cdbfs.demo.search import standard
from cdbfs.demo.search.fields import Display, DisplayField, Link, Version, sql_name
from cdbfs.demo.world import World

PROBED = 200
"""So many experiments tell the fields of a type that does not name them."""
_INVESTIGATOR = ("title", "firstname", "lastname", "institution", "department", "email", "phone")
_INTEGER = re.compile(r"[-+]?\d{1,9}")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


class Displays:
    """The display documents of a world, by element."""

    def __init__(self, world: World) -> None:
        titles = list(standard.TITLES)
        place = titles.index(standard.FIRST_AFTER_SITE)
        own = [element for element in world.types if element not in standard.TITLES]
        known = [*titles[:place], *own, *titles[place:]]
        self._displays = {element: _display(world, element) for element in known}

    def __iter__(self) -> Iterator[Display]:
        return iter(self._displays.values())

    def get(self, element: str) -> Display | None:
        return self._displays.get(element)

    def split(self, reference: str) -> tuple[Display, str] | None:
        """``nt:scores/NEO/NEO`` or ``nt:scores.NEO_NEO`` as (display, what follows the element)."""
        found = re.match(r"([^/.]+)[/.](.+)", reference, re.DOTALL)
        display = self.get(found[1]) if found else None
        return (display, found[2]) if found and display is not None else None


def _display(world: World, element: str) -> Display:
    kind = world.types.get(element)
    singular, plural = standard.TITLES.get(element) or standard.SITE_TITLES.get(element) or _title(kind)
    own = _own_fields(world, element, kind)
    image = kind.image if kind is not None else element.endswith("SessionData")
    fields, versions = _document(element, own, image=image)
    fill = _Filling(element, singular, tuple(field.id for field in own))
    return Display(
        element,
        singular,
        plural,
        tuple(map(fill.field, fields)),
        tuple(map(fill.version, versions)),
        label_field=next((fill.text(f.id) for f in fields if f.id.endswith("PROJECT_IDENTIFIER")), ""),
        secured=element not in standard.UNSECURED,
        image=image,
    )


def _document(
    element: str, own: tuple[DisplayField, ...], *, image: bool
) -> tuple[tuple[DisplayField, ...], tuple[Version, ...]]:
    """The fields and versions of a type, its names not yet filled in."""
    if element == standard.SUBJECT:
        return standard.SUBJECT_FIELDS, standard.SUBJECT_VERSIONS
    if element == standard.PROJECT:
        return standard.PROJECT_FIELDS, standard.PROJECT_VERSIONS
    if element in standard.UNSECURED:
        return own, ()
    if image and (element == standard.MR_SESSION or element not in standard.TITLES):
        extra = own if element != standard.MR_SESSION else ()
        return (*standard.SESSION_FIELDS, *extra), standard.SESSION_VERSIONS
    return (*standard.ASSESSOR_FIELDS, *own, standard.ASSESSOR_LAST), standard.ASSESSOR_VERSIONS


def _title(kind: DataType | None) -> tuple[str, str]:
    name = kind.element.partition(":")[2] if kind is not None else ""
    return name, f"{name}s"


# --- a type's own fields


def _own_fields(world: World, element: str, kind: DataType | None) -> tuple[DisplayField, ...]:
    if element in standard.UNSECURED:
        return tuple(dataclasses.replace(own_field(n, "string"), listed=False) for n in _INVESTIGATOR)
    if kind is None:
        return ()
    return tuple(own_field(path, type_name) for path, type_name in fields_of(world, element).items())


def fields_of(world: World, element: str) -> dict[str, str]:
    """Path -> kind of the fields that a registered type names or, if it names none, that its experiments hold."""
    return dict(world.types[element].fields) or _probed(world, element)


def own_field(path: str, type_name: str) -> DisplayField:
    """What XNAT generates for the field at a path."""
    return DisplayField(path.replace("/", "_").upper(), path.rpartition("/")[2], type_name, f"{{e}}/{path}")


def _probed(world: World, element: str) -> dict[str, str]:
    """Path -> kind of the fields that the first experiments of a type hold."""
    values: dict[str, list[str]] = {}
    for experiment in islice((e for e in world.data.experiments if e.type == element), PROBED):
        for group, scores in world.data.content_of(experiment).groups:
            for name, value in scores:
                values.setdefault(f"{group}/{name}" if group else name, []).append(value or "")
    return {path: _kind(found) for path, found in values.items()}


def _kind(values: Iterable[str]) -> str:
    given = [value for value in values if value]
    if not given:
        return "string"
    if all(_INTEGER.fullmatch(value) for value in given):
        return "int"
    return "float" if all(_NUMBER.fullmatch(value) for value in given) else "string"


# --- filling in


class _Filling:
    """Puts an element's names into the words of ``standard``."""

    def __init__(self, element: str, singular: str, own: tuple[str, ...]) -> None:
        sql = sql_name(element)
        self._element = element
        self._own = own
        self._words = {
            "{e}": element,
            "{s}": singular,
            "{SQL}": sql.upper(),
            "{COL}": element.replace(":", "_COL_").upper(),
            "{P}": re.sub(r"SESSIONDATA$|DATA$", "", sql.partition("_")[2].upper()),
        }

    def text(self, pattern: str) -> str:
        for word, meaning in self._words.items():
            pattern = pattern.replace(word, meaning)
        return pattern

    def field(self, field: DisplayField) -> DisplayField:
        summary = self.text(field.summary)
        found = re.fullmatch(re.escape(self._element) + r"/([\w/-]+)", summary)
        return dataclasses.replace(
            field,
            id=self.text(field.id),
            header=self.text(field.header),
            summary=summary,
            description=self.text(field.description) or self.text(field.header),
            path=found[1] if found else "",
            links=tuple(map(self._link, field.links)),
        )

    def _link(self, link: Link) -> Link:
        return Link(link.name, self.text(link.value), link.inserts)

    def version(self, version: Version) -> Version:
        fields: list[tuple[str, str]] = []
        for element, name in version.fields:
            names = self._own if name == "*" else (self.text(name),)
            fields += [(self.text(element), one) for one in names]
        return dataclasses.replace(version, fields=tuple(fields), order_by=self.text(version.order_by))
