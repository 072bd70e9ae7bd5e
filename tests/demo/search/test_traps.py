"""Searches that surprise, in both dialects: which rows they find, and which are errors."""

from __future__ import annotations

import pytest

from .asking import Client, all_of, any_of, bundle, criterion

BAT = "cog:battery"
RECALL = f"{BAT}/MEMORY_RECALL"
REMARK = f"{BAT}/MEMORY_REMARK"


@pytest.fixture(params=["1.6", "1.8"])
def client(request: pytest.FixtureRequest) -> Client:
    fixture = {"1.6": "older", "1.8": "newer"}[request.param]
    found: Client = request.getfixturevalue(fixture)
    return found


def found(client: Client, where: str) -> str:
    """The numbers of the subjects that are found."""
    subjects = client.column(bundle(["SUBJECT_ID"], where, root=BAT), "subject_id")
    return "".join(subject[-1] for subject in subjects)


@pytest.mark.parametrize(
    ("where", "subjects"),
    [
        (all_of((RECALL, "!=", "12")), "2345"),
        (all_of((f"{BAT}/memory/recall", "!=", "12")), "23"),
        (all_of((RECALL, "IS", "NULL")), "45"),
        (all_of((RECALL, "=", "*")), "123"),
        (all_of((RECALL, "BETWEEN", "7 AND 12")), "12"),
        (all_of((REMARK, "LIKE", "FINE")), "12"),
        (all_of((REMARK, "LIKE", "in")), ""),
        (all_of((f"{BAT}/memory/remark", "LIKE", "in")), "12"),
        (all_of((REMARK, "=", "")), "45"),
        (all_of((f"{BAT}.MEMORY_RECALL", ">", "7")), "13"),
        (all_of((f"{BAT}/MEMORY_DAY", ">=", "02/28/2014")), "23"),
        (all_of((f"{BAT}/PROJECTS", "LIKE", "%B%")), "1"),
        (all_of((f"{BAT}/sharing/share/project", "=", "B")), "1"),
        (all_of(("xnat:subjectData/GENDER_TEXT", "=", "F")), "24"),
        (all_of(("xnat:subjectData.SUB_PROJECT_IDENTIFIER=B", "=", "b2")), "2"),
        (all_of(("xnat:subjectData/demographics/yob", ">", "1983")), "45"),
        (all_of((RECALL, ">", "1")) + all_of((REMARK, "=", "fine")), "2"),
        (all_of((RECALL, ">", "50"), (REMARK, "=", "fine"), method="OR"), "23"),
        (all_of(any_of((RECALL, "<", "10"), (RECALL, ">", "50"))), "23"),
        (all_of((RECALL, ">", "1"), all_of((REMARK, "IN", "Fine,fine"), name="child_set")), "12"),
        (all_of((REMARK, "=", "O'Brien")), ""),
        (all_of(criterion(REMARK, "IS NULL", "", raw=True)), "45"),
    ],
)
def test_found(client: Client, where: str, subjects: str) -> None:
    assert found(client, where) == subjects


@pytest.mark.parametrize(
    "where",
    [
        all_of((REMARK, "like", "fine")),
        all_of((RECALL, "LIKE", "1%")),
        all_of((RECALL, ">", "many")),
        all_of((RECALL, "BETWEEN", "1,2")),
        all_of((f"{BAT}/NOSUCH", "=", "1")),
        all_of((f"{BAT}/memory/nosuch", "=", "1")),
        all_of(("foo:bar/X", "=", "1")),
        all_of((f"{BAT}/SUBJECT_ID", "IN", "Lab_S00001,Lab_S00003")),
        all_of((f"{BAT}/SUBJECT_ID", "IN", "('Lab_S00001')")),
        all_of((REMARK, "IN", "ARRAY['fine']")),
    ],
)
def test_errors(client: Client, where: str) -> None:
    assert client.status(bundle(["SUBJECT_ID"], where, root=BAT)) == 500


@pytest.mark.parametrize("value", ["ARRAY['Lab_S00003','none','Lab_S00001']", "'{Lab_S00003,none,Lab_S00001}'"])
def test_in_is_a_join_of_its_own(client: Client, value: str) -> None:
    """A row for each value in the order of the list, an empty one where nothing has it."""
    document = bundle(["SUBJECT_ID", "MEMORY_RECALL"], all_of((f"{BAT}/SUBJECT_ID", "IN", value)), root=BAT)
    assert client.rows(document) == [
        ["subject_id", "memory_recall", "quarantine_status", "search_field0", "sort_order0"],
        ["Lab_S00003", "100", "active", "Lab_S00003", "1"],
        ["", "", "", "none", "2"],
        ["Lab_S00001", "12", "active", "Lab_S00001", "3"],
    ]


# --- where the dialects differ


def test_a_where_without_criteria(older: Client, newer: Client) -> None:
    for where in (all_of(), all_of(any_of())):
        assert older.status(bundle(["SUBJECT_ID"], where, root=BAT)) == 500
        assert found(newer, where) == "12345"
    assert found(older, "") == found(newer, "") == "12345"


def test_in_beside_other_criteria(older: Client, newer: Client) -> None:
    where = all_of((RECALL, ">", "50"), (f"{BAT}/SUBJECT_ID", "IN", "ARRAY['Lab_S00001']"))
    assert older.status(bundle(["SUBJECT_ID"], where, root=BAT)) == 500
    assert found(newer, where) == "1"


@pytest.mark.parametrize("value", ["x'; DROP TABLE subjects", "1 UNION SELECT a FROM b", "<script>"])
def test_what_looks_like_an_attack(older: Client, newer: Client, value: str) -> None:
    document = bundle(["SUBJECT_ID"], all_of((REMARK, "=", value)), root=BAT)
    assert older.column(document, "subject_id") == []
    assert newer.status(document) == 500


# --- refusals


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<oops", 422),
        ("", 422),
        ("<a/>", 422),
        (bundle([], root="foo:bar"), 403),
        (bundle([], root=""), 403),
        (bundle([], root="xnat:investigatorData"), 403),
        (bundle(["LABEL"], root="xnat:petSessionData"), 200),
    ],
)
def test_refused(client: Client, body: str, status: int) -> None:
    assert client.status(body) == status


def test_only_posting_searches(client: Client) -> None:
    assert client.get("/data/search").status_code == 405


def test_a_form_with_a_file(client: Client) -> None:
    document = bundle(["SUBJECT_ID"], root=BAT)
    parts = (
        '--b\r\nContent-Disposition: form-data; name="f"; filename="{}"\r\n'
        "Content-Type: text/xml\r\n\r\n{}\r\n--b--\r\n"
    )
    for name, status in (("search.xml", 200), ("search.txt", 422)):
        assert _posted(client, parts.format(name, document), "multipart/form-data; boundary=b") == status


@pytest.mark.parametrize("kind", ["text/xml", "application/x-www-form-urlencoded", ""])
def test_any_type_of_body(client: Client, kind: str) -> None:
    assert _posted(client, bundle(["SUBJECT_ID"], root=BAT), kind) == 200


def _posted(client: Client, body: str, kind: str) -> int:
    return client.call("POST", "/data/search?format=csv", body, {"Content-Type": kind}).status_code
