"""ConnectomeDB's package service, /spring/download: what there is, and, once, leave to fetch it.

One address and method answers both, and only `view=packages` makes the answer a listing: without it the server
begins a download, and logs it. So each is a method of its own here, reads its own answer only, and what begins a
download is sent once (facts: 1.1). Used by tree (listings) and by the Aspera transport.

Threads: any; see xnat.session.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import quote, urlsplit

from cdbfs.errors import (
    AccessRefused,
    BrokeOff,
    CdbfsError,
    NotFound,
    ServerFault,
    TimedOut,
    TooLarge,
    Unreachable,
)
from cdbfs.hcp import answers, spec
from cdbfs.hcp.models import Offer, Package
from cdbfs.hcp.names import askable as askable
from cdbfs.hcp.names import check_labels, check_packages, files_of
from cdbfs.hcp.spec import TransferSpec
from cdbfs.hcp.words import plain
from cdbfs.xnat.deadline import Stop
from cdbfs.xnat.session import Route, Session

PATH = "/spring/download"
INDEX = PATH
LISTING = f"{PATH} view=packages"
TRANSFER = f"{PATH} transfer"
"""The kinds of request, as they are counted."""
LONGEST_ADDRESS = 7000
"""Characters: servers refuse addresses of some 8,000, and the service takes its questions in them."""
LISTING_BYTES = 4 * 2**20
SPEC_BYTES = 2**20
DEADLINE = 120.0
LOOK_SECONDS = 10.0
NO_SERVICE = "this server has no package service"


class PackageService:
    """The service of the server that `session` is logged in to."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def is_offered(self) -> bool:
        """Whether the server has this service.

        Where it gives no answer just now, it is taken to have it: whoever lists packages is told why they are not
        there. Raises LoginRefused or SessionRefused.
        """
        try:
            self.index(LOOK_SECONDS)
        except (NotFound, AccessRefused, TooLarge):
            return False
        except ServerFault as fault:
            return isinstance(fault, BrokeOff)
        except (TimedOut, Unreachable):
            return True
        return True

    def index(self, deadline: float = DEADLINE) -> tuple[Offer, ...]:
        """GET /spring/download: all packages, without what they come to. Raises NotFound where there is none."""
        route = Route(INDEX, LISTING_BYTES, deadline)
        try:
            answer = self._session.get(route, PATH)
        except NotFound:
            raise NotFound(NO_SERVICE) from None
        return tuple(answers.offers(answer.body, "the list of packages"))

    def offers(self, subjects: Sequence[str]) -> tuple[Offer, ...]:
        """POST with view=packages: the packages of these subjects, by label, added up over all of them.

        Raises NotFound for a subject that cannot be asked for, and where there is no service.
        """
        check_labels(subjects)
        labels = list(dict.fromkeys(subjects))
        return answers.together(self._listing(batch) for batch in self._batches(labels))

    def transfer(
        self, packages: Sequence[Package], hosts: Collection[str] = (), stop: Stop | None = None
    ) -> TransferSpec:
        """POST without view: have the server allow a transfer of these packages. It logs a download for each.

        The service gives the product of the subjects and the ids that it is asked for; what of it is none of
        `packages` is left out. So is what the server does not have; raises NotFound where that is all. Packages
        may come from `hosts` (patterns) and from the server itself. Never sent twice, but after a new login.
        """
        check_packages(packages)
        subjects = list(dict.fromkeys(package.subject for package in packages))
        ids = list(dict.fromkeys(package.id for package in packages))
        query = f"{_values('subjects', subjects)}&{_values('package', ids)}"
        if not packages or len(self._session.http.url + PATH) + len(query) + 1 > LONGEST_ADDRESS:
            raise CdbfsError(f"{len(packages)} packages cannot be asked for in one request")
        product = files_of(Package(subject, package_id) for subject in subjects for package_id in ids)
        route = Route(TRANSFER, SPEC_BYTES, DEADLINE, attempts=1, once=True)
        body = self._post(route, query, _lacking(packages), stop)
        raw = answers.parsed(body, spec.WHAT)
        return spec.check(raw, files_of(packages), {*hosts, self._host}, product)

    @property
    def _host(self) -> str:
        return urlsplit(self._session.http.url).hostname or ""

    def _listing(self, subjects: Iterable[str]) -> list[Offer]:
        query = f"{_values('subjects', subjects)}&view=packages"
        body = self._post(Route(LISTING, LISTING_BYTES, DEADLINE), query, NO_SERVICE)
        return answers.offers(body, "the list of packages")

    def _post(self, route: Route, query: str, otherwise: str, stop: Stop | None = None) -> bytes:
        """The answer; `otherwise` is what it means where the server says 404."""
        try:
            return self._session.post(route, PATH, query, b"", stop=stop).body
        except NotFound:
            raise NotFound(otherwise) from None

    def _batches(self, subjects: Iterable[str]) -> Iterator[list[str]]:
        """So many together as one address can name."""
        room = LONGEST_ADDRESS - len(f"{self._session.http.url}{PATH}?subjects=&view=packages")
        batch: list[str] = []
        length = 0
        for subject in subjects:
            size = len(_value(subject)) + 1
            if batch and length + size > room:
                yield batch
                batch, length = [], 0
            batch.append(subject)
            length += size
        if batch:
            yield batch


def _lacking(packages: Sequence[Package]) -> str:
    more = f" and {len(packages) - 1} more" if len(packages) > 1 else ""
    return f"the server does not have {plain(packages[0].zip)}{more}, or does not give it to this login"


def _values(name: str, values: Iterable[str]) -> str:
    """The commas stand as they are: the service splits at them."""
    return f"{name}={','.join(map(_value, values))}"


def _value(value: str) -> str:
    return quote(value, safe="")
