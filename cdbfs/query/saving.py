"""A query of the shelf -> a search that is stored on the server, which everything that speaks to XNAT can run.

Used by the command `cdbfs save`. XNAT shows a stored search that is not `secure` to everybody, with all the rows
that it finds, also of projects that the reader may not see (seen on XNAT 1.6.4): so it is secure, and its user's,
unless it is to be shared. XNAT also lets anybody overwrite one that he can see: that is looked at here, before.

Threads: plain functions; the client and the catalog ask the server.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from lxml import etree

from cdbfs.errors import AccessRefused, CdbfsError, NotFound, QueryError, ServerFault
from cdbfs.query import documents
from cdbfs.query.catalog import Catalog
from cdbfs.query.document import stored
from cdbfs.query.model import Place, Value
from cdbfs.query.names import checked
from cdbfs.query.queries import SUFFIXES, is_query
from cdbfs.query.run import MOST_BYTES, check_project, is_document, prepare, search_of
from cdbfs.query.search import Search
from cdbfs.query.shelf import Shelf
from cdbfs.xnat import xml
from cdbfs.xnat.client import Client

LONGEST_ID = 200
"""XNAT's column holds 255 characters."""
_ODD = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True)
class Owner:
    """Whose a search is to be: one login's alone, or also everybody's to run."""

    user: str
    shared: bool = False


@dataclass(frozen=True)
class Stored:
    """A search as it is to be stored."""

    id: str
    name: str
    document: bytes
    left_out: tuple[str, ...]
    """What the server cannot hold, a line each."""
    project: Value | None = None
    """The one searched in."""


def find(shelf: Shelf, name: str, shown_as: str) -> tuple[str, bytes]:
    """The name of a query of the shelf, without its suffix, and its text. Raises CdbfsError or OSError.

    `name` may have directories, and the suffix. Where there is none of that name it may lead there through a
    mount, whose directory `shown_as` the shelf is: what stands behind the first one of that name is taken.
    """
    paths = [path for each in (name, f"/{name}".partition(f"/{shown_as}/")[2]) if (path := _path(each))]
    if not paths:
        raise CdbfsError(f"{name} is no name in {shelf.root}")
    for path in paths:
        if (found := _found(shelf, path)) is not None:
            return found
    raise NotFound(f"there is no query {name} in {shelf.root}")


def _path(name: str) -> str | None:
    """`name` as a path in the shelf; None where it is none, or leads elsewhere."""
    steps = [step for step in name.split("/") if step != "."]
    return None if "" in steps or ".." in steps else "/".join(steps)


def _found(shelf: Shelf, path: str) -> tuple[str, bytes] | None:
    stem = os.path.splitext(path)[0] if path.endswith(SUFFIXES) else path
    found = {
        each: text for each in (stem + suffix for suffix in SUFFIXES) if (text := _text(shelf, each)) is not None
    }
    if len(found) == 2 and path not in found:
        raise CdbfsError(f"{' and '.join(found)} are both in {shelf.root}: say which")
    text = found.get(path) if path.endswith(SUFFIXES) else next(iter(found.values()), None)
    return None if text is None else (stem, text)


def _text(shelf: Shelf, path: str) -> bytes | None:
    if not is_query(path):
        return None
    try:
        with shelf.reading(path) as file:
            return file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def to_be_stored(name: str, query: bytes, owner: Owner, catalog: Catalog) -> Stored:
    """The query of that name, checked as for a search. Raises QueryError, also where the server cannot hold it."""
    checked(name, Place(0, 0))
    search_id = _ODD.sub("_", f"{owner.user}_{name}")
    if len(search_id) > LONGEST_ID:
        raise QueryError(f"{name} is too long a name for a search on the server")
    if is_document(query):
        document = prepare(query, catalog).document
        return Stored(search_id, name, _owned(document, search_id, name, owner), ())
    search = search_of(query, catalog)
    if search.layout.kept is not None:
        raise QueryError(
            "the server cannot hold this query: it joins rows of another type, of which cdbfs keeps those that "
            "meet the condition, and a stored search would find the others, too"
        )
    document = stored(search, search_id, name, f"stored by cdbfs from {name}.sql"[:LONGEST_ID])
    return Stored(
        search_id, name, _owned(document, search_id, name, owner), tuple(_left_out(search)), search.project
    )


def _left_out(search: Search) -> list[str]:
    said = []
    if search.layout.order:
        said.append("ORDER BY is not stored: XNAT sorts by the first column")
    if search.layout.limit is not None:
        said.append("LIMIT is not stored: the saved search finds all rows")
    return said


def _owned(document: bytes, search_id: str, name: str, owner: Owner) -> bytes:
    """A search document under another ID, and open to its owner, whoever it was open to before; else as it is."""
    root = xml.parse(document, "the query")
    if root.get("tag"):
        raise QueryError('the document has tag="...", which makes it the search of a project: leave that out')
    root.set("ID", search_id)
    root.set("secure", "false" if owner.shared else "true")
    if not root.get("brief-description"):
        root.set("brief-description", name)
    documents.allow_only(root, owner.user)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def save(search: Stored, owner: Owner, client: Client, *, replace: bool) -> None:
    """Store it. Raises CdbfsError where there is another one of that ID already, and what the requests raise.

    QueryError where the project is none that the server lists to this login.

    One's own of the same name is replaced; with `replace`, each that is one's own.
    """
    if search.project is not None:
        check_project(search.project, client)
    if search.id in {known.ID for known in client.saved_searches()}:
        _check_replaceable(search, owner, client, replace=replace)
    try:
        client.save_search(search.id, search.document)
    except AccessRefused:
        raise AccessRefused(
            f"the server does not let this login store the search {search.id}: it may not search that type, or "
            "somebody else has one of this ID"
        ) from None
    if _columns(client.saved_search_xml(search.id)) != _columns(search.document):
        raise ServerFault(f"the server stored something else as {search.id}: look at its query.xml")


def _check_replaceable(search: Stored, owner: Owner, client: Client, *, replace: bool) -> None:
    present = xml.parse(client.saved_search_xml(search.id), f"the saved search {search.id}")
    users = documents.allowed_users(present)
    if owner.user not in users:
        raise AccessRefused(f"the server has a search {search.id} of somebody else: rename the query")
    new = xml.parse(search.document, "the query").get("brief-description")
    if replace or (users == [owner.user] and present.get("brief-description", "") in (search.name, new)):
        return
    whose = "it is another query's" if users == [owner.user] else "others use it, too"
    raise CdbfsError(f"the server has a search {search.id} already, and {whose}; --replace replaces it")


def _columns(document: bytes) -> int:
    """How many: more, where a server adds the new ones to those of the search before."""
    return len(documents.columns(xml.parse(document, "the saved search")))
