"""A project's subjects: subjects/<label>/, its xml/ and its experiments/.

Threads: immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.tree.experiment import experiment_directory
from cdbfs.tree.nodes import Content, Directory, Entry, Fixed, Kind, Link, Made, Node
from cdbfs.tree.source import Source
from cdbfs.xnat.models import Subject


@dataclass(frozen=True)
class Subjects(Directory):
    """projects/<project>/subjects/: by the label they have in this project; by ID too, as an unlisted link."""

    source: Source
    project: str

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return [Entry(name, Kind.DIRECTORY) for name in self.source.subjects(self.project, caller).by_name]

    def child(self, name: str, caller: Caller) -> Node:
        index = self.source.subjects(self.project, caller)
        subject = index.by_name.get(name)
        if subject is not None:
            return subject_directory(self.source, self.project, subject)
        if name in index.name_of:
            label = index.name_of[name]
            return Link(label, self.source.mtime(index.by_name[label]))
        raise NoSuchName(name)


def subject_directory(source: Source, project: str, subject: Subject) -> Directory:
    """projects/<project>/subjects/<label>/"""
    mtime = source.mtime(subject)

    def document(caller: Caller) -> Content:
        return source.subject_xml(subject, project, caller)

    def documents() -> Node:
        return Fixed({"subject.xml": (Kind.FILE, lambda: Made(document))}, mtime)

    children = {
        "experiments": (Kind.DIRECTORY, lambda: SubjectExperiments(source, project, subject)),
        "xml": (Kind.DIRECTORY, documents),
    }
    return Fixed(children, mtime)


@dataclass(frozen=True)
class SubjectExperiments(Directory):
    """projects/<project>/subjects/<label>/experiments/"""

    source: Source
    project: str
    subject: Subject

    @property
    def mtime(self) -> int:
        return self.source.mtime(self.subject)

    def entries(self, caller: Caller) -> Iterable[Entry]:
        experiments = self.source.experiments(self.project, caller).of_subject(self.subject.ID)
        return [Entry(name, Kind.DIRECTORY) for name in experiments]

    def child(self, name: str, caller: Caller) -> Node:
        experiments = self.source.experiments(self.project, caller).of_subject(self.subject.ID)
        if name not in experiments:
            raise NoSuchName(name)
        return experiment_directory(self.source, experiments[name])
