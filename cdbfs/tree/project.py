"""projects/ and one project: subjects.csv, experiments.csv, xml/, subjects/, experiments/, tables/.

Threads: immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.tree.by_project import ByProject
from cdbfs.tree.by_type import TABLES, Tables
from cdbfs.tree.experiment import experiment_directory
from cdbfs.tree.nodes import Content, Directory, Entry, Fixed, Kind, Link, Made, Node
from cdbfs.tree.source import Source
from cdbfs.tree.subject import Subjects

PROJECTS = "projects"
"""The directory's name in the mount."""


class Projects(ByProject):
    """projects/: every project this login may see, by ID."""

    def of(self, project: str, name: str) -> Node:
        return project_directory(self.source, project, f"{PROJECTS}/{name}")


def project_directory(source: Source, project: str, path: str) -> Directory:
    """projects/<project>/, which is `path` in the mount."""

    def subjects_csv(caller: Caller) -> Content:
        index = source.subjects(project, caller)
        return source.table(("subjects", project), index.csv, index.newest)

    def experiments_csv(caller: Caller) -> Content:
        index = source.experiments(project, caller)
        table = index.csv(source.subjects(project, caller))
        return source.table(("experiments", project), table, index.newest)

    def document(caller: Caller) -> Content:
        return source.project_xml(project, caller)

    def documents() -> Node:
        return Fixed({"project.xml": (Kind.FILE, lambda: Made(document))}, source.started)

    children = {
        "experiments": (Kind.DIRECTORY, lambda: Experiments(source, project)),
        "experiments.csv": (Kind.FILE, lambda: Made(experiments_csv)),
        "subjects": (Kind.DIRECTORY, lambda: Subjects(source, project)),
        "subjects.csv": (Kind.FILE, lambda: Made(subjects_csv)),
        TABLES: (Kind.DIRECTORY, lambda: Tables(source, project, f"{path}/{TABLES}")),
        "xml": (Kind.DIRECTORY, documents),
    }
    return Fixed(children, source.started)


@dataclass(frozen=True)
class Experiments(Directory):
    """projects/<project>/experiments/: links into subjects/; a directory where that has no subject for it."""

    source: Source
    project: str

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        subjects = self.source.subjects(self.project, caller)
        experiments = self.source.experiments(self.project, caller)
        return [
            Entry(name, Kind.LINK if experiment.subject_ID in subjects.name_of else Kind.DIRECTORY)
            for name, experiment in experiments.by_name.items()
        ]

    def child(self, name: str, caller: Caller) -> Node:
        experiments = self.source.experiments(self.project, caller)
        experiment = experiments.by_name.get(name)
        if experiment is None:
            raise NoSuchName(name)
        subject = self.source.subjects(self.project, caller).name_of.get(experiment.subject_ID)
        if subject is None:
            return experiment_directory(self.source, experiment)
        target = f"../subjects/{subject}/experiments/{experiments.name_in_subject(experiment)}"
        return Link(target, self.source.mtime(experiment))
