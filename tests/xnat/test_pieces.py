"""The rows of an answer, decoded by the piece: the same as the parser tells them one by one, whatever comes."""

from __future__ import annotations

import io
import json
from typing import Union

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdbfs.errors import ServerFault
from cdbfs.xnat.pieces import pieces, regular_rows
from cdbfs.xnat.searches import Answer

WHOLE = 10**6
"""A size of pieces by which nothing is decoded by the piece."""
Outcome = Union[str, tuple[list[dict[str, str]], int]]


def outcome(body: bytes, size: int) -> Outcome:
    answer = Answer(io.BytesIO(body), size)
    try:
        return list(answer.rows()), answer.total()
    except ServerFault:
        return "a fault"


def answer(*rows: str, total: int | None = None) -> bytes:
    told = f'"Result":[{",".join(rows)}], "totalRecords": "{len(rows) if total is None else total}"'
    return f'{{"ResultSet":{{"Columns":[{{"key":"a"}},{{"key":"b"}}],{told}}}}}'.encode("utf-8", "surrogateescape")


# --- pieces


def test_pieces_are_cut_between_what_may_be_rows() -> None:
    body = b'[{"a":"1"},{"a":"2"},{"a":"3"}]'
    assert list(pieces(io.BytesIO(body), 15)) == [b'[{"a":"1"}', b',{"a":"2"}', b',{"a":"3"}]']
    assert list(pieces(io.BytesIO(b"x" * 25), 10)) == [b"x" * 10, b"x" * 10, b"x" * 5]
    assert list(pieces(io.BytesIO(b""), 10)) == []


def test_the_rows_of_an_answer_are_regular() -> None:
    """All but the first piece and the last row: else this would be for nothing."""
    body = answer(*(json.dumps({"a": str(n), "b": 'K\u00e4se "x"\n {1}'}) for n in range(1000)))
    count = sum(len(regular_rows(piece) or ()) for piece in pieces(io.BytesIO(body), 2000))
    assert 900 < count < 1000


@pytest.mark.parametrize(
    ("piece", "rows"),
    [
        (',{"a":"1"}', [{"a": "1"}]),
        (', {"a" : "1"} ,\n{}', [{"a": "1"}, {}]),
        (',{"a":"1","a":"2"}', [{"a": "2"}]),
        (',{"a":"},{","b":"{"}', [{"a": "},{", "b": "{"}]),
        (',{"a":"\\"\\u00e4\\/\\n"}', [{"a": '"\u00e4/\n'}]),
        (',{"a":1471.0,"b":1e5,"c":-0}', [{"a": "1471.0", "b": "1E+5", "c": "0"}]),
        (f',{{"a":{10**30}}}', [{"a": str(10**30)}]),
        (',{"a":null,"b":true,"c":false}', [{"a": "", "b": "true", "c": "false"}]),
    ],
)
def test_regular_rows(piece: str, rows: list[dict[str, str]]) -> None:
    assert regular_rows(piece.encode()) == rows
    assert outcome(answer("{}", piece[1:], total=len(rows) + 1), WHOLE) == ([{}, *rows], len(rows) + 1)


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b",",
        b'{"a":"1"}',
        b',"a"',
        b',{"a":"1"},',
        b',{"a":"1"}]',
        b',{"a":"1"},null',
        b',{"a":"1"},"x",{"a":"2"}',
        b',{"a":"1"',
        b',{"a":[]}',
        b',{"a":[],"a":"1"}',
        b',{"a":{}}',
        b',{"a":{},"a":"1"}',
        b',{"a":{"b":"1"}},null',
        b',{"a":{"b":"1"},"b":"1","a":"1"},5',
        b',{"a":NaN}',
        b',{"a":-Infinity}',
        b',{"a":01}',
        b',{"a":1e999999999999999999999}',
        b',{"a":' + b"9" * 5000 + b"}",
        b',{"a":"\\ud800"}',
        b',{"a":"\\uD83D\\uDE00"}',
        b',{"a":"\xff"}',
        b',{"a":"\xed\xa0\x80"}',
        b',{"a":"\n"}',
        b',{"a":' * 20_000,
    ],
)
def test_what_is_left_to_the_parser(piece: bytes) -> None:
    assert regular_rows(piece) is None


