"""A directory that has one directory for each project: projects/, packages/, unpacked/.

Threads: immutable.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.tree.nodes import Directory, Entry, Kind, Node
from cdbfs.tree.source import Source


@dataclass(frozen=True)
class ByProject(Directory):
    """Every project this login may see, by ID."""

    source: Source

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return [Entry(name, Kind.DIRECTORY) for name in self.source.projects(caller).by_name]

    def child(self, name: str, caller: Caller) -> Node:
        project = self.source.projects(caller).by_name.get(name)
        if project is None:
            raise NoSuchName(name)
        return self.of(project, name)

    @abstractmethod
    def of(self, project: str, name: str) -> Node:
        """What there is of a project, whose file name is `name`."""
