"""Where nodes get what they show: listings and documents by what they are, not by how they are kept.

Made by runtime, one a mount; handed to every node.

Threads: immutable; its parts are safe for any thread.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property, partial

from cdbfs.caller import Caller
from cdbfs.errors import AccessRefused, BrokeOff, NotFound, ServerFault
from cdbfs.hcp.models import Offer, Package
from cdbfs.hcp.service import PackageService, askable
from cdbfs.query import listing
from cdbfs.query.fields import SUBJECT_TYPE
from cdbfs.query.standing import Standing
from cdbfs.store.documents import Documents, Key
from cdbfs.store.listings import Listings
from cdbfs.store.packages.layout import fits
from cdbfs.store.packages.packages import Packages
from cdbfs.tree import names, scores, tables, times
from cdbfs.tree.indexes import ExperimentIndex, ProjectIndex, SubjectIndex, by_name
from cdbfs.tree.nodes import Content
from cdbfs.tree.stamps import Stamps, digest
from cdbfs.xnat import schemas, xml
from cdbfs.xnat.client import Client
from cdbfs.xnat.models import Experiment, SavedSearch, Subject
from cdbfs.xnat.schemas import Place

PACKAGE_HEADER = ("id", "label", "description", "keywords", "count", "size")
NEWS_SECONDS = 5.0
"""Stored searches are not shown as they were longer ago while the server answers: `cdbfs save` is to be seen."""


@dataclass(frozen=True)
class Raw:
    """A document as its bytes."""

    xml: bytes

    @cached_property
    def digest(self) -> bytes:
        return digest(self.xml)

    @property
    def weight(self) -> int:
        return len(self.xml)


class ExperimentDocument:
    """An experiment's document as its bytes and its scores."""

    def __init__(self, document: bytes) -> None:
        self.xml = document
        self.scores = scores.read(xml.parse(document, "the document"))

    @cached_property
    def digest(self) -> bytes:
        return digest(self.xml)

    @cached_property
    def csv(self) -> bytes:
        """scores.csv."""
        return scores.csv(self.scores)

    @property
    def weight(self) -> int:
        return 2 * len(self.xml) + scores.weight(self.scores)


