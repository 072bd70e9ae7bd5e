"""What a query means on a server: fields, values, criteria; and what is said of names it does not have.

The fields are those that the recorded XNAT 1.6.4 lists.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdbfs.errors import QueryError
from cdbfs.query.check import check
from cdbfs.query.fields import Fields
from cdbfs.query.parse import parse
from cdbfs.query.search import CriteriaSet, Part, Search
from cdbfs.xnat.models import SearchField
from tests.query.recorded import checked, fields, types

NOT_NULL = ("IS", "NOT NULL")


def shape(part: Part | None) -> Any:
    """Criteria in short: (field id, operator, value), ("AND", ...); another type's field with its type."""
    if isinstance(part, CriteriaSet):
        return (part.method, *map(shape, part.parts))
    if part is None:
        return None
    prefix = "" if part.field.element == "nt:scores" else f"{part.field.element}."
    return prefix + part.field.id, part.operator, part.value


def where(text: str, select: str = "subject") -> Any:
    """The one criterion, or the set, of a condition on nt:scores."""
    found = shape(checked(f"SELECT {select} FROM nt:scores WHERE {text}").where)
    return found[1] if len(found) == 2 else found


def refusal(text: str) -> str:
    with pytest.raises(QueryError) as caught:
        checked(text)
    return str(caught.value)


def asked(search: Search) -> list[str]:
    return [f"{field.element}.{field.id}" for field in search.layout.asked]


# --- columns


def test_columns_are_found_in_any_case_by_id_path_and_type() -> None:
    search = checked(
        "SELECT neo_neofac_a, nt:scores.ER40_ER40_CR, NT:Scores/ER40/ER40_CRT AS crt, "
        '"CPW/IWRD_TOT", "NEO_NEO", xnat:subjectdata.gender_text, xnat:mrSessionData/date FROM NT:SCORES'
    )
    assert search.type == "nt:scores"
    assert [(o.field.element, o.field.id, o.header) for o in search.layout.outputs] == [
        ("nt:scores", "NEO_NEOFAC_A", "neo_neofac_a"),
        ("nt:scores", "ER40_ER40_CR", "nt:scores.ER40_ER40_CR"),
        ("nt:scores", "ER40_ER40_CRT", "crt"),
        ("nt:scores", "CPW_IWRD_TOT", "CPW/IWRD_TOT"),
        ("nt:scores", "NEO_NEO", "NEO_NEO"),
        ("xnat:subjectData", "GENDER_TEXT", "xnat:subjectdata.gender_text"),
        ("xnat:mrSessionData", "DATE", "xnat:mrSessionData/date"),
    ]


def test_keys_are_asked_for_beside_the_columns_so_that_rows_that_look_alike_stay_apart() -> None:
    search = checked("SELECT xnat:subjectData.GENDER_TEXT, xnat:mrSessionData.DATE FROM nt:scores")
    assert asked(search) == [
        "xnat:subjectData.GENDER_TEXT",
        "xnat:mrSessionData.DATE",
        "nt:scores.EXPT_ID",
        "xnat:mrSessionData.SESSION_ID",
    ]
    assert search.layout.spare == 2
    assert asked(checked("SELECT EXPT_ID FROM nt:scores")) == ["nt:scores.EXPT_ID"]
    assert asked(checked("SELECT GENDER_TEXT FROM xnat:subjectData"))[1:] == ["xnat:subjectData.SUBJECT_ID"]
    assert asked(checked("SELECT NAME FROM xnat:projectData"))[1:] == ["xnat:projectData.ID"]


def test_one_field_under_two_names_is_asked_for_once() -> None:
    search = checked("SELECT NEO_NEOFAC_A, neo_neofac_a AS again, subject, subject AS who FROM nt:scores")
    assert [output.header for output in search.layout.outputs] == ["NEO_NEOFAC_A", "again", "subject", "who"]
    assert asked(search) == ["nt:scores.NEO_NEOFAC_A", "xnat:subjectData.SUBJECT_LABEL", "nt:scores.EXPT_ID"]


