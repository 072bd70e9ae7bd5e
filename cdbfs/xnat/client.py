"""What cdbfs asks an XNAT server, each as one request and one typed answer.

Used by store/ and runtime. Always says `format=`: the default depends on route and version, and is HTML for most
documents (seen on XNAT 1.6.4).

Threads: any; see session.
"""

from __future__ import annotations

import json
from typing import BinaryIO
from urllib.parse import quote

from cdbfs.config import LISTING_CONNECTIONS, SEARCHES, Settings
from cdbfs.credentials import Credentials
from cdbfs.errors import BadRequest, CdbfsError, LoginRefused, NotFound, ServerFault
from cdbfs.xnat import listings, schemas, searches, xml
from cdbfs.xnat.deadline import Stop
from cdbfs.xnat.http import Http, Limits
from cdbfs.xnat.models import Experiment, Project, SavedSearch, SearchField, Subject
from cdbfs.xnat.session import Route, Session

VERSION_SECONDS = 5.0
IN_A_SEGMENT = ":@"
"""What a part of a path may hold as it is (RFC 3986), and data types do: nt:scores, @nt:scores."""
SEARCH_BYTES = 2**20
"""Of the document of a stored search, at most."""
LONGEST_ID = 1000
"""Characters; XNAT's own are at most 255. Servers refuse addresses of some 8,000."""


