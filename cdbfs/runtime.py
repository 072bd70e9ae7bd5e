"""Builds a mount's parts, hands them to each other, and ends them.

Used by cli, by mount.daemon and by tests.

Threads: made, started and closed by one thread; its parts are used by many.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote

from cdbfs import __version__
from cdbfs.config import LISTING_CONNECTIONS, Settings
from cdbfs.credentials import Credentials
from cdbfs.events import Journal
from cdbfs.hcp.service import PackageService
from cdbfs.hcp.transports import chosen
from cdbfs.query.catalog import Catalog
from cdbfs.query.directory import SearchDirectory
from cdbfs.query.queries import Queries
from cdbfs.query.runs import Runs
from cdbfs.query.shelf import Shelf
from cdbfs.query.standing import Standing
from cdbfs.store.disk import DiskCache, own
from cdbfs.store.documents import Ages, Documents
from cdbfs.store.flight import Flight, Waiters
from cdbfs.store.listings import Listings
from cdbfs.store.packages.arrival import Parts
from cdbfs.store.packages.bulk import Bulk
from cdbfs.store.packages.kept import KeptPackages
from cdbfs.store.packages.layout import Layout
from cdbfs.store.packages.packages import Packages
from cdbfs.store.packages.slots import Slots
from cdbfs.store.packages.space import Space
from cdbfs.store.packages.transfers import Patience, Transfers
from cdbfs.store.packages.unpacker import Unpacker
from cdbfs.store.results import Results
from cdbfs.tree import names
from cdbfs.tree.control import control_directory
from cdbfs.tree.search import SEARCH
from cdbfs.tree.source import Source
from cdbfs.tree.stamps import Stamps
from cdbfs.tree.tree import Tree
from cdbfs.xnat.client import Client

DISK_WORKERS = 4
INDEX_WORKERS = 2
UNPACKING_WORKERS = 4
"""Members unpacked at once: the work is in C, and a laptop has so many cores."""
SILENCE_MARGIN = 60.0
"""Seconds that another process may say nothing new of a transfer, beside two stalls: it tries again, too."""
STORED_SEARCHES = 64
"""Documents of stored searches that are kept, of at most 1 MiB each."""


class Runtime:
    """A logged-in server as a tree. Raises LoginRefused, Unreachable, TimedOut or ServerFault at start.

    By `clock` and `wall_clock` listings and documents age.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.journal = Journal()
        self.control = ""
        """Where the control socket of the mount is."""
        self.waiters = Waiters(settings.max_waiters)
        # Lanes: listings do not wait for slow documents, and what lies on disk waits for no server.
        self._listing_flight = Flight(LISTING_CONNECTIONS, self.waiters)
        self._document_flight = Flight(settings.connections, self.waiters)
        self._disk_flight = Flight(DISK_WORKERS, self.waiters)
        kept = partial(
            Listings,
            self._listing_flight,
            self.journal,
            ttl=settings.listing_ttl,
            retry_pause=settings.retry_pause,
            clock=clock,
        )
        self.listings = kept(keep=settings.listings)
        self._searches = kept(keep=STORED_SEARCHES)
        self.client = Client(settings, credentials)
        disk = DiskCache(
            _scope(settings.cache_dir / "documents", settings, self.client.session.user),
            settings.cache_size,
            self.journal,
        )
        ages = Ages(settings.document_ttl, settings.listing_ttl, settings.retry_pause)
        self.documents = Documents(
            self._disk_flight,
            self._document_flight,
            disk,
            self.journal,
            settings.memory_size,
            ages,
            clock,
            wall_clock,
        )
        self._started = time.time()
        own(settings.cache_dir, "cache_dir")
        own(settings.search_dir, "search_dir")
        self._service, self.packages = package_store(settings, self.client, self.waiters, self.journal)
        user = self.client.session.user
        shelf = Shelf(shelf_directory(settings, user), settings.umask)
        shelf.prepare()
        self.runs = Runs(
            Results(_scope(settings.cache_dir / "results", settings, user), settings.results_size),
            self.waiters,
            self.journal,
            ttl=settings.result_ttl,
            retry_pause=settings.retry_pause,
        )
        try:
            self.client.session.login(settings.request_deadline)
            self.server_version = self.client.server_version()
            self._has_packages = self._service.is_offered()
        except BaseException:
            self.close()
            raise
        catalog = Catalog(self.client, self.listings)
        queries = Queries(shelf, self.runs, self.client, catalog, f"{SEARCH}/")
        self.search = SearchDirectory(queries)
        self.tree = self._tree(queries, Standing(self.runs, self.client, catalog))

    def status(self) -> dict[str, Any]:
        """What status.json shows. Counters only: no names of people or files, no secrets."""
        session, usage = self.client.session, self.packages.usage()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "control": self.control,
            "server": {"url": self.settings.url, "version": self.server_version, "user": session.user},
            "reachable": not session.http.breaker.is_open,
            "seconds_up": round(time.time() - self._started, 1),
            "logins": session.logins,
            "requests": dict(sorted(session.counts.items())),
            "waiting": self.waiters.now,
            "listings": len(self.listings),
            "searches": self.runs.now,
            "transfers": len(self.packages.transfers()),
            "documents_memory_bytes": self.documents.memory_used,
            "packages": {"bytes": usage.kept, "reserved": usage.reserved, "cap": usage.cap},
            "warnings": self.packages.warnings(),
            "failures": len(self.journal.failures()),
        }

    def close(self) -> None:
        """End the session and take no more work."""
        for flight in (self._listing_flight, self._document_flight, self._disk_flight):
            flight.close()
        self.runs.close()
        self.packages.close()
        self.client.session.close()

    def _tree(self, queries: Queries, standing: Standing) -> Tree:
        started = int(self._started * 10**9)
        zone = self.settings.zone
        source = Source(
            self.client,
            self.listings,
            self.documents,
            Stamps(),
            zone,
            started,
            standing,
            self._searches,
            self._service,
            self.packages,
        )
        version = f"cdbfs {__version__}\nXNAT {self.server_version}"
        control = control_directory(self.journal, version, self.status, self.packages, started)
        return Tree(source, control, queries, packages=self._has_packages)


