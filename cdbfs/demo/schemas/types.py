"""XML Schemas of a data set's own types, in the form of those that XNAT's administrators write.

An element ``NTScores`` of a type ``scores`` that extends one of XNAT's, groups of fields as elements within.
Used by ``cdbfs.demo.schemas``. Pure functions, any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Union
from xml.sax.saxutils import quoteattr

from cdbfs.demo.dataset import DataSet, DataType
from cdbfs.demo.documents import namespaces
from cdbfs.demo.search.displays import fields_of
from cdbfs.demo.world import World

Tree = Mapping[str, Union["Tree", str]]
"""Element -> the elements within, or the kind of its value."""

_XNAT = "http://nrg.wustl.edu/xnat"
_KINDS = {"int": "xs:int", "float": "xs:float"}
_SESSION = frozenset({"scanner", "operator", "session_type", "modality", "UID"})
"""What a session inherits: a data set may name it too, since it can be asked for as a column."""


def places(data: DataSet) -> dict[str, list[DataType]]:
    """Schema file -> the types it defines: XNAT has one file for each namespace."""
    made: dict[str, list[DataType]] = {}
    known = namespaces(data)
    for kind in data.types:
        made.setdefault(known[kind.prefix][1], []).append(kind)
    return made


def local(kind: DataType) -> str:
    """The type's name in its schema: ``scores`` of nt:scores."""
    return kind.name.partition(":")[2]


def schema(world: World, kinds: Sequence[DataType]) -> bytes:
    """The schema of types that share a namespace."""
    prefix, namespace = kinds[0].prefix, kinds[0].namespace
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<xs:schema targetNamespace={quoteattr(namespace)} xmlns:{prefix}={quoteattr(namespace)}"
        f' xmlns:xdat="http://nrg.wustl.edu/xdat" xmlns:xnat="{_XNAT}"'
        ' xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified"'
        ' attributeFormDefault="unqualified">\n'
        f'\t<xs:import namespace="{_XNAT}" schemaLocation="../xnat/xnat.xsd"/>\n'
    )
    return head.encode() + definitions(world, kinds) + b"</xs:schema>\n"


def definitions(world: World, kinds: Iterable[DataType]) -> bytes:
    """The elements and types themselves, without the schema around them."""
    lines = [line for kind in kinds for line in _definition(world, kind)]
    return "".join(f"\t{line}\n" for line in lines).encode()


def _definition(world: World, kind: DataType) -> Iterator[str]:
    base = "xnat:imageSessionData" if kind.image else "xnat:subjectAssessorData"
    skipped = _SESSION if kind.image else frozenset()
    tree = _tree((path, what) for path, what in fields_of(world, kind.name).items() if path not in skipped)
    element = kind.element.partition(":")[2]
    yield f"<xs:element name={quoteattr(element)} type={quoteattr(f'{kind.prefix}:{local(kind)}')}/>"
    yield f"<xs:complexType name={quoteattr(local(kind))}>"
    yield "\t<xs:complexContent>"
    yield f'\t\t<xs:extension base="{base}">'
    yield from (f"\t\t\t{line}" for line in _sequence(tree))
    yield "\t\t</xs:extension>"
    yield "\t</xs:complexContent>"
    yield "</xs:complexType>"


def _tree(fields: Iterable[tuple[str, str]]) -> Tree:
    made: dict[str, Tree | str] = {}
    for path, kind in fields:
        *groups, name = path.split("/")
        place = made
        for group in groups:
            inner = place.setdefault(group, {})
            if not isinstance(inner, dict):
                inner = place[group] = {}
            place = inner
        place.setdefault(name, kind)
    return made


def _sequence(tree: Tree) -> Iterator[str]:
    yield "<xs:sequence>"
    for name, held in tree.items():
        named = f'<xs:element name={quoteattr(name)} minOccurs="0"'
        if isinstance(held, str):
            yield f'\t<xs:element name={quoteattr(name)} type="{_KINDS.get(held, "xs:string")}" minOccurs="0"/>'
            continue
        yield f"\t{named}>"
        yield "\t\t<xs:complexType>"
        yield from (f"\t\t\t{line}" for line in _sequence(held))
        yield "\t\t</xs:complexType>"
        yield "\t</xs:element>"
    yield "</xs:sequence>"
