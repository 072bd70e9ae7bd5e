"""What can be asked for: a server's data types and their fields, and which field a name means.

Used by names, documents and whoever lists fields. Built from `search/elements`; frozen, any thread.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Callable

from cdbfs.errors import QueryError
from cdbfs.query.model import Field, Place
from cdbfs.xnat.models import SearchField

SUBJECT_TYPE = "xnat:subjectData"
PROJECT_TYPE = "xnat:projectData"
LISTED, UNLISTED = "0", ""
"""SearchField.source of the fields that a type has for everybody, and of those that it has but does not list."""
SUBJECT_LABEL = SearchField(SUBJECT_TYPE, "SUBJECT_LABEL", "Subject", f"{SUBJECT_TYPE}/label", source=UNLISTED)
"""The label that the owning project gives."""
SHARES = "/sharing/share/"
"""In the path of a field of which an item has one value for each project that it is shared into."""

_SUBJECT_FAMILY = "SUB_PROJECT_IDENTIFIER"
"""A field that takes a value: ``SUB_PROJECT_IDENTIFIER=P`` is the label in P."""


@dataclass(frozen=True)
class Fields:
    """The fields of one data type, by id, in the server's order."""

    type: str
    by_id: Mapping[str, SearchField]
    families: Mapping[str, SearchField]
    """Fields that take a value, ``FAMILY=VALUE``, by upper-case id."""

    @staticmethod
    def of(type_name: str, listed: Sequence[SearchField]) -> Fields:
        by_id: dict[str, SearchField] = {}
        families: dict[str, SearchField] = {}
        for field in (*listed, *_unlisted(type_name)):
            by_id.setdefault(field.id, field)
            family, given, _ = field.id.partition("=")
            if given or field.requires_value:
                families.setdefault(family.upper(), replace(field, id=family))
        if type_name == SUBJECT_TYPE:
            families.setdefault(_SUBJECT_FAMILY, SearchField(type_name, _SUBJECT_FAMILY))
        return Fields(type_name, by_id, families)

    def find(self, name: str) -> SearchField | None:
        """By id, in any case where that is enough to tell; or by the schema path that a field shows."""
        if name in self.by_id:
            return self.by_id[name]
        folded = [field for field in self.by_id.values() if field.id.upper() == name.upper()]
        if folded:
            return folded[0] if len(folded) == 1 else None
        family, _, value = name.partition("=")
        if value and family.upper() in self.families:
            field = self.families[family.upper()]
            return SearchField(self.type, f"{field.id}={value}", kind=field.kind)
        path = f"{self.type}/{name}".lower()
        return next((field for field in self.by_id.values() if field.path.lower() == path), None)

    def everything(self) -> list[SearchField]:
        """What ``*`` stands for: what the type lists for everybody, without fields of which items have several."""
        return [
            field
            for field in self.by_id.values()
            if not field.requires_value and field.source == LISTED and SHARES not in field.path
        ]

    def key(self) -> SearchField:
        """The field that tells items apart; every server knows it, though not all list it."""
        known = self.find("ID")
        if known is not None:
            return known
        names = {SUBJECT_TYPE: "SUBJECT_ID", PROJECT_TYPE: "ID"}
        guess = "SESSION_ID" if self.type.endswith("SessionData") else "EXPT_ID"
        return SearchField(self.type, names.get(self.type, guess), source=UNLISTED)

    def near(self, name: str) -> list[str]:
        return nearest(name, [field.id for field in self.by_id.values()])


FieldsOf = Callable[[str], Fields]
"""The fields of a data type; may ask the server. Raises NotFound for a type it does not know."""


def type_named(field: Field, types: Sequence[str]) -> str:
    """The data type of that name, whatever its case. Raises QueryError with the nearest ones."""
    found = next((name for name in types if name.lower() == field.name.lower()), None)
    if found is None:
        bare = {name.partition(":")[2]: name for name in types}
        near = nearest(field.name, types) or [bare[name] for name in nearest(field.name, list(bare))]
        raise unknown("the server has no data type", field.name, near, field.place)
    return found


def _unlisted(type_name: str) -> tuple[SearchField, ...]:
    """Fields that XNAT has for every type, and does not list (seen on XNAT 1.6.4)."""
    if type_name == SUBJECT_TYPE:
        return SUBJECT_LABEL, SearchField(type_name, "SUBJECT_ID", "Subject", f"{type_name}/ID", source=UNLISTED)
    if type_name == PROJECT_TYPE:
        return ()
    return (
        SearchField(type_name, "LABEL", "Label", f"{type_name}/label", source=UNLISTED),
        SearchField(type_name, "PROJECTS", "Projects", source=UNLISTED),
    )


def nearest(name: str, among: Sequence[str]) -> list[str]:
    """Up to three names like this one; letters' case does not count."""
    known = {other.upper(): other for other in among}
    near = difflib.get_close_matches(name.upper(), list(known), n=3, cutoff=0.6)
    holding = sorted((u for u in known if len(name) > 2 and name.upper() in u), key=len)
    return [known[upper] for upper in dict.fromkeys([*holding[:2], *near])][:3]


def unknown(what: str, name: str, near: Sequence[str], place: Place, whose: str = "") -> QueryError:
    shown = name if len(name) <= 100 else f"{name[:100]}..."
    hint = f"; there are {', '.join(near)}" if len(near) > 1 else f"; did you mean {near[0]}?" if near else ""
    return QueryError(f"{what} {shown}{whose}{hint}", place)
