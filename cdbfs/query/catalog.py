"""What a server lets one search: its data types, and the fields of each.

Used by run and by the nodes of schema/ and tables/. Threads: any, if what keeps the answers is safe for any.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Any, Callable, Protocol, TypeVar

from cdbfs.caller import NOBODY, Caller
from cdbfs.query.fields import Fields, type_named
from cdbfs.query.model import Field, Place
from cdbfs.xnat.client import Client

T = TypeVar("T")


class Kept(Protocol):
    """Where answers are kept; store.listings.Listings is one."""

    def get(self, key: Hashable, fetch: Callable[[], T], caller: Caller, what: str) -> T: ...


class Once:
    """Keeps every answer for as long as it lives: for commands, which end soon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, fetch: Callable[[], T], caller: Caller, what: str) -> T:
        with self._lock:
            if key in self._kept:
                found: T = self._kept[key]
                return found
        value = fetch()
        with self._lock:
            kept: T = self._kept.setdefault(key, value)
        return kept


class Catalog:
    """The types and fields of one server, as one login sees them."""

    def __init__(self, client: Client, kept: Kept | None = None) -> None:
        self._client = client
        self._kept: Kept = kept or Once()

    def types(self, caller: Caller = NOBODY) -> Sequence[str]:
        return self._kept.get(
            "types", lambda: tuple(self._client.search_types()), caller, "the list of data types"
        )

    def fields(self, type_name: str, caller: Caller = NOBODY) -> Fields:
        """Raises NotFound."""
        return self._kept.get(
            ("fields", type_name),
            lambda: Fields.of(type_name, self._client.search_fields(type_name)),
            caller,
            f"the list of fields of {type_name}",
        )

    def named(self, name: str) -> Fields:
        """The fields of a type as a user names it. Raises QueryError with the nearest names."""
        return self.fields(type_named(Field(name, Place(0, 0)), self.types()))