def test_the_subject_is_the_owners_label_or_the_one_in_the_project() -> None:
    def subject(text: str) -> str:
        return asked(checked(text))[0]

    assert subject("SELECT subject FROM nt:scores") == "xnat:subjectData.SUBJECT_LABEL"
    assert subject("SELECT SUBJECT FROM xnat:subjectData") == "xnat:subjectData.SUBJECT_LABEL"
    in_q1 = "xnat:subjectData.SUB_PROJECT_IDENTIFIER=HCP_Q1"
    assert subject("SELECT subject FROM nt:scores WHERE project = 'HCP_Q1'") == in_q1
    assert subject("SELECT subject FROM xnat:subjectData WHERE project = 'HCP_Q1'") == in_q1
    assert "a project has no subject" in refusal("SELECT subject FROM xnat:projectData")


def test_everything_is_what_the_type_lists_behind_the_subject() -> None:
    headers = [output.header for output in checked("SELECT * FROM nt:scores").layout.outputs]
    assert headers[:4] == ["subject", "SUBJECT_ID", "EXPT_ID", "DATE"]
    assert headers[-1] == "ER40_ER40SAD"
    assert len(headers) == 23  # not the labels in projects, nor the shares, of which an item may have several
    of_subjects = checked("SELECT * FROM xnat:subjectData").layout.outputs
    assert [output.header for output in of_subjects][:2] == ["subject", "INSERT_DATE"]
    assert of_subjects[0].field.id == "SUBJECT_LABEL"
    assert checked("SELECT * FROM xnat:projectData").layout.outputs[2].header == "ID"


def test_fields_that_take_a_value() -> None:
    assert asked(checked('SELECT "NT_SCORES_PROJECT_IDENTIFIER=HCP_Q1" FROM nt:scores'))[0].endswith("=HCP_Q1")
    of_another = checked('SELECT "xnat:subjectData.sub_project_identifier=Other" FROM nt:scores')
    assert asked(of_another)[0] == "xnat:subjectData.SUB_PROJECT_IDENTIFIER=Other"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "SELECT NEO_NEOFAC_X FROM nt:scores",
            "line 1, column 8: nt:scores has no field NEO_NEOFAC_X; there are NEO_NEOFAC_",
        ),
        ("SELECT NEOFAC_A FROM nt:scores", "NEO_NEOFAC_A"),
        ("SELECT AGEE FROM nt:scores", "nt:scores has no field AGEE; did you mean AGE?"),
        ("SELECT qqqq FROM nt:scores", "nt:scores has no field qqqq"),
        ("SELECT subjec FROM nt:scores", "nt:scores has no field subjec; there are subject, SUBJECT_ID"),
        ("SELECT SUBJ FROM nt:scores", "nt:scores has no field SUBJ; there are subject, SUBJECT_ID"),
        ("SELECT subject_label FROM nt:scores", "no field subject_label; there are subject, SUBJECT_ID"),
        (
            "SELECT xnat:subjectData.subjekt FROM nt:scores",
            "xnat:subjectData has no field subjekt; there are subject,",
        ),
        (
            "SELECT nt:scores.subject FROM nt:scores",
            "no field subject; subject stands alone, without a type or quotes",
        ),
        ('SELECT "subject" FROM nt:scores', "no field subject; subject stands alone, without a type or quotes"),
        (
            "SELECT AGE FROM nt:scores WHERE gender_text = 'F'",
            "line 1, column 33: nt:scores has no field gender_text; "
            "xnat:subjectData has one: xnat:subjectData.GENDER_TEXT",
        ),
        ("SELECT nt:scores.gender FROM nt:scores", "no field gender; did you mean xnat:subjectData.GENDER_TEXT?"),
        ("SELECT GENDR_TEXT FROM nt:scores", "no field GENDR_TEXT; did you mean xnat:subjectData.GENDER_TEXT?"),
        (
            'SELECT "sub_project_identifier=X" FROM nt:scores',
            'xnat:subjectData has one: "xnat:subjectData.SUB_PROJECT_IDENTIFIER=X"',
        ),
        (
            "SELECT a FROM nt:score",
            "line 1, column 15: the server has no data type nt:score; did you mean nt:scores?",
        ),
        ("SELECT a FROM subjects", "the server has no data type subjects; did you mean xnat:subjectData?"),
        (
            "SELECT subject,\n xnat:mrData.DATE FROM nt:scores",
            "line 2, column 2: the server has no data type xnat:mrData",
        ),
        ("SELECT xnat:mrSessionData.GENDER_TEXT FROM nt:scores", "xnat:mrSessionData has no field GENDER_TEXT"),
        ("SELECT a FROM xnat:petSessionData", "the server has no data type xnat:petSessionData"),
        ("SELECT subject FROM nt:scores WHERE qqqq = 1", "line 1, column 37: nt:scores has no field qqqq"),
        ("SELECT subject FROM nt:scores ORDER BY qqqq", "line 1, column 40: nt:scores has no field qqqq"),
        ("SELECT subject, SUBJECT_ID AS subject FROM nt:scores", "column 17: two columns are named subject"),
        ("SELECT project FROM nt:scores", "the owning project is nt:scores.PROJECT"),
        (
            "SELECT ID, xnat:subjectData.RACE FROM xnat:projectData",
            "XNAT joins xnat:projectData with no other type",
        ),
        ("SELECT xnat:projectData.NAME FROM nt:scores", "XNAT joins xnat:projectData with no other type"),
        (
            'SELECT "SUB_PROJECT_IDENTIFIER" FROM xnat:subjectData',
            "has no field SUB_PROJECT_IDENTIFIER; there are",
        ),
        ('SELECT AGE AS "a\nb" FROM nt:scores', "a text with control characters cannot be asked for"),
        ('SELECT "SUB_PROJECT_IDENTIFIER=\x01" FROM xnat:subjectData', "control characters"),
        ('SELECT "SUB_PROJECT_IDENTIFIER=\ud800" AS x FROM xnat:subjectData', "control characters"),
        ("SELECT " + "x" * 5000 + " FROM nt:scores", "x" * 100 + "..."),
    ],
)
def test_names_that_are_wrong(text: str, reason: str) -> None:
    assert reason in refusal(text)


