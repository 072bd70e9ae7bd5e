"""All experiments of one type in one project as a table: a row each, and a column for each field of the type.

Used by standing. This query is asked, where ID is the field that tells experiments apart, and * all others:

    SELECT ID, subject, * FROM <type> WHERE project = '<project>' ORDER BY subject, ID

Before it stands each experiment's label in the project, which is also its directory's name: XNAT's own field LABEL
is the owner's, and not all types list even that.

Threads: plain functions; the catalog may ask the server.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from cdbfs.errors import ServerFault
from cdbfs.query.catalog import Catalog
from cdbfs.query.check import check
from cdbfs.query.fields import Fields
from cdbfs.query.model import SUBJECT, Column, Field, Order, Place, Query, Value
from cdbfs.query.result import line_maker
from cdbfs.query.run import prepared, run
from cdbfs.store.results import Writer
from cdbfs.xnat.client import Client
from cdbfs.xnat.deadline import Stop

LABEL, ID = "label", "ID"
"""Headers as in experiments.csv."""
LONGEST_CELL = 2**31 - 1
_HERE = Place(1, 1)


def run_overview(
    project: str,
    type_name: str,
    labels: Mapping[str, str],
    client: Client,
    catalog: Catalog,
    workspace: Path,
    out: Writer,
    stop: Stop | None = None,
) -> int:
    """Write the table to `out`; the number of rows. `labels` are those in the project, by the experiments' IDs.

    Raises NotFound or QueryError for a type that cannot be searched, what the answer means, or Interrupted.
    """
    query = _query(project, catalog.named(type_name))
    search = check(query, catalog.types(), catalog.fields)
    with tempfile.TemporaryFile("w+b", dir=workspace) as file:
        rows = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        count = run(prepared(search), client, workspace, rows, stop)
        rows.seek(0)
        try:
            _label(rows, labels, out)
        except csv.Error as error:  # NUL, on Python 3.9
            raise ServerFault(f"the table cannot be read: {error}") from None
    return count


def _query(project: str, fields: Fields) -> Query:
    key = fields.key()
    columns = [Column(_field(key.id), ID), Column(Field(SUBJECT, _HERE), SUBJECT)]
    for field in fields.everything():
        if field.id != key.id:
            columns.append(Column(_field(field.id), _header(field.id, fields.type)))
    order = (Order(Field(SUBJECT, _HERE), descending=False), Order(_field(ID), descending=False))
    owner = Value(project, is_number=False, place=_HERE)
    return Query(_field(fields.type), tuple(columns), None, owner, order, None)


def _field(name: str) -> Field:
    return Field(name, _HERE, quoted=True)


def _header(name: str, type_name: str) -> str:
    return f"{type_name}.{name}" if name in (LABEL, ID, SUBJECT) else name


def _label(rows: TextIO, labels: Mapping[str, str], out: Writer) -> None:
    csv.field_size_limit(LONGEST_CELL)  # for the whole process, which reads no CSV but its own
    line = line_maker()
    table: Iterator[list[str]] = csv.reader(rows)
    out.write(line([LABEL, *next(table)]))
    for cells in table:
        out.write(line([labels.get(cells[0], ""), *cells]))
