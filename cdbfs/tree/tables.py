"""CSV as RFC 4180 has it, with LF: what R and pandas read without options.

Threads: plain functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_QUOTED = frozenset(',"\r\n')


def csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """The table; a cell is quoted only where it must be."""
    lines = [",".join(map(_cell, row)) for row in (header, *rows)]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _cell(value: str) -> str:
    # csv.writer with lineterminator="\n" leaves a lone CR unquoted, which pandas takes for the end of a row.
    if _QUOTED.isdisjoint(value):
        return value
    return '"' + value.replace('"', '""') + '"'