def test_names_that_differ_in_case_only_are_told_apart_by_their_case() -> None:
    listed = [*fields("nt:scores").by_id.values()]
    both = Fields.of("nt:scores", [replace(listed[0], id="Mood"), replace(listed[0], id="mood")])
    assert both.find("Mood") != both.find("mood")
    assert both.find("MOOD") is None


# --- order


def test_rows_are_sorted_by_header_or_by_field_also_one_that_is_not_selected() -> None:
    search = checked(
        "SELECT subject, NEO_NEOFAC_A AS Agreeable FROM nt:scores ORDER BY agreeable DESC, CPW_IWRD_RTC, subject"
    )
    assert [(asked(search)[key.column], key.descending, key.numeric) for key in search.layout.order] == [
        ("nt:scores.NEO_NEOFAC_A", True, True),
        ("nt:scores.CPW_IWRD_RTC", False, True),
        ("xnat:subjectData.SUBJECT_LABEL", False, False),
    ]
    assert [output.header for output in search.layout.outputs] == ["subject", "Agreeable"]


def test_a_header_comes_before_a_field_of_its_name() -> None:
    search = checked("SELECT CPW_IWRD_TOT AS AGE, subject FROM nt:scores ORDER BY AGE")
    assert asked(search)[search.layout.order[0].column] == "nt:scores.CPW_IWRD_TOT"


def test_what_may_have_several_values_is_sorted_by_only_where_it_is_shown() -> None:
    assert "select it, too" in refusal("SELECT subject FROM nt:scores ORDER BY xnat:mrSessionData.DATE")
    checked("SELECT subject, xnat:mrSessionData.LABEL FROM nt:scores ORDER BY xnat:mrSessionData.DATE")


