"""What a stand-in server holds: projects, subjects, experiments, data types and accounts.

Used by every other module of ``cdbfs.demo``. Plain frozen dataclasses: nothing here changes once it
is made, so any number of threads may read them. Names are XNAT's own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Callable, Optional, Union

from cdbfs.demo.packages.offers import Packages

Shares = tuple[tuple[str, str], ...]
"""(project, label in that project); an empty label means the owner's label."""

Score = tuple[str, Optional[str]]
"""(element name, printed value); None: the element is absent, "": it is there and empty."""

Group = tuple[str, tuple[Score, ...]]
"""(group element, its scores); the group "" stands for elements straight below the root."""


@dataclass(frozen=True)
class DataType:
    """A data type as XNAT registers it; its name and its root element differ (nt:scores, nt:NTScores)."""

    name: str
    element: str
    namespace: str
    schema: str = ""
    image: bool = False
    fields: tuple[tuple[str, str], ...] = ()
    """(path below the root, "int" | "float" | "string"); empty: any path counts as a known field."""

    @property
    def prefix(self) -> str:
        return self.element.partition(":")[0]

    def kind(self, path: str) -> str:
        """The kind of the field at a path, matched without regard to case; "" if there is none."""
        for known, kind in self.fields:
            if known.lower() == path.lower():
                return kind
        return "" if self.fields else "string"


Body = Union[bytes, Callable[[], bytes]]
"""The bytes of a file, or what makes them: the same ones whenever it is called, from any thread."""


@dataclass(frozen=True)
class File:
    """A file of a resource; ``path`` is relative to the resource and, as the rest, as XNAT's catalog has it.

    ``created`` is a time of the database ("2012-11-03 14:22:10.123", UTC), also the file's mtime; ``event``
    the number of the change that added it. ``digest`` is the MD5 digest in the catalog; None: the right one.
    """

    path: str
    size: int
    body: Body = field(compare=False)
    format: str = ""
    content: str = ""
    tags: tuple[str, ...] = ()
    digest: str | None = None
    created: str = "2012-11-03 14:22:10.123"
    created_by: str = "admin"
    event: int = 1

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else self.body()

    def md5(self) -> str:
        """The digest in the catalog, 32 hexadecimal digits; may be "", as on a server that makes none."""
        if self.digest is not None:
            return self.digest
        return hashlib.md5(self.data(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Resource:
    """A resource of a project, a subject, an experiment or a scan: a catalog of files.

    ``key`` is the database's xnat_abstractresource_id, one number a resource of the whole server.
    """

    key: int
    label: str
    files: tuple[File, ...] = ()
    format: str = ""
    content: str = ""
    tags: str = ""

    @property
    def file_count(self) -> int:
        return len(self.files)

    @property
    def file_size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Scan:
    """One scan of an image session; ``key`` is the database's xnat_imagescandata_id."""

    id: str
    type: str
    quality: str = "usable"
    series_description: str = ""
    note: str = ""
    date: str = ""
    field_strength: str = "3.0"
    type_name: str = "xnat:mrScanData"
    element: str = "xnat:MRScan"
    key: int = 0
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True)
class Content:
    """The inner part of an experiment's document."""

    groups: tuple[Group, ...] = ()
    scanner: str = ""
    scans: tuple[Scan, ...] = ()
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True)
class Project:
    """A project; ``access`` is private or protected (listed for everyone, readable by its readers)."""

    id: str
    name: str = ""
    secondary_id: str = ""
    description: str = ""
    keywords: str = ""
    pi_firstname: str = ""
    pi_lastname: str = ""
    access: str = "private"
    insert_date: str = ""
    insert_user: str = "admin"
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True)
class Subject:
    """A subject; ``details`` holds further columns by XNAT's shortcut name (gender, yob, race, ...)."""

    id: str
    label: str
    project: str
    shares: Shares = ()
    group: str = ""
    insert_date: str = ""
    last_modified: str = ""
    insert_user: str = "admin"
    details: tuple[tuple[str, str], ...] = ()
    resources: tuple[Resource, ...] = ()

    def detail(self, name: str) -> str:
        return dict(self.details).get(name, "")


