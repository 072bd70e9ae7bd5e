"""From a server's answer to CSV: the recorded answers, and answers that are not what they should be."""

from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Callable

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdbfs.errors import ServerFault
from cdbfs.query import documents
from cdbfs.query.result import write_csv
from cdbfs.query.search import Layout, Output, SortKey
from cdbfs.xnat.models import SearchField
from tests.demo import recordings
from tests.query.recorded import checked, fields, types
from tests.query.test_documents import REFUSED, SENT

A = SearchField("nt:scores", "A", kind="int")
B = SearchField("nt:scores", "B")
WORKSPACE = Path(tempfile.gettempdir())
BOTH = Layout((A, B), (Output(A, "a"), Output(B, "b")))


def answer(rows: Sequence[Any], total: object = None, columns: Any = None) -> bytes:
    told = columns if columns is not None else [column("A"), column("B"), {"key": "quarantine_status"}]
    result = {"Columns": told, "Result": rows, "totalRecords": str(len(rows)) if total is None else total}
    return json.dumps({"ResultSet": result}).encode()


def column(name: str, key: str = "", element: str = "nt:scores") -> dict[str, str]:
    return {"key": key or name.lower(), "element_name": element, "id": name}


def written(body: bytes, layout: Layout = BOTH) -> str:
    out = io.StringIO(newline="")
    count = write_csv(io.BytesIO(body), layout, out, WORKSPACE)
    text = out.getvalue()
    assert count == len(list(csv.reader(io.StringIO(text, newline="")))) - 1
    return text


def fault(body: bytes, layout: Layout = BOTH) -> str:
    with pytest.raises(ServerFault) as caught:
        written(body, layout)
    return str(caught.value)


# --- recorded


@pytest.mark.parametrize("name", [name for name in SENT if name.endswith("-json") and name[:3] not in REFUSED])
def test_recorded_answers(name: str) -> None:
    """The CSV that was recorded beside, without the columns that nobody asked for."""
    asked, csv_name = recordings.read(name), f"{int(name[:3]) + 1}{name[3:].replace('-json', '-csv')}"
    if asked.status != 200:
        return
    layout = documents.check(asked.request_body.encode(), types(), fields).layout
    text = written(asked.body.encode(), layout)
    mine = list(csv.DictReader(io.StringIO(text)))
    rows = json.loads(asked.body)["ResultSet"]["Result"]
    assert len(mine) == len(rows)
    if csv_name not in recordings.NAMES:
        return
    theirs = recordings.rows(recordings.read(csv_name).body)
    assert [sorted(row.values()) for row in mine] == [
        sorted(row[key] for key in _keys(asked.body, layout)) for row in theirs
    ]


def _keys(body: str, layout: Layout) -> list[str]:
    told = {(c.get("element_name"), c.get("id")): c["key"] for c in json.loads(body)["ResultSet"]["Columns"]}
    return [told[field.element, field.id] for field in layout.asked]


def test_the_order_of_what_an_answer_tells_does_not_matter() -> None:
    rows = [{"b": "x", "a": "1"}]
    parts = {"totalRecords": "1", "Result": rows, "ID": "v", "Columns": [column("B"), column("A")]}
    for names in (list(parts), list(parts)[::-1]):
        body = json.dumps({"other": 1, "ResultSet": {name: parts[name] for name in names}}).encode()
        assert written(body) == "a,b\n1,x\n"


# --- CSV


def test_cells_are_quoted_where_they_must_be_and_read_back_as_they_were() -> None:
    cells = [
        "",
        "x",
        "a,b",
        'say "so"',
        "two\nlines",
        "lone\rreturn",
        "both\r\n",
        "K\u00e4se \U0001f600",
        " x ",
        "\x00",
        "'",
    ]
    text = written(answer([{"a": str(number), "b": cell} for number, cell in enumerate(cells)]))
    assert text.startswith('a,b\n0,\n1,x\n2,"a,b"\n3,"say ""so"""\n4,"two\nlines"\n"5","lone\rreturn"\n')
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[1] for row in read[1:]] == cells
    frame = pd.read_csv(io.StringIO(text.replace("\x00", "")), dtype=str, keep_default_na=False)
    assert list(frame["b"])[:9] == cells[:9]


