"""One experiment: experiment.xml, scores.csv, scores/. All of it is made of one document.

Threads: immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.tree import scores
from cdbfs.tree.nodes import Content, Directory, Entry, Fixed, Kind, Made, Node
from cdbfs.tree.source import ExperimentDocument, Source
from cdbfs.xnat.models import Experiment


def experiment_directory(source: Source, experiment: Experiment) -> Directory:
    """projects/<project>/subjects/<label>/experiments/<label>"""

    def document(caller: Caller) -> Content:
        found = source.experiment(experiment, caller)
        return Content(found.xml, source.stamp(experiment, found))

    def table(caller: Caller) -> Content:
        found = source.experiment(experiment, caller)
        return Content(found.csv, source.stamp(experiment, found))

    children = {
        "experiment.xml": (Kind.FILE, lambda: Made(document)),
        "scores": (Kind.DIRECTORY, lambda: Scores(source, experiment)),
        "scores.csv": (Kind.FILE, lambda: Made(table)),
    }
    return Fixed(children, source.mtime(experiment))


@dataclass(frozen=True)
class Scores(Directory):
    """scores/, and each group below it: `path` leads from scores/ to the group."""

    source: Source
    experiment: Experiment
    path: tuple[str, ...] = ()

    @property
    def mtime(self) -> int:
        return self.source.mtime(self.experiment)

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return [
            Entry(name, Kind.DIRECTORY if isinstance(member, scores.Group) else Kind.FILE)
            for name, member in self._group(self._document(caller)).members.items()
        ]

    def child(self, name: str, caller: Caller) -> Node:
        document = self._document(caller)
        member = self._group(document).members.get(name)
        if member is None:
            raise NoSuchName(name)
        if isinstance(member, scores.Group):
            return Scores(self.source, self.experiment, (*self.path, name))
        content = Content(scores.file_bytes(member), self.source.stamp(self.experiment, document))
        return Made(lambda caller: content)

    def _document(self, caller: Caller) -> ExperimentDocument:
        return self.source.experiment(self.experiment, caller)

    def _group(self, document: ExperimentDocument) -> scores.Group:
        group = document.scores
        for name in self.path:
            member = group.members.get(name)
            if not isinstance(member, scores.Group):
                raise NoSuchName(name)
            group = member
        return group
