"""What a field holds: the value of an item by display field or by schema path.

A value is text as the server prints it, None where the database has NULL, or several of them where a field is
stored in a table of its own (an item's shares). Used by ``engine``. Contents of documents are read once
for a world; two threads that read one at the same moment do the same work twice, no more.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Callable, Optional, Union

from cdbfs.demo.dataset import Account, Experiment, Project, Subject, label_in, projects_of
from cdbfs.demo.documents import DEMOGRAPHICS
from cdbfs.demo.search import standard
from cdbfs.demo.search.fields import Display, DisplayField, sql_name
from cdbfs.demo.world import World

Item = Union[Project, Subject, Experiment]
Value = Optional[str]
Many = tuple[Value, ...]
Getter = Callable[[Item], Union[Value, Many]]


class UnknownPath(Exception):
    """A schema path that the element does not have."""


class Reader:
    """Values of a world's items."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._contents: dict[str, Mapping[str, Value]] = {}

    def content(self, experiment: Experiment) -> Mapping[str, Value]:
        """What an experiment's document holds: path in lower case -> printed value."""
        found = self._contents.get(experiment.id)
        if found is None:
            content = self.world.data.content_of(experiment)
            found = {
                (f"{group}/{name}" if group else name).lower(): value
                for group, scores in content.groups
                for name, value in scores
            }
            if content.scanner:
                found["scanner"] = content.scanner
            self._contents[experiment.id] = found
        return found

    def getter(self, display: Display, field: DisplayField, value: str) -> Getter:
        """How to read a display field; ``value`` is that of ``ID=VALUE``."""
        if display.element == standard.SUBJECT:
            return self._subject_getter(field.id, value)
        if display.element == standard.PROJECT:
            return self._project_getter(field.id)
        return self._experiment_getter(display, field, value)

    def path_getter(self, display: Display, path: str) -> tuple[Getter, str]:
        """How to read a schema path, and its kind. Raises UnknownPath."""
        lower = path.lower().removeprefix(display.element.lower() + "/")
        if display.element == standard.SUBJECT:
            return self._subject_path(lower)
        if display.element == standard.PROJECT:
            return self._project_path(lower)
        return self._experiment_path(display, lower)

    # --- subjects

    def _subject_getter(self, name: str, value: str) -> Getter:
        if name == "SUB_PROJECT_IDENTIFIER":
            return lambda s: label_in(_subject(s), value)
        if name == "SUB_EXPT_COUNT":
            return lambda s: self._count(_subject(s), value, "")
        if name.startswith("CNT_"):
            return lambda s: self._count(_subject(s), name[4:].lower(), value)
        if name == "MR_COUNT":
            return lambda s: self._count(_subject(s), "xnat:mrSessionData", "")
        known = _SUBJECT.get(name)
        return (lambda s: known(_subject(s))) if known is not None else _nothing

    def _count(self, subject: Subject, kind: str, project: str) -> Value:
        """How many experiments of a type (by its name or its table's) a subject has in a project, or at all."""
        listed = self.world.experiments_of.get(subject.id, [])
        found = sum(
            kind in (e.type, sql_name(e.type)) and (not project or project in projects_of(e)) for e in listed
        )
        return str(found) if found else None

    def _subject_path(self, lower: str) -> tuple[Getter, str]:
        if lower == "sharing/share/project":
            return (lambda s: _shared(_subject(s))), "string"
        if lower == "sharing/share/label":
            return (lambda s: _shared_labels(_subject(s))), "string"
        name = lower.rpartition("/")[2]
        if lower.startswith("demographics") and name in map(str.lower, DEMOGRAPHICS):
            kind = "int" if name in ("yob", "age", "education", "ses") else "string"
            return (lambda s: _subject(s).detail(name) or None), kind
        known = _SUBJECT_PATHS.get(lower)
        if known is None:
            raise UnknownPath(lower)
        getter = _SUBJECT[known]
        return (lambda s: getter(_subject(s))), _kind_of(known)

    # --- experiments

    def _experiment_getter(self, display: Display, field: DisplayField, value: str) -> Getter:
        name = field.id
        if name == display.label_field:
            return lambda e: label_in(_experiment(e), value)
        if name in ("AGE", "GEN_AGE"):
            return self._age_getter(display, general=name == "GEN_AGE")
        if name.endswith("_SCAN_COUNT_AGG"):
            return lambda e: self._scan_types(_experiment(e))
        known = _EXPERIMENT.get(name)
        if known is not None:
            return lambda e: known(_experiment(e))
        path = field.path.lower()
        if path == "sharing/share/project":
            return lambda e: _shared(_experiment(e))
        return (lambda e: self.content(_experiment(e)).get(path)) if path else _nothing

    def _age_getter(self, display: Display, *, general: bool) -> Getter:
        """Years at the experiment's date; a session's own age and the subject's come first, as in the display."""

        def age(item: Item) -> Value:
            experiment = _experiment(item)
            subject = self.world.subjects.get(experiment.subject_id)
            year = _year(experiment.date)
            given = self.content(experiment).get("age") if display.image else None
            if not given and display.image and not general and subject is not None:
                given = subject.detail("age")
            born = _year(subject.detail("dob") or subject.detail("yob")) if subject is not None else None
            if not given and (year is None or born is None):
                return None
            years = float(given) if given else float((year or 0) - (born or 0))
            return f"{years:.2f}" if general else str(math.floor(years))

        return age

    def _scan_types(self, experiment: Experiment) -> Value:
        found = Counter(scan.type for scan in self.world.data.content_of(experiment).scans)
        return ", ".join(f"{kind}({number})" for kind, number in sorted(found.items())) or None

    def _experiment_path(self, display: Display, lower: str) -> tuple[Getter, str]:
        if lower == "sharing/share/project":
            return (lambda e: _shared(_experiment(e))), "string"
        if lower == "sharing/share/label":
            return (lambda e: _shared_labels(_experiment(e))), "string"
        known = _EXPERIMENT_PATHS.get(lower)
        if known is not None:
            getter = _EXPERIMENT[known]
            return (lambda e: getter(_experiment(e))), _kind_of(known)
        field = display.by_path.get(lower)
        kind = self.world.types.get(display.element)
        typed = field.kind if field is not None else (kind.kind(lower) if kind is not None else "")
        if not typed or (field is None and kind is not None and not kind.fields):
            raise UnknownPath(lower)
        return (lambda e: self.content(_experiment(e)).get(lower)), typed

    # --- projects

    def _project_getter(self, name: str) -> Getter:
        if name.startswith("PROJ_") and name.endswith("_COUNT"):
            kind = f"xnat:{name.split('_')[1].lower()}SessionData"
            return lambda p: self._project_count(_project(p), kind)
        if name in ("PROJECT_USERS", "PROJECT_OWNERS", "PROJECT_COLLABS", "PROJECT_MEMBERS"):
            return lambda p: _users(self.world.data.accounts, _project(p), name)
        known = _PROJECT.get(name)
        return (lambda p: known(_project(p))) if known is not None else _nothing

    def _project_count(self, project: Project, kind: str) -> Value:
        found = sum(e.type == kind for e in self.world.experiments_in.get(project.id, []))
        return str(found) if found else None

    def _project_path(self, lower: str) -> tuple[Getter, str]:
        known = _PROJECT_PATHS.get(lower)
        if known is None:
            raise UnknownPath(lower)
        getter = _PROJECT[known]
        return (lambda p: getter(_project(p))), _kind_of(known)