# --- values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # whole numbers
        ("NEO_NEOFAC_A > 40", ("NEO_NEOFAC_A", ">", "40")),
        ("NEO_NEOFAC_A > '40'", ("NEO_NEOFAC_A", ">", "40")),
        ("NEO_NEOFAC_A >= -0.0", ("NEO_NEOFAC_A", ">=", "0")),
        ("NEO_NEOFAC_A = +4e1", ("NEO_NEOFAC_A", "=", "40")),
        ("NEO_NEOFAC_A > 40.5", ("NEO_NEOFAC_A", ">=", "41")),
        ("NEO_NEOFAC_A >= 40.5", ("NEO_NEOFAC_A", ">=", "41")),
        ("NEO_NEOFAC_A < 40.5", ("NEO_NEOFAC_A", "<=", "40")),
        ("NEO_NEOFAC_A <= -40.5", ("NEO_NEOFAC_A", "<=", "-41")),
        ("NEO_NEOFAC_A = 40.5", ("AND", ("NEO_NEOFAC_A", "IS", "NULL"), ("NEO_NEOFAC_A", *NOT_NULL))),
        ("NEO_NEOFAC_A != 40.5", ("NEO_NEOFAC_A", *NOT_NULL)),
        ("NEO_NEOFAC_A != -4", ("OR", ("NEO_NEOFAC_A", "<", "-4"), ("NEO_NEOFAC_A", ">", "-4"))),
        # numbers
        ("CPW_IWRD_RTC <= 1471.50", ("CPW_IWRD_RTC", "<=", "1471.5")),
        ("CPW_IWRD_RTC = 1e3", ("CPW_IWRD_RTC", "=", "1000")),
        ("CPW_IWRD_RTC > 1e-7", ("CPW_IWRD_RTC", ">", "0.0000001")),
        (
            "CPW_IWRD_RTC = 123456789012345678901234567890.5",
            ("CPW_IWRD_RTC", "=", "123456789012345678901234567890.5"),
        ),
        # texts
        ("NEO_NEO = 'a'", ("NEO_NEO", "=", "a")),
        ("NEO_NEO = 1", ("NEO_NEO", "=", "1")),
        ("NEO_NEO != 'a'", ("AND", ("NEO_NEO", "!=", "a"), ("NEO_NEO", *NOT_NULL))),
        ("NEO_NEO > 'a'", ("NEO_NEO", ">", "a")),
        ("NEO_NEO < 'a'", ("AND", ("NEO_NEO", "<", "a"), ("NEO_NEO", *NOT_NULL))),
        ("NEO_NEO = ' a '", ("NEO_NEO", "=", " a ")),
        ("NEO_NEO = 'a''b; DROP TABLE x'", ("NEO_NEO", "=", "a'b; DROP TABLE x")),
        ("NEO_NEO = 'K\u00e4se\u00a0\u200d\U0001f600'", ("NEO_NEO", "=", "K\u00e4se\u00a0\u200d\U0001f600")),
        ("NEO_NEO LIKE 'a%'", ("NEO_NEO", "LIKE", "a%")),
        ("NEO_NEO LIKE '*'", ("NEO_NEO", "LIKE", "*")),
        ("NEO_NEO LIKE '%'", ("AND", ("NEO_NEO", "LIKE", "%"), ("NEO_NEO", *NOT_NULL))),
        ("NEO_NEO NOT LIKE 'a%'", ("AND", ("NEO_NEO", "NOT LIKE", "a%"), ("NEO_NEO", *NOT_NULL))),
        ("NEO_NEO IS NULL", ("NEO_NEO", "IS", "NULL")),
        # dates
        ("DATE = '2012-1-3'", ("DATE", "=", "2012-01-03")),
        ("DATE > '01/03/2012'", ("DATE", ">", "2012-01-03")),
        ("DATE != '2012-01-03'", ("OR", ("DATE", "<", "2012-01-03"), ("DATE", ">", "2012-01-03"))),
        ("DATE IS NOT NULL", ("DATE", *NOT_NULL)),
        ("INSERT_DATE >= '2012-01-03 4:05'", ("INSERT_DATE", ">=", "2012-01-03 04:05:00")),
        ("INSERT_DATE >= '2012-01-03 14:05:06.5'", ("INSERT_DATE", ">=", "2012-01-03 14:05:06.500000")),
        # other types, our names
        ("xnat:subjectData.DOB = 1980", ("xnat:subjectData.DOB", "=", "1980")),
        ("subject = '100307'", ("xnat:subjectData.SUBJECT_LABEL", "=", "100307")),
        ("subject = 100307", ("xnat:subjectData.SUBJECT_LABEL", "=", "100307")),
        ("\"PROJECT\" = 'HCP_Subjects'", ("PROJECT", "=", "HCP_Subjects")),
    ],
)
def test_criteria(text: str, expected: Any) -> None:
    assert where(text) == expected


