"""Resources and files beyond what was recorded: all levels, odd names, archives, and the newer dialect."""

from __future__ import annotations

import hashlib
import http.client
import io
import tarfile
import zipfile
from collections.abc import Iterator
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import requests

from cdbfs.demo import DataSet, StandIn, connectomedb

from . import labs
from .labs import DATA, ODD, SESSION, ask, listed, names

CAT = "{http://nrg.wustl.edu/catalog}"
OF_SUBJECT = "/data/projects/{}/subjects/{}"
NESTED = OF_SUBJECT + "/experiments/{}"


@pytest.fixture(scope="module")
def old() -> Iterator[StandIn]:
    with StandIn(labs.lab()) as running:
        yield running


@pytest.fixture(scope="module")
def new() -> Iterator[StandIn]:
    with StandIn(labs.lab(), dialect="1.8") as running:
        yield running


# --- listings


@pytest.mark.parametrize(
    ("asked", "in_old", "in_new"),
    [
        ("/data/projects/COHORT", "/data/projects/COHORT/resources/10", None),
        (OF_SUBJECT.format("COHORT", "s1"), "/data/projects/COHORT/subjects/Lab_S00001/resources/20", None),
        (
            OF_SUBJECT.format("PILOT", "p1"),
            "/data/projects/PILOT/subjects/Lab_S00001/resources/20",
            "/data/projects/COHORT/subjects/Lab_S00001/resources/20",
        ),
        (
            "/data/subjects/Lab_S00001",
            "/data/subjects/Lab_S00001/resources/20",
            "/data/projects/COHORT/subjects/Lab_S00001/resources/20",
        ),
        (SESSION + "/scans/2", SESSION + "/scans/2/resources/41", None),
        (
            NESTED.format("PILOT", "p1", "p1_MR") + "/scans/2",
            NESTED.format("PILOT", "Lab_S00001", "Lab_E00001") + "/scans/2/resources/41",
            SESSION + "/scans/2/resources/41",
        ),
        (
            "/data/archive/projects/PILOT/experiments/p1_MR/scans/2",
            "/data/projects/PILOT/experiments/Lab_E00001/scans/2/resources/41",
            SESSION + "/scans/2/resources/41",
        ),
    ],
)
def test_a_file_is_found_by_the_uri_of_its_row(
    asked: str, in_old: str, in_new: str | None, old: StandIn, new: StandIn
) -> None:
    for standin, start in ((old, in_old), (new, in_new or in_old)):
        (row,) = listed(standin, asked + "/files")
        assert row["URI"] == f"{start}/files/{row['Name']}"
        assert row["cat_ID"] == start.rpartition("/")[2]
        content = ask(standin, row["URI"]).content
        assert len(content) == int(row["Size"]) > 0


def test_resources_of_a_session_and_of_all_in_it(old: StandIn) -> None:
    own = listed(old, SESSION + "/resources")
    assert [(r["label"], r["file_count"], r["file_size"], r["cat_id"]) for r in own] == [
        ("DATA", "3", "1124", "Lab_E00001"),
        ("ODD", "5", str(6 + 8 + 8 + len(labs.a_zip()) + 6), "Lab_E00001"),
    ]
    every = listed(old, SESSION + "/resources?all=true")
    assert [(r["xnat_abstractresource_id"], r["category"], r["cat_id"], r["cat_desc"]) for r in every][2:] == [
        ("40", "scans", "1", "T1 w"),
        ("41", "scans", "2", "a/b,c"),
        ("42", "scans", "3", ""),
    ]


@pytest.mark.parametrize(
    ("scans", "expected"),
    [
        ("1", ["t1.nii.gz"]),
        ("T1%20w", ["t1.nii.gz"]),
        ("1,2", ["t1.nii.gz", "t2.nii.gz"]),
        ("ALL", ["t1.nii.gz", "t2.nii.gz", "t3.nii.gz"]),
        ("*", ["t1.nii.gz", "t2.nii.gz", "t3.nii.gz"]),
        ("a[SLASH]b[COMMA]c", ["t2.nii.gz"]),
        ("NULL", ["t3.nii.gz"]),
        ("nosuch", []),
    ],
)
def test_scans_are_chosen_by_id_type_or_list(scans: str, expected: list[str], old: StandIn) -> None:
    assert names(old, f"{SESSION}/scans/{scans}/files") == expected
    assert names(old, f"{SESSION}/scans/{scans}/resources/NIFTI/files") == expected


def test_filters_and_locators(old: StandIn) -> None:
    assert names(old, SESSION + "/files?all=true&file_format=NIFTI") == ["t1.nii.gz", "t2.nii.gz"]
    assert names(old, SESSION + "/files?file_content=RAW,other") == ["made.bin"]
    (row,) = listed(old, SESSION + "/scans/1/files?locator=projectPath")
    assert row["projectPath"] == "s1_MR/SCANS/1/NIFTI/t1.nii.gz"
    assert "URI" not in row
    assert listed(old, "/data/projects/COHORT/files")[0]["file_tags"] == "x,y=1"


