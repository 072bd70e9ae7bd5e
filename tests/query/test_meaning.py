"""Random queries over random rows find what SQL's three-valued logic finds, through servers with XNAT's traps.

The evaluation here shares nothing with cdbfs: it knows NOT, IN and BETWEEN themselves, and "unknown".
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdbfs.config import Settings
from cdbfs.credentials import Credentials
from cdbfs.demo import DataSet, DataSetBuilder, StandIn
from cdbfs.query.catalog import Catalog
from cdbfs.query.run import prepare, run
from cdbfs.xnat.client import Client

KINDS = {"recall": "int", "seconds": "float", "remark": "string", "day": "date"}
FIELDS = {**{name: f"MEMORY_{name.upper()}" for name in KINDS}, "visit": "xnat:mrSessionData.DATE"}
TEXTS = ("a", "A", "b", "ab", "a_b", "a%b", "x y", "K\u00e4se", "it's", "<&>", "NULL", "-- no")
VALUES: Mapping[str, tuple[str, ...]] = {
    "recall": ("-3", "0", "2", "7", "10", "100"),
    "seconds": ("-2.0", "0.0", "0.5", "1.5", "10.25", "1000.0"),
    "remark": TEXTS,
    "day": ("2012-12-31", "2013-01-01", "2014-02-28"),
    "visit": ("2012-12-31", "2013-01-01", "2014-02-28"),
}
WRITTEN: Mapping[str, tuple[str, ...]] = {
    "recall": ("-3", "2", "7.0", "'10'", "1e2", "6.5", "-0"),
    "seconds": ("-2", "0.5", "1.50", ".5", "'10.25'", "1e3"),
    "remark": tuple("'" + text.replace("'", "''") + "'" for text in (*TEXTS, "nosuch")),
    "day": ("'2013-01-01'", "'2014-2-28'", "'12/31/2012'", "'2020-01-01'"),
    "visit": ("'2013-01-01'", "'12/31/2012'", "'2013-06-01'"),
}
PATTERNS = ("'a%'", "'%B'", "'_'", "'%'", "'k\u00e4%'", "'a_b'", "'%y'", "'A'")
ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<>": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}
Row = Mapping[str, Optional[str]]
Truth = Optional[bool]


@dataclass(frozen=True)
class Condition:
    """A condition's text, and what it says of a row: True, False or unknown."""

    text: str
    holds: Callable[[Row], Truth]


def worth(name: str, text: str) -> Any:
    """What a value means."""
    if name in ("recall", "seconds"):
        return float(text)
    if name == "remark":
        return text
    form = "%m/%d/%Y" if "/" in text else "%Y-%m-%d"
    return datetime.datetime.strptime(text, form)  # noqa: DTZ007


def literal(text: str) -> str:
    return text[1:-1].replace("''", "'") if text.startswith("'") else text


def compared(name: str, operator: str, value: str) -> Callable[[Row], Truth]:
    wanted = worth(name, literal(value))

    def holds(row: Row) -> Truth:
        held = row[name]
        return ORDERS[operator](worth(name, held), wanted) if held else None

    return holds


def like(name: str, pattern: str) -> Callable[[Row], Truth]:
    expression = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in literal(pattern))
    match = re.compile(expression, re.IGNORECASE | re.DOTALL).fullmatch

    def holds(row: Row) -> Truth:
        held = row[name]
        return match(held) is not None if held else None

    return holds


def negated(holds: Callable[[Row], Truth]) -> Callable[[Row], Truth]:
    def opposite(row: Row) -> Truth:
        truth = holds(row)
        return None if truth is None else not truth

    return opposite


def joined(kind: str, parts: list[Callable[[Row], Truth]]) -> Callable[[Row], Truth]:
    """AND is false where any part is, OR true where any is; else unknown where any part is."""
    decisive = kind == "OR"

    def holds(row: Row) -> Truth:
        truths = [part(row) for part in parts]
        if decisive in truths:
            return decisive
        return None if None in truths else not decisive

    return holds


@st.composite
def leaves(draw: st.DrawFn, names: tuple[str, ...]) -> Condition:
    form = draw(st.sampled_from(["compare", "compare", "null", "in", "between", "like"]))
    name = "remark" if form == "like" and "remark" in names else draw(st.sampled_from(names))
    field = FIELDS[name]
    no = draw(st.booleans())
    value = st.sampled_from(WRITTEN[name])
    if form == "null":
        return Condition(f"{field} IS {'NOT ' * no}NULL", lambda row: bool(row[name]) == no)
    if form == "in":
        values = draw(st.lists(value, min_size=1, max_size=3))
        found = joined("OR", [compared(name, "=", one) for one in values])
        return Condition(f"{field} {'NOT ' * no}IN ({', '.join(values)})", negated(found) if no else found)
    if form == "between":
        low, high = draw(value), draw(value)
        found = joined("AND", [compared(name, ">=", low), compared(name, "<=", high)])
        return Condition(f"{field} {'NOT ' * no}BETWEEN {low} AND {high}", negated(found) if no else found)
    if form == "like" and name == "remark":
        pattern = draw(st.sampled_from(PATTERNS))
        found = like(name, pattern)
        return Condition(f"{field} {'NOT ' * no}LIKE {pattern}", negated(found) if no else found)
    operator, wanted = draw(st.sampled_from(sorted(ORDERS))), draw(value)
    return Condition(f"{field} {operator} {wanted}", compared(name, operator, wanted))


