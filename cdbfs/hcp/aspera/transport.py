"""Fetches packages by Aspera: has the server allow it, and ascp do it.

Used by transports. Each attempt asks for a new transfer spec, since tokens expire; but only once ascp and its key
have been found, since the server logs a download for it.

Threads: any; each call of `fetch` works in the thread that calls it, and in one that watches while the server is
asked.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Callable, Protocol

from cdbfs.errors import Dropped, NotFound, Unreachable
from cdbfs.hcp import child
from cdbfs.hcp.aspera import arguments, places
from cdbfs.hcp.aspera.ending import Session, conclude
from cdbfs.hcp.aspera.places import Tools
from cdbfs.hcp.aspera.port import Port
from cdbfs.hcp.aspera.progress import ON_DISK, Progress
from cdbfs.hcp.child import LOOK_SECONDS, Program
from cdbfs.hcp.models import Package
from cdbfs.hcp.names import files_of
from cdbfs.hcp.spec import TransferSpec
from cdbfs.hcp.transport import Again, Order, Watch, check_wanted
from cdbfs.xnat.deadline import Stop


class Service(Protocol):
    """What gives leave to fetch packages: PackageService."""

    def transfer(
        self, packages: tuple[Package, ...], hosts: Collection[str] = (), stop: Stop | None = None
    ) -> TransferSpec: ...


@dataclass(frozen=True)
class AsperaTransport:
    """A Transport by ascp."""

    service: Service
    user: str
    """The login, for the server's statistics."""
    hosts: frozenset[str]
    """Where packages may come from, beside the server."""
    stall: float
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    find: Callable[[Mapping[str, str]], Tools] = places.find

    def fetch(self, order: Order, watch: Watch) -> None:
        tools = self.find(self.environ)
        spec = self._spec(order, watch)
        files = _there(order, spec, watch)
        progress = Progress(files, order.into, watch)
        with Port(progress.hear) as port:
            program = Program(
                arguments.arguments(tools, spec, files, port.number),
                arguments.environ(self.environ, tools, spec, self.user),
                order.into,
                order.hold,
            )
            ended = child.run(program, watch, self.stall, progress.mark, [(port.listener, port.accept)])
        conclude(Session(spec, files, order.into, ended, progress), watch)

    def _spec(self, order: Order, watch: Watch) -> TransferSpec:
        wanted = files_of(order.packages)
        packages = tuple(dict.fromkeys(wanted[file] for file in order.files if file in wanted))
        try:
            with _stopped_with(watch) as stop:
                return self.service.transfer(packages, self.hosts, stop)
        except Dropped:  # perhaps it was begun, so it is for the user to ask again
            raise
        except Unreachable as error:
            # No connection, so nothing was begun there. What has arrived is worth the wait for the network.
            if any((order.into / (file + suffix)).exists() for file in order.files for suffix in ON_DISK):
                raise Again(error) from None
            raise


def _there(order: Order, spec: TransferSpec, watch: Watch) -> list[str]:
    """The files of the order that the server has; of the others the watch is told.

    A package of which a file is missing is not fetched in part.
    """
    packages = files_of(order.packages)
    lacking = {packages.get(file): file for file in order.files if file not in spec.sources}
    errors = {
        file: NotFound(f"the server does not have {lacking[packages.get(file)]}")
        for file in order.files
        if packages.get(file) in lacking
    }
    if len(errors) == len(order.files):
        raise next(iter(errors.values()))
    for file, error in errors.items():
        watch.failed(file, error)
    return [file for file in order.files if file not in errors]


@contextmanager
def _stopped_with(watch: Watch) -> Iterator[Stop]:
    """A Stop for a request, which stops when the watch does."""
    check_wanted(watch)
    stop, over = Stop(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            if watch.stopped:
                stop.stop()
                return

    thread = threading.Thread(target=look, name="cdbfs-transfer-stop", daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        over.set()
        thread.join()
