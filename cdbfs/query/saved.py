"""The rows of a search that is stored on the server -> CSV, with the columns that its document shows.

Used by standing. What a stored search finds is XNAT's own matter: its criteria are not checked here, since its web
pages write some that cdbfs would not. A column that XNAT leaves out without a word is an error here as elsewhere.

Threads: plain functions; `fields_of` may ask the server.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cdbfs.errors import AccessRefused, NotFound, ServerFault
from cdbfs.query import documents
from cdbfs.query.documents import Column
from cdbfs.query.fields import FieldsOf
from cdbfs.query.result import line_maker, write_csv
from cdbfs.query.search import Layout
from cdbfs.store.results import Writer
from cdbfs.xnat import xml
from cdbfs.xnat.client import Client
from cdbfs.xnat.deadline import Stop
from cdbfs.xnat.models import SearchField
from cdbfs.xnat.searches import Answer, Columns

MOST_COLUMNS = 10_000
"""Of an answer that does not tell them."""
NO_COLUMN = "quarantine_status"
"""XNAT adds it to every answer (seen on XNAT 1.6.4)."""


def run_saved(
    search_id: str,
    document: bytes,
    client: Client,
    fields_of: FieldsOf,
    workspace: Path,
    out: Writer,
    stop: Stop | None = None,
) -> int:
    """Write the rows of a stored search to `out`; their number. Raises what the answer means, or Interrupted."""
    with tempfile.TemporaryFile(dir=workspace) as answer:
        try:
            client.saved_search_results(search_id, answer, stop)
        except AccessRefused:
            raise AccessRefused(f"the server forbids this login to run the saved search {search_id}") from None
        try:
            layout = _layout(document, Answer(answer).columns(), fields_of)
            if layout is None:
                return _as_answered(answer, out)
        except ValueError as error:  # see result.write_csv
            raise ServerFault(f"the answer to the saved search cannot be read: {error}"[:200]) from None
        return write_csv(answer, layout, out, workspace)


def _layout(document: bytes, told: Columns, fields_of: FieldsOf) -> Layout | None:
    """The columns that the document shows; where it names none, those that the answer tells; None for neither."""
    shown = documents.columns(xml.parse(document, "the document of a saved search"))
    fields = [_field(column, told, fields_of) for column in shown]
    if not shown:
        fields = [SearchField(element, name) for element, name in told.keys]
    if not fields:
        return None
    return Layout(tuple(dict.fromkeys(fields)), documents.outputs(fields, [column.header for column in shown]))


def _field(column: Column, told: Columns, fields_of: FieldsOf) -> SearchField:
    """The field as the answer names it, which is not always as the document does; else as the document does."""
    for name in _names(column, fields_of):
        if told.key(column.element, name) is not None:
            return SearchField(column.element, name)
    return SearchField(column.element, column.id)


def _names(column: Column, fields_of: FieldsOf) -> Iterator[str]:
    """What one field may be called: its id, with its value (once `ID.VALUE`), or that of the path it shows."""
    yield column.id
    if column.value:
        yield f"{column.id}={column.value}"
    if "." in column.id:
        yield column.id.replace(".", "=", 1)
    if "/" in column.id:
        with suppress(NotFound):
            found = fields_of(column.element).find(column.id.removeprefix(f"{column.element}/"))
            if found is not None:
                yield found.id


def _as_answered(answer: BinaryIO, out: Writer) -> int:
    """The columns of the rows themselves, in order of their names: XNAT 1.6 tells no others, and in no order."""
    table = Answer(answer)
    keys = _keys(table)
    line = line_maker()
    out.write(line(keys))
    count = 0
    for row in table.rows():
        out.write(line([row.get(key, "") for key in keys]))
        count += 1
    total = table.total()
    if count != total:
        raise ServerFault(f"the answer to the saved search announces {total} rows and has {count}")
    return count


def _keys(table: Answer) -> list[str]:
    found: set[str] = set()
    for row in table.rows():
        found.update(row)
        if len(found) > MOST_COLUMNS:
            raise ServerFault(f"the answer to the saved search has over {MOST_COLUMNS} columns")
    return sorted(found - {NO_COLUMN})
