"""Which columns an answer has, how they are called, in which order rows come."""

from __future__ import annotations

import json

import pytest

from cdbfs.demo.search.engine import clean

from .asking import Client, all_of, bundle

BAT = "cog:battery"
SUBJECT = "xnat:subjectData"


def header(client: Client, *fields: str, root: str = BAT) -> list[str]:
    return client.rows(bundle(fields, root=root))[0]


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        (["MEMORY_RECALL", "NOSUCH", "foo:bar/X"], ["memory_recall"]),
        (["memory_recall", "subject_id"], ["subject_id"]),
        (["cog:battery/memory/recall"], ["memory_recall"]),
        ([f"{SUBJECT}/GENDER_TEXT"], ["xnat_subjectdata_gender_text"]),
        (
            ["COG_BATTERY_PROJECT_IDENTIFIER=A-1.x"],
            ["cog_battery_project_identifier_a_1_x", "expt_id", "projects", "project"],
        ),
        (
            ["EXPT_ID", "LABEL", "PROJECT"],
            ["expt_id", "label", "insert_user", "insert_date", "projects", "project"],
        ),
        (["SUBJECT_ID", "SUBJECT_ID", "DATE"], ["date", "subject_id"]),
    ],
)
def test_names(older: Client, fields: list[str], columns: list[str]) -> None:
    assert header(older, *fields) == [*columns, "quarantine_status"]


def test_the_sequence_rules(older: Client) -> None:
    document = bundle(["DATE", "EXPT_ID"], root=BAT)
    document = document.replace("<xdat:sequence>0", "<xdat:sequence>7")
    assert older.rows(document)[0][:2] == ["expt_id", "date"]


def test_values_in_names_are_cleaned() -> None:
    assert clean("xnat:mr,B c/@[d].e-f") == "xnat_col_mr_com_B_cd_e_f"


def test_a_value_of_its_own_element_names_the_column_too(older: Client) -> None:
    document = bundle([f"{SUBJECT}/SUB_PROJECT_IDENTIFIER"], root=BAT)
    document = document.replace("</xdat:search_field>", "<xdat:value>B</xdat:value></xdat:search_field>")
    assert older.rows(document)[0][0] == "xnat_subjectdata_sub_project_identifier_b"


def test_the_label_of_a_project(older: Client) -> None:
    document = bundle(["SUB_PROJECT_IDENTIFIER=B", "SUB_PROJECT_IDENTIFIER=A"], root=SUBJECT)
    rows = older.rows(document)[1:]
    assert [(row[0], row[4]) for row in rows] == [("b1", "s1"), ("b2", "s2"), *(("", f"s{n}") for n in (3, 4, 5))]


def test_counts_of_experiments(older: Client) -> None:
    document = bundle(["SUBJECT_ID", "CNT_XNAT_MRSESSIONDATA=A", "SUB_EXPT_COUNT=cog:battery"], root=SUBJECT)
    rows = [row[1:3] for row in older.rows(document)[1:]]
    assert rows == [["2", "1"], ["1", "1"], ["", "1"], ["", "1"], ["", "1"]]


def test_columns_of_no_field_are_those_of_a_version(older: Client, newer: Client) -> None:
    document = bundle(["NOSUCH"], root=BAT)
    scores = ["memory_recall", "memory_seconds", "memory_remark", "memory_day"]
    assert older.rows(document)[0] == [*scores, "quarantine_status"]
    listing = newer.rows(document)[0]
    assert listing[:2] == ["rpt", "label"]
    assert listing[-5:-1] == scores
    told = json.loads(older.post(document, "format=json").text)["ResultSet"]["Columns"]
    assert told == [{"key": "quarantine_status"}]


def test_a_type_without_the_default_version_has_its_listing(older: Client) -> None:
    assert header(older, root=SUBJECT)[0] == "subject_label"
    assert header(older, root=SUBJECT)[-2:] == ["mr_count", "quarantine_status"]


def test_columns_are_told_in_json(older: Client) -> None:
    document = bundle(["LABEL", f"{SUBJECT}/GENDER_TEXT", "INSERT_USER"], root=BAT)
    linked = json.loads(older.post(document, "format=json").text)["ResultSet"]
    keys = [column["key"] for column in linked["Columns"]]
    assert keys == [
        *("label", "expt_id", "insert_user", "insert_date"),
        *("xnat_subjectdata_gender_text", "quarantine_status"),
    ]
    assert linked["Columns"][0]["linkProps"][0]["inserts"] == [{"name": "Field1", "value": "expt_id"}]
    assert linked["Columns"][2]["id"] == "INSERT_USER"
    assert linked["rootElementName"] == BAT
    assert linked["totalRecords"] == "5"
    plain = json.loads(older.post(document, "").text)["ResultSet"]
    assert "linkProps" not in plain["Columns"][0]
    assert plain["Result"] == linked["Result"]


