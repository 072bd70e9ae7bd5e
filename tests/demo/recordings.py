"""Recorded exchanges of a real XNAT 1.6.4: parsing them, and the data that server held.

Used by ``test_recorded``. ``tests/recorded/xnat-1.6.4`` has one file an exchange; ``fixture.json`` says what
the server held, but for a few values that are read from the recordings themselves (``data``).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from cdbfs.demo import Account, DataSet, Experiment, File, Project, Resource, Subject, fixture

RECORDED = Path(__file__).parent.parent / "recorded"
NAMES = sorted(path.stem for path in (RECORDED / "xnat-1.6.4").glob("*.txt"))
_GROUPS = (
    (r"^/data/search/saved|^/data/projects/[^/]+/searches", "saved"),
    (r"^/data/search/elements", "search elements"),
    (r"^/data/search", "search"),
    (r"/(?:files|resources|DIR)(?:/|$)", "files"),
    (r"^/data/+(?:.*/)?(?:projects|subjects|experiments|scans|assessors)/?$", "listings"),
    (r"^/data/(?:projects|subjects|experiments)/", "documents"),
    (r"", "sessions"),
)
"""By the path: the first that matches."""
_ENDED = ("057", "058", "059", "574", "575", "576", "577", "578", "581")
_UNNAMED = {"493": "reader"}
_PASSWORDS = {"mylogin": "mypasswd", "reader": "readerpw", "other": "otherpw", "admin": "adminpw"}


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its answer."""

    name: str
    method: str
    target: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    headers: dict[str, str]
    body: str

    @property
    def user(self) -> str:
        """Who made the request: the recordings name the others, all the rest are mylogin's."""
        words = [*self.name.split("-"), _UNNAMED.get(self.name[:3], "")]
        return next((user for user in ("reader", "other", "admin") if user in words), "mylogin")

    @property
    def group(self) -> str:
        """What kind of request it is."""
        path = self.target.partition("?")[0].replace("/REST/", "/data/").replace("/archive/", "/")
        if "range" in self.request_headers:
            return "ranges"
        return next(group for pattern, group in _GROUPS if re.search(pattern, path))

    @property
    def session_ended(self) -> bool:
        return self.name[:3] in _ENDED

    @property
    def cookies_set(self) -> frozenset[str]:
        return frozenset(self.headers.get("set-cookie", "").split())


def read(name: str) -> Exchange:
    text = (RECORDED / "xnat-1.6.4" / f"{name}.txt").read_text(encoding="utf-8")
    asked, _, answered = text.partition("---- response ----\n")
    request_head, _, request_body = asked.partition("\n\n")
    head, _, body = answered.partition("\n\n")
    method, target, _ = request_head.split("\n")[0].split(" ")
    return Exchange(
        name=name,
        method=method,
        target=target,
        request_headers=_headers(request_head),
        request_body=request_body.strip(),
        status=int(head.split(" ")[1]),
        headers=_headers(head),
        body=body,
    )


def _headers(head: str) -> dict[str, str]:
    made: dict[str, str] = {}
    for line in head.split("\n")[1:]:
        name, _, value = line.partition(": ")
        if name.lower() == "set-cookie":
            value = f"{made.get('set-cookie', '')} {value.partition('=')[0]}".strip()
        made[name.lower()] = value
    return made


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def data() -> DataSet:
    """The fixture, and what it leaves out: times, demographics, and the items of nobody's listing."""
    held = fixture.load(RECORDED / "fixture.json", _PASSWORDS)
    edited = {row["ID"]: row["last_modified"] for row in rows(read("101-subjects-q2-columns").body)}
    made = {row["ID"]: row[_PROJECT_TIME] for row in rows(read("085-projects-columns-path").body)}
    return dataclasses.replace(
        held,
        projects=(*(_with_documents(_project(p, made)) for p in held.projects), Project("Secret", "Secret")),
        subjects=(*(_subject(s, edited) for s in held.subjects), *_OTHER_SUBJECTS),
        experiments=(*map(_with_times, held.experiments), _PRIVATE_EXPERIMENT),
        accounts=(*(_account(a, frozenset(made)) for a in held.accounts), Account("admin", "adminpw")),
    )


_PROJECT_TIME = "xnat:projectdata/meta/insert_date"
_OTHER_SUBJECTS = (
    Subject("ConnectomeDB_S00013", "S1", "Secret"),
    Subject(
        "ConnectomeDB_S00014",
        "P1",
        "ProtDemo",
        insert_date="2026-11-22 19:51:48.948",
        insert_user="mylogin",
    ),
)
_PRIVATE_EXPERIMENT = Experiment("ConnectomeDB_E00025", "S1_3T", "Secret", "ConnectomeDB_S00013", "nt:scores")


def _project(project: Project, made: dict[str, str]) -> Project:
    return dataclasses.replace(
        project,
        insert_date=made[project.id],
        keywords="test" if project.pi_lastname else "",
        access="protected" if project.id == "ProtDemo" else "private",
    )


def _subject(subject: Subject, edited: dict[str, str]) -> Subject:
    """Every subject of the recorded server was born ever later, and all were right-handed; one told nothing."""
    yob = str(1975 + int(subject.id.rpartition("_S")[2]))
    known = {"yob": yob, "handedness": "right"} if subject.details else {}
    details = {**known, **dict(subject.details)}
    return dataclasses.replace(subject, last_modified=edited[subject.id], details=tuple(details.items()))


def _account(account: Account, projects: frozenset[str]) -> Account:
    return dataclasses.replace(account, reads=projects) if account.reads is None else account


# --- files


def _with_documents(project: Project) -> Project:
    """The one project with a resource; of its file only the size is recorded."""
    held = (Resource(26, "docs", (File("notes.txt", 14, b"project notes\n"),)),)
    return dataclasses.replace(project, resources=held) if project.id == "HCP_Subjects" else project


def _with_times(experiment: Experiment) -> Experiment:
    """The session whose catalogs are recorded, with the times and numbers of the changes that added its files."""
    content = experiment.content
    if experiment.id != "ConnectomeDB_E00001" or content is None:
        return experiment
    added = _added()
    scans = tuple(dataclasses.replace(s, resources=_dated(s.resources, added)) for s in content.scans)
    dated = dataclasses.replace(content, resources=_dated(content.resources, added), scans=scans)
    return dataclasses.replace(experiment, content=dated)


def _added() -> dict[tuple[str, str], tuple[str, int]]:
    """(resource, path) -> (time, number), from the recorded catalogs."""
    made = {}
    for name in ("255-doc-resource-catalog-json", "544-x-file-put-digest", "545-x-scan-catalog"):
        root = etree.fromstring(read(name).body.strip().encode())
        for entry in root.iter("{http://nrg.wustl.edu/catalog}entry"):
            key = str(root.get("ID")), str(entry.get("URI"))
            made[key] = str(entry.get("createdTime")).replace("T", " "), int(str(entry.get("createdEventId")))
    return made


def _dated(resources: tuple[Resource, ...], added: dict[tuple[str, str], tuple[str, int]]) -> tuple[Resource, ...]:
    return tuple(
        dataclasses.replace(
            resource,
            files=tuple(
                dataclasses.replace(file, created=created, event=event)
                for file in resource.files
                for created, event in (added[resource.label, file.path],)
            ),
        )
        for resource in resources
    )
