"""The subjects that a file names: one label a line, or the first column of a CSV.

Used by fetch. Threads: plain functions.
"""

from __future__ import annotations

import csv
import io
from typing import BinaryIO

from cdbfs.errors import ConfigError

HEADERS = ("label", "subject")
"""What the first column is called in tables of cdbfs's own, such as subjects.csv and the results of searches."""
MOST_BYTES = 16 * 2**20


def read(file: BinaryIO, name: str) -> list[str]:
    """The labels, each once, in their order. Raises ConfigError, naming the line."""
    data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{name} is too large for a list of subjects")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{name} is not text in UTF-8") from None
    labels = _labels(text, name)
    if not labels:
        raise ConfigError(f"{name} names no subjects")
    return list(dict.fromkeys(labels))


def _labels(text: str, name: str) -> list[str]:
    rows = [(number, line) for number, line in enumerate(text.splitlines(), 1) if _tells(line)]
    if rows and _first(rows[0][1]).lower() in HEADERS:
        table = csv.reader(io.StringIO(text, newline=""))
        try:
            cells = [row[0].strip() for row in table if row]
        except csv.Error as error:
            raise ConfigError(f"{name}, line {table.line_num}: {error}") from None
        named = [cell for cell in cells if _tells(cell)]
        return named[1:]
    for number, line in rows:
        if "," in line:
            raise ConfigError(
                f"{name}, line {number}: expected one label a line, or a CSV whose first column is named "
                f"{' or '.join(HEADERS)}"
            )
    return [line.strip() for _, line in rows]


def _tells(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _first(line: str) -> str:
    return next(csv.reader([line]), [""])[0].strip()
