"""Loading a data set from a JSON fixture: the description of what a recorded server held.

Used by the demo's ``--data`` and by the conformance tests. The form is that of
``tests/recorded/fixture.json``: ``users`` (what each may read, in words that name projects), ``projects``,
``subjects`` and ``experiments`` with their shares, scans, files and scores. Pure functions, any thread.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from operator import itemgetter
from pathlib import Path
from typing import Any

from cdbfs.demo.dataset import (
    MR_SESSION,
    Account,
    Content,
    DataSet,
    DataType,
    Experiment,
    File,
    Group,
    Project,
    Resource,
    Scan,
    Subject,
)
from cdbfs.demo.synthetic import NT_SCORES

_DETAILS = ("gender", "handedness", "yob", "age", "race", "ethnicity", "education")
_RESOURCE_URI = re.compile(r"(?:/scans/(?P<scan>[^/]+))?/resources/(?P<key>\d+)/files/(?P<path>.+)")
_OWNER = "HCP_Subjects"


def load(path: Path, passwords: Mapping[str, str] | None = None) -> DataSet:
    """The data set of a fixture file; a user's password is ``<user>pw`` unless one is given."""
    return from_json(json.loads(path.read_text(encoding="utf-8")), passwords)


def from_json(held: Mapping[str, Any], passwords: Mapping[str, str] | None = None) -> DataSet:
    """The data set of a fixture's parsed JSON."""
    scan_keys = count(1)
    projects = tuple(_project(p) for p in held["projects"])
    experiments = tuple(_experiment(e, scan_keys) for e in held["experiments"])
    return DataSet(
        projects=projects,
        subjects=tuple(_subject(s) for s in held["subjects"]),
        experiments=experiments,
        types=(MR_SESSION, _with_fields_of(NT_SCORES, experiments)),
        accounts=tuple(_accounts(held.get("users", {}), projects, passwords or {})),
    )


def _with_fields_of(kind: DataType, experiments: Iterable[Experiment]) -> DataType:
    """A type without the fields that none of the experiments holds: its server did not define them."""
    contents = [e.content for e in experiments if e.type == kind.name and e.content is not None]
    held = {f"{group}/{name}" for content in contents for group, scores in content.groups for name, _ in scores}
    return dataclasses.replace(kind, fields=tuple(field for field in kind.fields if field[0] in held))


def _accounts(
    users: Mapping[str, str], projects: Iterable[Project], passwords: Mapping[str, str]
) -> Iterator[Account]:
    names = {project.id for project in projects}
    for user, reads in users.items():
        named = frozenset(names & set(re.findall(r"\w+", reads)))
        may = None if "owner of all" in reads else named
        yield Account(user, passwords.get(user, f"{user}pw"), may, may if may is None else frozenset())


def _project(held: Mapping[str, str]) -> Project:
    return Project(
        id=held["ID"],
        name=held["name"],
        secondary_id=held["secondary_ID"],
        description=held["description"],
        pi_firstname=held["pi_firstname"],
        pi_lastname=held["pi_lastname"],
        insert_user="mylogin",
    )


def _subject(held: Mapping[str, Any]) -> Subject:
    return Subject(
        id=held["ID"],
        label=held["label"],
        project=held.get("project", _OWNER),
        shares=tuple(held.get("shares", {}).items()),
        group=held.get("group", ""),
        insert_date=held.get("insert_date", ""),
        last_modified=held.get("last_modified", ""),
        insert_user="mylogin",
        details=tuple((name, held[name]) for name in _DETAILS if held.get(name)),
    )


def _experiment(held: Mapping[str, Any], scan_keys: Iterator[int]) -> Experiment:
    return Experiment(
        id=held["ID"],
        label=held["label"],
        project=held.get("project", _OWNER),
        subject_id=held["subject_ID"],
        type=held["xsiType"],
        shares=tuple(held.get("shares", {}).items()),
        date=held.get("date", ""),
        insert_date=held.get("insert_date", ""),
        last_modified=held.get("last_modified", ""),
        insert_user="mylogin",
        content=_content(held, scan_keys),
    )


