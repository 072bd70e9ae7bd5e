"""The package service: what there is for whom, and the orders (transfer specifications) that it hands out.

Used by the routes, ``standin`` and ``aspera``, which looks up the tokens. One lock; any thread.
"""

from __future__ import annotations

import datetime
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Union

from cdbfs.demo.dataset import Account
from cdbfs.demo.packages.offers import Packages
from cdbfs.demo.packages.stock import Stock, labelled
from cdbfs.demo.packages.vault import Wanted
from cdbfs.demo.world import World

USER = "asperaweb"
FASP_PORT = 33001
_TARGET_KBPS = 40_000_000
_MIN_KBPS = 100

Change = Union[Mapping[str, Any], Callable[[dict[str, Any]], Any]]
"""What a test makes of a specification: fields that take the place of the true ones, or what makes the answer."""


@dataclass(frozen=True)
class Ticket:
    """What a token opens: sources, each the zip of a package or (True) the file with its digest."""

    token: str
    user: str
    stock: Stock
    sources: Mapping[str, tuple[Wanted, bool]]


@dataclass(frozen=True)
class Place:
    """Where ascp is to connect, as the server's own client knows the host."""

    host: str
    port: int


class Desk:
    """The service of a running stand-in. ``directory`` is a scratch directory, asked for when a zip is made."""

    def __init__(self, directory: Callable[[], Path]) -> None:
        self._directory = directory
        self._stocks: dict[int, Stock] = {}
        self._tickets: dict[str, Ticket] = {}
        self._log: list[str] = []
        self._changes: list[tuple[Change, int | None]] = []
        self._lock = threading.Lock()

    # --- what there is

    def stock(self, packages: Packages) -> Stock:
        """The stock of a state of the data; one for as long as the stand-in runs."""
        with self._lock:
            found = self._stocks.get(id(packages))
            if found is None or found.packages is not packages:
                found = Stock(packages, self._directory() / f"packages-{len(self._stocks)}")
                self._stocks[id(packages)] = found
            return found

    def close(self) -> None:
        """Forget the zips, whose directory is going away."""
        with self._lock:
            self._stocks.clear()

    def held(
        self, world: World, account: Account | None, labels: Iterable[str], ids: Iterable[str] | None
    ) -> list[Wanted]:
        """The packages that these subjects have, of these IDs (None: all); by subject, then as offered."""
        packages = world.data.packages
        if packages is None:
            return []
        stock = self.stock(packages)
        asked = [offer.id for offer in stock.offers(ids)]
        found: list[Wanted] = []
        for label in dict.fromkeys(labels):
            for package in asked:
                every = (stock.wanted(world, s, label, package) for s in labelled(world, account, label))
                found += [each for each in every if each is not None][:1]
        return found

    def find(self, world: World, label: str, package: str) -> tuple[Stock, Wanted]:
        """A package, whoever may read it; KeyError: there is none."""
        packages = world.data.packages
        found = self.held(world, None, [label], [package])
        if packages is None or not found:
            raise KeyError(f"{label}_{package}")
        return self.stock(packages), found[0]

    # --- orders

    def order(self, account: Account, stock: Stock, wanted: Sequence[Wanted], place: Place, target: str) -> Any:
        """The answer that lets ascp fetch these packages; logged, as the server logs it."""
        sources = {stock.source(each) + end: (each, bool(end)) for each in wanted for end in ("", ".md5")}
        ticket = Ticket(f"ATB3_AAB{secrets.token_urlsafe(48)}_TA", account.user, stock, sources)
        size = sum(stock.announced(each) for each in wanted)
        with self._lock:
            self._tickets[ticket.token] = ticket
            self._log.append(_log_line(account.user, wanted, size))
        return self._changed(_specification(ticket, place, target))

    def ticket(self, token: str) -> Ticket | None:
        with self._lock:
            return self._tickets.get(token)

    def tokens(self) -> list[str]:
        """Every token handed out, the latest last."""
        with self._lock:
            return list(self._tickets)

    def log(self) -> list[str]:
        """The server's package-downloads.log."""
        with self._lock:
            return list(self._log)

    # --- orders that a test makes up

    def change_orders(self, change: Change, times: int | None) -> None:
        """Change the next so many orders (None: all from now on)."""
        with self._lock:
            self._changes.append((change, times))

    def next_change(self) -> Change | None:
        with self._lock:
            return self._changes[0][0] if self._changes else None

    def leave_orders(self) -> None:
        """Hand out true orders from now on."""
        with self._lock:
            self._changes.clear()

    def _changed(self, order: dict[str, Any]) -> Any:
        change = self._take_change()
        if change is None:
            return order
        return change(order) if callable(change) else {**order, **change}

    def _take_change(self) -> Change | None:
        with self._lock:
            if not self._changes:
                return None
            change, times = self._changes.pop(0)
            if times is None or times > 1:
                self._changes.insert(0, (change, None if times is None else times - 1))
            return change


def _specification(ticket: Ticket, place: Place, target: str) -> dict[str, Any]:
    return {
        "paths": [{"source": source} for source in ticket.sources],
        "source_root": "",
        "destination_root": target,
        "token": ticket.token,
        "direction": "receive",
        "cipher": "aes-128",
        "rate_policy": "fair",
        "target_rate_kbps": _TARGET_KBPS,
        "min_rate_kbps": _MIN_KBPS,
        "remote_host": place.host,
        "remote_user": USER,
        "ssh_port": place.port,
        "fasp_port": FASP_PORT,
        "http_fallback": False,
    }


def _log_line(user: str, wanted: Sequence[Wanted], size: int) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    when = f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d}"
    packages = ",".join(dict.fromkeys(each.id for each in wanted))
    subjects = ", ".join(dict.fromkeys(each.label for each in wanted))
    return f"{when} {user} downloading {packages} x [{subjects}] ({size} bytes)"
