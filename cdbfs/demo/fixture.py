"""Loading a data set from a JSON fixture: the description of what a recorded server held.

Used by the demo's ``--data`` and by the conformance tests. The form is that of
``tests/recorded/fixture.json``: ``users`` (what each may read, in words that name projects), ``projects``,
``subjects`` and ``experiments`` with their shares, scans, files and scores. What that form has no place for
may stand beside it: for ``NAME.json`` in ``NAME.extra.json``, whose values are added to the entry of the same
ID (or user), and whose other entries are further items. Pure functions, any thread.
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
from typing import Any, Callable, TypeVar

from cdbfs.demo.dataset import (
    MR_SESSION,
    Account,
    Content,
    DataSet,
    DataType,
    Event,
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
_PASSWORDS = {"mylogin": "mypasswd", "reader": "readpw"}
"""Of the recorded server's users. One that is given nowhere is ``<user>pw``."""

_Made = TypeVar("_Made")


class FixtureError(ValueError):
    """A file that is no fixture; the text says what is wrong with it."""


def load(path: Path) -> DataSet:
    """The data set of a fixture file and what stands beside it. Raises FixtureError or OSError."""
    held = _parsed(path)
    beside = path.with_name(f"{path.stem}.extra{path.suffix}")
    return from_json(merged(held, _parsed(beside)) if beside.exists() else held)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FixtureError(f"{path} is not JSON: {error}") from None
    if not isinstance(held, dict):
        raise FixtureError(f"{path} holds no object with users, projects, subjects and experiments")
    return held


def merged(held: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The fixture with the values of another, which win where both have one. Raises FixtureError."""
    users = {user: _as_user(values) for user, values in _users(held).items()}
    for user, values in _users(more).items():
        users[user] = {**users.get(user, {}), **_as_user(values)}
    items = {kind: _merged_entries(_entries(held, kind), _entries(more, kind)) for kind in _ITEMS}
    return {"users": users, **items}


def _merged_entries(
    held: Iterable[Mapping[str, Any]], more: Iterable[Mapping[str, Any]], key: str = "ID"
) -> list[dict[str, Any]]:
    merged: dict[object, dict[str, Any]] = {entry.get(key): dict(entry) for entry in held}
    for entry in more:
        known = merged.setdefault(entry.get(key), {})
        files = _merged_entries(_entries(known, "files"), _entries(entry, "files"), "URI")
        known.update({**entry, "files": files} if files else entry)
    return list(merged.values())


def from_json(held: Mapping[str, Any]) -> DataSet:
    """The data set of a fixture's parsed JSON. Raises FixtureError."""
    scan_keys = count(1)
    projects = _made(held, "projects", _project)
    users = [{"user": user, **_as_user(values)} for user, values in _users(held).items()]
    if not users:
        raise FixtureError("it names no users: nobody could log in")
    experiments = _made(held, "experiments", lambda e: _experiment(e, scan_keys))
    return DataSet(
        projects=projects,
        subjects=_made(held, "subjects", _subject),
        experiments=experiments,
        types=(MR_SESSION, _with_fields_of(NT_SCORES, experiments)),
        accounts=_made({"users": users}, "users", lambda user: _account(user, projects)),
    )


def _with_fields_of(kind: DataType, experiments: Iterable[Experiment]) -> DataType:
    """A type without the fields that none of the experiments holds: its server did not define them."""
    contents = [e.content for e in experiments if e.type == kind.name and e.content is not None]
    held = {f"{group}/{name}" for content in contents for group, scores in content.groups for name, _ in scores}
    return dataclasses.replace(kind, fields=tuple(field for field in kind.fields if field[0] in held))


_ITEMS = ("projects", "subjects", "experiments")


def _made(held: Mapping[str, Any], kind: str, make: Callable[[Mapping[str, Any]], _Made]) -> tuple[_Made, ...]:
    made = []
    for number, entry in enumerate(_entries(held, kind), 1):
        name = entry.get("ID") or entry.get("user") or f"number {number}"
        try:
            made.append(make(entry))
        except KeyError as error:
            raise FixtureError(f"{name} of the {kind} has no {error.args[0]}") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise FixtureError(f"{name} of the {kind} cannot be understood: {error}") from None
    return tuple(made)


def _entries(held: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    entries = held.get(kind, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise FixtureError(f"{kind} is not a list of objects")
    return entries


def _users(held: Mapping[str, Any]) -> Mapping[str, Any]:
    users = held.get("users", {})
    if not isinstance(users, dict):
        raise FixtureError("users is not an object")
    return users


def _as_user(values: object) -> dict[str, Any]:
    """A user is an object, or just the words for what he reads."""
    return dict(values) if isinstance(values, Mapping) else {"reads": values}


def _account(held: Mapping[str, Any], projects: Iterable[Project]) -> Account:
    user = held["user"]
    reads = held.get("reads", ())
    owner = isinstance(reads, str) and "all" in reads.split()
    return Account(
        user=user,
        password=held.get("password") or _PASSWORDS.get(user, f"{user}pw"),
        reads=_reads(reads, {project.id for project in projects}),
        writes=None if held.get("owner", owner) else frozenset(),
        number=int(held.get("number", 0)),
        first_name=held.get("firstname", ""),
        last_name=held.get("lastname", ""),
        email=held.get("email", ""),
        last_accessed=tuple(held.get("last_accessed", {}).items()),
        tokens=tuple(held.get("tokens", {}).items()),
    )


def _reads(words: str | Iterable[str], projects: set[str]) -> frozenset[str] | None:
    """A list of projects; or words, of which "all" means everything and the others name projects."""
    if not isinstance(words, str):
        return frozenset(words)
    named = set(re.findall(r"\w+", words))
    return None if "all" in named else frozenset(projects & named)


def _project(held: Mapping[str, Any]) -> Project:
    return Project(
        id=held["ID"],
        name=held["name"],
        secondary_id=held.get("secondary_ID", ""),
        description=held.get("description", ""),
        keywords=held.get("keywords", ""),
        pi_firstname=held.get("pi_firstname", ""),
        pi_lastname=held.get("pi_lastname", ""),
        access=held.get("access", "private"),
        insert_date=held.get("insert_date", ""),
        insert_user=held.get("insert_user", "mylogin"),
        resources=_own_resources(held),
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
        insert_user=held.get("insert_user", "mylogin"),
        details=tuple((name, held[name]) for name in _DETAILS if held.get(name)),
        resources=_own_resources(held),
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
        insert_user=held.get("insert_user", "mylogin"),
        content=_content(held, scan_keys),
        listed_in=tuple(held.get("listed_in", ())),
        events=tuple(Event(**event) for event in held.get("events", ())),
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


def _own_resources(held: Mapping[str, Any]) -> tuple[Resource, ...]:
    """Of a project or a subject."""
    return tuple(_resources(held.get("files", []), held.get("label", ""), held.get("insert_date", "")).get("", ()))


def _resources(files: Iterable[Mapping[str, Any]], subject: str, created: str) -> dict[str, list[Resource]]:
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


def _file(held: Mapping[str, Any], path: str, subject: str, created: str) -> File:
    return File(
        path=path,
        size=int(held["Size"]),
        body=held["text"].encode() if "text" in held else _body(held["Name"], int(held["Size"]), subject),
        format=held.get("file_format", ""),
        content=held.get("file_content", ""),
        created=held.get("created", created),
        created_by="mylogin",
        event=int(held.get("event", 1)),
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