class Client:
    """An XNAT server, asked as one user."""

    def __init__(self, settings: Settings, credentials: Credentials | None) -> None:
        limits = Limits(settings.connect_timeout, settings.silence_timeout)
        http = Http(settings.url, limits, settings.connections + LISTING_CONNECTIONS + SEARCHES)
        self.session = Session(http, credentials, settings.login_pause)
        self._deadline = settings.request_deadline
        self._listing_bytes = settings.max_listing_bytes
        self._search_deadline = settings.search_deadline
        self._result_bytes = settings.max_result_bytes
        self._document_bytes = settings.max_document_bytes

    def server_version(self) -> str:
        """XNAT's version: /data/version up to 1.6, /xapi/siteConfig/buildInfo later; "unknown" if neither says.

        It is told to people only, so that nothing but a refused login fails for it.
        """
        try:
            return _version(self._small("/data/version").decode("utf-8", "replace"))
        except NotFound:
            pass
        except LoginRefused:
            raise
        except CdbfsError:
            return "unknown"
        try:
            return _version(str(json.loads(self._small("/xapi/siteConfig/buildInfo"))["version"]))
        except (CdbfsError, ValueError, LookupError, TypeError):
            return "unknown"

    def projects(self) -> list[Project]:
        """GET /data/projects: those that this login may see."""
        body = self._listing("/data/projects", "/data/projects", ())
        return listings.parse(body, Project, "the list of projects")

    def subjects(self, project: str) -> list[Subject]:
        """GET /data/projects/{project}/subjects, owned and shared."""
        path = f"/data/projects/{_segment(project)}/subjects"
        body = self._listing("/data/projects/{project}/subjects", path, listings.SUBJECT_COLUMNS)
        return listings.parse(body, Subject, f"the list of subjects of {project}")

    def experiments(self, project: str) -> list[Experiment]:
        """GET /data/projects/{project}/experiments, owned and shared."""
        path = f"/data/projects/{_segment(project)}/experiments"
        body = self._listing("/data/projects/{project}/experiments", path, listings.EXPERIMENT_COLUMNS)
        return listings.parse(body, Experiment, f"the list of experiments of {project}")

    def project_xml(self, project: str) -> bytes:
        """GET /data/projects/{project}?format=xml."""
        return self._document("/data/projects/{project}", project)

    def subject_xml(self, subject_id: str) -> bytes:
        """GET /data/subjects/{ID}?format=xml; it embeds the subject's experiments."""
        return self._document("/data/subjects/{subject}", subject_id)

    def experiment_xml(self, experiment_id: str) -> bytes:
        """GET /data/experiments/{ID}?format=xml."""
        return self._document("/data/experiments/{experiment}", experiment_id)

    def search_types(self) -> list[str]:
        """GET /data/search/elements: the data types that can be searched."""
        body = self._listing("/data/search/elements", "/data/search/elements", ())
        return searches.types(body, "the list of data types")

    def search_fields(self, type_name: str) -> list[SearchField]:
        """GET /data/search/elements/{type}: its fields. Raises NotFound where the server has no such type."""
        template = "/data/search/elements/{type}"
        path = "/data/search/elements/" + _segment(type_name)
        try:
            body = self._listing(template, path, ())
        except BadRequest:  # XNAT's answer for an unknown type
            raise NotFound(f"the server has no data type {type_name}") from None
        return searches.fields(body, type_name, f"the list of fields of {type_name}")

    def search(self, document: bytes, sink: BinaryIO, *, refresh: bool = False, stop: Stop | None = None) -> None:
        """POST /data/search: the rows of a search document, as XNAT's JSON, into `sink`.

        `stop` gives it up from another thread: Interrupted. `refresh`: also where the document's ID is that of a
        search that newer servers keep (xnat 1.8).
        """
        route = self._search_route("/data/search")
        params = {"format": "json", "refresh": "true"} if refresh else {"format": "json"}
        self.session.post(route, "/data/search", params, document, sink, stop)

    def saved_searches(self) -> list[SavedSearch]:
        """GET /data/search/saved: those stored on the server that are open to this login, and of no project."""
        body = self._listing("/data/search/saved", "/data/search/saved", ())
        return listings.saved_searches(body, "the list of saved searches")

    def saved_search_xml(self, search_id: str) -> bytes:
        """GET /data/search/saved/{ID}: a stored search as its document; of ID `@TYPE` the default one of a type.

        Where there is none, XNAT 1.6 answers 500: ServerFault, not NotFound.
        """
        return self._document("/data/search/saved/{search}", search_id, SEARCH_BYTES)

    def saved_search_results(self, search_id: str, sink: BinaryIO, stop: Stop | None = None) -> None:
        """GET /data/search/saved/{ID}/results: the rows that a stored search finds now, as `search` gives them."""
        route = self._search_route("/data/search/saved/{search}/results")
        path = f"/data/search/saved/{_segment(search_id)}/results"
        self.session.get(route, path, {"format": "json", "refresh": "true"}, sink, stop)

    def save_search(self, search_id: str, document: bytes) -> None:
        """PUT /data/search/saved/{ID}: store a search. XNAT takes one whose ID it knows for a new version."""
        route = Route("/data/search/saved/{search}", self._document_bytes, self._deadline, attempts=1)
        self.session.put(route, f"/data/search/saved/{_segment(search_id)}", {"inbody": "true"}, document)

    def schema(self, folder: str, name: str) -> bytes:
        """GET /schemas/{folder}/{name}.xsd, else /xapi/schemas/{folder}/{name}: an XML Schema, checked to be one.

        The first is a file of XNAT 1.6's, the second a service of newer servers. Raises NotFound.
        """
        below = f"{_segment(folder)}/{_segment(name)}"
        body = b""
        try:
            body = self._whole("/schemas/{folder}/{name}", f"/schemas/{below}.xsd")
        except NotFound as missing:
            try:
                body = self._whole("/xapi/schemas/{folder}/{name}", f"/xapi/schemas/{below}")
            except NotFound:
                raise missing from None
        schemas.check(body, f"the schema {folder}/{name}.xsd")
        return body

    def _whole(self, template: str, path: str) -> bytes:
        return self.session.get(Route(template, self._document_bytes, self._deadline), path).body

    def _search_route(self, template: str) -> Route:
        deadline = self._search_deadline
        return Route(template, self._result_bytes, deadline, attempts=2, silence=deadline)

    def _small(self, path: str) -> bytes:
        route = Route(path, max_bytes=2**16, deadline=VERSION_SECONDS, attempts=1)
        return self.session.get(route, path).body

    def _listing(self, template: str, path: str, columns: tuple[str, ...]) -> bytes:
        params = {"format": "json"}
        if columns:
            params["columns"] = ",".join(columns)
        route = Route(template, self._listing_bytes, self._deadline)
        return self.session.get(route, path, params).body

    def _document(self, template: str, item: str, most: int | None = None) -> bytes:
        """The document's bytes, checked to be whole and to be the one that was asked for."""
        path = template[: template.index("{")] + _segment(item)
        route = Route(template, most or self._document_bytes, self._deadline)
        body = self.session.get(route, path, {"format": "xml"}).body
        root = xml.parse(body, f"the document {path}")
        if root.get("ID", item) != item:
            raise ServerFault(f"the server answered {path} with the document of another item")
        return body


def _segment(item: str) -> str:
    """An ID as one part of a URL's path. Raises ServerFault for one that no URL can hold."""
    try:
        if item in (".", "..") or len(item) > LONGEST_ID:  # dots would be taken for steps, and name something else
            raise ValueError(item)
        return quote(item, safe=IN_A_SEGMENT)
    except ValueError:
        raise ServerFault(
            f"the server lists something with the ID {item[:99]!r}, which no address can name"
        ) from None


def _version(text: str) -> str:
    line = text.strip()
    return line if line.isprintable() and 0 < len(line) < 100 else "unknown"
