"""What `fetch_all` tells while it fetches, as frozen events, and as objects of JSON.

Made by fetching; the objects are what `cdbfs fetch --json` prints, and what a mount's control socket sends.

Threads: frozen data and plain functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from cdbfs.hcp.models import Package
from cdbfs.store.packages.boards import Told
from cdbfs.store.packages.transfer import Transfer

Event = Mapping[str, Any]
"""What an event is in JSON: an object whose `event` tells its kind."""


@dataclass(frozen=True)
class Planned:
    """So many packages are to be fetched, and are expected to take so many bytes; others are here already."""

    packages: int
    size: int
    here: int


@dataclass(frozen=True)
class Arrived:
    """A package is here; `fetched` now, or before."""

    package: Package
    size: int
    fetched: bool = True


@dataclass(frozen=True)
class Failed:
    """A package cannot be had."""

    package: Package
    reason: str


@dataclass(frozen=True)
class Moving:
    """How it stands: bytes of all packages that are to be fetched, and the transfers under way."""

    done: int
    size: int
    rate: float
    under_way: tuple[Told, ...]


Progress = Union[Planned, Arrived, Failed, Moving]


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    here: int
    """Packages that are here now."""
    fetched: int
    """Those of them that were not before."""
    size: int
    """Bytes of these."""
    failed: tuple[Failed, ...] = ()
    missing: tuple[Package, ...] = ()
    """Those that were left when it was stopped."""
    left: tuple[Transfer, ...] = ()
    """Their transfers that go on, for the grace that is given to those that nobody waits for."""


def event(progress: Progress) -> dict[str, Any]:
    """An event as JSON has it."""
    if isinstance(progress, Planned):
        return {
            "event": "planned",
            "packages": progress.packages,
            "bytes": progress.size,
            "here": progress.here,
        }
    if isinstance(progress, Arrived):
        here = {"event": "here", "package": progress.package.name}
        return {**here, "bytes": progress.size, "fetched": progress.fetched}
    if isinstance(progress, Failed):
        return {"event": "failed", **_failure(progress)}
    left = (progress.size - progress.done) / progress.rate if progress.rate > 0 else None
    return {
        "event": "progress",
        "bytes": progress.size,
        **_pace(progress.done, progress.rate, left),
        "packages": [transfer(told) for told in progress.under_way],
    }


def last_event(outcome: Outcome) -> dict[str, Any]:
    """The summary."""
    return {
        "event": "end",
        "here": outcome.here,
        "fetched": outcome.fetched,
        "bytes": outcome.size,
        "failed": [_failure(each) for each in outcome.failed],
        "missing": [package.name for package in outcome.missing],
    }


def transfer(told: Told) -> dict[str, Any]:
    """How a transfer stands, as JSON has it."""
    return {
        "file": told.file,
        "state": told.phase,
        "bytes": told.size,
        **_pace(told.done, told.rate, told.seconds_left),
    }


def _failure(failed: Failed) -> dict[str, str]:
    return {"package": failed.package.name, "reason": failed.reason}


def _pace(done: int, rate: float, left: float | None) -> dict[str, Any]:
    return {"done": done, "rate": round(rate), "seconds_left": None if left is None else round(max(0.0, left))}