@dataclass(frozen=True)
class Experiment:
    """An experiment; ``document`` replaces the generated XML byte for byte when it is given."""

    id: str
    label: str
    project: str
    subject_id: str
    type: str
    shares: Shares = ()
    date: str = ""
    insert_date: str = ""
    last_modified: str = ""
    insert_user: str = "admin"
    content: Content | None = None
    document: bytes | None = None
    events: tuple[Event, ...] = ()
    """Its history, the latest first; empty: what its dates and shares tell."""
    listed_in: tuple[str, ...] = ()
    """The projects of ``shares`` as searches list them, where the database has them in an order of its own."""


@dataclass(frozen=True)
class Event:
    """One change of an item, as its history tells it; ``date`` is milliseconds since 1970."""

    number: int
    date: int
    action: str
    user: str = ""


@dataclass(frozen=True)
class Account:
    """A login; ``reads`` and ``writes`` name the projects it may read and change, None: all of them.

    Who reads all is an administrator. ``number`` is the database's xdat_user_id (0: by its place among the
    accounts). ``last_accessed`` are (project, when the user last looked at it); ``tokens`` are (alias, secret)
    that were issued earlier.
    """

    user: str
    password: str
    reads: frozenset[str] | None = None
    writes: frozenset[str] | None = frozenset()
    number: int = 0
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    last_accessed: tuple[tuple[str, str], ...] = ()
    tokens: tuple[tuple[str, str], ...] = ()

    def may_read(self, project: str) -> bool:
        return self.reads is None or project in self.reads

    def may_write(self, project: str) -> bool:
        return self.may_read(project) and (self.writes is None or project in self.writes)


ContentSource = Callable[[Experiment], Content]


@dataclass(frozen=True)
class DataSet:
    """One state of a server's data. Rows are answered in the order they stand here.

    ``contents`` makes the content of experiments that carry none, when it is asked for: a data set of
    50,000 experiments costs no more than its listing. ``missing_columns`` are columns this server
    does not know. ``packages`` is None on a server that has no service for them. ``site_url`` is what
    documents name in xsi:schemaLocation; "": the running server's own.
    """

    projects: tuple[Project, ...] = ()
    subjects: tuple[Subject, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    types: tuple[DataType, ...] = ()
    accounts: tuple[Account, ...] = ()
    site_id: str = "ConnectomeDB"
    site_url: str = ""
    missing_columns: frozenset[str] = frozenset()
    contents: ContentSource | None = field(default=None, compare=False)
    packages: Packages | None = None

    def content_of(self, experiment: Experiment) -> Content:
        if experiment.content is not None:
            return experiment.content
        return self.contents(experiment) if self.contents is not None else Content()

    def type_of(self, name: str) -> DataType | None:
        return next((t for t in self.types if t.name == name), None)


def label_in(item: Subject | Experiment, project: str) -> str | None:
    """The item's label in a project: its own in the owning one, the share's elsewhere; None: not there.

    Seen on XNAT 1.6.4: a share without a label shows the owner's.
    """
    if item.project == project:
        return item.label
    for shared, label in item.shares:
        if shared == project:
            return label or item.label
    return None


def projects_of(item: Subject | Experiment) -> tuple[str, ...]:
    """The owning project, then those the item is shared into."""
    return (item.project, *(project for project, _ in item.shares))


MR_SESSION = DataType(
    "xnat:mrSessionData",
    "xnat:MRSession",
    "http://nrg.wustl.edu/xnat",
    "xnat/xnat.xsd",
    image=True,
    fields=(("scanner", "string"), ("modality", "string"), ("operator", "string"), ("coil", "string")),
)