def _content(held: Mapping[str, Any], scan_keys: Iterator[int]) -> Content:
    subject = held["label"].partition("_")[0]
    resources = _resources(held.get("files", []), subject, held.get("insert_date", ""))
    groups: list[Group] = [(group, tuple(scores.items())) for group, scores in held.get("scores", {}).items()]
    scans = tuple(_scan(scan, next(scan_keys), resources) for scan in held.get("scans", []))
    return Content(
        groups=tuple(groups),
        scanner="HCP Skyra" if scans else "",
        scans=scans,
        resources=tuple(resources.get("", ())),
    )


def _scan(held: Mapping[str, str], key: int, resources: Mapping[str, list[Resource]]) -> Scan:
    return Scan(
        id=held["ID"],
        type=held["type"],
        quality=held["quality"],
        series_description=held["series_description"],
        note=held["note"],
        type_name=held["xsiType"],
        key=key,
        resources=tuple(resources.get(held["ID"], ())),
    )


# --- files

_FORMATS = {"MEAS": ("TXT", "RAW"), "NIFTI": ("NIFTI", "RAW")}
"""Format and content of the recorded server's resources, by label; the fixture does not tell them."""

_TEXTS = {
    "readme.txt": "subject {subject}\nline two\n",
    "notes.txt": "notes\n",
    "deep.txt": "deep\n",
    "with%20space.txt": "space\n",
    "a.zip.md5": "0123 a.zip\n",
}
"""What the recorded server's files say, by name; the fixture tells only their sizes."""


_ARCHIVE = """
UEsDBBQAAAAIAMGcdl309swPGAAAAL4AAAAPAAAAaW5uZXIvaGVsbG8udHh0y0jNyclXSCvKz1UoyUhVqMos4MoYOkIAUEsDBBQA
AAAIAMGcdl0i9HhJBgAAAAQAAAAHAAAAdG9wLnR4dCvJL+ACAFBLAQIUAxQAAAAIAMGcdl309swPGAAAAL4AAAAPAAAAAAAAAAAA
AACAAQAAAABpbm5lci9oZWxsby50eHRQSwECFAMUAAAACADBnHZdIvR4SQYAAAAEAAAABwAAAAAAAAAAAAAAgAFFAAAAdG9wLnR4
dFBLBQYAAAAAAgACAHIAAABwAAAAAAA=
"""
"""The recorded server's a.zip, in Base64: inner/hello.txt and top.txt, deflated."""


def _resources(files: Iterable[Mapping[str, str]], subject: str, created: str) -> dict[str, list[Resource]]:
    """Resources by scan ID ("": the session's own), put together from the list of files."""
    members: dict[tuple[str, int, str], list[File]] = defaultdict(list)
    for file in files:
        place = _RESOURCE_URI.search(file["URI"])
        if place is not None:
            key = (place["scan"] or "", int(place["key"]), file["collection"])
            members[key].append(_file(file, place["path"], subject, created))
    made: dict[str, list[Resource]] = defaultdict(list)
    for (scan, number, label), held in sorted(members.items(), key=itemgetter(0)):
        made[scan].append(Resource(number, label, tuple(held), *_FORMATS.get(label, ("", ""))))
    return made


def _file(held: Mapping[str, str], path: str, subject: str, created: str) -> File:
    return File(
        path=path,
        size=int(held["Size"]),
        body=_body(held["Name"], int(held["Size"]), subject),
        format=held["file_format"],
        content=held["file_content"],
        created=created,
        created_by="mylogin",
    )


def _body(name: str, size: int, subject: str) -> bytes:
    """What the recorded file of that name and size held; for any other a pattern of the size."""
    if name in _TEXTS:
        known = _TEXTS[name].format(subject=subject).encode()
    elif name.endswith(".zip"):
        known = base64.b64decode(_ARCHIVE)
    elif name.endswith(".nii.gz"):
        known = subject.encode() * (size // max(1, len(subject)))
    else:
        known = b""
    return known if len(known) == size else (bytes(range(256)) * (size // 256 + 1))[:size]
