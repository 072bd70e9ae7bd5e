"""What clients changed since the data was published: files put and deleted, resources made and removed.

Kept by the world beside the published data set, which never changes; gone when another state is published.
Used by the routes of files. One lock; any thread.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Callable

from cdbfs.demo.dataset import File, Resource

_FIRST_KEY = 1_000_000_000
_FIRST_EVENT = 1_000_000
"""Numbers of resources and changes that are made here; those of published data are below."""


@dataclass(frozen=True)
class Home:
    """What holds resources: a project, a subject or an experiment by its ID, or a scan of an experiment."""

    kind: str
    id: str
    scan: str = ""


class Uploads:
    """The resources of the homes that clients changed; all others are as published."""

    def __init__(self, now: Callable[[], datetime.datetime] | None = None) -> None:
        self._changed: dict[Home, tuple[Resource, ...]] = {}
        self._keys = count(_FIRST_KEY)
        self._events = count(_FIRST_EVENT)
        self._now = now or _utc
        self._lock = threading.Lock()

    def resources(self, home: Home, published: tuple[Resource, ...]) -> tuple[Resource, ...]:
        """The resources of a home as they are now."""
        with self._lock:
            return self._changed.get(home, published)

    def make(self, home: Home, published: tuple[Resource, ...], resource: Resource) -> bool:
        """Add an empty resource under a key of our own; False: there is one of that label."""
        with self._lock:
            held = self._changed.get(home, published)
            if named(held, resource.label):
                return False
            self._changed[home] = (*held, replace(resource, key=next(self._keys)))
            return True

    def put(
        self, home: Home, published: tuple[Resource, ...], name: str, files: Sequence[File], *, overwrite: bool
    ) -> list[str]:
        """Add files to a resource, which is made if there is none; the paths that were there already.

        Those stay as they were; with ``overwrite`` they are replaced, and none is returned.
        """
        with self._lock:
            held = self._changed.get(home, published)
            found = named(held, name) or [Resource(next(self._keys), name)]
            there = {file.path: file for file in found[0].files}
            duplicates = [] if overwrite else [file.path for file in files if file.path in there]
            for file in files:
                if file.path not in duplicates:
                    there[file.path] = replace(file, created=_stamp(self._now()), event=next(self._events))
            made = replace(found[0], files=tuple(there.values()))
            self._changed[home] = (*(r for r in held if r.key != made.key), made)
            return duplicates

    def remove(self, home: Home, published: tuple[Resource, ...], key: int, path: str | None) -> None:
        """Remove a file of a resource, or the whole resource when ``path`` is None."""
        with self._lock:
            held = self._changed.get(home, published)
            self._changed[home] = tuple(
                r if r.key != key else replace(r, files=tuple(f for f in r.files if f.path != path))
                for r in held
                if r.key != key or path is not None
            )


def named(resources: Sequence[Resource], name: str) -> list[Resource]:
    """The resources of that label or number."""
    return [r for r in resources if name in (r.label, str(r.key))]


def _utc() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _stamp(when: datetime.datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d}"