# --- the two of them


TEXTS = st.text(st.sampled_from('ab01 ,:{}[]"\\/\u00e4\u20ac\U0001f600\x00\x7f\n\r'), max_size=8)
ODD = st.sampled_from(
    [
        *("1471.0", "-1e5", "1E400", "-0", "-0.0", "0", str(10**30), "null", "true", "false"),
        *("NaN", "Infinity", "01", "1.", "+1", "1e999999999999999999999", "nul", "'x'", ""),
        *("[]", "{}", "[[{}]]", '{"a":"1"}', '[{"a":"1"},{"a":"2"}]', '[],"a":"1"', '{},"b":"2"'),
        *('"\\ud800"', '"\\uDBFF\\uDFFF"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\x"', '"\x01"', '"\udcff"'),
        *('"},{"', '",{"', '"\\"},{\\""', '"}],\\"Result\\":["'),
    ]
)
PLAIN = TEXTS.map(json.dumps)
VALUES = st.one_of(PLAIN, PLAIN, TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)), ODD)


def rows_of(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    cells = st.lists(st.tuples(st.sampled_from("abc"), values), max_size=3)
    return cells.map(lambda row: "{" + ",".join(f'"{key}":{value}' for key, value in row) + "}")


ROWS = st.lists(st.one_of(rows_of(PLAIN), rows_of(PLAIN), rows_of(VALUES)), max_size=12)
SOUP = st.lists(
    st.sampled_from(
        ['"', ",", ":", "{", "}", "[", "]", "},{", '{"a":"1"}', ',{"a":"1"}', '"a"', "1", " ", "\\", "x"]
    ),
    max_size=12,
)


@settings(max_examples=600, deadline=None)
@given(ROWS, st.integers(1, 60), st.integers(-1, 1))
def test_rows_are_the_same_by_the_piece(rows: list[str], size: int, more: int) -> None:
    body = answer(*rows, total=max(len(rows) + more, 0))
    assert outcome(body, size) == outcome(body, WHOLE)


@settings(max_examples=600, deadline=None)
@given(SOUP, st.integers(1, 40))
@example(['"abc},{"', ',":",', '"},{"'], 1)  # each text is what a parser would take for the space between texts
@example(['"abc},{"', ',":",', '"}"', ',{"a":"1"}'], 1)
def test_the_same_where_texts_look_like_rows(parts: list[str], size: int) -> None:
    body = answer('{"a":"1"}', '{"a":"2"}', "".join(parts), total=3)
    for taken in (size, *range(40, 90, 7)):
        assert outcome(body, taken) == outcome(body, WHOLE)


@settings(max_examples=600, deadline=None)
@given(st.data(), ROWS, st.integers(1, 60))
def test_the_same_where_an_answer_is_damaged(data: st.DataObject, rows: list[str], size: int) -> None:
    body = answer('{"a":"1"}', *rows, '{"b":"2"}')
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.one_of(st.just(len(body)), st.integers(start, min(len(body), start + 20))))
    damaged = (
        body[:start] + data.draw(st.one_of(st.binary(max_size=3), st.just(b"},{"), st.just(b'"'))) + body[end:]
    )
    assert outcome(damaged, size) == outcome(damaged, WHOLE)


@pytest.mark.parametrize("size", [20, 50, WHOLE])
def test_columns_and_total_may_stand_before_or_behind(size: int) -> None:
    rows = ",".join(f'{{"a":"{number}"}}' for number in range(20))
    parts = [f'"Result":[{rows}]', '"Columns":[{"key":"a","id":"A"},{"key":"b","id":"B"}]', '"totalRecords":20']
    for told in (parts, parts[::-1]):
        table = Answer(io.BytesIO(f'{{"ResultSet":{{{",".join(told)}}}}}'.encode()), size)
        assert table.columns().keys == {("", "A"): "a", ("", "B"): "b"}
        assert [row["a"] for row in table.rows()] == [str(number) for number in range(20)]
        assert table.total() == 20