def test_who_may_not_read_gets_nothing(old: StandIn) -> None:
    assert names(old, SESSION + "/files", "bob") == ["data.bin", "made.bin", "none.bin", *_odd_names()]
    assert names(old, "/data/experiments/Lab_E00002/files", "bob") == []
    assert names(old, "/data/subjects/Lab_S00002/files", "bob") == []
    for path in ("/files", "/resources", "/resources/plan", "/resources/plan/files/plan.txt"):
        assert ask(old, "/data/projects/COHORT" + path, "bob").status_code == 404
        assert ask(old, "/data/projects/NOSUCH" + path, "ann").status_code == 404
    assert ask(old, SESSION + "/resources/NOSUCH").status_code == 404


def _odd_names() -> list[str]:
    return ["c d.txt", "with space.txt", "with%20space.txt", "x.zip", "not.zip"]


def test_bytes_are_made_only_when_asked_for(old: StandIn, new: StandIn) -> None:
    labs.MADE.clear()
    listed(old, DATA)
    listed(old, SESSION + "/resources")
    assert labs.MADE == []
    assert ask(old, DATA + "/made.bin").content == b"made" * 25
    assert len(labs.MADE) == 1
    digest = hashlib.md5(b"made" * 25).hexdigest()
    assert [row["digest"] for row in listed(new, DATA)] == [hashlib.md5(labs.BYTES).hexdigest(), digest, ""]
    assert "digest" not in listed(old, DATA)[0]


def test_catalog_of_each_dialect(old: StandIn, new: StandIn) -> None:
    path = "/data/projects/COHORT/resources/plan"
    for standin, sizes in ((old, []), (new, ["5"])):
        answer = ask(standin, path + "?format=json")
        assert answer.content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<cat:Catalog')
        (entry,) = ElementTree.fromstring(answer.content).iter(CAT + "entry")
        assert entry.get("URI") == "plan.txt"
        assert entry.get("digest") == hashlib.md5(b"plan\n").hexdigest()
        assert [tag.text for tag in entry.iter(CAT + "tag")] == ["x", "y=1"]
        assert [field.text for field in entry.iter(CAT + "metaField")] == sizes
    root = ElementTree.fromstring(ask(old, SESSION + "/resources/DATA").content)
    assert [entry.get("digest") is None for entry in root.iter(CAT + "entry")] == [False, False, True]


# --- names


def test_names_are_compared_as_sent_and_then_decoded(old: StandIn) -> None:
    assert ask(old, ODD + "/with%20space.txt").content == b"literal\n"
    assert ask(old, ODD + "/a%20b/c%20d.txt").content == b"blank\n"
    assert ask(old, OF_SUBJECT.format("COHORT", "s1") + "/files/f%C3%B6rm%201.pdf").content == b"%PDF"
    assert names(old, ODD + "/a%20b/") == ["c d.txt"]
    assert ask(old, ODD + "/a%20b").status_code == 404


