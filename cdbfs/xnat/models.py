"""What the server lists, as frozen data. Every value is the server's text, "" where it gives nothing.

Threads: immutable.
"""

from __future__ import annotations

from dataclasses import dataclass

# __slots__ by hand: dataclass(slots=True) needs Python 3.10, and a large project has 100,000 of these.


@dataclass(frozen=True)
class Project:
    """A row of /data/projects."""

    __slots__ = ("ID", "name")

    ID: str
    name: str


@dataclass(frozen=True)
class Subject:
    """A row of /data/projects/{project}/subjects. `label` is the project's own, `project` the owner."""

    __slots__ = (
        "ID",
        "age",
        "education",
        "ethnicity",
        "gender",
        "group",
        "handedness",
        "insert_date",
        "label",
        "last_modified",
        "project",
        "race",
        "yob",
    )

    label: str
    ID: str
    project: str
    group: str
    gender: str
    handedness: str
    age: str
    yob: str
    race: str
    ethnicity: str
    education: str
    insert_date: str
    last_modified: str


@dataclass(frozen=True)
class Experiment:
    """A row of /data/projects/{project}/experiments. `label` is the project's own.

    `subject_label` is the owner's even so (seen on XNAT 1.6.4): join on `subject_ID`.
    """

    __slots__ = (
        "ID",
        "date",
        "insert_date",
        "label",
        "last_modified",
        "project",
        "subject_ID",
        "subject_label",
        "xsiType",
    )

    label: str
    ID: str
    subject_label: str
    subject_ID: str  # noqa: N815  XNAT's own name
    xsiType: str  # noqa: N815
    project: str
    date: str
    insert_date: str
    last_modified: str


@dataclass(frozen=True)
class SavedSearch:
    """A row of /data/search/saved: a search that is stored on the server."""

    __slots__ = ("ID", "description", "name")

    ID: str
    name: str
    """Its brief description, which XNAT's pages show."""
    description: str

    @property
    def label(self) -> str:
        return self.ID


@dataclass(frozen=True)
class SearchField:
    """A display field of a data type: a row of /data/search/elements/{type}."""

    element: str
    """The data type it belongs to."""
    id: str
    header: str = ""
    path: str = ""
    """The schema path or the expression it shows."""
    kind: str = "string"
    requires_value: bool = False
    source: str = "0"
    """"0" a field of the type, "1" a custom variable, "2" the label in one project."""
    description: str = ""
