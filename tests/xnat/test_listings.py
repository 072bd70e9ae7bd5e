"""Listings: recorded ones of XNAT 1.6.4, and what other servers and broken connections make of them."""

from __future__ import annotations

import contextlib
import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdbfs.errors import ServerFault, TooLarge
from cdbfs.xnat.listings import EXPERIMENT_COLUMNS, MOST_ROWS, MOST_VALUES, SUBJECT_COLUMNS, parse
from cdbfs.xnat.models import Experiment, Project, Subject
from tests.demo import recordings


def body(name: str) -> bytes:
    return recordings.read(name).body.encode()


def listing(*rows: object, **meta: object) -> bytes:
    return json.dumps({"ResultSet": {"Result": list(rows), **meta}}).encode()


def test_the_recorded_projects_are_read_in_the_servers_order() -> None:
    assert parse(body("073-projects-json"), Project, "it") == [
        Project("HCP_Subjects", "HCP Subjects"),
        Project("HCP_Q1", "HCP Q1 release"),
        Project("HCP_Q2", "HCP Q2 release"),
        Project("EmptyProj", "Empty project"),
        Project("ProtDemo", "Protected demo"),
    ]


def test_recorded_subjects_hold_what_was_sent_and_nothing_for_the_rest() -> None:
    subjects = parse(body("102-subjects-q2-columns-json"), Subject, "it")
    assert len(subjects) == 12
    assert subjects[0] == Subject(
        label="100307",
        ID="ConnectomeDB_S00001",
        project="HCP_Subjects",
        group="G0",
        gender="female",
        handedness="",
        age="",
        yob="",
        race="",
        ethnicity="",
        education="",
        insert_date="2026-11-22 19:38:00.366",
        last_modified="2026-11-22 19:38:03.569448",
    )


def test_recorded_experiments_agree_with_the_same_listing_as_csv() -> None:
    experiments = parse(body("124-experiments-q2-json"), Experiment, "it")
    rows = list(csv.DictReader(io.StringIO(recordings.read("125-experiments-q2-csv").body)))
    assert [e.ID for e in experiments] == [row["ID"] for row in rows]
    assert [(e.label, e.xsiType, e.project) for e in experiments] == [
        (row["label"], row["xsiType"], row["project"]) for row in rows
    ]


@pytest.mark.parametrize("name", ["114-subjects-empty-json", "142-experiments-empty-json"])
def test_recorded_empty_listings_are_empty(name: str) -> None:
    assert parse(body(name), Subject, "it") == []


def test_the_columns_asked_for_are_the_fields_that_are_read() -> None:
    assert set(SUBJECT_COLUMNS) == set(Subject.__slots__)
    assert set(EXPERIMENT_COLUMNS) == set(Experiment.__slots__)


def test_values_of_other_kinds_are_texts_and_null_is_none_of_them() -> None:
    row = {"ID": "S1", "label": 7, "age": 1.5, "group": None, "gender": True, "yob": 12345678901234567890}
    (subject,) = parse(listing(row), Subject, "it")
    assert (subject.label, subject.age, subject.group, subject.gender, subject.yob) == (
        "7",
        "1.5",
        "",
        "true",
        "12345678901234567890",
    )


def test_each_id_is_given_once_and_rows_without_one_are_left_out() -> None:
    rows = [{"ID": "a", "name": "1"}, {"ID": ""}, {"name": "x"}, {"ID": "b"}, {"ID": "a", "name": "2"}]
    assert parse(listing(*rows), Project, "it") == [Project("a", "1"), Project("b", "")]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"  \n",
        b"<html></html>",
        b"null",
        b"[]",
        b'"ResultSet"',
        b"7",
        b"{}",
        b'{"ResultSet": null}',
        b'{"ResultSet": []}',
        b'{"ResultSet": {}}',
        b'{"ResultSet": {"Result": null}}',
        b'{"ResultSet": {"Result": {}}}',
        b'{"ResultSet": {"Result": [1]}}',
        b'{"ResultSet": {"Result": [null]}}',
        b'\xff\xfe\x00{"ResultSet"',
        b'{"ResultSet": {"Result": [{"ID": "\xff"}]}}',
        b"[" * 100_000,
        b'{"ResultSet":{"Result":[{"ID":' + b"9" * 10_000 + b"}]}}",
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_is_no_listing_is_a_fault_of_the_server(broken: bytes) -> None:
    with pytest.raises(ServerFault, match=r"^the list of subjects is not a listing"):
        parse(broken, Subject, "the list of subjects")


def test_a_listing_cut_anywhere_is_a_fault_of_the_server() -> None:
    whole = listing({"ID": "a", "name": "1"}, {"ID": "b", "name": "2"}, totalRecords="2")
    assert len(parse(whole, Project, "it")) == 2
    for end in range(len(whole)):
        with pytest.raises(ServerFault):
            parse(whole[:end], Project, "it")


@pytest.mark.parametrize("total", ["3", 3], ids=repr)
def test_a_listing_shorter_than_it_announces_is_a_fault_of_the_server(total: object) -> None:
    with pytest.raises(ServerFault, match="announces 3 rows and has 2"):
        parse(listing({"ID": "a"}, {"ID": "b"}, totalRecords=total), Project, "it")


@pytest.mark.parametrize(
    "total", ["1", "2", "", "many", "-5", "²", None, 2, 1.5, [], "9" * 5000], ids=lambda t: repr(t)[:9]
)
def test_a_total_that_says_nothing_against_it_lets_a_listing_be(total: object) -> None:
    body = listing({"ID": "a"}, {"ID": "b"}, totalRecords=total)
    try:
        assert len(parse(body, Project, "it")) == 2
    except ServerFault:
        assert total == "9" * 5000


PROJECTS = st.builds(Project, st.text(min_size=1, max_size=20), st.text(max_size=20))


@settings(deadline=None, max_examples=50)
@given(st.lists(PROJECTS, max_size=5, unique_by=lambda project: project.ID))
def test_any_text_comes_through_unchanged(projects: list[Project]) -> None:
    rows = [{"name": project.name, "ID": project.ID} for project in projects]
    assert parse(listing(*rows, totalRecords=str(len(rows))), Project, "it") == projects


def test_a_listing_that_would_fill_the_memory_is_refused_unread() -> None:
    """`{}` is 2 bytes here and 64 in memory."""
    with pytest.raises(TooLarge, match=rf"^the list has over {MOST_ROWS} rows"):
        parse(b"{}" * (MOST_ROWS + 1), Subject, "the list")
    with pytest.raises(TooLarge, match=rf"^the list has over {MOST_VALUES} values"):
        parse(b"[," * (MOST_VALUES // 2) + b"[", Subject, "the list")


def test_a_value_of_any_depth_is_read_or_refused() -> None:
    for depth in range(900, 1100):
        with contextlib.suppress(ServerFault):
            value = b"[" * depth + b"]" * depth
            parse(b'{"ResultSet":{"Result":[{"ID":"a","age":' + value + b"}]}}", Subject, "it")
