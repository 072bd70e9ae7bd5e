"""A data set of another kind than the demo's: other types and labels, and things that real data avoids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from cdbfs.demo import DataSet, DataSetBuilder, Scan, StandIn, document

COG = "{http://example.org/cog}"
ODD = 'Anna & "Bo" <x>, z\u00fc'


def build() -> DataSet:
    """Two projects of a study of cognition; the second one shares from the first under other labels."""
    study = DataSetBuilder(site_id="Lab")
    study.project("COHORT", name="Cohort &#150; A")
    study.project("PILOT")
    study.type("cog:battery", "cog:Battery", "http://example.org/cog", fields={"memory/span": "int"})
    study.account("ann", "secret")
    study.account("bob", "secret", reads=["PILOT"])
    second = study.subject("s2", "COHORT", shares={"PILOT": "p2"}, last_modified="2020-01-01 00:00:00.0")
    first = study.subject("s1", "COHORT", gender="female", group="controls")
    twin = study.subject("s1", "COHORT", id="Lab_S99999")
    battery: dict[str, dict[str, str | None]] = {
        "memory": {"span": "7", "recall": None, "notes": ""},
        "": {"rater": ODD},
    }
    study.experiment("s2_cog", second, "cog:battery", shares={"PILOT": "p2_cog"}, groups=battery)
    study.experiment("s1_cog", first, "cog:battery", shares={"PILOT": ""}, document=b"<not xml")
    study.experiment("same", first, "cog:battery", groups=battery)
    study.experiment("same", twin, "cog:battery")
    study.experiment("s2_MR", second, "xnat:mrSessionData", scans=[Scan("1", "T1", key=5)], scanner="X")
    study.missing_columns.add("last_modified")
    return study.build()


@pytest.fixture(scope="module")
def data() -> DataSet:
    return build()


@pytest.fixture(scope="module")
def standin(data: DataSet) -> Iterator[StandIn]:
    with StandIn(data) as running:
        yield running


def ask(standin: StandIn, path: str, user: str = "ann") -> requests.Response:
    return requests.get(standin.url + path, auth=(user, "secret"), timeout=10)


def rows(standin: StandIn, path: str, user: str = "ann") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = ask(standin, path, user).json()["ResultSet"]["Result"]
    return listed


def test_rows_stand_in_the_order_they_were_added(standin: StandIn) -> None:
    listed = rows(standin, "/data/projects/COHORT/subjects")
    assert [(row["ID"], row["label"]) for row in listed] == [
        ("Lab_S00001", "s2"),
        ("Lab_S00002", "s1"),
        ("Lab_S99999", "s1"),
    ]


def test_shares_carry_their_own_labels_or_the_owners(standin: StandIn) -> None:
    path = "/data/projects/PILOT/experiments?columns=ID,label,subject_ID,project"
    listed = rows(standin, path, "bob")
    assert [(row["label"], row["subject_ID"]) for row in listed] == [
        ("p2_cog", "Lab_S00001"),
        ("s1_cog", "Lab_S00002"),
    ]
    assert {row["project"] for row in listed} == {"COHORT"}
    assert [row["label"] for row in rows(standin, "/data/projects/PILOT/subjects", "bob")] == ["p2"]


def test_unreadable_items_do_not_exist(standin: StandIn) -> None:
    assert ask(standin, "/data/experiments/Lab_E00003", "bob").status_code == 404
    assert ask(standin, "/data/experiments/Lab_E00001", "bob").status_code == 200
    assert ask(standin, "/data/projects/COHORT/subjects", "bob").status_code == 404


def test_document_of_another_type(data: DataSet, standin: StandIn) -> None:
    answer = ask(standin, "/data/experiments/Lab_E00001?format=xml")
    assert answer.content == document(data, "Lab_E00001")
    root = ElementTree.fromstring(answer.content)
    assert root.tag == f"{COG}Battery"
    assert root.findtext(f"{COG}memory/{COG}span") == "7"
    assert root.find(f"{COG}memory/{COG}recall") is None
    assert root.findtext(f"{COG}memory/{COG}notes") == ""
    assert root.findtext(f"{COG}rater") == ODD


def test_document_given_byte_for_byte(standin: StandIn) -> None:
    assert ask(standin, "/data/experiments/Lab_E00002").content == b"<not xml"


def test_json_document_has_typed_slash_paths(standin: StandIn) -> None:
    item = ask(standin, "/data/experiments/Lab_E00001?format=json").json()["items"][0]
    assert item["data_fields"]["memory/span"] == 7
    assert item["data_fields"]["rater"] == ODD
    assert "memory/recall" not in item["data_fields"]


def test_equal_labels_are_told_apart_by_subject(standin: StandIn) -> None:
    path = "/data/projects/COHORT/subjects/{}/experiments/same?format=xml"
    for subject, experiment in (("Lab_S00002", "Lab_E00003"), ("Lab_S99999", "Lab_E00004")):
        root = ElementTree.fromstring(ask(standin, path.format(subject)).content)
        assert root.get("ID") == experiment


def test_missing_column_is_dropped(standin: StandIn) -> None:
    for listing in ("subjects", "experiments"):
        path = f"/data/projects/COHORT/{listing}?columns=ID,last_modified,insert_date"
        assert all("last_modified" not in row and row["insert_date"] for row in rows(standin, path))


def test_path_column_narrows_to_its_type(standin: StandIn) -> None:
    listed = rows(standin, "/data/projects/COHORT/experiments?columns=ID,cog:battery/memory/span")
    assert [(row["ID"], row["cog:battery/memory/span"]) for row in listed][:2] == [
        ("Lab_E00001", "7"),
        ("Lab_E00002", ""),
    ]
    assert len(listed) == 4


def test_scans_of_a_session(standin: StandIn) -> None:
    listed = rows(standin, "/data/projects/COHORT/subjects/s2/experiments/s2_MR/scans")
    assert [(row["xnat_imagescandata_id"], row["ID"], row["type"]) for row in listed] == [("5", "1", "T1")]


def test_concealed_hidden_fields(standin: StandIn) -> None:
    path = "/data/experiments/Lab_E00001?format=xml"
    assert b"hidden_fields" in ask(standin, path).content
    assert b"hidden_fields" not in ask(standin, path + "&concealHiddenFields=true").content


def test_names_come_through_every_encoding(standin: StandIn) -> None:
    for encoding in ("json", "csv", "xml", "html"):
        assert "Cohort &#150; A" in ask(standin, f"/data/projects?format={encoding}").text
