"""Files and resources that clients put and delete."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdbfs.demo import File, Resource, StandIn
from cdbfs.demo.uploads import Home, Uploads

from . import labs
from .labs import DATA, SESSION, ask, listed, names

NEW = SESSION + "/resources/NEW"


@pytest.fixture(params=["1.6", "1.8"])
def standin(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with StandIn(labs.lab(), dialect=request.param) as running:
        yield running


def put(standin: StandIn, path: str, body: bytes, query: str = "", user: str = "ann") -> str:
    answer = ask(standin, f"{path}?inbody=true{query}", user, "PUT", data=body)
    assert answer.status_code == 200
    return answer.text


def test_a_file_is_there_once_it_was_put(standin: StandIn) -> None:
    assert put(standin, DATA + "/sub/new.txt", b"new\n", "&format=TXT&content=RAW&tags=a,b") == ""
    row = listed(standin, DATA)[-1]
    assert row["URI"].endswith("/30/files/sub/new.txt")
    assert [row[n] for n in ("Name", "Size", "file_format", "file_content", "file_tags")] == [
        *("new.txt", "4", "TXT", "RAW", "a,b")
    ]
    assert ask(standin, row["URI"]).content == b"new\n"
    assert listed(standin, SESSION + "/resources")[0]["file_count"] == "4"
    assert b'createdBy="ann"' in ask(standin, SESSION + "/resources/DATA").content


def test_what_is_there_stays_unless_it_is_to_be_overwritten(standin: StandIn) -> None:
    assert put(standin, DATA + "/data.bin", b"other") == '{"duplicates":["data.bin"]}'
    assert ask(standin, DATA + "/data.bin").content == labs.BYTES
    assert put(standin, DATA + "/data.bin", b"other", "&overwrite=true") == ""
    assert ask(standin, DATA + "/data.bin").content == b"other"
    assert names(standin, DATA) == ["data.bin", "made.bin", "none.bin"]


def test_a_form_names_its_file(standin: StandIn) -> None:
    assert ask(standin, DATA, method="POST", files={"f": ("form.txt", b"form\n")}).status_code == 200
    assert ask(standin, DATA + "/own.txt", method="PUT", files={"f": ("x", b"own\n")}).status_code == 200
    assert [ask(standin, DATA + path).content for path in ("/form.txt", "/own.txt")] == [b"form\n", b"own\n"]
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert ask(standin, DATA + "/none.txt", method="PUT", data=b"--x--\r\n", headers=form).status_code == 400
    assert ask(standin, DATA, method="PUT", files={"f": ("../x", b"")}).status_code == 400


def test_what_is_no_form_is_the_file_itself(standin: StandIn) -> None:
    kind = {"Content-Type": "application/octet-stream"}
    assert ask(standin, DATA + "/raw", method="PUT", data=b"raw\n", headers=kind).status_code == 200
    assert ask(standin, DATA + "/raw").content == b"raw\n"
    assert ask(standin, DATA, method="PUT", data=b"raw\n", headers=kind).status_code == 400


def test_a_zip_is_extracted(standin: StandIn) -> None:
    assert put(standin, NEW + "/files/x.zip", labs.a_zip(), "&extract=true") == ""
    assert names(standin, NEW + "/files") == ["one.txt", "two.bin"]
    assert put(standin, NEW + "/files/x.zip", labs.a_zip(), "&extract=true") == (
        '{"duplicates":["inner/one.txt","two.bin"]}'
    )
    bad = ask(standin, NEW + "/files/x.zip?inbody=true&extract=true", method="PUT", data=b"no zip")
    assert bad.status_code == 400


def test_resources_are_made_and_removed(standin: StandIn) -> None:
    assert ask(standin, NEW + "?format=TXT", method="PUT").status_code == 200
    assert ask(standin, NEW, method="PUT").status_code == 409
    made = listed(standin, SESSION + "/resources")[-1]
    assert (made["label"], made["format"], made["file_count"]) == ("NEW", "TXT", "0")
    put(standin, NEW + "/files/a", b"a")
    put(standin, SESSION + "/scans/3/resources/NEW/files/b", b"b")
    assert names(standin, SESSION + "/files?all=true")[-2:] == ["a", "b"]
    assert ask(standin, f"{SESSION}/resources/{made['xnat_abstractresource_id']}", method="DELETE").ok
    assert ask(standin, NEW + "/files/a").status_code == 404
    assert ask(standin, NEW, method="DELETE").status_code == 404
    assert names(standin, SESSION + "/scans/3/files") == ["t3.nii.gz", "b"]


def test_deleted_files_are_gone(standin: StandIn) -> None:
    assert ask(standin, DATA + "/made.bin", method="DELETE").status_code == 200
    assert ask(standin, DATA + "/made.bin").status_code == 404
    assert ask(standin, DATA + "/made.bin", method="DELETE").status_code == 404
    assert names(standin, DATA) == ["data.bin", "none.bin"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_readers_change_nothing(method: str, standin: StandIn) -> None:
    for path in (DATA + "/data.bin?inbody=true&overwrite=true", SESSION + "/resources/DATA"):
        assert ask(standin, path, "bob", method, data=b"x").status_code == 403
    unreadable = "/data/experiments/Lab_E00002/resources/X"
    assert ask(standin, unreadable, "bob", method).status_code == 404
    assert ask(standin, SESSION + "/scans/ALL/resources/X", "ann", method).status_code == 404
    assert ask(standin, DATA + "/data.bin").content == labs.BYTES


def test_published_data_take_the_place_of_uploads(standin: StandIn) -> None:
    put(standin, DATA + "/new", b"new")
    standin.replace(labs.lab())
    assert names(standin, DATA) == ["data.bin", "made.bin", "none.bin"]


def test_uploads_at_once_are_all_kept(standin: StandIn) -> None:
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda n: put(standin, f"{NEW}/files/{n % 30}", b"%d" % n), range(60)))
    assert sorted(names(standin, NEW + "/files")) == sorted(str(n) for n in range(30))
    assert sum(text != "" for text in said) == 30


def test_an_upload_is_of_the_time_it_was_made() -> None:
    now = datetime.datetime(2020, 2, 3, 4, 5, 6, 70_000, tzinfo=datetime.timezone.utc)
    uploads, home = Uploads(now=lambda: now), Home("projects", "P")
    published = (Resource(1, "R", (File("old", 1, b"o"),)),)
    uploads.put(home, published, "R", [File("new", 1, b"n"), File("newer", 1, b"r")], overwrite=False)
    ((old, new, newer),) = (resource.files for resource in uploads.resources(home, published))
    assert old == published[0].files[0]
    assert new.created == newer.created == "2020-02-03 04:05:06.070"
    assert old.event < new.event < newer.event
