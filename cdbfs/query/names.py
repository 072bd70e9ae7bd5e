"""Which field a name in a query means: our own names first, then those of the type searched.

Used by check and conditions. A Names belongs to one query and one thread; it may ask the server for the fields of
types that the query names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from cdbfs.errors import NotFound, QueryError
from cdbfs.query import fields as known
from cdbfs.query.fields import Fields, FieldsOf, nearest, type_named, unknown
from cdbfs.query.model import SUBJECT, Field, Place, Query, is_project
from cdbfs.xnat.models import SearchField

_QUALIFIED = re.compile(r"([\w-]+:[\w-]+)[./](.+)\Z", re.DOTALL)
"""``xnat:subjectData.RACE``, ``nt:scores/NEO/NEO``."""


class Names:
    """One query's names, resolved against one server's types and fields."""

    def __init__(self, query: Query, types: Sequence[str], fields_of: FieldsOf) -> None:
        self._project = query.project
        self._types = types
        self._fields_of = fields_of
        self.root = self.fields(query.type)

    def fields(self, type_name: Field) -> Fields:
        """The fields of a type that the query names. Raises QueryError."""
        try:
            return self._fields_of(type_named(type_name, self._types))
        except NotFound as error:
            raise QueryError(str(error), type_name.place) from None

    def resolve(self, field: Field) -> SearchField:
        """The field that a name means. Raises QueryError with the nearest ones."""
        checked(field.name, field.place)
        if not field.quoted and field.name.lower() == SUBJECT:
            return self.subject(field)
        if is_project(field):
            raise QueryError(
                f"project stands only in WHERE project = '...'; the owning project is {self.root.type}.PROJECT",
                field.place,
            )
        owner, name = self._split(field)
        found = owner.find(name)
        if found is None:
            raise self._no_field(owner, name, field.place)
        if found.requires_value and "=" not in found.id:
            raise QueryError(f'{found.id} is a family of fields; name one as "{found.id}=VALUE"', field.place)
        return found

    def _no_field(self, owner: Fields, name: str, place: Place) -> QueryError:
        """What is said of a name that a type has not: our own name first, then what it or the subject has."""
        what = f"{owner.type} has no field"
        if self.root.type != known.PROJECT_TYPE:
            if name.lower() == SUBJECT:
                return QueryError(f"{what} {name}; {SUBJECT} stands alone, without a type or quotes", place)
            if nearest(name, [SUBJECT]):
                return unknown(what, name, [SUBJECT, *map(_written, owner.near(name))][:3], place)
        ids = {field_id: _written(field_id) for field_id in owner.by_id}
        if owner is self.root and known.SUBJECT_TYPE in self._types and owner.type != known.PROJECT_TYPE:
            subject = self.fields(Field(known.SUBJECT_TYPE, place))
            found = subject.find(name)
            if found is not None:
                path = _written(found.id, f"{subject.type}.")
                return unknown(what, name, [], place, f"; {subject.type} has one: {path}")
            own = {field_id.upper() for field_id in ids}
            for field_id in subject.by_id:
                if field_id.upper() not in own:
                    ids[field_id] = _written(field_id, f"{subject.type}.")
        return unknown(what, name, [ids[near] for near in nearest(name, list(ids))], place)

    def subject(self, field: Field) -> SearchField:
        """The subject's label: in the project searched if one is, else the owner's."""
        if self.root.type == known.PROJECT_TYPE:
            raise QueryError("a project has no subject; search xnat:subjectData", field.place)
        if self._project is None:
            return known.SUBJECT_LABEL
        return SearchField(known.SUBJECT_TYPE, f"SUB_PROJECT_IDENTIFIER={self._project.text}", "Subject")

    def _split(self, field: Field) -> tuple[Fields, str]:
        """The type that a name speaks of, and the name in it."""
        qualified = _QUALIFIED.match(field.name)
        if qualified is None or (field.quoted and self.root.find(field.name)):
            return self.root, field.name
        if qualified[1].lower() == self.root.type.lower():
            return self.root, qualified[2]
        if known.PROJECT_TYPE in (self.root.type, qualified[1]):
            raise QueryError(f"XNAT joins {known.PROJECT_TYPE} with no other type", field.place)
        return self.fields(Field(qualified[1], field.place)), qualified[2]


def _written(field_id: str, type_name: str = "") -> str:
    """A field as a query names it."""
    whole = f"{type_name}{field_id}"
    return whole if re.fullmatch(r"\w+", field_id) else f'"{whole}"'


def checked(text: str, place: Place) -> str:
    """The text, of characters that an XML document can hold and give back. Raises QueryError."""
    if any(unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff" for c in text):
        raise QueryError("a text with control characters cannot be asked for", place)
    return text
