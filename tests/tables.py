"""Tables that tests fill and that pytest prints at its end: what agreed, what each fault did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows of text below a title; sorted by the first cell when printed."""

    title: str
    header: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        self.rows.append([str(cell) for cell in cells])

    def lines(self) -> Iterator[str]:
        rows = [list(self.header), *sorted(self.rows)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self.header))]
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()


TABLES: list[Table] = []
"""Those of this run, in the order they were made."""


def table(title: str, *header: str) -> Table:
    made = Table(title, header)
    TABLES.append(made)
    return made
