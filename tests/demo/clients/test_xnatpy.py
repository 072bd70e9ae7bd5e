"""The real xnatpy works with the stand-in as it does with a real XNAT 1.6.4, and fails where it fails there."""

from __future__ import annotations

import gc
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import xnat
from xnat.exceptions import XNATLoginFailedError, XNATResponseError, XNATValueError
from xnat.search import Constraint
from xnat.session import XNATSession

from cdbfs.demo import StandIn, tutorial

from . import wire

LOGIN = {"user": "mylogin", "password": "mypasswd"}
WITHOUT_JSESSION = "Login using JSESSION failed, falling back to basic-auth."
OF_THE_SITE = ("/schemas/ext/ext.xsd",)
"""Schemas that only the recorded site had."""


@dataclass(frozen=True)
class Connected:
    """An xnatpy session, what it said while it connected, and the requests that it sent."""

    session: Any
    said: list[str]
    sent: list[str]


@pytest.fixture(scope="module")
def connected(recorded_server: StandIn) -> Iterator[Connected]:
    yield from _connected(recorded_server)


@pytest.fixture(scope="module")
def session(connected: Connected) -> Any:
    return connected.session


@pytest.fixture(scope="module")
def demo(tutorial_server: StandIn) -> Iterator[Any]:
    for made in _connected(tutorial_server):
        yield made.session


@pytest.fixture(scope="module")
def subject(session: Any) -> Any:
    return session.projects["HCP_Q2"].subjects["100307"]


