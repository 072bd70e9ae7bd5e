"""What searches leave behind on the server: saved ones, cached results, and what was read of the world.

Used by the routes; lives as long as the stand-in, whatever data it serves. One lock, held for look-ups only,
never while a search runs; any thread.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from cdbfs.demo.search.displays import Displays
from cdbfs.demo.search.engine import NAME_LENGTH
from cdbfs.demo.search.query import Search
from cdbfs.demo.search.results import Results
from cdbfs.demo.search.values import Reader
from cdbfs.demo.world import World

MOST_VIEWS = 50
"""Cached results beyond these are forgotten, the oldest first."""
_FIRST_KEY = 2
"""Seen on XNAT 1.6.4: the key of the first search that was saved."""


@dataclass(frozen=True)
class Saved:
    """A saved search with its database key."""

    key: int
    search: Search

    @property
    def id(self) -> str:
        return self.search.id

    def open_to(self, user: str) -> bool:
        return not self.search.secure or user in self.search.allowed_users


@dataclass(frozen=True)
class View:
    """The cached results of one user's search."""

    id: str
    user: str
    results: Results


class Shelf:
    """Saved searches and cached results, and the indexes over the world that is served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saved: dict[str, Saved] = {}
        self._next_key = _FIRST_KEY
        self._views: OrderedDict[str, View] = OrderedDict()
        self._last_stamp = 0
        self._aliases: dict[str, str] = {}
        self._read: tuple[World, Displays, Reader] | None = None

    # --- the world

    def of(self, world: World) -> tuple[Displays, Reader]:
        """The displays and values of a world; kept until another world is asked for."""
        with self._lock:
            read = self._read
        if read is None or read[0] is not world:
            read = (world, Displays(world), Reader(world))
            with self._lock:
                if self._read is not None and self._read[0] is world:
                    read = self._read
                self._read = read
        return read[1], read[2]

    def alias(self, name: str) -> str:
        """The name that a column gets in place of a long one: the same one each time."""
        with self._lock:
            return self._aliases.setdefault(name, f"df_alias_{len(self._aliases)}")

    # --- saved searches

    def saved(self, name: str) -> Saved | None:
        with self._lock:
            return self._saved.get(name)

    def all_saved(self) -> list[Saved]:
        with self._lock:
            return sorted(self._saved.values(), key=lambda saved: saved.key)

    def save(self, search: Search, user: str) -> bool:
        """Save a search for a user; False: there is one by that name that is not open to him."""
        with self._lock:
            known = self._saved.get(search.id)
            if known is not None and not known.open_to(user):
                return False
            users = dict.fromkeys((*(known.search.allowed_users if known else ()), *search.allowed_users, user))
            key = known.key if known is not None else self._next_key
            self._next_key += known is None
            self._saved[search.id] = Saved(key, dataclasses.replace(search, allowed_users=tuple(users)))
            return True

    def forget(self, name: str, user: str) -> bool:
        """Take a user off a saved search; the last one takes it along. False: it is not his."""
        with self._lock:
            known = self._saved.get(name)
            if known is None or user not in known.search.allowed_users:
                return False
            others = tuple(other for other in known.search.allowed_users if other != user)
            if others:
                self._saved[name] = Saved(known.key, dataclasses.replace(known.search, allowed_users=others))
            else:
                del self._saved[name]
            return True

    # --- cached results

    def keep(self, results: Results, user: str, name: str = "") -> View:
        """Keep results under a name, or under one with the user and the time in ms, never twice the same."""
        with self._lock:
            self._last_stamp = max(self._last_stamp + 1, int(time.time() * 1000))
            view = View(name or f"_{user}_{self._last_stamp}", user, results)
            self._views[view.id] = view
            self._views.move_to_end(view.id)
            while len(self._views) > MOST_VIEWS:
                self._views.popitem(last=False)
            return view

    def view(self, name: str) -> View | None:
        with self._lock:
            return self._views.get(name)


def shortened(name: str) -> str:
    """A long column name as PostgreSQL cuts it."""
    return name[:NAME_LENGTH]