# --- what the item itself says


def _nothing(item: Item) -> Value:
    """A field of the standard documents that no data set here fills."""
    return None


def _subject(item: Item) -> Subject:
    assert isinstance(item, Subject)  # noqa: S101 - the engine hands out items by element
    return item


def _experiment(item: Item) -> Experiment:
    assert isinstance(item, Experiment)  # noqa: S101 - the engine hands out items by element
    return item


def _project(item: Item) -> Project:
    assert isinstance(item, Project)  # noqa: S101 - the engine hands out items by element
    return item


def _shared(item: Subject | Experiment) -> Many:
    return tuple(project for project, _ in item.shares) or (None,)


def _shared_labels(item: Subject | Experiment) -> Many:
    return tuple(label or item.label for _, label in item.shares) or (None,)


def _projects(item: Subject | Experiment) -> str:
    named = (
        (item.project, *item.listed_in) if isinstance(item, Experiment) and item.listed_in else projects_of(item)
    )
    return ",".join(f"<{project}>" for project in named)


def _year(text: str) -> int | None:
    return int(text[:4]) if text[:4].isdigit() else None


def _users(accounts: tuple[Account, ...], project: Project, name: str) -> Value:
    """Who may do what: the maker owns a project, the others who read it collaborate."""
    readers = [account.user for account in accounts if account.may_read(project.id)]
    owners = [user for user in readers if user == project.insert_user]
    listed = {"PROJECT_USERS": readers, "PROJECT_OWNERS": owners, "PROJECT_MEMBERS": []}
    return ", ".join(listed.get(name, [user for user in readers if user not in owners])) or None


