"""saved/: the searches that are stored on the server, each as its document and what it finds.

Threads: immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.query.runs import Job
from cdbfs.tree.nodes import Directory, Entry, Kind, Made, Node
from cdbfs.tree.source import Source
from cdbfs.tree.standing import StandingResult

SAVED = "saved"
"""The directory's name in the mount."""
NEWS_SECONDS = 5.0
"""A name that a list of over so many seconds ago lacks is looked for in a new one: it may be of a `cdbfs save`."""
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
        if search is None and not name.startswith("."):  # as programs look for that never are there
            search = self.source.saved_searches(caller, NEWS_SECONDS).get(name)
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
            return Made(lambda caller: self.source.saved_search_xml(self.search_id, caller))
        if name != RESULT:
            raise NoSuchName(name)
        document = self.source.saved_search_xml(self.search_id, caller)
        job = self.source.standing.saved(self.search_id, document.data)
        path = f"{SAVED}/{self.name}/{RESULT}"
        return StandingResult(self.source.standing.runs, path, job, self._job, document.mtime)

    def _job(self, caller: Caller) -> Job:
        return self.source.standing.saved(
            self.search_id, self.source.saved_search_xml(self.search_id, caller).data
        )
