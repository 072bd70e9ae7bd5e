"""Listings that were made to hurt: each is refused or shown, and everything else goes on.

One mount has a project for each case; beside it lies a project that is good and that nobody looked at before.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.servers import LOGIN, Parts, check_errors, listing, listing_text, peak_memory, server
from tests.views import mounted
from tests.xnat.servers import reply

MEGABYTE = 2**20
MOST_MEMORY = 1200 * MEGABYTE
"""Of the daemon, ever: what 100 MB of JSON may become, and what it has anyway."""
DEEPER = f'[{{"ID":"a","age":{"[" * 100_000}{"]" * 100_000}}}]'
NAN = '[{"ID":"a","label":NaN},{"ID":"b","label":-Infinity},{"ID":Infinity,"label":1e999},{"ID":"c","age":-0.0}]'
SURROGATES = r'[{"ID":"a","label":"\ud800"},{"ID":"\udfff","label":"b\udc80c"},{"ID":"c","label":"\ud83e\udde0"}]'

REFUSED: dict[str, tuple[Parts, int]] = {
    "empty": ([reply(b"")], errno.EIO),
    "null": ([reply(b"null")], errno.EIO),
    "a number": ([reply(b"17")], errno.EIO),
    "a text": ([reply(b'"ResultSet"')], errno.EIO),
    "a list": ([reply(b'[{"ID":"a"}]')], errno.EIO),
    "no ResultSet": ([reply(b'{"Result":[{"ID":"a"}]}')], errno.EIO),
    "a ResultSet of another kind": ([reply(b'{"ResultSet":[{"ID":"a"}]}')], errno.EIO),
    "no Result": ([reply(b'{"ResultSet":{"totalRecords":"0"}}')], errno.EIO),
    "rows that are lists": ([listing_text('[["a"],["b"]]')], errno.EIO),
    "rows that are null": ([listing_text('[{"ID":"a"},null]')], errno.EIO),
    "utf-16 without its mark": ([reply('{"ResultSet"'.encode("utf-16-be") + b"\xff")], errno.EIO),
    "latin-1": ([reply('{"ResultSet":{"Result":[{"ID":"Zürich"}]}}'.encode("latin-1"))], errno.EIO),
    "XML": ([reply(b"<ResultSet><Result/></ResultSet>")], errno.EIO),
    "100,000 lists in each other": ([reply(b"[" * 100_000)], errno.EIO),
    "a value of 100,000 lists": ([listing_text(DEEPER)], errno.EIO),
    "a number of 100,000 digits": ([listing_text(f'[{{"ID":{"9" * 100_000}}}]')], errno.EIO),
    "100 MB of rows": ([listing_text(f"[{'{},' * (100 * MEGABYTE // 3)}{{}}]")], errno.EFBIG),
    "100 MB of lists": ([listing_text(f'[{{"ID":"a","age":[{"[]," * (100 * MEGABYTE // 3)}0]}}]')], errno.EFBIG),
    "100 MB of spaces": ([reply(b" " * (100 * MEGABYTE))], errno.EIO),
    "labels that chase each other": (
        [listing({"ID": "a", "label": "x"}, *({"ID": f"b{n}", "label": "x" + "~a" * n} for n in range(20)))],
        errno.EIO,
    ),
}

LONG = "9" * 4000
LARGE = f'[{{"ID":{LONG[:200]},"label":""}},{{"ID":"b","age":{LONG}}}]'
DEEP = f'[{{"ID":"a","age":{"[" * 500}{"]" * 500}}}]'
DATES = ("0000-00-00 00:00:00", "9999-12-31 23:59:59.99", "0001-01-01 00:00:00", "soon", "2020-02-30 00:00:00")
SHOWN: dict[str, tuple[Parts, set[str]]] = {
    "no rows": ([listing()], set()),
    "IDs only": ([listing({"ID": "a"}, {"ID": "b"})], {"a", "b"}),
    "rows without an ID": ([listing({"label": "x"}, {"ID": ""}, {"ID": None}, {"ID": "b"})], {"b"}),
    "one ID again and again": ([listing(*[{"ID": "a", "label": "x"}] * 1000)], {"x"}),
    "columns nobody knows": ([listing({"ID": "a", "label": "x", "": "", "__class__": "y", "self": "z"})], {"x"}),
    "nulls": ([listing(dict.fromkeys(("label", "age", "insert_date", "project"), None) | {"ID": "a"})], {"a"}),
    "other kinds": ([listing({"ID": 1, "label": True}, {"ID": 2.5, "label": {"a": []}})], {"true", '{"a": []}'}),
    "a key twice": ([listing_text('[{"ID":"a","ID":"b","label":"x","label":"y"}]')], {"y"}),
    "no numbers": ([listing_text(NAN)], {"NaN", "-Infinity", "Infinity", "c"}),
    "large numbers": ([listing_text(LARGE)], {LONG[:200], "b"}),
    "a value of lists": ([listing_text(DEEP)], {"a"}),
    "half characters": ([listing_text(SURROGATES)], {"%ED%A0%80", "b%ED%B2%80c", "\U0001f9e0"}),
    "dates of no calendar": (
        [listing(*({"ID": str(number), "insert_date": date} for number, date in enumerate(DATES)))],
        {"0", "1", "2", "3", "4"},
    ),
    "steps": (
        [listing({"ID": "."}, {"ID": ".."}, {"ID": "a", "label": ".."})],
        {"%2E", "%2E%2E~%2E%2E", "%2E%2E~a"},
    ),
    "a label of 1 MB": ([listing({"ID": "a", "label": "x" * MEGABYTE}, {"ID": "b"})], set()),
    "an ID of 1 MB": ([listing({"ID": "a" * MEGABYTE, "label": "x"})], {"x"}),
}


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    answers: dict[str, Parts] = {}
    rows = []
    cases = [*((name, parts) for name, (parts, _) in REFUSED.items()), *((n, p) for n, (p, _) in SHOWN.items())]
    for name, parts in cases:
        for project, answer in ((name, parts), (f"{name} good", [listing({"ID": "S1", "label": "one"})])):
            quoted = project.replace(" ", "%20").replace(",", "%2C")
            rows.append({"ID": project})
            answers[f"/data/projects/{quoted}/subjects"] = answer
            answers[f"/data/projects/{quoted}/experiments"] = [listing()]
    answers["/data/projects"] = [listing(*rows)]
    scratch = tmp_path_factory.mktemp("hostile-listings")
    with (
        server(answers) as running,
        mounted(running, LOGIN, scratch / "m", scratch / "c", lookup_deadline="60") as directory,
    ):
        yield directory / "projects"


def check_the_rest(projects: Path, name: str) -> None:
    """Everything else goes on, and nothing has grown out of bounds."""
    assert os.listdir(projects / f"{name} good/subjects") == ["one"]
    assert peak_memory(projects.parent) < MOST_MEMORY


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_listing_is_refused(name: str, projects: Path) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        os.listdir(projects / name / "subjects")
    assert caught.value.errno == REFUSED[name][1]
    check_the_rest(projects, name)


@pytest.mark.parametrize("name", SHOWN)
def test_an_odd_listing_is_shown(name: str, projects: Path) -> None:
    expected = SHOWN[name][1]
    with os.scandir(projects / name / "subjects") as found:
        listed = {entry.name: entry.stat().st_mtime_ns for entry in found}
    if expected:
        assert set(listed) == expected
    for subject in listed:
        assert len(os.fsencode(subject)) <= 255
        assert os.listdir(projects / name / "subjects" / subject) == ["experiments", "xml"]
        with pytest.raises(OSError, match=r"."):
            (projects / name / "subjects" / subject / "xml/subject.xml").read_bytes()  # the server has none
    assert len((projects / name / "subjects.csv").read_bytes().splitlines()) == 1 + len(listed)
    check_the_rest(projects, name)


def test_every_refusal_has_its_reason_in_plain_words(projects: Path) -> None:
    for name in REFUSED:
        with pytest.raises(OSError, match=r"."):
            os.listdir(projects / name / "subjects")
    ends = time.monotonic() + 20
    missing = set(REFUSED)
    while missing:
        assert time.monotonic() < ends, missing
        time.sleep(0.2)
        errors = check_errors(projects.parent)
        missing = {name for name in missing if f"projects/{name}/subjects: " not in errors}
    assert "fault in cdbfs itself" not in errors
