"""What a server says of its searches, types and schemas, meant to do harm: names, addresses, answers."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.servers import LOGIN, check_errors, listing, server
from tests.views import mounted
from tests.xnat.servers import Scripted, reply

XDAT = "http://nrg.wustl.edu/security"
XS = b'<schema xmlns="http://www.w3.org/2001/XMLSchema"/>'
NAMES = (
    "..",
    ".",
    "a/b",
    "../../etc/passwd",
    "x" * 300,
    "\0",
    "two\nlines",
    "@nt:scores",
    "\x1b[31m",
    "good:type",
)
DEFAULT = "/data/search/saved/@xnat:subjectData"


def bundle(name: str, more: str = "") -> bytes:
    root = "<x:root_element_name>t</x:root_element_name>"
    text = f'<x:bundle xmlns:x="{XDAT}" ID="{name}" {more}>{root}</x:bundle>'
    return reply(text.encode(), headers={"Content-Type": "text/xml"})


def failure(path: Path) -> str:
    """What reading a file fails with; "" where it does not."""
    try:
        path.read_bytes()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def places(address: str) -> bytes:
    """A document that names the schemas of a few prefixes."""
    return bundle(
        "@xnat:subjectData",
        more=f'xmlns:bad="urn:bad" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="urn:bad {address}"',
    )


@pytest.fixture(scope="module")
def running() -> Iterator[Scripted]:
    experiments = [
        {"ID": f"E{n}", "label": f"e{n}", "subject_ID": "S", "xsiType": name} for n, name in enumerate(NAMES)
    ]
    answers = {
        "/data/projects": [listing({"ID": "P"})],
        "/data/projects/P/subjects": [listing({"ID": "S", "label": "s"})],
        "/data/projects/P/experiments": [listing(*experiments)],
        "/data/search/elements": [listing(*({"ELEMENT_NAME": name} for name in (*NAMES, "bad:type")))],
        "/data/search/elements/good:type": [listing({"FIELD_ID": "\x1b[31m", "DESC": 'a,"b"\n'})],
        "/data/search/saved": [listing(*({"id": name} for name in (*NAMES, "good", "good", "")))],
        "/data/search/saved/good": [bundle("good")],
        "/data/search/saved/good/results": [
            reply(b'{"ResultSet":{"Result":[{"a":"1"}],"totalRecords":"1000000"}}')
        ],
        "/data/search/saved/a%2Fb": [bundle("another")],
        DEFAULT: [places("http://127.0.0.1:1/schemas/../data/projects.xsd")],
        "/schemas/bad/bad.xsd": [reply(XS)],
        "/schemas/good/good.xsd": [reply(b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>")],
    }
    with server(answers) as found:
        yield found


@pytest.fixture(scope="module")
def mount(running: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    scratch = tmp_path_factory.mktemp("searches")
    with mounted(running, LOGIN, scratch / "m", scratch / "c") as directory:
        yield directory


@pytest.mark.parametrize("path", ["saved", "projects/P/tables", "schema"])
def test_each_has_a_name_of_its_own(path: str, mount: Path) -> None:
    names = os.listdir(mount / path)
    assert len(names) >= len(NAMES)
    assert {"%2E%2E", "%2E", "a%2Fb", "%00", "two\nlines"} <= set(names)
    for name in names:
        assert 0 < len(os.fsencode(name)) <= 255
        assert os.stat(mount / path / name).st_size == 0


def test_nothing_is_asked_for_but_below_its_own_place(mount: Path, running: Scripted) -> None:
    for directory in ("saved", "projects/P/tables", "schema"):
        for name in os.listdir(mount / directory):
            for file in ("query.xml", "result.csv", "fields.csv", "table.csv", "schema.xsd"):
                failure(mount / directory / name / file)
    for request in running.requests:
        path = request.target.partition("?")[0]
        assert path.startswith(("/data/", "/schemas/", "/xapi/schemas/")) or path == "/spring/download"
        assert not {".", ".."} & set(path.split("/"))
        assert path.count("/") < 7
    check_errors(mount)


def test_the_document_of_another_search_is_refused(mount: Path) -> None:
    assert failure(mount / "saved/a%2Fb/query.xml") == "EIO"
    assert "with the document of another item" in check_errors(mount)


def test_an_answer_that_is_not_whole_is_no_result(mount: Path) -> None:
    assert (mount / "saved/good/query.xml").stat().st_size > 0
    assert failure(mount / "saved/good/result.csv") == "EIO"
    assert (mount / "saved/good/result.csv").stat().st_size == 0
    assert "announces 1000000 rows and has 1" in check_errors(mount)


def test_an_address_of_a_schema_that_is_not_plain_is_not_followed(mount: Path, running: Scripted) -> None:
    assert (mount / "schema/bad:type/schema.xsd").read_bytes() == XS
    assert not any("projects.xsd" in request.target for request in running.requests)


def test_what_is_no_schema_is_not_shown(mount: Path) -> None:
    assert failure(mount / "schema/good:type/schema.xsd") == "EIO"
    assert (mount / "schema/good:type/fields.csv").read_text().count("\n") >= 2
