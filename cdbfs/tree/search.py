"""search/: the user's own queries, and their results beside them.

Threads: immutable.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.query.queries import ERROR, Queries, error_text
from cdbfs.store.results import Kept, OnDisk
from cdbfs.tree.inodes import own_inode
from cdbfs.tree.nodes import Content, Directory, Entry, Kind, Link, Node, Own, Result

SEARCH = "search"
"""The directory's name in the mount."""
KINDS = {stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.LINK}
"""All else shows as a file."""


def search_directory(queries: Queries) -> Directory:
    """search/"""
    return ShelfDirectory(queries, "", queries.shelf.stat(""))


@dataclass(frozen=True)
class ShelfDirectory(Directory):
    """search/ and each directory in it: what lies there, and the results of its queries."""

    queries: Queries
    path: str
    own: os.stat_result

    @property
    def mtime(self) -> int:
        return self.own.st_mtime_ns

    def entries(self, caller: Caller) -> Iterable[Entry]:
        names = self.queries.shelf.names(self.path)
        found = {
            name.name: Entry(name.name, KINDS.get(name.type_bits, Kind.FILE), own_inode(name.device, name.inode))
            for name in names
        }
        for hidden in self.queries.hidden(self.path, list(found)):
            del found[hidden]
        for result in self.queries.virtual(self.path, list(found)):
            found[result] = Entry(result, Kind.FILE)
        return [found[name] for name in sorted(found)]

    def child(self, name: str, caller: Caller) -> Node:
        path = f"{self.path}/{name}" if self.path else name
        query = self.queries.of(path)
        if query is not None and path.endswith(ERROR):
            return QueryError(self.queries, path)
        if query is not None:
            return QueryResult(self.queries, path)
        return self._own(path)

    def _own(self, path: str) -> Node:
        try:
            found = self.queries.shelf.stat(path)
            if stat.S_ISDIR(found.st_mode):
                return ShelfDirectory(self.queries, path, found)
            if stat.S_ISLNK(found.st_mode):
                return Link(self.queries.shelf.target(path), found.st_mtime_ns, found)
        except FileNotFoundError:
            raise NoSuchName(path) from None
        return ShelfFile(self.queries, path, found)


@dataclass(frozen=True)
class ShelfFile(Own):
    """A file that the user put there."""

    queries: Queries
    path: str
    own: os.stat_result

    def content(self) -> Content:
        with self.queries.shelf.reading(self.path) as file:
            return Content(file.read(), self.own.st_mtime_ns)


@dataclass(frozen=True)
class QueryResult(Result):
    """<name>.csv: what the query beside it finds."""

    queries: Queries
    path: str

    def shown(self) -> Kept:
        query = self.queries.of(self.path)
        if query is None or not self.queries.has_result(query):
            raise NoSuchName(self.path)
        return self.queries.shown(query)

    def open(self, caller: Caller) -> OnDisk:
        return self.queries.open(self.path, caller)


@dataclass(frozen=True)
class QueryError(Result):
    """<name>.error: why the query beside it has no result, or only an old one; there only while that is so."""

    queries: Queries
    path: str

    def shown(self) -> Kept:
        content = self._content()
        return Kept(content.size, content.mtime)

    def open(self, caller: Caller) -> Content:
        return self._content()

    def _content(self) -> Content:
        query = self.queries.of(self.path)
        reason = None if query is None else self.queries.reason(query)
        if reason is None:
            raise NoSuchName(self.path)
        text, when = reason
        return Content(error_text(text), when)
