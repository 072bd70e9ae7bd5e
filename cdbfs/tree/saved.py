"""saved/: the searches that are stored on the server, each as its document and what it finds.

Threads: immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.query.runs import Job
from cdbfs.tree.nodes import Content, Directory, Entry, Kind, Made, Node
from cdbfs.tree.source import Source
from cdbfs.tree.standing import StandingResult

SAVED = "saved"
"""The directory's name in the mount."""
DOCUMENT, RESULT = "query.xml", "result.csv"


@dataclass(frozen=True)
class SavedSearches(Directory):
    """saved/: by ID. A server that gives no list of them gives an error, and no empty directory."""

    source: Source

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return [Entry(name, Kind.DIRECTORY) for name in self.source.saved_searches(caller)]

    def child(self, name: str, caller: Caller) -> Node:
        search = self.source.saved_searches(caller).get(name)
        if search is None:
            raise NoSuchName(name)
        return SavedSearchDirectory(self.source, name, search.ID)


@dataclass(frozen=True)
class SavedSearchDirectory(Directory):
    """saved/<id>/. Its document tells which result it has, so that looking up result.csv needs that, too."""

    source: Source
    name: str
    search_id: str

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return [Entry(DOCUMENT, Kind.FILE), Entry(RESULT, Kind.FILE)]

    def child(self, name: str, caller: Caller) -> Node:
        if name == DOCUMENT:
            return Made(self._document)
        if name != RESULT:
            raise NoSuchName(name)
        path = f"{SAVED}/{self.name}/{RESULT}"
        document = self._document(caller)
        return StandingResult(self.source.standing.runs, path, self._job(document), self._ask, document.mtime)

    def _ask(self, caller: Caller) -> Job:
        return self._job(self._document(caller))

    def _document(self, caller: Caller) -> Content:
        return self.source.saved_search_xml(self.search_id, caller)

    def _job(self, document: Content) -> Job:
        return self.source.standing.saved(self.search_id, document.data)
