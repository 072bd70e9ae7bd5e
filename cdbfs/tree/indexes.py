"""Listings with their file names: what directories of projects, subjects and experiments show.

Built once per listing, in the worker that fetched it, and kept with it by store.listings.

Threads: immutable but for what is computed once and kept, whose worst case is to be computed twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Callable

from cdbfs.tree import names, tables
from cdbfs.tree.stamps import digest
from cdbfs.xnat.models import Experiment, Project, Subject

SUBJECT_HEADER = (
    "label",
    "ID",
    "project",
    "group",
    "gender",
    "handedness",
    "age",
    "yob",
    "race",
    "ethnicity",
    "education",
    "insert_date",
    "last_modified",
)
EXPERIMENT_HEADER = (
    "label",
    "ID",
    "subject_label",
    "subject_ID",
    "xsiType",
    "project",
    "date",
    "insert_date",
    "last_modified",
)


@dataclass(frozen=True)
class _Name:
    """What goes by its ID, as something labelled."""

    label: str
    ID: str


def by_name(ids: Iterable[str]) -> Mapping[str, str]:
    """What goes by its ID alone, such as projects and data types, by file name."""
    named = names.assign(_Name(each, each) for each in dict.fromkeys(ids))
    return {name: item.ID for name, item in named.items()}


class ProjectIndex:
    """The projects by file name."""

    def __init__(self, projects: Iterable[Project]) -> None:
        self.by_name: Mapping[str, str] = by_name(project.ID for project in projects)


class SubjectIndex:
    """A project's subjects by file name, and the file name of each ID."""

    def __init__(self, subjects: Iterable[Subject], mtime: Callable[[Subject], int], oldest: int) -> None:
        self._mtime = mtime
        self._oldest = oldest
        self.by_name: Mapping[str, Subject] = names.assign(subjects)
        self.name_of: Mapping[str, str] = {subject.ID: name for name, subject in self.by_name.items()}

    @cached_property
    def labels(self) -> frozenset[str]:
        """The labels of the subjects in this project."""
        return frozenset(subject.label for subject in self.by_name.values())

    @cached_property
    def newest(self) -> int:
        """The mtime of subjects.csv: of the subject changed last."""
        return max(map(self._mtime, self.by_name.values()), default=self._oldest)

    @cached_property
    def csv(self) -> bytes:
        """subjects.csv: sorted by label, then ID."""
        return _csv(SUBJECT_HEADER, self.by_name.values())


class ExperimentIndex:
    """A project's experiments: of the whole project, and of each subject, by file name."""

    def __init__(self, experiments: Iterable[Experiment], mtime: Callable[[Experiment], int], oldest: int) -> None:
        self._mtime = mtime
        self._oldest = oldest
        self._all = tuple(experiments)
        self._csv: tuple[SubjectIndex, bytes] | None = None
        self._of_type: dict[str, tuple[Mapping[str, str], str]] = {}
        of_subject: dict[str, list[Experiment]] = {}
        for experiment in self._all:
            of_subject.setdefault(experiment.subject_ID, []).append(experiment)
        self._by_subject = {ID: names.assign(group) for ID, group in of_subject.items()}

    def of_subject(self, subject_id: str) -> Mapping[str, Experiment]:
        return self._by_subject.get(subject_id, {})

    @cached_property
    def by_name(self) -> Mapping[str, Experiment]:
        return names.assign(self._all)

    def name_in_subject(self, wanted: Experiment) -> str:
        """The experiment's file name in its subject's directory."""
        group = self.of_subject(wanted.subject_ID)
        return next(name for name, experiment in group.items() if experiment.ID == wanted.ID)

    @cached_property
    def types(self) -> Mapping[str, str]:
        """The data types of the experiments, by file name."""
        return by_name(experiment.xsiType for experiment in self._all if experiment.xsiType)

    def of_type(self, type_name: str) -> tuple[Mapping[str, str], str]:
        """The labels of the experiments of a type, by ID, and what is another as soon as one of them is."""
        if type_name not in self._of_type:
            found = [experiment for experiment in self._all if experiment.xsiType == type_name]
            rows = sorted((e.ID, e.label, e.subject_ID, e.subject_label, _changed(e)) for e in found)
            self._of_type[type_name] = ({e.ID: e.label for e in found}, digest(repr(rows).encode()).hex())
        return self._of_type[type_name]

    @cached_property
    def newest(self) -> int:
        """The mtime of experiments.csv: of the experiment changed last."""
        return max(map(self._mtime, self._all), default=self._oldest)

    def csv(self, subjects: SubjectIndex) -> bytes:
        """experiments.csv: sorted by label, then ID. Kept for as long as `subjects` is the same."""
        if self._csv is None or self._csv[0] is not subjects:
            rows = (_with_label(experiment, subjects) for experiment in self.by_name.values())
            self._csv = (subjects, _csv(EXPERIMENT_HEADER, rows))
        return self._csv[1]


def _changed(experiment: Experiment) -> str:
    return experiment.last_modified or experiment.insert_date


def _with_label(experiment: Experiment, subjects: SubjectIndex) -> Experiment:
    """With the subject's label in this project: the server gives its owner's (seen on XNAT 1.6.4)."""
    name = subjects.name_of.get(experiment.subject_ID)
    label = subjects.by_name[name].label if name is not None else experiment.subject_label
    return experiment if label == experiment.subject_label else replace(experiment, subject_label=label)


def _csv(header: tuple[str, ...], items: Iterable[Subject | Experiment]) -> bytes:
    return tables.csv(header, ([getattr(item, column) for column in header] for item in items))