def _kind_of(name: str) -> str:
    kinds = {"DATE": "date", "INSERT_DATE": "timestamp", "EDITED": "timestamp"}
    return kinds.get(name, "string")


def _detail(name: str) -> Callable[[Subject], Value]:
    return lambda subject: subject.detail(name) or None


_HANDS = {"left": "L", "right": "R", "ambidextrous": "A", "l": "L", "r": "R", "a": "A"}
_SUBJECT: dict[str, Callable[[Subject], Value | Many]] = {
    "SUBJECT_ID": lambda s: s.id,
    "SUBJECTID": lambda s: s.id,
    "INSERT_DATE": lambda s: s.insert_date or None,
    "EDITED": lambda s: s.last_modified or None,
    "INSERT_USER": lambda s: s.insert_user or None,
    "GENDER": _detail("gender"),
    "GENDER_TEXT": lambda s: {"male": "M", "female": "F"}.get(s.detail("gender"), "U"),
    "HANDEDNESS": _detail("handedness"),
    "HANDEDNESS_TEXT": lambda s: _HANDS.get(s.detail("handedness").lower()),
    "DOB": lambda s: s.detail("yob") or s.detail("dob")[:4] or None,
    "EDUC": _detail("education"),
    "SES": _detail("ses"),
    # Seen on XNAT 1.6.4: a subject's list of projects begins with a comma, an experiment's does not.
    "PROJECTS": lambda s: "," + _projects(s),
    "PROJECT": lambda s: s.project,
    "SUB_GROUP": lambda s: s.group or None,
    "SUBJECT_LABEL": lambda s: s.label or s.id,
    "LABEL": lambda s: s.label or None,
    "SHARED_LABEL": _shared_labels,
    "ADD_IDS": lambda s: ", ".join(dict.fromkeys(label or s.label for _, label in s.shares)) or None,
    "RACE": _detail("race"),
    "ETHNICITY": _detail("ethnicity"),
}
_META = {
    "meta/insert_date": "INSERT_DATE",
    "meta/last_modified": "EDITED",
    "meta/insert_user/login": "INSERT_USER",
}
_SUBJECT_PATHS = {
    "id": "SUBJECT_ID",
    "project": "PROJECT",
    "label": "LABEL",
    "group": "SUB_GROUP",
    **_META,
}
_EXPERIMENT: dict[str, Callable[[Experiment], Value]] = {
    "SUBJECT_ID": lambda e: e.subject_id,
    "EXPT_ID": lambda e: e.id,
    "SESSION_ID": lambda e: e.id,
    "RPT": lambda e: e.id,
    "DATE": lambda e: e.date or None,
    "DATE_CHAR": lambda e: e.date or None,
    "PROJECTS": _projects,
    "PROJECT": lambda e: e.project,
    "LABEL": lambda e: e.label or e.id,
    "OWN_LABEL": lambda e: e.label or None,
    "INSERT_DATE": lambda e: e.insert_date or None,
    "INSERT_USER": lambda e: e.insert_user or None,
    "LAST_MODIFIED": lambda e: e.last_modified or e.insert_date or None,
    "EDITED": lambda e: e.last_modified or None,
}
_EXPERIMENT_PATHS = {
    "id": "EXPT_ID",
    "subject_id": "SUBJECT_ID",
    "project": "PROJECT",
    "label": "OWN_LABEL",
    "date": "DATE",
    **_META,
}
_PROJECT: dict[str, Callable[[Project], Value]] = {
    "ID": lambda p: p.id,
    "NAME": lambda p: p.name or None,
    "NAME_CSV": lambda p: p.name or None,
    "DESCRIPTION": lambda p: p.description[:161] or None,
    "DESCRIPTION_CSV": lambda p: p.description or None,
    "SECONDARY_ID": lambda p: p.secondary_id or p.id,
    "KEYWORDS": lambda p: p.keywords or None,
    "PI": lambda p: f"{p.pi_firstname} {p.pi_lastname}".strip() or None,
    "PROJECT_INVS": lambda p: f"{p.pi_lastname}, {p.pi_firstname}" if p.pi_lastname else None,
    "PROJECT_ACCESS": lambda p: p.access,
    "PROJECT_ACCESS_IMG": lambda p: "/@WEBAPPimages/key.gif",
    "INSERT_DATE": lambda p: p.insert_date or None,
    "INSERT_USER": lambda p: p.insert_user or None,
}
_PROJECT_PATHS = {
    "id": "ID",
    "name": "NAME",
    "secondary_id": "SECONDARY_ID",
    "description": "DESCRIPTION_CSV",
    "keywords": "KEYWORDS",
    **{path: name for path, name in _META.items() if name != "EDITED"},
}