def test_one_column_of_nulls_is_rows_all_the_same() -> None:
    layout = Layout((A,), (Output(A, "a"),))
    assert written(answer([{"a": ""}, {"a": "1"}]), layout) == 'a\n""\n1\n'


def test_values_that_are_no_texts() -> None:
    body = answer([{"a": 5, "b": None}, {"a": "@", "b": True}, {"a": False, "b": 10**30}])
    assert written(body.replace(b'"@"', b"1471.0")) == f"a,b\n5,\n1471.0,true\nfalse,{10**30}\n"
    # Half a surrogate pair, which no database holds, is a question mark to the JSON parser.
    assert written(answer([{"a": "\ud800", "b": "x"}])) == "a,b\n?,x\n"


def test_rows_may_leave_nulls_out() -> None:
    assert written(answer([{"a": "1"}, {"b": "x"}, {"c": "more"}])) == "a,b\n1,\n,x\n,\n"


def test_one_column_may_be_shown_twice() -> None:
    layout = Layout((A,), (Output(A, "x"), Output(A, "y")))
    assert written(answer([{"a": "1"}]), layout) == "x,y\n1,1\n"


def test_spare_columns_may_be_missing() -> None:
    layout = Layout((A, B), (Output(A, "a"),), spare=1)
    assert written(answer([{"a": "1"}], columns=[column("A")]), layout) == "a\n1\n"
    assert written(answer([{"a": "1"}]), layout) == "a\n1\n"


def test_columns_are_found_by_id_of_their_type_also_in_another_case() -> None:
    told = [
        column("B", "no", "x:other"),
        column("b", "low"),
        column("B", "up"),
        column("A", "first"),
        column("A", "2nd"),
    ]
    row = {"first": "1", "2nd": "2", "up": "x", "low": "y", "no": "z"}
    assert written(answer([row], columns=told)) == "a,b\n1,x\n"
    assert written(answer([row], columns=[*told[:2], told[3]])) == "a,b\n1,y\n"


# --- order


def ordered(
    cells: Sequence[str], *, descending: bool = False, numeric: bool = True, limit: int | None = None
) -> list[str]:
    layout = Layout((A, B), (Output(B, "b"),), order=(SortKey(0, descending, numeric),), limit=limit)
    rows = [{"a": cell, "b": f"{number}:{cell}"} for number, cell in enumerate(cells)]
    return written(answer(rows), layout).splitlines()[1:]


def test_numbers_are_sorted_as_numbers_nulls_last_and_equals_as_they_came() -> None:
    cells = ["10", "", "9", "-1.5", "1e3", "9.0", "NaN", str(2**60 + 1), str(2**60)]
    ascending = ["-1.5", "9", "9.0", "10", "1e3", str(2**60), str(2**60 + 1), "", "NaN"]
    assert [line.partition(":")[2] for line in ordered(cells)] == ascending
    downward = [str(2**60 + 1), str(2**60), "1e3", "10", "9", "9.0", "-1.5", "", "NaN"]
    assert [line.partition(":")[2] for line in ordered(cells, descending=True)] == downward


def test_texts_are_sorted_by_character() -> None:
    cells = ["b", "", "a", "B", "\u00e4", "\U0001f600", "10", "9"]
    assert [line.partition(":")[2] for line in ordered(cells, numeric=False)] == [
        *("10", "9", "B", "a", "b", "\u00e4", "\U0001f600", ""),
    ]


def test_several_keys() -> None:
    order = (SortKey(1, False, False), SortKey(0, True, True))
    rows = [{"a": "1", "b": "y"}, {"a": "2", "b": "x"}, {"a": "10", "b": "y"}, {"a": "3", "b": ""}]
    layout = Layout((A, B), BOTH.outputs, order=order)
    assert written(answer(rows), layout) == "a,b\n2,x\n10,y\n1,y\n3,\n"


@pytest.mark.parametrize(
    ("limit", "lines"),
    [(0, []), (2, ["2:1", "0:2"]), (9, ["2:1", "0:2", "1:3"]), (sys.maxsize, ["2:1", "0:2", "1:3"])],
)
def test_limit(limit: int, lines: list[str]) -> None:
    assert ordered(["2", "3", "1"], limit=limit) == lines


