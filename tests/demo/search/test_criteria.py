"""How one value is compared: operators, kinds, nulls, and what the database refuses."""

from __future__ import annotations

import pytest

from cdbfs.demo.search.criteria import BadCriterion, comparison, sort_key
from cdbfs.demo.search.query import Criterion
from cdbfs.demo.search.values import Value

Case = tuple[str, str, str, Value, bool]

BY_FIELD: list[Case] = [
    # kind, comparison, value, held, found
    ("string", "=", "a", "a", True),
    ("string", "=", "a", "A", False),
    ("string", "=", "a", None, False),
    ("string", "=", "", "", True),
    ("string", "=", " ", None, True),
    ("int", "=", "", None, True),
    ("int", "=", "", "0", False),
    ("int", "=", " 30 ", "30", True),
    ("int", "=", "30.0", "30", True),
    ("int", ">", "9", "10", True),
    ("string", ">", "9", "10", False),
    ("float", "<=", "1e3", "1000.0", True),
    ("float", "<", "2", None, False),
    ("string", "!=", "a", None, True),
    ("string", "<>", "a", None, False),
    ("int", "!=", "3", "", True),
    ("int", "!=", "3", "3", False),
    ("string", "LIKE", "%q2%", "<HCP_Q2>", True),
    ("string", "LIKE", "q2", "<HCP_Q2>", False),
    ("string", "LIKE", "a_c", "abc", True),
    ("string", "LIKE", "a\\_c", "abc", False),
    ("string", "LIKE", "a\\_c", "a_c", True),
    ("string", "LIKE", "%", None, False),
    ("string", "LIKE", "*", "x", False),
    ("string", "LIKE", "a.c", "abc", False),
    ("string", "LIKE", "%", "two\nlines", True),
    ("string", "NOT LIKE", "%q2%", "HCP_Q1", True),
    ("string", "NOT LIKE", "%q2%", None, False),
    ("string", "ILIKE", "A%", "abc", True),
    ("int", "BETWEEN", "30 AND 34", "34", True),
    ("int", "BETWEEN", "30 and 34", "35", False),
    ("int", "BETWEEN", "'30' AND '34'", "31", True),
    ("int", "BETWEEN", "30 AND 34", None, False),
    ("date", "BETWEEN", "01/01/2012 AND 03/31/2012", "2012-03-31", True),
    ("date", ">", "2012-06-01", "2012-06-01", False),
    ("date", "=", "6/1/2012", "2012-06-01", True),
    ("timestamp", ">", "2012-06-01", "2012-06-01 00:00:00.001", True),
    ("string", "IN", "a, 'b'", "b", True),
    ("int", "IN", "1,2", "2", True),
    ("int", "IN", "1,2", "3", False),
    ("int", "=", "*", "0", True),
    ("int", "=", "*", None, False),
    ("int", "=", "*", "", False),
    ("string", ">", "*", "", True),
    ("int", "IS", "NULL", None, True),
    ("int", "IS NULL", "", "1", False),
    ("int", "IS NOT", "NULL", "1", True),
    ("int", "IS NOT NULL", "", None, False),
    ("int", "=", "3", "no number after all", False),
]
BY_PATH: list[Case] = [
    ("string", "!=", "a", None, False),
    ("string", "!=", "a", "b", True),
    ("string", "LIKE", "b", "abc", True),
    ("string", "LIKE", "B", "abc", True),
    ("string", "=", "", "", True),
    ("string", "IS NULL", "", None, True),
    ("int", ">", "3", "4", True),
]
REFUSED = [
    ("int", "LIKE", "3%"),
    ("date", "LIKE", "2012%"),
    ("string", "like", "a"),
    ("string", "LIKES", "a"),
    ("string", "between", "a AND b"),
    ("string", "CONTAINS", "a"),
    ("int", "BETWEEN", "30,34"),
    ("int", ">", "abc"),
    ("int", "=", "1_000"),
    ("int", "=", "nan"),
    ("int", "!=", ""),
    ("date", "=", "yesterday"),
    ("date", "=", "31/12/2012"),
    ("string", "IS NULL", ""),
    ("string", "IS", "NULL"),
    ("date", "IS NOT NULL", ""),
]


@pytest.mark.parametrize(("kind", "how", "value", "held", "found"), BY_FIELD)
def test_by_display_field(kind: str, how: str, value: str, held: Value, found: bool) -> None:
    assert comparison(Criterion("x", how, value), kind, by_path=False)(held) is found


@pytest.mark.parametrize(("kind", "how", "value", "held", "found"), BY_PATH)
def test_by_schema_path(kind: str, how: str, value: str, held: Value, found: bool) -> None:
    assert comparison(Criterion("x", how, value), kind, by_path=True)(held) is found


@pytest.mark.parametrize(("kind", "how", "value"), REFUSED)
def test_refused(kind: str, how: str, value: str) -> None:
    with pytest.raises(BadCriterion):
        comparison(Criterion("x", how, value), kind, by_path=False)


@pytest.mark.parametrize("how", ["BETWEEN", "IN"])
def test_refused_by_schema_path(how: str) -> None:
    with pytest.raises(BadCriterion):
        comparison(Criterion("x", how, "1 AND 2"), "int", by_path=True)


@pytest.mark.parametrize(
    ("kind", "how", "value", "held", "found"),
    [
        ("string", "IS NULL", "", None, True),
        ("string", "IS", "NULL", "", True),
        ("date", "IS NOT", "NULL", "2012-01-01", True),
        ("string", "=", "'it''s'", "it's", True),
        ("string", "!=", "'a'", None, False),
        ("int", ">", "3", "4", True),
        ("string", "LIKE", "'A%'", "abc", False),
        ("string", "ILIKE", "'A%'", "abc", True),
    ],
)
def test_overridden_formatting_takes_the_databases_own_words(
    kind: str, how: str, value: str, held: Value, found: bool
) -> None:
    assert comparison(Criterion("x", how, value, raw=True), kind, by_path=False)(held) is found


def test_overridden_formatting_wants_quotes() -> None:
    with pytest.raises(BadCriterion):
        comparison(Criterion("x", "=", "bare", raw=True), "string", by_path=False)


def test_order() -> None:
    held: list[Value] = ["10", None, "9", "-1.5", ""]
    assert sorted(held, key=sort_key("float"))[:3] == ["-1.5", "9", "10"]
    texts: list[Value] = ["b", None, "10", "9"]
    assert sorted(texts, key=sort_key("string")) == ["10", "9", "b", None]