def test_the_project_is_owner_or_sharer_and_no_other() -> None:
    shares = ("OR", ("sharing/share/project", "=", "HCP_Q1"), ("PROJECT", "=", "HCP_Q1"))
    assert where("project = 'HCP_Q1'") == shares
    assert where("project = 'HCP_Q1' AND AGE > 30 AND NEO_NEO != 'x'") == (
        *("AND", shares, ("AGE", ">", "30")),
        ("AND", ("NEO_NEO", "!=", "x"), ("NEO_NEO", *NOT_NULL)),
    )
    in_q1 = ("xnat:subjectData.SUB_PROJECT_IDENTIFIER=HCP_Q1", "=", "100307")
    assert where("project = 'HCP_Q1' AND subject = '100307'") == ("AND", shares, in_q1)
    found = checked("SELECT ID FROM xnat:projectData WHERE project = 'HCP_Q1'").where
    assert shape(found) == ("AND", ("xnat:projectData.ID", "=", "HCP_Q1"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NEO_NEOFAC_A > 'many'", "line 1, column 52: NEO_NEOFAC_A is a number (int), and 'many' is none"),
        ("NEO_NEOFAC_A = 'NaN'", "is a number"),
        ("NEO_NEOFAC_A = 'Infinity'", "is a number"),
        ("NEO_NEOFAC_A = '1_000'", "is a number"),
        ("NEO_NEOFAC_A = 1e999", "is a number"),
        ("NEO_NEOFAC_A = 1e99999999999999999999", "is a number"),
        ("NEO_NEOFAC_A = " + "9" * 5000, "is a number (int), and '" + "9" * 50 + "...' is none"),
        ("NEO_NEOFAC_A LIKE '4%'", "LIKE compares texts, and NEO_NEOFAC_A is of type int"),
        ("NEO_NEOFAC_A = '*'", "XNAT reads '*' as any value"),
        ("NEO_NEO = ' * '", "XNAT reads '*' as any value"),
        ("NEO_NEO = ''", "an empty text is no value to XNAT; write IS NULL or IS NOT NULL"),
        ("NEO_NEO IN ('a', ' ')", "line 1, column 54: an empty text is no value"),
        ("NEO_NEO LIKE ''", "an empty text is no value"),
        ("NEO_NEO > 5", "holds texts, which are not ordered as numbers; '5' in quotes compares as text"),
        ("NEO_NEO = 'a\\b'", "XNAT misreads a text with"),
        ("NEO_NEO = 'a''''b'", "two quotes in a row"),
        ("NEO_NEO = 'a\nb'", "a text with control characters cannot be asked for"),
        ("NEO_NEO = 'a\ud800'", "a text with control characters cannot be asked for"),
        ("NEO_NEO = 'a\uffff'", "a text with control characters cannot be asked for"),
        ("DATE > 2012", "DATE is a date; write it as 'YYYY-MM-DD'"),
        ("DATE > '2012'", "DATE is a date; write it as 'YYYY-MM-DD'"),
        ("DATE > '2012-02-30'", "DATE is a date; write it as 'YYYY-MM-DD'"),
        ("DATE > '\u0662012-01-01'", "DATE is a date"),
        ("DATE > '2012-02-03 04:00'", "DATE is a date without a time of day"),
        ("DATE LIKE '2012%'", "LIKE compares texts, and DATE is of type date"),
        ("INSERT_DATE LIKE '2012%'", "LIKE compares texts, and INSERT_DATE is of type string"),
        ("INSERT_DATE > '2012-01-01 25:00'", "INSERT_DATE is a date"),
        ("project = ''", "project takes a project's ID in quotes"),
        ("project = '*'", "project takes a project's ID in quotes"),
        ("project = 5", "project takes a project's ID in quotes"),
        ("project = 'a\\'", "project takes a project's ID in quotes"),
        (" OR ".join(["AGE = 1"] * 2001), "over 2000 comparisons are too many"),
    ],
)
def test_values_that_xnat_would_misread_are_refused(text: str, reason: str) -> None:
    assert reason in refusal(f"SELECT subject FROM nt:scores WHERE {text}")


