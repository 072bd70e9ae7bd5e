"""What a display document says: the fields of a data type that can be searched and shown, and its versions.

Used by every module of this package. Frozen dataclasses, any thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

_SQL_KINDS = {"int": "int", "integer": "int", "float": "float", "date": "date"}


@dataclass(frozen=True)
class Link:
    """One property of a field's HTML link; ``inserts`` are (name, id of the field put in, or ``@WHERE``)."""

    name: str
    value: str
    inserts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class DisplayField:
    """One display field.

    ``type`` is what clients are told, ``sql`` how the database compares it (string, int, float, date or
    timestamp; "" follows from the type). ``listed`` fields are in ``search/elements``, the others can be used
    all the same. ``secured`` fields bring the item's projects along. ``needs_value`` marks ``ID=VALUE``.
    """

    id: str
    header: str
    type: str
    summary: str
    description: str = ""
    listed: bool = True
    visible: bool = True
    secured: bool = False
    needs_value: bool = False
    sql: str = ""
    path: str = ""
    links: tuple[Link, ...] = ()

    @property
    def kind(self) -> str:
        """string, int, float, date or timestamp."""
        return self.sql or _SQL_KINDS.get(self.type, "string")

    @property
    def extras(self) -> tuple[str, ...]:
        """Ids of the fields whose columns come along: those that links insert, then the projects."""
        inserted = [target for link in self.links for _, target in link.inserts if target != "@WHERE"]
        return tuple(dict.fromkeys([*inserted, *(("PROJECTS", "PROJECT") if self.secured else ())]))


@dataclass(frozen=True)
class Version:
    """A display version: a named set of columns; ``fields`` are (element, field id)."""

    name: str
    fields: tuple[tuple[str, str], ...]
    order_by: str
    order: str = "DESC"
    dark: str = "9999CC"
    light: str = "CCCCFF"


@dataclass(frozen=True)
class Display:
    """The display document of one data type; ``label_field`` is the one that takes a project."""

    element: str
    singular: str
    plural: str
    fields: tuple[DisplayField, ...]
    versions: tuple[Version, ...] = ()
    label_field: str = ""
    secured: bool = True
    image: bool = False

    @property
    def sql_name(self) -> str:
        """The name of its table: ``xnat_mrsessiondata``."""
        return sql_name(self.element)

    @cached_property
    def by_id(self) -> dict[str, DisplayField]:
        return {known.id: known for known in self.fields}

    @cached_property
    def by_path(self) -> dict[str, DisplayField]:
        """The first field of each schema path, in lower case."""
        return {known.path.lower(): known for known in reversed(self.fields) if known.path}

    def version(self, names: Iterable[str]) -> Version | None:
        """The first of these versions that there is."""
        known = {version.name: version for version in self.versions}
        return next((known[name] for name in names if name in known), None)


def sql_name(element: str) -> str:
    return element.replace(":", "_").lower()
