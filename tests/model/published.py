"""What a server published, as plain dictionaries that the model holds cdbfs against; and the edits that change it.

Nothing here is made with the code under test: names, tables and links are told anew, for labels that need no more
than this. A tree in several versions is what it may look like while listings and documents of different moments
are known: each path has the set of values that any such combination gives it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Callable, TypeVar, Union

from cdbfs.demo import DataSet, DataSetBuilder
from cdbfs.demo.dataset import Content, Experiment, Subject, label_in
from cdbfs.demo.documents import experiment_xml, project_xml, subject_xml

PROJECTS = ("P", "Q")
LABELS = ("zeta", "dup", "s/1", "..", "two\nlines", "K\u00e4se 7", "alpha")
QUOTED = {"s/1": "s%2F1", "..": "%2E%2E"}
TYPE = "cog:battery"

Value = Union[bytes, str, tuple[str, ...], None]
"""What a path shows: a file's bytes, a link's target, a directory's names in order; None: it is not there."""

I = TypeVar("I", Subject, Experiment)  # noqa: E741


@dataclass(frozen=True)
class Spot:
    """A path of a mount by what it is: `kind` says what the names mean."""

    kind: str
    project: str = ""
    subject: str = ""
    experiment: str = ""

    @property
    def path(self) -> str:
        below = f"projects/{self.project}"
        of_subject = f"{below}/subjects/{self.subject}"
        directory = f"{of_subject}/experiments/{self.experiment}"
        return {
            "projects": "projects",
            "project.xml": f"{below}/xml/project.xml",
            "subjects": f"{below}/subjects",
            "subjects.csv": f"{below}/subjects.csv",
            "experiments": f"{below}/experiments",
            "experiments.csv": f"{below}/experiments.csv",
            "link": f"{below}/experiments/{self.experiment}",
            "subject.xml": f"{of_subject}/xml/subject.xml",
            "experiments of a subject": f"{of_subject}/experiments",
            "experiment.xml": f"{directory}/experiment.xml",
            "scores.csv": f"{directory}/scores.csv",
            "score": f"{directory}/scores/memory/recall",
        }[self.kind]

    @property
    def is_file(self) -> bool:
        return self.kind == "score" or self.kind.endswith((".xml", ".csv"))

    @property
    def is_directory(self) -> bool:
        return not self.is_file and self.kind != "link"


class State:
    """One published data set, by the names that files have."""

    def __init__(self, data: DataSet) -> None:
        self.data = data
        self.subject = {subject.id: subject for subject in data.subjects}
        self.experiment = {experiment.id: experiment for experiment in data.experiments}

    @cached_property
    def subjects(self) -> dict[str, dict[str, Subject]]:
        return {project: _named(self.data.subjects, project) for project in PROJECTS}

    @cached_property
    def experiments(self) -> dict[str, dict[str, Experiment]]:
        return {project: _named(self.data.experiments, project) for project in PROJECTS}

    def of_subject(self, project: str, subject: str) -> dict[str, Experiment]:
        return _named((e for e in self.data.experiments if e.subject_id == subject), project)

    def spots(self) -> list[Spot]:
        """Every path there is, but for those that are always the same."""
        found = [Spot("projects")]
        for project in PROJECTS:
            whole = ("project.xml", "subjects", "subjects.csv", "experiments", "experiments.csv")
            found += [Spot(kind, project) for kind in whole]
            found += [Spot("link", project, experiment=name) for name in self.experiments[project]]
            for name, subject in self.subjects[project].items():
                found += [Spot(kind, project, name) for kind in ("subject.xml", "experiments of a subject")]
                for experiment in self.of_subject(project, subject.id):
                    found += [
                        Spot(kind, project, name, experiment) for kind in ("experiment.xml", "scores.csv", "score")
                    ]
        return found

    def document(self, kind: str, experiment_id: str) -> Value:
        """What is made of an experiment's document."""
        experiment = self.experiment.get(experiment_id)
        if experiment is None:
            return None
        if kind == "experiment.xml":
            return experiment_xml(self.data, experiment)
        scores = {f"{group}/{name}": text for group, pairs in _groups(experiment) for name, text in pairs}
        if kind == "score":
            return f"{scores['memory/recall']}\n".encode()
        return ("score,value\n" + "".join(f"{path},{text}\n" for path, text in scores.items())).encode()


