"""projects/<project>/tables/: the project's experiments by type, each type as one table.

Threads: immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.query.runs import Job
from cdbfs.tree.nodes import Directory, Entry, Kind, Made, Node
from cdbfs.tree.source import Source
from cdbfs.tree.standing import StandingResult

TABLES = "tables"
FIELDS, TABLE = "fields.csv", "table.csv"


@dataclass(frozen=True)
class Tables(Directory):
    """tables/: the types of the experiments that the project lists, whether or not they can be searched.

    `path` is the directory's in the mount.
    """

    source: Source
    project: str
    path: str

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        types = self.source.experiments(self.project, caller).types
        return [Entry(name, Kind.DIRECTORY) for name in types]

    def child(self, name: str, caller: Caller) -> Node:
        type_name = self.source.experiments(self.project, caller).types.get(name)
        if type_name is None:
            raise NoSuchName(name)
        return TypeTable(self.source, self.project, type_name, f"{self.path}/{name}")


@dataclass(frozen=True)
class TypeTable(Directory):
    """tables/<xsi type>/"""

    source: Source
    project: str
    type_name: str
    path: str

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return [Entry(FIELDS, Kind.FILE), Entry(TABLE, Kind.FILE)]

    def child(self, name: str, caller: Caller) -> Node:
        if name == FIELDS:
            return Made(lambda caller: self.source.fields_csv(self.type_name, caller))
        if name != TABLE:
            raise NoSuchName(name)
        changed = self.source.experiments(self.project, caller).newest
        runs = self.source.standing.runs
        return StandingResult(runs, f"{self.path}/{TABLE}", self._job(caller), self._job, changed)

    def _job(self, caller: Caller) -> Job:
        """Another one once the listing tells of an experiment that was edited, renamed, shared or removed."""
        index = self.source.experiments(self.project, caller)
        labels, version = index.of_type(self.type_name)
        return self.source.standing.overview(self.project, self.type_name, labels, version)