def test_a_limit_does_not_hide_that_an_answer_is_not_whole() -> None:
    layout = Layout((A, B), BOTH.outputs, limit=1)
    assert "announces 5 rows and has 2" in fault(answer([{"a": "1", "b": "x"}] * 2, total="5"), layout)


def test_a_wide_answer_can_be_sorted() -> None:
    many = tuple(SearchField("nt:scores", f"F{number}") for number in range(3000))
    layout = Layout(many, tuple(Output(field, field.id) for field in many), order=(SortKey(2999, True, False),))
    rows = [{f"f{number}": str(row) for number in range(3000)} for row in range(3)]
    body = answer(rows, columns=[column(field.id) for field in many])
    assert [line[0] for line in written(body, layout).splitlines()[1:]] == ["2", "1", "0"]


# --- rows of joined types


def test_rows_are_looked_at_again_where_a_joined_type_is_shown() -> None:
    search = checked(
        "SELECT SUBJECT_ID, xnat:mrSessionData.DATE AS day FROM nt:scores "
        "WHERE xnat:mrSessionData.DATE > '2012-02-01' "
        "OR xnat:mrSessionData.LABEL LIKE 'x_y%' OR xnat:mrSessionData.AGE != 30 "
        "OR xnat:mrSessionData.DATE IS NULL"
    )
    told = [column(field.id, f"k{number}", field.element) for number, field in enumerate(search.layout.asked)]
    keys = {(c["element_name"], c["id"]): c["key"] for c in told}
    day, label, age = (keys["xnat:mrSessionData", name] for name in ("DATE", "LABEL", "AGE"))
    subject = keys["nt:scores", "SUBJECT_ID"]
    rows = [
        {subject: "1", day: "2012-02-02", label: "", age: "30"},
        {subject: "2", day: "2012-02-01", label: "", age: "30.0"},
        {subject: "3", day: "2012-01-01", label: "X-Yz", age: "30"},
        {subject: "4", day: "2012-01-01", label: "xyz", age: "30"},
        {subject: "5", day: "2012-01-01", label: "", age: "31.5"},
        {subject: "6", day: "", label: "", age: ""},
        {subject: "7", day: "2012-01-01", label: "", age: ""},
    ]
    text = written(answer(rows, columns=told), search.layout)
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == ["1", "3", "5", "6"]


# --- answers that are none


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the answer to the search is empty"),
        (b"   \n", "the answer to the search is empty"),
        (b"<html><body>sorry</body></html>", "cannot be read"),
        (b"subject_id,label\nx,y\n", "cannot be read"),
        (b"null", "left the column A"),
        (b"[]", "left the column A"),
        (b"{}", "left the column A"),
        (b'{"ResultSet": []}', "left the column A"),
        (b'{"ResultSet": {"Columns": {"key": "a"}}}', "left the column A"),
        (b'{"ResultSet": {"Columns": [null, 5, "x", {}, {"id": "A"}, {"key": "a"}]}}', "left the column A"),
        (answer([{"a": "1"}], columns=[]), "left the column A of nt:scores out"),
        (answer([{"a": "1"}], columns=[column("A")]), "left the column B of nt:scores out"),
        (answer([{"a": "1"}], columns=[column("A"), column("B", element="x:y")]), "left the column B"),
        (answer([{"a": "1"}]), "no row of the answer to the search has its column b"),
        (answer([{"a": "1", "b": "x"}], total="2"), "announces 2 rows and has 1"),
        (answer([{"a": "1", "b": "x"}] * 3, total="2"), "announces 2 rows and has 3"),
        (answer([], total="1"), "announces 1 rows and has 0"),
        (answer([], total="-1"), "does not say how many rows"),
        (answer([], total=""), "does not say how many rows"),
        (answer([], total="many"), "does not say how many rows"),
        (answer([], total="\u0663"), "does not say how many rows"),
        (answer([], total=1.5), "does not say how many rows"),
        (answer([], total={"n": 1}), "does not say how many rows"),
        (answer([], total="9" * 5000), "announces 9"),
        (answer([]).replace(b'"totalRecords": "0"', b'"other": 0'), "does not say how many rows"),
        (
            answer([]).replace(b'"totalRecords"', b'"totalRecords": "1", "totalRecords"'),
            "does not say how many rows",
        ),
        (answer(["x"]), "is no table"),
        (answer([["1", "x"]]), "is no table"),
        (answer([None]), "is no table"),
        (answer([{"a": {"deep": "1"}, "b": "x"}]), "is no table"),
        (answer([{"a": [], "b": "x"}]), "is no table"),
        (answer([{"a": "1", "b": "x"}])[:-30], "breaks off"),
        (answer([{"a": "1", "b": "x"}])[:-1], "breaks off"),
        (answer([{"a": "1", "b": "x"}]) + b"<html>", "cannot be read"),
        (answer([{"a": "1", "b": "\u00e4"}]).replace(b"\\u00e4", b"\xff"), "cannot be read"),
        (answer([{"a": 1, "b": "x"}]).replace(b'"a": 1', b'"a": NaN'), "cannot be read"),
        (answer([{"a": "1", "b": "x"}]).replace(b'"1"', b"[" * 100_000), "is no table"),
        (answer([]).replace(b'"key": "a"', b'"key": ' + b"[" * 200_000), "is no table"),
        (answer([{"a": "1", "b": "x"}]).replace(b'"1"', b"9" * 5000), "cannot be read: Exceeds the limit"),
        (answer([{"a": "1", "b": "x"}]).replace(b'"1"', b"[" * 10_000 + b"]" * 10_000), "is no table"),
    ],
)
def test_what_is_no_whole_answer_is_a_fault(body: bytes, reason: str) -> None:
    assert reason in fault(body)