class Published:
    """The states published so far; those before `floor` must not be seen any more."""

    def __init__(self, data: DataSet) -> None:
        self.states = [State(data)]
        self.floor = 0

    @property
    def now(self) -> State:
        return self.states[-1]

    @property
    def live(self) -> list[State]:
        return self.states[self.floor :]

    def publish(self, data: DataSet) -> None:
        self.states.append(State(data))

    def settled(self) -> None:
        """From here on only the latest may be seen."""
        self.floor = len(self.states) - 1

    def fingerprints(self, experiment_id: str) -> int:
        """Under how many dates an experiment was published."""
        return len({_date(state.experiment.get(experiment_id)) for state in self.states} - {None})

    def values(self, spot: Spot) -> set[Value]:
        """All that may be seen at a path."""
        return set(_values(spot, self.live))

    def of_the_latest_date(self, spot: Spot) -> set[Value]:
        """What may be seen of an experiment's document once the listings are the latest."""
        subject = self.now.subjects[spot.project][spot.subject].id
        wanted = self.now.of_subject(spot.project, subject)[spot.experiment]
        alike = [s for s in self.live if _date(s.experiment.get(wanted.id)) == _date(wanted)]
        return {state.document(spot.kind, wanted.id) for state in alike}

    def value(self, spot: Spot) -> Value:
        """What is to be seen there in the end."""
        (value,) = set(_values(spot, [self.now]))
        return value


def _values(spot: Spot, live: list[State]) -> Iterator[Value]:
    """The values of a path where each listing and document may be of any of these states."""
    project = spot.project
    if spot.kind == "projects":
        yield PROJECTS
    elif spot.kind == "project.xml":
        for state in live:
            yield project_xml(state.data, next(p for p in state.data.projects if p.id == project))
    elif spot.kind == "subjects":
        yield from (tuple(state.subjects[project]) for state in live)
    elif spot.kind == "experiments":
        yield from (tuple(state.experiments[project]) for state in live)
    elif spot.kind == "subjects.csv":
        yield from (_subjects_csv(state, project) for state in live)
    elif spot.kind == "experiments.csv":
        yield from (_experiments_csv(i, j, project) for i, j in product(live, live))
    elif spot.kind == "link":
        yield from (_link(i, j, spot) for i, j in product(live, live))
    else:
        yield from _below_a_subject(spot, live)


def _below_a_subject(spot: Spot, live: list[State]) -> Iterator[Value]:
    subjects = {_id(state.subjects[spot.project].get(spot.subject)) for state in live}
    for subject in subjects:
        if subject is None:
            yield None
        elif spot.kind == "subject.xml":
            yield from (_subject_xml(state, subject) for state in live)
        elif spot.kind == "experiments of a subject":
            yield from (tuple(state.of_subject(spot.project, subject)) for state in live)
        else:
            found = {_id(state.of_subject(spot.project, subject).get(spot.experiment)) for state in live}
            for experiment in found:
                if experiment is None:
                    yield None
                else:
                    yield from (state.document(spot.kind, experiment) for state in live)


def _date(experiment: Experiment | None) -> str | None:
    return (experiment.last_modified or experiment.insert_date) if experiment is not None else None


def _id(item: Subject | Experiment | None) -> str | None:
    return item.id if item is not None else None


def _named(items: Iterable[I], project: str) -> dict[str, I]:
    """By file name, in the order of labels, then IDs."""
    labelled = [(label_in(item, project) or "", item.id, item) for item in items if label_in(item, project)]
    counts = Counter(label for label, _, _ in labelled)
    found = {}
    for label, number, item in sorted(labelled, key=lambda entry: entry[:2]):
        name = QUOTED.get(label, label)
        found[name if counts[label] == 1 else f"{name}~{number}"] = item
    return found


def _subject_xml(state: State, subject: str) -> Value:
    found = state.subject.get(subject)
    if found is None:
        return None
    return subject_xml(state.data, found, [e for e in state.data.experiments if e.subject_id == subject])


def _link(i: State, j: State, spot: Spot) -> Value:
    """A target; "" for a directory, where the subject is not in the project."""
    experiment = j.experiments[spot.project].get(spot.experiment)
    if experiment is None:
        return None
    subject = {item.id: name for name, item in i.subjects[spot.project].items()}.get(experiment.subject_id)
    if subject is None:
        return ""
    names = {item.id: name for name, item in j.of_subject(spot.project, experiment.subject_id).items()}
    return f"../subjects/{subject}/experiments/{names[experiment.id]}"


def _subjects_csv(state: State, project: str) -> bytes:
    lines = [
        "label,ID,project,group,gender,handedness,age,yob,race,ethnicity,education,insert_date,last_modified"
    ] + [
        ",".join(
            (
                _cell(label_in(s, project) or ""),
                *(s.id, s.project, s.group, s.detail("gender"), "", "", "", "", "", ""),
                *(s.insert_date, s.last_modified),
            )
        )
        for s in state.subjects[project].values()
    ]
    return ("\n".join(lines) + "\n").encode()


def _experiments_csv(i: State, j: State, project: str) -> bytes:
    here = {subject.id: label_in(subject, project) or "" for subject in i.subjects[project].values()}
    lines = ["label,ID,subject_label,subject_ID,xsiType,project,date,insert_date,last_modified"] + [
        ",".join(
            (
                _cell(label_in(e, project) or ""),
                e.id,
                _cell(here.get(e.subject_id, j.subject[e.subject_id].label)),
                *(e.subject_id, e.type, e.project, e.date, e.insert_date, e.last_modified),
            )
        )
        for e in j.experiments[project].values()
    ]
    return ("\n".join(lines) + "\n").encode()


