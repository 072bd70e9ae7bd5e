"""A query's text, run on a server: read, checked, asked, written as CSV.

Used by the command `cdbfs search`, and by queries for those in a mount. A wrong query costs no search,
but for a project that there is not: only the list of projects tells, which is asked for where nothing was found.

Threads: plain functions.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cdbfs.errors import AccessRefused, BrokeOff, QueryError, ServerFault
from cdbfs.query import documents
from cdbfs.query.catalog import Catalog
from cdbfs.query.check import check
from cdbfs.query.document import document
from cdbfs.query.fields import nearest, unknown
from cdbfs.query.model import Value
from cdbfs.query.parse import LONGEST, parse
from cdbfs.query.result import write_csv
from cdbfs.query.search import Layout, Search
from cdbfs.store.results import Writer
from cdbfs.xnat.client import Client
from cdbfs.xnat.deadline import Stop
from cdbfs.xnat.searches import Answer

MOST_BYTES = 4 * LONGEST
"""Of a query's file."""
_LIKE_AN_ATTACK = re.compile(rb"\b(select|insert|update|delete|drop|alter|create) ", re.IGNORECASE)


@dataclass(frozen=True)
class Prepared:
    """A query that was found to be right."""

    type: str
    document: bytes
    """What is sent."""
    layout: Layout
    refresh: bool = False
    """Whether the server is to be told not to answer with rows that it keeps."""
    project: Value | None = None
    """The one searched in, where it may be a wrong one."""


def prepare(query: bytes, catalog: Catalog) -> Prepared:
    """What a query's file asks for: a search document where it begins with ``<``, else SQL. Raises QueryError."""
    if is_document(query):
        _check_length(query)
        found = documents.check(query, catalog.types(), catalog.fields)
        return Prepared(found.type, query, found.layout, refresh=not found.id.startswith("@"))
    return prepared(search_of(query, catalog))


def is_document(query: bytes) -> bool:
    """Whether a query's file holds a search document, and no SQL."""
    return query.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def search_of(query: bytes, catalog: Catalog) -> Search:
    """The search that a query in SQL means. Raises QueryError."""
    _check_length(query)
    try:
        text = query.decode("utf-8")
    except UnicodeDecodeError as error:
        line = query.count(b"\n", 0, error.start) + 1
        raise QueryError("the query is not UTF-8 text", (line, 0)) from None
    return check(parse(text), catalog.types(), catalog.fields)


def _check_length(query: bytes) -> None:
    if len(query) > MOST_BYTES:
        raise QueryError(f"the query is over {LONGEST} characters long")


def prepared(search: Search) -> Prepared:
    """A search that was checked, to be run."""
    return Prepared(search.type, document(search), search.layout, project=search.project)


def run(query: Prepared, client: Client, workspace: Path, out: Writer, stop: Stop | None = None) -> int:
    """Write the query's result to `out`; the number of rows. Raises what the answer means, or Interrupted."""
    with tempfile.TemporaryFile(dir=workspace) as answer:
        try:
            client.search(query.document, answer, refresh=query.refresh, stop=stop)
        except AccessRefused:
            raise AccessRefused(f"the server forbids this login to search {query.type}") from None
        except BrokeOff:
            raise
        except ServerFault as error:
            if _LIKE_AN_ATTACK.search(query.document):
                raise ServerFault(f"{error}; XNAT refuses texts that look like SQL, as 'drop ' does") from None
            raise
        written = write_csv(answer, query.layout, out, workspace)
        if query.project is not None and not written and next(Answer(answer).rows(), None) is None:
            check_project(query.project, client)
        return written


def check_project(project: Value, client: Client) -> None:
    """Raises QueryError for a project that the server does not list to this login."""
    listed = [known.ID for known in client.projects()]
    if project.text not in listed:
        near = nearest(project.text, listed)
        raise unknown("there is no project", project.text, near, project.place, " that this login may see")