def test_fields_that_xnat_cannot_compare() -> None:
    """Anything but texts, dates and numbers goes into the database's language unquoted."""
    odd = Fields.of(
        "x:odd", [SearchField("x:odd", "FLAG", kind="boolean"), SearchField("x:odd", "AT", kind="time")]
    )
    for name in ("FLAG", "AT"):
        with pytest.raises(QueryError, match=f"XNAT compares no field of type .*; {name} can be IS NULL"):
            check(parse(f"SELECT {name} FROM x:odd WHERE {name} = 'true'"), ["x:odd"], lambda name: odd)
        check(parse(f"SELECT {name} FROM x:odd WHERE {name} IS NULL"), ["x:odd"], lambda name: odd)


# --- types with several matches


def kept(text: str, select: str = "subject, xnat:mrSessionData.LABEL") -> Any:
    return shape(checked(f"SELECT {select} FROM nt:scores WHERE {text}").layout.kept)


def test_what_is_said_of_a_joined_type_with_columns_is_looked_at_row_by_row() -> None:
    date = ("xnat:mrSessionData.DATE", ">", "2012-06-01")
    assert kept("xnat:mrSessionData.DATE > '2012-06-01'") == ("AND", date)
    assert kept("AGE > 30 AND xnat:mrSessionData.DATE > '2012-06-01'") == ("AND", date)
    either = ("OR", ("AGE", ">", "30"), date)
    assert kept("AGE > 30 OR xnat:mrSessionData.DATE > '2012-06-01'") == ("AND", either)
    search = checked(
        "SELECT subject, xnat:mrSessionData.LABEL FROM nt:scores "
        "WHERE AGE > 30 OR xnat:mrSessionData.DATE > '2012-06-01'"
    )
    assert asked(search)[2:] == [
        *("nt:scores.AGE", "xnat:mrSessionData.DATE", "nt:scores.EXPT_ID", "xnat:mrSessionData.SESSION_ID"),
    ]
    assert search.layout.spare == 2


def test_what_has_one_match_or_no_column_is_the_servers_matter() -> None:
    assert kept("AGE > 30 AND xnat:subjectData.GENDER_TEXT = 'F'") is None
    assert kept("xnat:mrSessionData.DATE > '2012-06-01'", select="subject") is None
    assert kept("project = 'HCP_Q1'") is None


def test_what_cannot_be_told_row_by_row_is_refused() -> None:
    select = "SELECT subject, xnat:mrSessionData.LABEL FROM nt:scores WHERE "
    assert "whose order is the server's own" in refusal(select + "xnat:mrSessionData.SCANNER_CSV > 'a'")
    root = checked("SELECT GENDER_TEXT, nt:scores.AGE FROM xnat:subjectData WHERE nt:scores.AGE > 5")
    assert shape(root.layout.kept) == ("AND", ("AGE", ">", "5"))
    assert "select a column of each" in refusal(
        "SELECT GENDER_TEXT, nt:scores.AGE FROM xnat:subjectData "
        "WHERE nt:scores.AGE > 5 OR xnat:mrSessionData.AGE > 5"
    )


def test_types_are_read_as_recorded() -> None:
    assert "nt:scores" in types()
    assert "xnat:mrSessionData" in types()