def test_long_names(older: Client, newer: Client) -> None:
    """PostgreSQL cuts a name of over 63 characters; a newer XNAT gives it another one, always the same."""
    document = bundle([f"SUB_PROJECT_IDENTIFIER={'p' * 60}"], root=SUBJECT)
    assert older.rows(document)[0][0] == ("sub_project_identifier_" + "p" * 60)[:63]
    assert newer.rows(document)[0][0] == newer.rows(document)[0][0] == "df_alias_0"


# --- order


def test_numbers_are_sorted_as_numbers_and_nulls_come_last(older: Client) -> None:
    document = bundle(["MEMORY_RECALL"], root=BAT)
    assert older.column(document, "memory_recall") == ["7", "12", "100", "", ""]
    assert older.column(document, "memory_recall", "sortBy=MEMORY_RECALL&sortOrder=DESC") == [
        "",
        "",
        "100",
        "12",
        "7",
    ]


def test_sorting_by_what_is_not_shown(older: Client) -> None:
    document = bundle(["MEMORY_RECALL"], root=BAT)
    by_date = older.column(document, "memory_recall", "sortBy=MEMORY_DAY")
    assert by_date[:3] == ["12", "7", "100"]
    by_subject = older.column(document, "memory_recall", f"sortBy={SUBJECT}.SUBJECT_LABEL&sortOrder=DESC")
    assert by_subject == ["", "", "100", "7", "12"]


def test_sort_by_of_the_document(older: Client) -> None:
    words = f"<xdat:element_name>{BAT}</xdat:element_name><xdat:field_ID>MEMORY_DAY</xdat:field_ID>"
    document = bundle(["MEMORY_RECALL"], root=BAT, extra=f"<xdat:sort_by>{words}</xdat:sort_by>")
    assert older.column(document, "memory_recall")[:3] == ["12", "7", "100"]


def test_an_unknown_field_to_sort_by_is_an_error(older: Client) -> None:
    assert older.post(bundle(["DATE"], root=BAT), "format=csv&sortBy=NOSUCH").status_code == 500


# --- joins


def test_a_join_multiplies_rows_and_keeps_those_without_a_partner(older: Client) -> None:
    document = bundle(["SUBJECT_ID", "xnat:mrSessionData/DATE"], root=BAT)
    header, *rows = older.rows(document)
    assert header == [
        "subject_id",
        "xnat_mrsessiondata_date",
        "quarantine_status",
        "cog_battery_xnat_mrsessiondata_diff",
    ]
    assert rows == [
        ["Lab_S00001", "2014-03-01", "active", "9"],
        ["Lab_S00001", "2014-03-20", "active", "-10"],
        ["Lab_S00002", "2014-03-01", "active", "9"],
        *([f"Lab_S0000{number}", "", "active", ""] for number in (3, 4, 5)),
    ]


def test_rows_that_show_the_same_of_one_item_are_one(older: Client) -> None:
    document = bundle(["SUBJECT_ID", "xnat:mrSessionData/PROJECT"], root=SUBJECT)
    assert older.column(document, "subject_id") == [f"Lab_S0000{number}" for number in (1, 2, 3, 4, 5)]


def test_a_criterion_finds_items_and_does_not_narrow_what_is_joined(older: Client) -> None:
    document = bundle(
        ["SUBJECT_ID", "xnat:mrSessionData/DATE"], all_of(("xnat:mrSessionData/DATE", "=", "2014-03-20")), root=BAT
    )
    assert older.column(document, "xnat_mrsessiondata_date") == ["2014-03-01", "2014-03-20"]


def test_criteria_about_one_other_element_hold_of_the_same_item(older: Client) -> None:
    date = "xnat:mrSessionData/DATE"
    both = all_of((date, "=", "2014-03-20"), (date, "=", "2014-03-01"))
    assert older.column(bundle(["SUBJECT_ID"], both, root=BAT), "subject_id") == []


def test_a_field_of_many_values_makes_a_row_of_each(older: Client) -> None:
    document = bundle(["SUBJECT_ID", "SHARED_LABEL"], root=SUBJECT)
    assert [row[:2] for row in older.rows(document)[1:3]] == [["Lab_S00001", "b1"], ["Lab_S00002", "b2"]]


def test_elements_that_nothing_joins_are_an_error(older: Client) -> None:
    assert older.status(bundle(["SUBJECT_ID", "xnat:projectData/NAME"], root=BAT)) == 500


def test_scans_and_ages(older: Client) -> None:
    document = bundle(["MR_SCAN_COUNT_AGG", "AGE", "GEN_AGE"], root="xnat:mrSessionData")
    assert older.rows(document)[1][:3] == ["T1w(2), rest(1)", "33", "33.00"]
    assert older.column(bundle(["AGE"], root=BAT), "age") == ["29", "30", "31", "32", "33"]
