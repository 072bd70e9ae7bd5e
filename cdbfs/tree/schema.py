"""schema/: what each data type has, whether or not a project uses it.

Threads: immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.tree.nodes import Directory, Entry, Fixed, Kind, Made, Node
from cdbfs.tree.source import Source


@dataclass(frozen=True)
class Schema(Directory):
    """schema/: the data types that the server lets one search."""

    source: Source

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return [Entry(name, Kind.DIRECTORY) for name in self.source.types(caller)]

    def child(self, name: str, caller: Caller) -> Node:
        type_name = self.source.types(caller).get(name)
        if type_name is None:
            raise NoSuchName(name)
        return type_directory(self.source, type_name)


def type_directory(source: Source, type_name: str) -> Directory:
    """schema/<xsi type>/"""
    children = {
        "fields.csv": (Kind.FILE, lambda: Made(lambda caller: source.fields_csv(type_name, caller))),
        "schema.xsd": (Kind.FILE, lambda: Made(lambda caller: source.schema_xsd(type_name, caller))),
    }
    return Fixed(children, source.started)
