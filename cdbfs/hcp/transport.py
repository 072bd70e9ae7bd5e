"""What every way of fetching packages has in common: an order, somebody who watches, and how it may end.

Used by store/, which verifies and keeps what arrives. A Transport's `fetch` returns when every file of the
order that could be had lies in `into` under its own name. Whether it is whole is not its business (store checks
the md5), but it goes on from what an attempt before left there. It raises

- Again: this attempt ended early and another may do better; what has arrived stays for it.
- Interrupted: `watch.stopped` said so; what has arrived stays.
- any other CdbfsError: for good, with a reason that tells a user what to do.

Threads: a Transport may be used from several threads at once, for orders that share no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cdbfs.errors import CdbfsError, Interrupted
from cdbfs.hcp.models import Package


@dataclass(frozen=True)
class Order:
    """Files to fetch: of `packages`, those named in `files`, into the directory `into`, which exists."""

    packages: tuple[Package, ...]
    files: tuple[str, ...]
    into: Path
    hold: tuple[int, ...] = ()
    """Descriptors of locks on these files: a program that is started inherits them, so that nobody else writes the
    same files for as long as it lives, whatever becomes of us."""


class Watch(Protocol):
    """Who watches a transfer; called often, from any thread of the transport's, and never waits."""

    @property
    def stopped(self) -> bool:
        """Whether the transfer is to end now; looked at several times a second."""

    def moved(self, file: str, done: int, size: int | None) -> None:
        """So many bytes of a file are there; of `size`, where that is known."""

    def failed(self, file: str, error: CdbfsError) -> None:
        """This file of several cannot be had; the others go on."""

    def started(self, pid: int) -> None:
        """A program was started that writes the files."""


class Transport(Protocol):
    """A way to fetch packages."""

    def fetch(self, order: Order, watch: Watch) -> None: ...


class Again(Exception):
    """An attempt that ended early, and is worth another; `meaning` is what it comes to when there is no other.

    `blocked`: a firewall lets nothing through, as it seems; not worth many more where nothing has come at all.
    """

    def __init__(self, meaning: CdbfsError, *, blocked: bool = False) -> None:
        super().__init__(str(meaning))
        self.meaning = meaning
        self.blocked = blocked


def check_wanted(watch: Watch) -> None:
    """Raise Interrupted where the watch says stopped."""
    if watch.stopped:
        raise Interrupted("the transfer was stopped")