def _cell(text: str) -> str:
    return f'"{text}"' if "\n" in text else text


def _groups(experiment: Experiment) -> tuple[tuple[str, tuple[tuple[str, str | None], ...]], ...]:
    return experiment.content.groups if experiment.content is not None else ()


# --- edits


def beginning() -> DataSet:
    """Two projects that share a subject."""
    make = DataSetBuilder(site_id="Lab")
    for project in PROJECTS:
        make.project(project)
    make.type(TYPE, "cog:Battery", "http://example.org/cog")
    zeta = make.subject("zeta", "P", id="Lab_Sa", gender="female", shares={"Q": "renamed"})
    make.subject("alpha", "P", id="Lab_Sb", gender="male")
    make.subject("own", "Q", id="Lab_Sc")
    make.account("ana", "secret", PROJECTS)
    data = make.build()
    for number, (label, subject) in enumerate((("zeta", 0), ("dup", 0), ("dup", 0), ("alpha", 1), ("own", 2))):
        data = add_experiment(data, subject, label, number)
    return replace(
        data,
        subjects=(*data.subjects[1:], zeta),  # in no order
        experiments=tuple(
            replace(e, shares=(("Q", "as shared"),)) if e.subject_id == zeta.id else e for e in data.experiments
        ),
    )


def edit_scores(data: DataSet, pick: int, number: int, *, dated: bool) -> DataSet:
    """Other values in an experiment; only a dated edit shows in the listing."""
    return _with_experiment(
        data,
        pick,
        lambda e: replace(e, content=_scores(number), last_modified=_moment(number) if dated else e.last_modified),
    )


def rename(data: DataSet, pick: int, label: str) -> DataSet:
    """A subject and an experiment get another label where they are at home."""
    data = _with_experiment(data, pick, lambda e: replace(e, label=label))
    return _with_subject(data, pick, lambda s: replace(s, label=label))


def share(data: DataSet, pick: int, label: str) -> DataSet:
    """A subject and an experiment come into the other project under a label, or leave it."""
    data = _with_experiment(data, pick, lambda e: replace(e, shares=_toggled(e, label)))
    return _with_subject(data, pick // 2, lambda s: replace(s, shares=_toggled(s, label)))


def add_subject(data: DataSet, pick: int, label: str, number: int) -> DataSet:
    project = PROJECTS[pick % 2]
    made = Subject(f"Lab_S{number}", label, project, insert_date=_moment(number))
    return replace(data, subjects=(made, *data.subjects))


def add_experiment(data: DataSet, pick: int, label: str, number: int) -> DataSet:
    if not data.subjects:
        return data
    subject = data.subjects[pick % len(data.subjects)]
    made = Experiment(
        f"Lab_E{number}",
        label,
        subject.project,
        subject.id,
        TYPE,
        insert_date=_moment(number),
        content=_scores(number),
    )
    return replace(data, experiments=(made, *data.experiments))


def remove_experiment(data: DataSet, pick: int) -> DataSet:
    left = list(data.experiments)
    if left:
        del left[pick % len(left)]
    return replace(data, experiments=tuple(left))


def remove_subject(data: DataSet, pick: int) -> DataSet:
    """A subject with its experiments."""
    if not data.subjects:
        return data
    gone = data.subjects[pick % len(data.subjects)].id
    return replace(
        data,
        subjects=tuple(s for s in data.subjects if s.id != gone),
        experiments=tuple(e for e in data.experiments if e.subject_id != gone),
    )


def describe(data: DataSet, pick: int, number: int) -> DataSet:
    """A project gets another description."""
    gone = PROJECTS[pick % 2]
    return replace(
        data,
        projects=tuple(replace(p, description=f"no. {number}") if p.id == gone else p for p in data.projects),
    )


def _with_experiment(data: DataSet, pick: int, change: Callable[[Experiment], Experiment]) -> DataSet:
    return replace(data, experiments=_changed(data.experiments, pick, change))


def _with_subject(data: DataSet, pick: int, change: Callable[[Subject], Subject]) -> DataSet:
    return replace(data, subjects=_changed(data.subjects, pick, change))


def _changed(items: tuple[I, ...], pick: int, change: Callable[[I], I]) -> tuple[I, ...]:
    if not items:
        return items
    chosen = pick % len(items)
    return tuple(change(item) if index == chosen else item for index, item in enumerate(items))


def _toggled(item: Subject | Experiment, label: str) -> tuple[tuple[str, str], ...]:
    other = PROJECTS[1 - PROJECTS.index(item.project)]
    return () if item.shares else ((other, label),)


def _scores(number: int) -> Content:
    return Content((("memory", (("recall", str(10 + number)), ("remark", "x" * (1 + number * 37 % 400)))),))


def _moment(number: int) -> str:
    return f"2015-01-{1 + number // 1440:02d} {number // 60 % 24:02d}:{number % 60:02d}:00"
