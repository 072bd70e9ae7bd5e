"""A query's text, run on a server: read, checked, asked, written as CSV.

Used by the command `cdbfs search`. A wrong query costs no search.

Threads: plain functions; a Catalog may be used from any thread.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from cdbfs.errors import AccessRefused, BrokeOff, QueryError, ServerFault
from cdbfs.query import documents
from cdbfs.query.check import check
from cdbfs.query.document import document
from cdbfs.query.fields import Fields, type_named
from cdbfs.query.model import Field, Place
from cdbfs.query.parse import LONGEST, parse
from cdbfs.query.result import write_csv
from cdbfs.query.search import Layout
from cdbfs.xnat.client import Client

MOST_BYTES = 4 * LONGEST
"""Of a query's file."""
_LIKE_AN_ATTACK = re.compile(rb"\b(select|insert|update|delete|drop|alter|create) ", re.IGNORECASE)


class Catalog:
    """What a server lets one search: types, and the fields of each, asked for once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._types: Sequence[str] = ()
        self._fields: dict[str, Fields] = {}

    def types(self) -> Sequence[str]:
        with self._lock:
            known = self._types
        if not known:
            known = tuple(self._client.search_types())
            with self._lock:
                self._types = known
        return known

    def fields(self, type_name: str) -> Fields:
        """Raises NotFound."""
        with self._lock:
            known = self._fields.get(type_name)
        if known is None:
            known = Fields.of(type_name, self._client.search_fields(type_name))
            with self._lock:
                self._fields[type_name] = known
        return known

    def named(self, name: str) -> Fields:
        """The fields of a type as a user names it. Raises QueryError with the nearest names."""
        return self.fields(type_named(Field(name, Place(0, 0)), self.types()))


@dataclass(frozen=True)
class Prepared:
    """A query that was found to be right."""

    type: str
    document: bytes
    """What is sent."""
    layout: Layout
    refresh: bool = False
    """Whether the server is to be told not to answer with rows that it keeps."""


def prepare(query: bytes, catalog: Catalog) -> Prepared:
    """What a query's file asks for: a search document where it begins with ``<``, else SQL. Raises QueryError."""
    if len(query) > MOST_BYTES:
        raise QueryError(f"the query is over {LONGEST} characters long")
    if query.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        found = documents.check(query, catalog.types(), catalog.fields)
        return Prepared(found.type, query, found.layout, refresh=not found.id.startswith("@"))
    try:
        text = query.decode("utf-8")
    except UnicodeDecodeError as error:
        line = query.count(b"\n", 0, error.start) + 1
        raise QueryError("the query is not UTF-8 text", (line, 0)) from None
    search = check(parse(text), catalog.types(), catalog.fields)
    return Prepared(search.type, document(search), search.layout)


def run(query: Prepared, client: Client, workspace: Path, out: TextIO) -> int:
    """Write the query's result to `out`; the number of rows. Raises what the answer means."""
    with tempfile.TemporaryFile(dir=workspace) as answer:
        try:
            client.search(query.document, answer, refresh=query.refresh)
        except AccessRefused:
            raise AccessRefused(f"the server forbids this login to search {query.type}") from None
        except BrokeOff:
            raise
        except ServerFault as error:
            if _LIKE_AN_ATTACK.search(query.document):
                raise ServerFault(f"{error}; XNAT refuses texts that look like SQL, as 'drop ' does") from None
            raise
        return write_csv(answer, query.layout, out, workspace)
