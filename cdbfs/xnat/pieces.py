"""A large JSON answer in pieces, and the rows of a piece that holds nothing else: ``,{"a":"1"},{"a":"2"}``.

Used by searches. A parser that tells each value costs Python some steps per value; the decoder of `json` makes a
row of its text at once, but wants its text whole. XNAT writes no space between its rows, so that the answer can be
cut there. Whatever looks unusual is left to the careful parser.

Threads: plain functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO

PIECE = 64 * 1024
"""Bytes. What JSON makes of them is some forty times as large at most."""
_HALF_A_PAIR = re.compile(rb"\\u[dD]")


def pieces(file: BinaryIO, size: int = PIECE) -> Iterator[bytes]:
    """What `file` holds, some `size` bytes at a time, cut between ``}`` and ``,{`` where there are such."""
    rest = b""
    while block := file.read(size):
        rest += block
        cut = rest.rfind(b"},{") + 1 or len(rest)
        yield rest[:cut]
        rest = rest[cut:]
    if rest:
        yield rest


def regular_rows(piece: bytes) -> list[dict[str, str]] | None:
    """The rows of a piece that begins behind a row; None where it is, or might be, more or less than flat rows.

    So also where parsers differ, as they do about half a surrogate pair, and where a list might be a value, or
    have been one until its key came again.
    """
    if piece[:1] != b"," or b"[" in piece or (b"\\" in piece and _HALF_A_PAIR.search(piece)):
        return None
    rows: list[dict[str, Any]] = []

    def seen(row: dict[str, Any]) -> dict[str, Any]:
        rows.append(row)
        return row

    decoder = json.JSONDecoder(object_hook=seen, parse_float=Decimal, parse_constant=_refused)
    try:
        found = decoder.decode(f"[{piece[1:].decode('utf-8')}]")
        if not rows or found != rows:  # something between the rows, or inside of them
            return None
        return [_of_texts(row) for row in rows]
    except (ValueError, ArithmeticError, RecursionError):
        return None


def cell(value: object) -> str:
    """A value as XNAT would write it; numbers keep their digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _of_texts(row: dict[str, Any]) -> dict[str, str]:
    try:
        "".join(row.values())  # the fastest way to see whether all are texts, as nearly always
    except TypeError:
        return {key: cell(value) for key, value in row.items()}
    return row


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