class Said(logging.Handler):
    """The texts of a logger's warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _connected(server: StandIn) -> Iterator[Connected]:
    logger, said = logging.Logger("xnatpy"), Said()
    logger.addHandler(said)
    with wire.logged() as log:
        session = xnat.connect(server.url, logger=logger, **LOGIN)
    yield Connected(session, said.texts, log.lines)
    session.disconnect()


# --- connecting


def test_what_it_says_of_the_server(connected: Connected, dialect: str, recorded_server: StandIn) -> None:
    unread = "Could not parse schema from {}, no valid XML found"
    assert (
        connected.said
        == {
            "1.6": [WITHOUT_JSESSION, unread.format(f"{recorded_server.url}/schemas/pipeline/repository.xsd")],
            "1.8": [unread.format("/xapi/schemas/pipeline/repository")],
        }[dialect]
    )
    assert connected.session.xnat_version.startswith(dialect)


def test_its_requests_are_those_recorded(connected: Connected, dialect: str, recorded_server: StandIn) -> None:
    """In 1.6 xnatpy asks a real server the same, in the same order but for that of the schemas and types."""
    sent = [line.replace(recorded_server.url, "") for line in connected.sent]
    if dialect == "1.8":
        asked = [line for line in sent if line.startswith("GET /xapi")]
        assert asked[:2] == ["GET /xapi/siteConfig/buildInfo?format=json", "GET /xapi/schemas?format=json"]
        assert "GET /xapi/schemas/nt/nontoolbox" in sent
        return
    exchanges = wire.recorded("xnatpy")
    expected = [exchanges[number].line for number in range(1, 62)]
    expected = [line for line in expected if not line.endswith(OF_THE_SITE)]
    assert sorted(sent) == sorted(expected)
    ordered = [line for line in expected if "/schemas/" not in line and "/elements/" not in line]
    assert [line for line in sent if "/schemas/" not in line and "/elements/" not in line] == ordered


def test_each_type_that_can_be_searched_has_a_class(session: Any) -> None:
    types = session.inspect.datatypes()
    assert len(types) > 30
    assert [name for name in types if name not in session.XNAT_CLASS_LOOKUP] == []


def test_a_wrong_password_is_told(recorded_server: StandIn) -> None:
    with pytest.raises(XNATLoginFailedError):
        xnat.connect(recorded_server.url, user="mylogin", password="wrong")


def test_the_sites_url_is_the_one_to_use(recorded_server: StandIn, dialect: str) -> None:
    """Seen on XNAT 1.6.4: the schemas are at the URL that its settings name, where xnatpy then does not look."""
    other = recorded_server.url.replace("127.0.0.1", "localhost")
    if dialect == "1.8":
        with xnat.connect(other, loglevel="ERROR", **LOGIN) as session:
            assert "HCP_Q2" in session.projects
        return
    with pytest.raises(XNATValueError, match="/schemas/"):
        xnat.connect(other, loglevel="CRITICAL", **LOGIN)
    # xnatpy hands out no session then, but leaves one whose thread goes on asking the server.
    sessions = [found for found in gc.get_objects() if issubclass(type(found), XNATSession)]
    left = [session for session in sessions if "localhost" in str(session._server)]
    for session in left:
        session.disconnect()
    assert left


def test_disconnecting_ends_the_session(recorded_server: StandIn) -> None:
    before = recorded_server.session_counts()["sessions"]
    session = xnat.connect(recorded_server.url, no_parse_model=True, loglevel="ERROR", **LOGIN)
    assert recorded_server.session_counts()["sessions"] > before
    with wire.logged() as log:
        session.disconnect()
    assert log.lines == ["DELETE /data/JSESSION"]


# --- listings


def test_projects(session: Any) -> None:
    assert {p.id: p.name for p in session.projects.values()} == {
        "HCP_Subjects": "HCP Subjects",
        "HCP_Q1": "HCP Q1 release",
        "HCP_Q2": "HCP Q2 release",
        "EmptyProj": "Empty project",
        "ProtDemo": "Protected demo",
    }


def test_subjects_have_the_projects_labels(session: Any) -> None:
    labels = [subject.label for subject in session.projects["HCP_Q1"].subjects.values()]
    assert labels == ["100307", "103515", "Q1-103818", "111312", "114924"]
    assert len(session.projects["HCP_Q2"].subjects) == 12
    assert len(session.projects["EmptyProj"].subjects) == 0


def test_experiments_are_of_their_classes(subject: Any) -> None:
    found = {e.label: (e.id, type(e).__name__) for e in subject.experiments.values()}
    assert found == {
        "100307_3T": ("ConnectomeDB_E00001", "MrSessionData"),
        "100307_NonToolbox": ("ConnectomeDB_E00002", "NtScores"),
    }


def test_scans(subject: Any) -> None:
    scans = subject.experiments["100307_3T"].scans
    assert {scan.id: (scan.type, scan.quality) for scan in scans.values()} == {
        "1": ("Localizer", "usable"),
        "8": ("T1w_MPR1", "excellent"),
    }
    assert scans["T1w_MPR1"].field_strength == "3.0"


def test_the_types_of_the_tutorial(demo: Any) -> None:
    experiments = demo.projects["HCP_Q2"].subjects["100307"].experiments
    assert {experiment.label: type(experiment).__name__ for experiment in experiments.values()} == {
        "100307_3T": "MrSessionData",
        "100307_SubjMeta": "HcpSubjectMetadata",
        "100307_Toolbox": "HcpToolboxData",
        "100307_NonToolbox": "NtScores",
        "100307_Alertness": "HcpAlertnessData",
    }
    assert experiments["100307_SubjMeta"].release == "Q2"


# --- documents and single values


def test_single_values(subject: Any) -> None:
    scores = subject.experiments["100307_NonToolbox"]
    assert (scores.er40.er40_cr, scores.er40.er40_crt) == ("39", 1471.0)
    assert scores.neo.neofac_a == "33"
    assert (subject.demographics.gender, subject.demographics.yob) == ("female", 1976)
    assert subject.experiments["100307_3T"].scanner == "HCP Skyra"


def test_a_document(session: Any) -> None:
    text = session.get("/data/experiments/ConnectomeDB_E00002", format="xml").text
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<nt:NTScores ID="ConnectomeDB_E00002"')


# --- searches


def test_fields(session: Any) -> None:
    assert {"nt:scores/SUBJECT_ID", "nt:scores/NEO_NEOFAC_A"} <= set(session.inspect.datafields("nt:scores"))


IN_Q1 = Constraint("nt:scores/PROJECTS", "LIKE", "%HCP_Q1%")
"""xnatpy makes conditions of the listed fields only; XNAT 1.6 does not list this one."""


def test_the_searches_of_the_tutorial(demo: Any) -> None:
    scores = demo.classes.NtScores
    total = scores.CPW_IWRD_TOT
    labels = {subject.id: subject.label for subject in demo.projects["HCP_Q2"].subjects.values()}

    def found(*constraints: Any) -> set[str]:
        rows = scores.query(*constraints).view(scores.SUBJECT_ID, scores.NEO_NEOFAC_A).tabulate_dict()
        return {labels[row["subject_id"]] for row in rows}

    first = set(tutorial.LABELS[: tutorial.FIRST_RELEASE])
    assert found(IN_Q1) == first
    assert found(scores.NEO_NEOFAC_A > 40) == set(tutorial.AGREEABLE)
    assert found(IN_Q1, total >= 30, total < 35) == set(tutorial.IWRD_30_TO_34)
    assert found(IN_Q1, (total < 30) | (total >= 35)) == first - set(tutorial.IWRD_30_TO_34)


def test_a_search_gives_objects(session: Any) -> None:
    subjects = session.classes.SubjectData
    assert [subject.label for subject in subjects.query(subjects.label == "100307").all()] == ["100307"]


def test_a_search_without_conditions(session: Any, dialect: str) -> None:
    """xnatpy sends an empty search_where then: an error of the server's in 1.6."""
    scores = session.classes.NtScores
    query = scores.query().view(scores.SUBJECT_ID)
    if dialect == "1.8":
        assert len(query.tabulate_dict()) == 12
        return
    with pytest.raises(XNATResponseError, match="status 500"):
        query.tabulate_csv()