@pytest.mark.parametrize("number", [0, 4, Decimal("12")])
def test_a_total_may_be_a_number(number: Any) -> None:
    assert written(answer([{"a": "1", "b": "x"}] * int(number), total=int(number))).count("\n") == number + 1


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_answer_is_read_or_a_fault(data: st.DataObject) -> None:
    whole = answer([{"a": "1", "b": "x"}, {"a": "2", "b": "y"}])
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 30)))
    damaged = whole[:start] + data.draw(st.binary(max_size=4)) + whole[end:]
    try:
        text = written(damaged)
    except ServerFault:
        return
    assert text.startswith("a,b\n")


# --- size


class Endless(io.RawIOBase):
    """An answer of many rows that stands nowhere."""

    def __init__(self, rows: int) -> None:
        head, tail = answer([{"x": 1}], total=str(rows)).split(b'{"x": 1}')
        self._parts: Callable[[], Iterator[bytes]] = lambda: _joined(head, map(_row, range(rows)), tail)
        self._iterator: Iterator[bytes] = iter(())
        self._left = b""

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        assert (offset, whence) == (0, 0)
        self._iterator, self._left = self._parts(), b""
        return 0

    def readinto(self, buffer: Any) -> int:
        while len(self._left) < len(buffer):
            part = next(self._iterator, None)
            if part is None:
                break
            self._left += part
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def _joined(head: bytes, rows: Iterator[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    yield next(rows)
    for row in rows:
        yield b"," + row
    yield tail


def _row(number: int) -> bytes:
    cells = {"a": str(number * 7919 % 100_003), "b": f"value {number}", **{f"c{c}": f"cell {c}" for c in range(8)}}
    return json.dumps(cells).encode()


def grown(order: bool) -> int:
    """Bytes by which the process grew for 100,000 rows of ten columns. Run in a process of its own."""
    keys = (SortKey(0, True, True),) if order else ()
    layout = Layout((A, B), BOTH.outputs, order=keys)
    source: BinaryIO = Endless(1000)  # type: ignore[assignment]
    write_csv(source, layout, io.StringIO(), WORKSPACE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open("/dev/null", "w", encoding="utf-8", newline="") as nowhere:
        large: BinaryIO = Endless(100_000)  # type: ignore[assignment]
        assert write_csv(large, layout, nowhere, WORKSPACE) == 100_000
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


@pytest.mark.parametrize("order", [False, True])
def test_100000_rows_cost_little_memory(order: bool) -> None:
    script = f"from tests.query.test_result import grown; print(grown({order}))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
    )
    assert int(done.stdout) < 50 * 2**20
