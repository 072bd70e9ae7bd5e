"""The real pyxnat works with the stand-in as it does with a real XNAT 1.6.4, and fails where it fails there."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pyxnat

from cdbfs.demo import StandIn

from . import wire

LIKE = ("nt:scores/PROJECTS", "LIKE", "%HCP_Q2%")
NEO = ["nt:scores/SUBJECT_ID", *(f"nt:scores/NEO_NEOFAC_{factor}" for factor in "AOCNE")]
SESSION = "/data/projects/HCP_Q2/subjects/100307/experiments"


@pytest.fixture(scope="module")
def server(recorded_server: StandIn) -> StandIn:
    return recorded_server


@pytest.fixture(scope="module")
def cdb(server: StandIn) -> Iterator[Any]:
    interface = pyxnat.Interface(server.url, user="mylogin", password="mypasswd")
    yield interface
    interface.disconnect()


@pytest.fixture
def q2(cdb: Any) -> Any:
    return cdb.select.project("HCP_Q2")


@pytest.fixture
def session(q2: Any) -> Any:
    return q2.subject("100307").experiment("100307_3T")


@pytest.fixture
def scores(q2: Any) -> Any:
    return q2.subject("100307").experiment("100307_NonToolbox")


# --- logging in and out


def test_connecting_and_disconnecting(server: StandIn) -> None:
    before = server.session_counts()
    interface = pyxnat.Interface(server.url, user="mylogin", password="mypasswd")
    with wire.logged() as log:
        assert interface.select.project("HCP_Q2").exists()
        assert server.session_counts()["sessions"] == before["sessions"] + 1
        interface.disconnect()
    assert log.lines[0] == "GET /data/JSESSION"
    assert log.lines[-1] == "DELETE /data/JSESSION"
    after = server.session_counts()
    assert after["logins"] == before["logins"] + 1
    assert after["sessions"] == before["sessions"]


def test_a_wrong_password_looks_like_an_empty_server(server: StandIn) -> None:
    with wire.logged() as log:
        interface = pyxnat.Interface(server.url, user="mylogin", password="wrong")
        assert interface.select.projects().get() == []
    exchanges = wire.recorded("pyxnat")
    assert log.lines == [exchanges[number].line for number in (77, 78)]


def test_version(cdb: Any, dialect: str) -> None:
    version = cdb.version()
    assert version == b"1.6.3" if dialect == "1.6" else version["version"].startswith("1.8")


# --- listings


def test_projects(cdb: Any) -> None:
    assert cdb.select.projects().get() == ["HCP_Subjects", "HCP_Q1", "HCP_Q2", "EmptyProj", "ProtDemo"]
    assert not cdb.select.project("Secret").exists()


def test_subjects_have_the_projects_labels(cdb: Any, q2: Any) -> None:
    labels = [subject.label() for subject in q2.subjects()]
    assert (len(labels), labels[:3]) == (12, ["100307", "103515", "103818"])
    q1 = cdb.select.project("HCP_Q1").subjects()
    assert [subject.label() for subject in q1] == ["100307", "103515", "Q1-103818", "111312", "114924"]
    assert q2.subject("ConnectomeDB_S00001").label() == "100307"


def test_experiments(q2: Any) -> None:
    found = [(one.label(), one.id()) for one in q2.subject("100307").experiments()]
    assert found == [("100307_3T", "ConnectomeDB_E00001"), ("100307_NonToolbox", "ConnectomeDB_E00002")]


def test_where_a_subject_and_a_session_are_shared(q2: Any, session: Any) -> None:
    everywhere = ["HCP_Subjects", "HCP_Q2", "HCP_Q1"]
    assert sorted(q2.subject("100307").shares().get()) == sorted(everywhere)
    assert sorted(session.shares().get()) == sorted(everywhere)


def test_scans(session: Any) -> None:
    found = [(scan.id(), scan.attrs.get("type")) for scan in session.scans()]
    assert found == [("1", "Localizer"), ("8", "T1w_MPR1")]


def test_the_array_of_experiments(cdb: Any, dialect: str) -> None:
    """An array of the sharing project is empty: the filter is that of the owning one."""
    path = "nt:scores/er40/er40_cr"
    every = cdb.array.experiments(experiment_type="nt:scores", columns=[path])
    assert len(every) == 12
    assert {row["ID"]: row[path] for row in every.data}["ConnectomeDB_E00002"] == "39"
    assert len(cdb.array.experiments(project_id="HCP_Subjects", experiment_type="nt:scores")) == 12
    assert cdb.array.experiments(project_id="HCP_Q2", experiment_type="nt:scores").data == []


def test_what_is_shown_of_an_item(q2: Any, session: Any, server: StandIn) -> None:
    """Gathered from listings and a search: the type from an array of experiments of any type."""
    assert repr(session).startswith(
        "<Experiment Object> ConnectomeDB_E00001 `100307_3T` (subject: ConnectomeDB_S00001 `100307`)"
        " (project: HCP_Subjects) 2 scans 2 resources"
    )
    assert repr(q2.subject("100307")).endswith(f"{server.url}/data/projects/HCP_Q2/subjects/100307?format=html")


# --- documents and single values


def test_a_document(scores: Any) -> None:
    text = scores.get()
    assert text.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<nt:NTScores ID="ConnectomeDB_E00002"')
    assert scores.datatype() == "nt:scores"


def test_single_values_by_xpath(scores: Any) -> None:
    assert [element.text for element in scores.xpath("nt:ER40/nt:ER40_CR")] == ["39"]
    assert scores.xpath("xnat:sharing/xnat:share/@project") == ["HCP_Q2", "HCP_Q1"]


def test_a_single_value_from_the_listing(scores: Any, dialect: str) -> None:
    with wire.logged() as log:
        assert scores.attrs.get("nt:scores/ER40/ER40_CR") == "39"
    if dialect == "1.6":
        exchanges = wire.recorded("pyxnat")
        assert log.lines == [exchanges[number].line for number in (30, 31)]


def test_several_values_at_once_fail_as_with_a_real_server(scores: Any) -> None:
    """Their columns are paths in lower case, which pyxnat does not look for."""
    with pytest.raises(IndexError):
        scores.attrs.mget(["nt:scores/ER40/ER40_CR", "nt:scores/NEO/NEOFAC_A"])


# --- searches


def test_types_and_their_fields(cdb: Any) -> None:
    assert {"nt:scores", "xnat:mrSessionData", "xnat:subjectData"} <= set(cdb.inspect.datatypes())
    fields = cdb.inspect.datatypes("nt:scores")
    assert {"nt:scores/SUBJECT_ID", "nt:scores/ER40_ER40_CR"} <= set(fields)
    named = [f"nt:scores/NEO_{name}" for name in ("NEO", *(f"NEOFAC_{factor}" for factor in "AOCNE"))]
    assert cdb.inspect.datatypes("nt:scores", "*NEO*") == named


def test_a_search(cdb: Any) -> None:
    with wire.logged() as log:
        table = cdb.select("nt:scores", NEO).where([LIKE])
    assert [*table.headers()] == ["subject_id", *(f"neo_neofac_{factor}" for factor in "aocne")]
    assert len(table) == 12
    assert table.items()[0] == ("ConnectomeDB_S00001", "33", "40", "40", "28", "36")
    searches = [request for request in log.requests if request.method == "POST"]
    beginning = wire.recorded("pyxnat")[43].sent
    assert [str(request.path_url) for request in searches] == ["/data/search?format=csv"]
    assert _text(searches[0].body).startswith(beginning)


def _text(body: Any) -> str:
    return body.decode() if isinstance(body, bytes) else str(body)


@pytest.mark.parametrize(
    ("criteria", "rows"),
    [
        ([LIKE, ("nt:scores/NEO_NEOFAC_A", ">", "40"), "AND"], 2),
        ([LIKE, ("nt:scores/CPW_IWRD_TOT", ">=", "30"), ("nt:scores/CPW_IWRD_TOT", "<", "35"), "AND"], 6),
        ([LIKE, [("nt:scores/CPW_IWRD_TOT", "<", "30"), ("nt:scores/CPW_IWRD_TOT", ">=", "35"), "OR"], "AND"], 6),
    ],
)
def test_searches_with_several_criteria(cdb: Any, criteria: list[Any], rows: int) -> None:
    fields = ["nt:scores/SUBJECT_ID", "nt:scores/CPW_IWRD_TOT"]
    assert len(cdb.select("nt:scores", fields).where(criteria)) == rows


def test_a_search_for_everything(cdb: Any) -> None:
    fields = ["xnat:subjectData/SUBJECT_LABEL", "xnat:subjectData/GENDER_TEXT"]
    table = cdb.select("xnat:subjectData", fields).all()
    assert len(table) == 13
    assert {"100307", "130013", "P1"} <= set(table.get("subject_label"))


def test_a_saved_search(cdb: Any) -> None:
    saved = cdb.manage.search
    saved.save("my_neo", "nt:scores", NEO, [LIKE, "AND"], "private", "Agreeable or not")
    assert saved.saved() == ["my_neo"]
    assert len(saved.get("my_neo")) == 12
    saved.delete("my_neo")
    assert saved.saved() == []


# --- files


def test_resources_and_files(session: Any) -> None:
    assert [(resource.label(), resource.id()) for resource in session.resources()] == [("MEAS", "1"), ("PKG", "3")]
    files = session.resource("MEAS").files()
    assert [(file.label(), file.size()) for file in files] == [("readme.txt", "24"), ("data.bin", "1024")]
    of_scan = session.scan("8").resource("NIFTI").files()
    assert [file.label() for file in of_scan] == ["100307_T1w.nii.gz", "notes.txt"]


def test_a_file(session: Any, tmp_path: Path) -> None:
    file = session.resource("MEAS").file("readme.txt")
    assert file.exists()
    assert (file.size(), file.format()) == ("24", "TXT")
    copy = Path(file.get_copy(str(tmp_path / "copy.txt")))
    assert copy.read_bytes() == b"subject 100307\nline two\n"
    assert file.last_modified() == "Sun, 22 Nov 2026 19:38:02 GMT"
    assert not session.resource("MEAS").file("nosuch.txt").exists()


def test_archives(session: Any, tmp_path: Path) -> None:
    scans = session.scans().download(str(tmp_path), type="ALL", extract=False)
    with zipfile.ZipFile(scans) as archive:
        names = sorted(archive.namelist())
    assert names == [
        "100307_3T/scans/8-T1w_MPR1/resources/NIFTI/files/100307_T1w.nii.gz",
        "100307_3T/scans/8-T1w_MPR1/resources/NIFTI/files/notes.txt",
    ]
    with zipfile.ZipFile(session.resource("MEAS").get(str(tmp_path), extract=False)) as archive:
        assert sorted(archive.namelist()) == ["data.bin", "readme.txt"]
        assert archive.read("readme.txt") == b"subject 100307\nline two\n"