def test_a_saved_search(session: Any) -> None:
    """xnatpy has no call for it; its query and its requests will do."""
    scores = session.classes.NtScores
    query = scores.query(scores.NEO_NEOFAC_A > 40).view(scores.SUBJECT_ID)
    session.put("/data/search/saved/agreeable", query={"inbody": "true"}, data=query.to_string())
    saved = session.get_json("/data/search/saved")["ResultSet"]["Result"]
    assert [row["id"] for row in saved] == ["agreeable"]
    results = session.get("/data/search/saved/agreeable/results", format="csv").text
    assert results == query.tabulate_csv()
    assert len(results.splitlines()) == 3
    session.delete("/data/search/saved/agreeable")
    assert session.get_json("/data/search/saved")["ResultSet"]["Result"] == []


# --- files


def test_resources_and_files(subject: Any) -> None:
    resources = subject.experiments["100307_3T"].resources
    assert {r.label: (r.id, r.file_count, r.file_size) for r in resources.values()} == {
        "MEAS": ("1", 2, 1048),
        "PKG": ("3", 4, 270),
    }
    assert {name: file.file_size for name, file in resources["MEAS"].files.items()} == {
        "readme.txt": "24",
        "data.bin": "1024",
    }


def test_a_file(subject: Any, tmp_path: Path) -> None:
    file = subject.experiments["100307_3T"].resources["MEAS"].files["readme.txt"]
    file.download(str(tmp_path / "copy.txt"), verbose=False)
    assert (tmp_path / "copy.txt").read_bytes() == b"subject 100307\nline two\n"
    assert file.size == "24"
    with file.open() as opened:
        assert opened.read(7) == b"subject"


def test_digests_are_those_of_newer_servers(subject: Any, dialect: str) -> None:
    file = subject.experiments["100307_3T"].resources["MEAS"].files["readme.txt"]
    if dialect == "1.8":
        assert file.verify_digest()
    else:
        assert file.digest is None


def test_archives(subject: Any, tmp_path: Path) -> None:
    session = subject.experiments["100307_3T"]
    session.resources["MEAS"].download(str(tmp_path / "one.zip"), verbose=False)
    session.download(str(tmp_path / "scans.zip"), verbose=False)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.read("100307_3T/resources/MEAS/files/readme.txt") == b"subject 100307\nline two\n"
    with zipfile.ZipFile(tmp_path / "scans.zip") as archive:
        assert "100307_3T/scans/8-T1w_MPR1/resources/NIFTI/files/notes.txt" in archive.namelist()
    session.scans["8"].resources["NIFTI"].download_dir(str(tmp_path / "nifti"), verbose=False)
    assert sorted(path.name for path in (tmp_path / "nifti").rglob("*.*")) == ["100307_T1w.nii.gz", "notes.txt"]
