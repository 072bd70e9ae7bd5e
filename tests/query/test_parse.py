"""What a query's text says, and what is said of one that is wrong."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdbfs.errors import QueryError
from cdbfs.query.model import And, Comparison, Condition, Field, Null, Or, Place
from cdbfs.query.parse import DEEPEST, LONGEST, parse


def shape(condition: Condition | None) -> Any:
    """A condition in short: (field, operator, value), ("AND", ...)."""
    if isinstance(condition, Comparison):
        return condition.field.name, condition.operator, condition.value.text
    if isinstance(condition, Null):
        return condition.field.name, "NOT NULL" if condition.negated else "NULL"
    if isinstance(condition, (And, Or)):
        return (type(condition).__name__.upper(), *map(shape, condition.parts))
    return None


def where(text: str) -> Any:
    return shape(parse(f"SELECT a FROM t WHERE {text}").condition)


def refusal(text: str) -> str:
    with pytest.raises(QueryError) as caught:
        parse(text)
    return str(caught.value)


def test_a_whole_query() -> None:
    query = parse(
        "-- the tutorial's\n"
        "SELECT subject, NEO_NEOFAC_A AS agreeableness, xnat:subjectData.GENDER_TEXT\n"
        "FROM nt:scores\n"
        "WHERE project = 'HCP_Q2' AND (CPW_IWRD_TOT < 30 OR CPW_IWRD_TOT >= 35) AND NEO_NEOFAC_A IS NOT NULL\n"
        "ORDER BY agreeableness DESC, subject LIMIT 20;\n"
    )
    assert query.type == Field("nt:scores", Place(3, 6))
    assert [(c.field.name, c.header) for c in query.columns] == [
        ("subject", "subject"),
        ("NEO_NEOFAC_A", "agreeableness"),
        ("xnat:subjectData.GENDER_TEXT", "xnat:subjectData.GENDER_TEXT"),
    ]
    assert query.project is not None
    assert query.project.text == "HCP_Q2"
    assert shape(query.condition) == (
        "AND",
        ("OR", ("CPW_IWRD_TOT", "<", "30"), ("CPW_IWRD_TOT", ">=", "35")),
        ("NEO_NEOFAC_A", "NOT NULL"),
    )
    assert [(key.field.name, key.descending) for key in query.order] == [
        ("agreeableness", True),
        ("subject", False),
    ]
    assert query.limit == 20


def test_the_least_query() -> None:
    query = parse("select * from nt:scores")
    assert (query.columns, query.condition, query.project, query.order, query.limit) == ((), None, None, (), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1", ("a", "=", "1")),
        ("a=-1.50", ("a", "=", "-1.50")),
        ("a <> 1", ("a", "!=", "1")),
        ("a>.5", ("a", ">", ".5")),
        ("a>=5.", ("a", ">=", "5.")),
        ("a < 1e3", ("a", "<", "1e3")),
        ("a <= 1.5E-3", ("a", "<=", "1.5E-3")),
        ("a = 'it''s'", ("a", "=", "it's")),
        ("a = ''", ("a", "=", "")),
        ("a = '-- no comment'", ("a", "=", "-- no comment")),
        ('"a b" = 1', ("a b", "=", "1")),
        ('"a""b" = 1', ('a"b', "=", "1")),
        ("a LIKE '%x_'", ("a", "LIKE", "%x_")),
        ("a NOT LIKE 'x'", ("a", "NOT LIKE", "x")),
        ("a IN (1)", ("a", "=", "1")),
        ("a IN (1, 'b', 3)", ("OR", ("a", "=", "1"), ("a", "=", "b"), ("a", "=", "3"))),
        ("a NOT IN (1, 2)", ("AND", ("a", "!=", "1"), ("a", "!=", "2"))),
        ("a BETWEEN 1 AND 2", ("AND", ("a", ">=", "1"), ("a", "<=", "2"))),
        ("a NOT BETWEEN 1 AND 2", ("OR", ("a", "<", "1"), ("a", ">", "2"))),
        ("a BETWEEN 1 AND 2 AND b = 3", ("AND", ("a", ">=", "1"), ("a", "<=", "2"), ("b", "=", "3"))),
        ("a IS NULL", ("a", "NULL")),
        ("a IS NOT NULL", ("a", "NOT NULL")),
        ("NOT a IS NULL", ("a", "NOT NULL")),
        ("NOT a = 1", ("a", "!=", "1")),
        ("NOT NOT a = 1", ("a", "=", "1")),
        ("NOT a < 1", ("a", ">=", "1")),
        ("NOT a > 1", ("a", "<=", "1")),
        ("NOT (a = 1 AND b = 2)", ("OR", ("a", "!=", "1"), ("b", "!=", "2"))),
        ("NOT (a LIKE 'x' OR NOT b >= 2)", ("AND", ("a", "NOT LIKE", "x"), ("b", ">=", "2"))),
        ("NOT a = 1 AND b = 2", ("AND", ("a", "!=", "1"), ("b", "=", "2"))),
        ("a = 1 OR b = 2 AND c = 3", ("OR", ("a", "=", "1"), ("AND", ("b", "=", "2"), ("c", "=", "3")))),
        ("(a = 1 OR b = 2) AND c = 3", ("AND", ("OR", ("a", "=", "1"), ("b", "=", "2")), ("c", "=", "3"))),
        ("a = 1 AND (b = 2 AND (c = 3))", ("AND", ("a", "=", "1"), ("b", "=", "2"), ("c", "=", "3"))),
        ("((((a = 1))))", ("a", "=", "1")),
        ("nt:scores/NEO/NEOFAC_A > 40", ("nt:scores/NEO/NEOFAC_A", ">", "40")),
        ("größe = 1", ("größe", "=", "1")),
        ("Ärger = 1", ("Ärger", "=", "1")),
    ],
)
def test_conditions(text: str, expected: Any) -> None:
    assert where(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t WHERE a = 1 ORDER BY a LIMIT 1",
        "select a from t where a = 1 order by a limit 1",
        "Select a From t Where a=1 Order By a Limit 1;",
        "\ufeffSELECT a\r\nFROM t\r\nWHERE a = 1 -- so\r\nORDER BY a ASC\r\nLIMIT 1\r\n",
        "\n\n  SELECT a FROM t WHERE(a=1)ORDER BY a LIMIT +1 -- at the end",
        "SELECT a--x\nFROM--y\nt WHERE a = 1 ORDER BY a LIMIT 01",
    ],
)
def test_case_ends_of_lines_and_comments_do_not_matter(text: str) -> None:
    query = parse(text)
    assert (query.type.name, shape(query.condition), query.limit) == ("t", ("a", "=", "1"), 1)
    assert [(key.field.name, key.descending) for key in query.order] == [("a", False)]


def test_names_that_begin_like_keywords_or_are_quoted_are_names() -> None:
    query = parse('SELECT selected, ordering AS "SELECT", "from" FROM notes WHERE android = 1 ORDER BY "select"')
    assert [(c.field.name, c.field.quoted, c.header) for c in query.columns] == [
        ("selected", False, "selected"),
        ("ordering", False, "SELECT"),
        ("from", True, "from"),
    ]
    assert query.type.name == "notes"


@pytest.mark.parametrize(
    ("limit", "rows"),
    [("0", 0), ("7", 7), ("9" * 18, int("9" * 18)), ("9" * 19, sys.maxsize), ("9" * 5000, sys.maxsize)],
)
def test_limits(limit: str, rows: int) -> None:
    assert parse(f"SELECT a FROM t LIMIT {limit}").limit == rows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("project = 'P'", None),
        ("PROJECT = 'P' AND a = 1", ("a", "=", "1")),
        ("a = 1 AND (b = 2 AND project = 'P')", ("AND", ("a", "=", "1"), ("b", "=", "2"))),
        ("project IN ('P') AND a = 1", ("a", "=", "1")),
        ("NOT project != 'P'", None),
    ],
)
def test_the_project_is_no_condition(text: str, expected: Any) -> None:
    query = parse(f"SELECT a FROM t WHERE {text}")
    assert query.project is not None
    assert query.project.text == "P"
    assert shape(query.condition) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the query is empty"),
        ("\ufeff \n", "the query is empty"),
        ("-- only this", "line 1, column 13: the query ends where SELECT is expected"),
        ("SELECT", "line 1, column 7: the query ends where"),
        ("SELCT a FROM t", "line 1, column 1: 'SELCT' stands where SELECT is expected"),
        ("SELECT a, FROM t", "line 1, column 11: 'FROM' stands where"),
        ("SELECT a b FROM t", "line 1, column 10: 'b' stands where AS, FROM or a comma is expected"),
        ("SELECT a\nFRM t", "line 2, column 1: 'FRM' stands where AS, FROM or a comma is expected"),
        ("SELECT a FROM t WHERE", "line 1, column 22: the query ends where"),
        (
            "SELECT a FROM t\nWHERE a =\n",
            "line 2, column 10: the query ends where a 'text' or a number is expected",
        ),
        ('SELECT a FROM t WHERE a = "x"', "texts stand in single quotes, names in double ones"),
        ("SELECT a FROM t WHERE a = x", "line 1, column 27: 'x' stands where a 'text' or a number"),
        ("SELECT a FROM t WHERE a = x", "texts stand in single quotes"),
        ("SELECT a FROM t WHERE a = NULL", "nothing equals NULL; write IS NULL or IS NOT NULL"),
        ("SELECT a FROM t WHERE a = 'x", "line 1, column 27: the text after ' is not closed"),
        ('SELECT "a FROM t', 'line 1, column 8: the text after " is not closed'),
        ("SELECT a FROM t WHERE a = 1 AND", "line 1, column 32: the query ends where"),
        ("SELECT a FROM t WHERE (a = 1", "line 1, column 29: the query ends where ) is expected"),
        ("SELECT a FROM t WHERE a = 1)", "line 1, column 28: ')' stands where"),
        ("SELECT a FROM t WHERE a IN ()", "line 1, column 29: ')' stands where a 'text' or a number is expected"),
        ("SELECT a FROM t WHERE a == 1", "line 1, column 26: '=' stands where"),
        ("SELECT a FROM t; SELECT b FROM t", "line 1, column 18: 'SELECT' stands where the end is expected"),
        ("SELECT a (b) FROM t", "line 1, column 10: '(' stands where AS, FROM or a comma is expected"),
        ("SELECT a FROM t LIMIT -1", "line 1, column 23: LIMIT takes the number of rows, 0 or more"),
        ("SELECT a FROM t LIMIT 1.5", "line 1, column 23: '1.5' stands where a whole number is expected"),
        ("SELECT a FROM t LIMIT ٣", "line 1, column 23: LIMIT takes the number of rows, 0 or more"),
        ("SELECT a FROM t WHERE a ~ 1", "line 1, column 25: '~' is not understood here"),
        ("SELECT a FROM t WHERE a = 1 \x00", r"line 1, column 29: '\x00' is not understood here"),
        ("SELECT \ud800 FROM t", r"'\ud800' is not understood here"),
        ("SELECT a FROM t WHERE project = 'P' OR a = 1", "column 23: project stands beside all other conditions"),
        ("SELECT a FROM t WHERE NOT (project = 'P' AND a = 1)", "project stands beside all other conditions"),
        ("SELECT a FROM t WHERE project != 'P'", "project takes = only"),
        ("SELECT a FROM t WHERE project LIKE 'P%'", "project takes = only"),
        ("SELECT a FROM t WHERE project IS NULL", "project stands beside all other conditions"),
        ("SELECT a FROM t WHERE project IN ('P', 'Q')", "column 23: a query has at most one project"),
        ("SELECT a FROM t WHERE project NOT IN ('P', 'Q')", "a query has at most one project"),
        ("SELECT a FROM t WHERE b = 1 AND (project = 'P' OR project = 'Q')", "a query has at most one project"),
        ("SELECT a FROM t WHERE project = 'P' AND (b = 1 OR project = 'Q')", "a query has at most one project"),
        ("SELECT a FROM t WHERE project = 'P' AND project = 'Q'", "column 41: a query has at most one project"),
        ("SELECT a FROM t WHERE " + "x" * 1000 + " = " + "y" * 1000, "'" + "y" * 50 + "...' stands where"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, reason: str) -> None:
    assert reason in refusal(text)


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("SELECT COUNT(*) FROM t", 8, "COUNT"),
        ("SELECT a, sum ( b ) AS c FROM t", 11, "SUM"),
        ("SELECT a FROM t WHERE a = MAX(a)", 27, "MAX"),
        ("SELECT a FROM t WHERE min(a) = 1", 23, "MIN"),
        ("SELECT a FROM t ORDER BY AVG(a)", 26, "AVG"),
        ("SELECT DISTINCT a FROM t", 8, "DISTINCT"),
        ("SELECT distinct nt:scores.a FROM t", 8, "DISTINCT"),
        ("SELECT DISTINCT * FROM t", 8, "DISTINCT"),
        ("SELECT DISTINCT(a) FROM t", 8, "DISTINCT"),
        ("SELECT TOP 5 a FROM t", 8, "TOP"),
        ("SELECT a FROM t GROUP BY a", 17, "GROUP BY"),
        ("SELECT a FROM t WHERE a = 1 HAVING a > 1", 29, "HAVING"),
        ("SELECT a FROM t JOIN u ON b = c", 17, "JOIN"),
        ("SELECT a FROM t left outer join u ON b = c", 17, "JOIN"),
        ("SELECT a FROM t UNION SELECT a FROM u", 17, "UNION"),
        ("SELECT a FROM t LIMIT 5 OFFSET 5", 25, "OFFSET"),
        ("SELECT a FROM (SELECT b FROM t)", 15, "sub-select"),
        ("SELECT a FROM t WHERE a IN (SELECT b FROM u)", 29, "sub-select"),
        ("SELECT a FROM t WHERE a = ( select b FROM u)", 27, "sub-select"),
        ("SELECT a FROM t WHERE EXISTS (SELECT b FROM u)", 23, "EXISTS"),
    ],
)
def test_what_sql_has_and_this_language_has_not_is_told_in_plain_words(text: str, column: int, what: str) -> None:
    assert refusal(text) == f"line 1, column {column}: there is no {what} here"


def test_words_of_sql_that_mean_nothing_here_are_names_all_the_same() -> None:
    query = parse("SELECT count, distinct, group AS top FROM join WHERE max = 1 ORDER BY union")
    assert [column.field.name for column in query.columns] == ["count", "distinct", "group"]
    assert refusal("SELECT a -- distinct\nb FROM t").startswith("line 2, column 1: 'b' stands where AS, FROM")
    assert refusal('SELECT "COUNT"(a) FROM t').startswith("line 1, column 15: '(' stands where")


def test_tabs_and_wide_characters_are_one_column_each() -> None:
    assert refusal("SELECT\ta\n\tFROM t WHERE a = '\U0001f600\u00e9' x").startswith("line 2, column 24: 'x'")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT a FROM t WHERE " + "(" * 90_000, "the query ends where"),
        ("SELECT a FROM t WHERE " + "NOT " * 20_000 + "a = 1", f"line 1, column 80023: over {DEEPEST} conditions"),
        (
            "SELECT a FROM t WHERE " + "(a = 1 OR b = 1 AND " * 4000 + "a = 1" + ")" * 4000,
            f"over {DEEPEST} conditions",
        ),
        ("SELECT a FROM t WHERE a IN (" + "1," * 40_000, "the query ends where"),
        ("SELECT a" + " " * LONGEST + "FROM t", f"the query is over {LONGEST} characters long"),
        ("'" * 99_999, "stands where SELECT is expected"),
    ],
    ids=["parentheses", "not", "nested", "list", "long", "quotes"],
)
def test_hostile_texts_are_refused_in_plain_words(text: str, reason: str) -> None:
    assert reason in refusal(text)


def test_parentheses_alone_are_no_depth() -> None:
    assert where("(" * 10_000 + "a = 1" + ")" * 10_000) == ("a", "=", "1")


def test_long_conjunctions_take_no_time_for_their_project() -> None:
    """Each comparison was once looked for among all others."""
    many = " AND ".join(["project = 'P'"] * 3000 + ["a = 1"] * 3000)
    assert "a query has at most one project" in refusal(f"SELECT a FROM t WHERE {many}")


WORDS = ("SELECT", "FROM", "WHERE", "a", "nt:b", "*", ",", "(", ")", "=", "'x'", "NOT", "IN", "AND", "1", ".5e")
MARKS = ("--", "\n", '"', "'", ";", "LIMIT", "ORDER", "BY", "IS", "NULL", "OR", "BETWEEN", "LIKE")


@settings(max_examples=300, deadline=None)
@given(st.text() | st.lists(st.sampled_from(WORDS + MARKS)).map(" ".join))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    with suppress(QueryError):
        parse(text)