@pytest.mark.parametrize("tail", ["../DATA/files/data.bin", "%2e%2e/x", "a%20b/./c%20d.txt", "x%00.zip"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_path_leads_out(method: str, tail: str, old: StandIn) -> None:
    # requests would tidy the path up before sending it.
    cookie = ask(old, "/data/JSESSION").text
    place = urlsplit(old.url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    try:
        connection.request(method, f"{ODD}/{tail}?inbody=true", headers={"Cookie": f"JSESSIONID={cookie}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 400
    finally:
        connection.close()
    assert names(old, ODD) == _odd_names()


# --- files


def test_head_and_conditional_requests(old: StandIn) -> None:
    head = ask(old, DATA + "/data.bin", method="HEAD")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "1024", b"")
    assert head.headers["Last-Modified"] == "Fri, 05 Apr 2013 06:07:08 GMT"
    for since, status in (("Fri, 05 Apr 2013 06:07:08 GMT", 304), ("Fri, 05 Apr 2013 06:07:07 GMT", 200)):
        answer = ask(old, DATA + "/data.bin", headers={"If-Modified-Since": since})
        assert answer.status_code == status
    empty = ask(old, DATA + "/none.bin").headers
    assert (empty["Content-Length"], empty["Last-Modified"]) == ("0", "Thu, 01 Jan 1970 00:00:00 GMT")


def test_newer_servers_send_attachments_and_take_an_index(old: StandIn, new: StandIn) -> None:
    assert "Content-Disposition" not in ask(old, DATA + "/data.bin").headers
    sent = ask(new, ODD + "/a%20b/c%20d.txt").headers["Content-Disposition"]
    assert sent == 'attachment; filename="c d.txt";'
    sent = ask(new, "/data/subjects/Lab_S00001/files/f%C3%B6rm%201.pdf").headers["Content-Disposition"]
    assert sent == 'attachment; filename="f?rm 1.pdf";'
    assert ask(new, DATA + "?index=1").content == b"made" * 25
    for standin, place in ((new, "3"), (new, "x"), (old, "1")):
        assert ask(standin, f"{DATA}?index={place}").status_code == 404


def test_not_found_can_be_accepted_on_newer_servers(old: StandIn, new: StandIn) -> None:
    for path in (DATA + "/nosuch", SESSION + "/resources/NOSUCH/files/x", "/data/projects/NOSUCH/files"):
        assert ask(old, path + "?accept-not-found=true").status_code == 404
        assert ask(new, path + "?accept-not-found=true").status_code == 204
        assert ask(new, path).status_code == 404


# --- archives


def _members(answer: requests.Response) -> dict[str, int]:
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {member.filename: member.file_size for member in archive.infolist()}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/scans/ALL/files?format=zip", "s1_MR/scans/1-T1_w/resources/NIFTI/files/t1.nii.gz"),
        ("/scans/1/files?format=zip&structure=improved", "s1_MR/scans/1-T1_w/resources/NIFTI/files/t1.nii.gz"),
        ("/scans/1/files?format=zip&structure=simplified", "s1_MR/scans/1/NIFTI/t1.nii.gz"),
        ("/scans/1/files?format=zip&structure=legacy", "s1_MR/SCANS/1/NIFTI/t1.nii.gz"),
        ("/files?format=zip&all=true", "s1_MR/scans/1/resources/NIFTI/files/t1.nii.gz"),
        ("/files?format=zip&structure=simplified", "s1_MR/DATA/data.bin"),
        ("/files?format=zip&structure=legacy", "s1_MR/RESOURCES/DATA/data.bin"),
        ("/resources/ODD/files/a%20b/?format=zip", "s1_MR/resources/ODD/files/a b/c d.txt"),
    ],
)
def test_where_a_zip_has_its_members(path: str, expected: str, old: StandIn, new: StandIn) -> None:
    for standin in (old, new):
        assert expected in _members(ask(standin, SESSION + path))


def test_any_file_can_be_zipped_but_only_a_small_zip_tells_its_length(old: StandIn) -> None:
    assert "s1_MR/resources/DATA/files/none.bin" in _members(ask(old, DATA + "?format=zip"))
    for scan, known in (("1", True), ("2", False)):
        answer = ask(old, f"{SESSION}/scans/{scan}/files?format=zip")
        assert ("Content-Length" in answer.headers) == known
        assert list(_members(answer).values()) == [3000 if known else 9000]


def test_archives_of_projects_and_as_tar(old: StandIn) -> None:
    answer = ask(old, "/data/projects/COHORT/files?format=tar")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert archive.getnames() == ["COHORT/resources/plan/files/plan.txt"]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="COHORT.tar";'


def test_looking_into_a_zip(old: StandIn, new: StandIn) -> None:
    for standin in (old, new):
        rows = listed(standin, ODD + "/x.zip?listContents=true")
        assert rows == [{"File Name": "inner/one.txt", "Size": "4"}, {"File Name": "two.bin", "Size": "2"}]
        for mark in "!/":
            answer = ask(standin, f"{ODD}/x.zip{mark}inner/one.txt")
            assert (answer.content, "Content-Length" in answer.headers) == (b"one\n", False)
        for path in ("/x.zip!/inner/one.txt", "/x.zip!nosuch", "/nosuch.zip!inner/one.txt"):
            assert ask(standin, ODD + path).status_code == 404
        several = SESSION + "/resources/DATA,ODD/files/x.zip!two.bin"
        assert ask(standin, several).status_code == 404


def test_what_is_no_zip_cannot_be_looked_into(old: StandIn, new: StandIn) -> None:
    for path in ("/not.zip!x", "/not.zip?listContents=true", "/with%20space.txt!x"):
        assert ask(old, ODD + path).status_code == 404
        assert ask(new, ODD + path).status_code == 415


# --- the demo's data


def test_the_demos_files_are_as_listed(small: DataSet, standin: StandIn, client: requests.Session) -> None:
    session = next(e for e in small.experiments if e.type == "xnat:mrSessionData")
    url = f"{standin.url}/data/experiments/{session.id}/files?all=true&format=json"
    rows = client.get(url, timeout=10).json()["ResultSet"]["Result"]
    assert len(rows) == 13
    assert len({row["URI"] for row in rows}) == 13
    for row in rows:
        content = client.get(standin.url + row["URI"], timeout=10).content
        assert len(content) == int(row["Size"])
        assert content == client.get(standin.url + row["URI"], timeout=10).content


def test_resource_numbers_are_one_each(small: DataSet) -> None:
    for data in (small, connectomedb(6, seed=3), labs.lab()):
        content = [data.content_of(experiment) for experiment in data.experiments]
        keys = [r.key for c in content for r in (*c.resources, *(r for s in c.scans for r in s.resources))]
        keys += [r.key for project in data.projects for r in project.resources]
        keys += [r.key for subject in data.subjects for r in subject.resources]
        assert len(set(keys)) == len(keys) > 0
