"""ORDER BY: lines put in order by what their rows are worth, in bounded memory.

Used by result. Lines are sorted in memory; what is too much for it is written, a sorted run at a time, to files
without a name, and merged at the end. So nothing is left behind, whatever ends the process.

Threads: plain functions; an iterator belongs to one thread.
"""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from sys import getsizeof
from typing import IO, Any, Callable

from cdbfs.query import kinds
from cdbfs.query.filter import Row
from cdbfs.query.search import SortKey

Rank = list[Any]
"""What a row is sorted by, least first: for each key whether it is null, and a number or a text."""
Ranked = list[Any]
"""A rank and a line. A list, as the rank, since JSON makes lists."""

HELD = 16 * 2**20
MOST_RUNS = 64
"""Files that are open at a time; beyond, they are merged into one."""
_LISTS = 300
"""Bytes that a rank and a line take beside what is in them."""
_UPSIDE_DOWN = bytes(range(254, -1, -1)) + b"\0"
_rank, _line = itemgetter(0), itemgetter(1)


def ranking(order: Sequence[SortKey]) -> Callable[[Row], Rank]:
    """What tells the rank of a row: nulls last, whichever the direction, and numbers by value."""

    def rank(row: Row) -> Rank:
        found: Rank = []
        for key in order:
            worth = _number(row[key.column]) if key.numeric else row[key.column]
            if worth is None or worth == "":
                found += (1, 0)
            elif key.descending:
                found += (0, _downward(worth))
            else:
                found += (0, worth)
        return found

    return rank


def in_order(ranked: Iterable[Ranked], workspace: Path, held: int = HELD) -> Iterator[str]:
    """The lines by rank, those of one rank as they came; all of `ranked` is read first. Raises OSError.

    `held` is how many bytes of memory they may take before some go to a file in `workspace`.
    """
    with ExitStack() as files:
        runs: list[IO[str]] = []
        last: list[Ranked] = []
        size = 0
        for item in ranked:
            rank, line = item
            last.append(item)
            size += _LISTS + getsizeof(line) + sum(map(getsizeof, rank))
            if size > held:
                last.sort(key=_rank)
                runs.append(_run(last, workspace, files))
                last, size = [], 0
                if len(runs) == MOST_RUNS:
                    merged = _run(_merged(runs), workspace, files)
                    for run in runs:
                        run.close()
                    runs = [merged]
        last.sort(key=_rank)
        yield from map(_line, _merged(runs, last))


def _run(ranked: Iterable[Ranked], workspace: Path, files: ExitStack) -> IO[str]:
    run = tempfile.TemporaryFile("w+", dir=workspace, encoding="ascii")  # noqa: SIM115 - closed with `files`
    files.enter_context(run)
    run.writelines(json.dumps(item) + "\n" for item in ranked)
    return run


def _merged(runs: Iterable[IO[str]], last: Iterable[Ranked] = ()) -> Iterator[Ranked]:
    for run in runs:
        run.seek(0)
    return heapq.merge(*(map(json.loads, run) for run in runs), last, key=_rank)


def _number(cell: str) -> int | float | None:
    if cell.isdigit() and cell.isascii() and len(cell) < 16:  # nearly all there is
        return int(cell)
    number = kinds.number(cell)
    if number is None:
        return None
    whole = number == number.to_integral_value() and abs(number) < 2**63
    return int(number) if whole else float(number)


def _downward(worth: Any) -> Any:
    """What is the less, the more `worth` is. A text's bytes, which are sorted as its characters are, are turned
    upside down; none is over 0xf4. A text's end, which comes before any character, then comes after all."""
    if not isinstance(worth, str):
        return -worth
    turned = worth.encode("utf-8", "surrogatepass").translate(_UPSIDE_DOWN)
    return turned.decode("latin-1") + "\xff"
