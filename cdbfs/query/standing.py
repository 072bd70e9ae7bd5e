"""Searches that stand in the tree without a query of the user's: those stored on the server, and projects' tables.

Used by the nodes of saved/ and tables/. They are run and kept as the shelf's are, by `runs`; their keys hold all
that decides what is asked. As nobody can touch such a result, a table's key holds the version of what it shows.

Threads: immutable; its parts are safe for any thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from cdbfs.query.catalog import Catalog
from cdbfs.query.overview import run_overview
from cdbfs.query.runs import Job, Runs
from cdbfs.query.saved import run_saved
from cdbfs.store.results import Writer
from cdbfs.xnat.client import Client
from cdbfs.xnat.deadline import Stop

MEANING = "cdbfs 1"
"""Part of every key; another number when the same question comes to have another result."""


@dataclass(frozen=True)
class Standing:
    """One server's, as one login sees them."""

    runs: Runs
    client: Client
    catalog: Catalog

    def saved(self, search_id: str, document: bytes) -> Job:
        """The rows of a stored search; another document is another search."""
        return Job(_key("saved", search_id, document), partial(self._run_saved, search_id, document))

    def overview(self, project: str, type_name: str, labels: Mapping[str, str], version: str) -> Job:
        """The table of a project's experiments of one type, whose labels there are `labels`, by ID."""
        make = partial(self._run_overview, project, type_name, labels)
        return Job(_key("overview", project, type_name, version), make)

    def _run_saved(self, search_id: str, document: bytes, out: Writer, stop: Stop) -> None:
        run_saved(search_id, document, self.client, self.catalog.fields, self.runs.workspace, out, stop)

    def _run_overview(
        self, project: str, type_name: str, labels: Mapping[str, str], out: Writer, stop: Stop
    ) -> None:
        run_overview(project, type_name, labels, self.client, self.catalog, self.runs.workspace, out, stop)


def _key(*parts: str | bytes) -> str:
    """Of the parts and their lengths, so that no two lists of them have the same."""
    digest = hashlib.sha256()
    for part in (MEANING, *parts):
        raw = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw) + raw)
    return digest.hexdigest()
