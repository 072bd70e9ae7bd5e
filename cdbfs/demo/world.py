"""One published state of the data with the look-ups that routes need.

Used by the routes; built once per data set and never changed, so threads share it; only ``uploads``, what
clients change, has a lock and a life of its own. Publishing another state replaces the whole object.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict

from cdbfs.demo.dataset import Account, DataSet, Experiment, Project, Subject, label_in, projects_of
from cdbfs.demo.uploads import Uploads


class World:
    """Indexes over a data set."""

    def __init__(self, data: DataSet) -> None:
        self.data = data
        self.projects = {p.id: p for p in data.projects}
        self.subjects = {s.id: s for s in data.subjects}
        self.experiments = {e.id: e for e in data.experiments}
        self.types = {t.name: t for t in data.types}
        self.uploads = Uploads()
        self.subjects_in: dict[str, list[Subject]] = defaultdict(list)
        self.experiments_in: dict[str, list[Experiment]] = defaultdict(list)
        self.experiments_of: dict[str, list[Experiment]] = defaultdict(list)
        self._subject_label: dict[tuple[str, str], Subject] = {}
        self._experiment_label: dict[tuple[str, str], list[Experiment]] = defaultdict(list)
        self._index()

    def at(self, site_url: str) -> World:
        """The same state as served from a URL, which its documents are to name."""
        placed = copy.copy(self)
        placed.data = dataclasses.replace(self.data, site_url=site_url)
        return placed

    def _index(self) -> None:
        for subject in self.data.subjects:
            for project in projects_of(subject):
                self.subjects_in[project].append(subject)
                self._subject_label.setdefault((project, label_in(subject, project) or ""), subject)
        for experiment in self.data.experiments:
            self.experiments_of[experiment.subject_id].append(experiment)
            for project in projects_of(experiment):
                self.experiments_in[project].append(experiment)
                self._experiment_label[project, label_in(experiment, project) or ""].append(experiment)

    def number_of(self, account: Account) -> int:
        """The account's xdat_user_id; 1 and 2 are the administrator and the guest that every XNAT begins with."""
        return account.number or 3 + self.data.accounts.index(account)

    def readable_project(self, account: Account, project: str) -> Project | None:
        found = self.projects.get(project)
        return found if found is not None and account.may_read(project) else None

    def readable(self, account: Account, item: Subject | Experiment) -> bool:
        """Seen on XNAT 1.6.4: reading any project that has the item is enough to read it."""
        return any(account.may_read(project) for project in projects_of(item))

    def subject_in(self, project: str, name: str) -> Subject | None:
        """The subject of that label in the project or, failing that, of that ID."""
        found = self._subject_label.get((project, name))
        if found is None:
            by_id = self.subjects.get(name)
            found = by_id if by_id is not None and label_in(by_id, project) is not None else None
        return found

    def experiment_in(self, project: str, name: str, subject: Subject | None = None) -> Experiment | None:
        """The experiment of that ID, else of that label in the project (and of the subject, if given).

        Seen on XNAT 1.6.4: an ID is served below any project and subject, a label only where it holds.
        """
        by_id = self.experiments.get(name)
        if by_id is not None:
            return by_id
        for experiment in self._experiment_label.get((project, name), ()):
            if subject is None or experiment.subject_id == subject.id:
                return experiment
        return None