def package_store(
    settings: Settings, client: Client, waiters: Waiters, journal: Journal | None = None
) -> tuple[PackageService, Packages]:
    """The package service that `client` is logged in to, and what is kept of it. Raises ConfigError."""
    user = client.session.user
    service = PackageService(client.session)
    root = settings.cache_dir / "packages"
    layout = Layout(_scope(root, settings, user))
    with suppress(OSError):  # a full disk costs packages, not the mount; each transfer tries again
        layout.prepare()
    kept = KeptPackages(layout)
    space = Space(root, settings.packages_size, settings.packages_free)
    transport = chosen(settings, service, user)
    slots = Slots(root / "locks", settings.transfers)
    parts = Parts(kept, space, slots, transport, settings.transfer_grace, threading.Event())
    patience = Patience(settings.retry_pause, 2 * settings.transfer_stall + SILENCE_MARGIN, _ways(settings))
    transfers = Transfers(layout, parts, waiters, patience)
    unpacker = Unpacker(
        kept,
        space,
        (Flight(INDEX_WORKERS, waiters), Flight(UNPACKING_WORKERS, waiters)),
        journal or Journal(),
        settings.zone,
        settings.max_member_ratio,
    )
    return service, Packages(kept, transfers, space, Bulk(settings.bulk_limit), unpacker)


def _ways(settings: Settings) -> str:
    """What names the settings that decide how a package comes, and whether there is room for it."""
    aspera = [os.environ.get(name, "") for name in ("ASCP", "ASPERA_BINDIR", "ASPERA_CONNECTDIR", "ASPERA_ETCDIR")]
    ways = (settings.packages_dir, settings.packages_command, sorted(settings.aspera_hosts), aspera)
    return hashlib.sha256(repr((ways, settings.packages_size, settings.packages_free)).encode()).hexdigest()[:16]


def _scope(directory: Path, settings: Settings, user: str) -> Path:
    """Where what is kept of this server and login lies: what one login may read another may not."""
    return directory / hashlib.sha256(_bytes(f"{settings.url.rstrip('/')}\0{user}")).hexdigest()[:16]


def shelf_directory(settings: Settings, user: str) -> Path:
    """Where the queries of this server and login lie, by a name that tells."""
    server = settings.url.rstrip("/").partition("://")[2]
    return settings.search_dir / names.fit(quote(_bytes(f"{user}@{server}"), safe="@"))


def _bytes(text: str) -> bytes:
    """A login need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")