def conditions(names: tuple[str, ...]) -> st.SearchStrategy[Condition]:
    def more(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        several = st.lists(inner, min_size=2, max_size=3)
        return st.one_of(
            inner.map(lambda one: Condition(f"NOT ({one.text})", negated(one.holds))),
            st.tuples(st.sampled_from(["AND", "OR"]), several).map(
                lambda both: Condition(
                    "(" + f" {both[0]} ".join(one.text for one in both[1]) + ")",
                    joined(both[0], [one.holds for one in both[1]]),
                )
            ),
        )

    return st.recursive(leaves(names), more, max_leaves=6)


def cells(name: str) -> st.SearchStrategy[str | None]:
    return st.none() | st.just("") | st.sampled_from(VALUES[name])


rows = st.lists(st.fixed_dictionaries({name: cells(name) for name in KINDS}), min_size=1, max_size=6)


def laboratory(batteries: list[dict[str, str | None]], visits: list[list[str]]) -> DataSet:
    """A subject a row, with a battery of those scores, and as many sessions as it has visits."""
    make = DataSetBuilder(site_id="Lab")
    make.project("P")
    make.type(
        "cog:battery", "cog:Battery", "http://example.org/cog", fields={f"memory/{k}": v for k, v in KINDS.items()}
    )
    for number, row in enumerate(batteries):
        subject = make.subject(f"s{number}", "P")
        held = {name: value for name, value in row.items() if value is not None}
        make.experiment(f"bat{number}", subject, "cog:battery", groups={"memory": held}, id=f"E{number}")
        for date in visits[number] if number < len(visits) else ():
            make.experiment(f"mr{number}", subject, "xnat:mrSessionData", date=date)
    make.experiment("seed_mr", make.subject("seed", "P"), "xnat:mrSessionData", date="2000-01-01")
    make.account("ana", "secret", ["P"])
    return make.build()


class Lab:
    """A server whose data change, and a client."""

    def __init__(self, server: StandIn, client: Client, workspace: Path) -> None:
        self._server, self._client, self._workspace = server, client, workspace
        self._catalog = Catalog(client)

    def answers(self, data: DataSet, query: str) -> list[list[str]]:
        """The result without its header."""
        self._server.replace(data)
        out = io.StringIO(newline="")
        run(prepare(query.encode(), self._catalog), self._client, self._workspace, out)
        return list(csv.reader(io.StringIO(out.getvalue(), newline="")))[1:]


@pytest.fixture(scope="module")
def lab(dialect: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with StandIn(laboratory([{"recall": "1"}], []), dialect=dialect) as server:
        client = Client(Settings(url=server.url), Credentials("ana", "secret"))
        yield Lab(server, client, tmp_path_factory.mktemp("lab"))
        client.session.close()


EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@EXAMPLES
@given(batteries=rows, condition=conditions(tuple(KINDS)))
def test_conditions_mean_what_sql_says(
    lab: Lab, batteries: list[dict[str, str | None]], condition: Condition
) -> None:
    query = f"SELECT EXPT_ID, MEMORY_REMARK FROM cog:battery WHERE {condition.text}"
    expected = [[f"E{n}", row["remark"] or ""] for n, row in enumerate(batteries) if condition.holds(row)]
    assert sorted(lab.answers(laboratory(batteries, []), query)) == expected


@EXAMPLES
@given(
    batteries=rows,
    key=st.sampled_from(sorted(KINDS)),
    descending=st.booleans(),
    limit=st.none() | st.integers(0, 8),
)
def test_order_and_limit_mean_what_sql_says(
    lab: Lab, batteries: list[dict[str, str | None]], key: str, descending: bool, limit: int | None
) -> None:
    query = f"SELECT EXPT_ID FROM cog:battery ORDER BY {FIELDS[key]}{' DESC' * descending}, EXPT_ID"
    numbered = list(enumerate(batteries))
    known = [(number, worth(key, str(row[key]))) for number, row in numbered if row[key]]
    known.sort(key=lambda pair: pair[1], reverse=descending)  # stable also where it is reversed
    expected = [number for number, _ in known] + [number for number, row in numbered if not row[key]]
    shown = expected if limit is None else expected[:limit]
    data = laboratory(batteries, [])
    found = lab.answers(data, query + (f" LIMIT {limit}" if limit is not None else ""))
    assert found == [[f"E{number}"] for number in shown]


@EXAMPLES
@given(
    batteries=rows,
    visits=st.lists(st.lists(st.sampled_from(VALUES["visit"]), max_size=3), max_size=6),
    condition=conditions(("recall", "day", "visit")),
)
def test_a_joined_type_is_joined_as_sql_would(
    lab: Lab, batteries: list[dict[str, str | None]], visits: list[list[str]], condition: Condition
) -> None:
    """A row for each session of the subject, or one without; and of these the ones that meet the condition."""
    query = f"SELECT EXPT_ID, {FIELDS['visit']} FROM cog:battery WHERE {condition.text}"
    expected = []
    for number, row in enumerate(batteries):
        for visit in (visits[number] if number < len(visits) else []) or [""]:
            if condition.holds({**row, "visit": visit}):
                expected.append([f"E{number}", visit])
    assert sorted(lab.answers(laboratory(batteries, visits), query)) == sorted(expected)


@EXAMPLES
@given(batteries=rows, visits=st.lists(st.lists(st.sampled_from(VALUES["visit"]), max_size=3), max_size=6))
def test_rows_that_look_alike_are_as_many_as_there_are(
    lab: Lab, batteries: list[dict[str, str | None]], visits: list[list[str]]
) -> None:
    query = f"SELECT MEMORY_RECALL, {FIELDS['visit']} FROM cog:battery"
    expected = [
        [row["recall"] or "", visit]
        for number, row in enumerate(batteries)
        for visit in (visits[number] if number < len(visits) else []) or [""]
    ]
    assert sorted(lab.answers(laboratory(batteries, visits), query)) == sorted(expected)