@dataclass(frozen=True)
class Source:
    """The server behind a tree."""

    client: Client
    listings: Listings
    documents: Documents
    stamps: Stamps
    zone: tzinfo
    started: int
    """Nanoseconds since the epoch: the mtime of what has none."""
    standing: Standing
    searches: Listings
    """Documents of stored searches, kept apart, so that many of them do not displace the listings."""
    service: PackageService
    packages: Packages

    def projects(self, caller: Caller) -> ProjectIndex:
        return self.listings.get(
            "projects", lambda: ProjectIndex(self.client.projects()), caller, "the list of projects"
        )

    def subjects(self, project: str, caller: Caller) -> SubjectIndex:
        return self.listings.get(
            ("subjects", project),
            lambda: SubjectIndex(self.client.subjects(project), self.mtime, self.started),
            caller,
            f"the list of subjects of {project}",
        )

    def experiments(self, project: str, caller: Caller) -> ExperimentIndex:
        return self.listings.get(
            ("experiments", project),
            lambda: ExperimentIndex(self.client.experiments(project), self.mtime, self.started),
            caller,
            f"the list of experiments of {project}",
        )

    def project_xml(self, project: str, caller: Caller) -> Content:
        """project.xml. No listing tells when a project changed."""
        key = Key("project", project, "")
        raw = self.documents.get(key, lambda: self.client.project_xml(project), Raw, caller)
        return Content(raw.xml, self.stamps.mtime(key, raw.digest, self.started))

    def subject_xml(self, subject: Subject, project: str, caller: Caller) -> Content:
        """subject.xml. No date tells its version: it embeds experiments, also of other projects."""
        key = Key("subject", subject.ID, "")
        raw = self.documents.get(key, lambda: self.client.subject_xml(subject.ID), Raw, caller)
        experiments = self.experiments(project, caller).of_subject(subject.ID).values()
        newest = max(self.mtime(subject), max(map(self.mtime, experiments), default=0))
        return Content(raw.xml, self.stamps.mtime(key, raw.digest, newest))

    def experiment(self, experiment: Experiment, caller: Caller) -> ExperimentDocument:
        """The document of an experiment: one request for all that is made of it, in all projects that share it."""
        key = Key("experiment", experiment.ID, fingerprint(experiment))
        fetch = partial(self.client.experiment_xml, experiment.ID)
        return self.documents.get(key, fetch, ExperimentDocument, caller)

    def saved_searches(self, caller: Caller) -> Mapping[str, SavedSearch]:
        """The searches stored on the server, by file name."""
        return self.listings.get(
            "saved",
            lambda: names.assign(self.client.saved_searches()),
            caller,
            "the list of saved searches",
            longest=NEWS_SECONDS,
        )

    def saved_search_xml(self, search_id: str, caller: Caller) -> Content:
        """query.xml. Nothing tells when a stored search changed."""
        key = ("saved", search_id)
        raw = self.searches.get(
            key,
            lambda: Raw(self._saved_search(search_id)),
            caller,
            f"the saved search {search_id}",
            longest=NEWS_SECONDS,
        )
        return Content(raw.xml, self.stamps.mtime(key, raw.digest, self.started))

    def types(self, caller: Caller) -> Mapping[str, str]:
        """The data types that can be searched, by file name."""
        return by_name(self.standing.catalog.types(caller))

    def fields_csv(self, type_name: str, caller: Caller) -> Content:
        """fields.csv: one listing for all who look at a type, searches among them."""
        rows = listing.table(self.standing.catalog.fields(type_name, caller))
        return self.table(("fields", type_name), tables.csv(listing.HEADER, rows), self.started)

    def schema_xsd(self, type_name: str, caller: Caller) -> Content:
        """schema.xsd: one document for all types of a prefix. Nothing tells when it changed."""
        known = self.listings.get("schemas", self._schema_places, caller, "the places of the schemas")
        place = schemas.place_of(type_name, known)
        if place is None:
            raise NotFound(f"the data type {type_name[:100]} has no prefix that tells its schema")
        key = Key("schema", f"{place.folder}/{place.name}", "")
        raw = self.documents.get(key, lambda: self.client.schema(place.folder, place.name), Raw, caller)
        return Content(raw.xml, self.stamps.mtime(key, raw.digest, self.started))

    def offers(self, subject: str, caller: Caller) -> Mapping[str, Offer]:
        """What the package service has of a subject, by package id; the subject by its label."""

        if not askable(subject):
            return {}

        def ask() -> Mapping[str, Offer]:
            offers = self.service.offers([subject])
            return {o.id: o for o in offers if o.subjects != 0 and fits(Package(subject, o.id))}

        return self.listings.get(("packages", subject), ask, caller, f"the packages of {subject}")

    def package_index(self, project: str, caller: Caller) -> Content:
        """index.csv: what the package service has of all subjects of a project together."""
        labels = self.subjects(project, caller).labels
        offers = self.listings.get(
            ("packages of", project, labels),
            lambda: self.service.offers(sorted(filter(askable, labels))),
            caller,
            f"the packages of {project}",
        )
        rows = sorted(
            (o.id, o.label, o.description, " ".join(o.keywords), _number(o.count), _number(o.size)) for o in offers
        )
        return self.table(("packages", project), tables.csv(PACKAGE_HEADER, rows), self.started)

    def stamp(self, experiment: Experiment, document: ExperimentDocument) -> int:
        """The mtime of all that is made of an experiment's document."""
        return self.stamps.mtime(("experiment", experiment.ID), document.digest, self.mtime(experiment))

    def table(self, key: Hashable, data: bytes, said: int) -> Content:
        """A table, with an mtime that changes when it does; `said` is the server's."""
        return Content(data, self.stamps.mtime(key, digest(data), said))

    def _saved_search(self, search_id: str) -> bytes:
        """Its document. XNAT 1.6 says of one that was deleted that it failed, so then the list is asked again."""
        try:
            return self.client.saved_search_xml(search_id)
        except ServerFault:
            if search_id not in {search.ID for search in self.client.saved_searches()}:
                raise NotFound(f"the saved search {search_id} is not on the server any more") from None
            raise

    def _schema_places(self) -> Mapping[str, Place]:
        """Where the server has its schemas, by prefix. Any document of its own names them all; this one is small,
        and every server makes it for everybody. Where one does not, the customary places are left."""
        try:
            document = self.client.saved_search_xml(f"@{SUBJECT_TYPE}")
        except BrokeOff:
            raise
        except (AccessRefused, NotFound, ServerFault):
            return {}
        return schemas.places(document, "the default search of a data type")

    def mtime(self, item: Subject | Experiment) -> int:
        """When the server says it changed, else when it was inserted, else when this mount began."""
        for text in (item.last_modified, item.insert_date):
            moment = times.nanoseconds(text, self.zone)
            if moment is not None:
                return moment
        return self.started


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def fingerprint(item: Subject | Experiment) -> str:
    """What tells versions apart: last_modified, empty until the first edit, then insert_date."""
    return item.last_modified or item.insert_date
