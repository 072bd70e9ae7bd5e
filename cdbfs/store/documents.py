"""Documents by version: in memory, on disk, else from the server, once.

Used by tree/. A key is (kind, ID, fingerprint): an edited experiment has another last_modified. In memory is what
`decode` made of the bytes; on disk are the bytes. A key without a fingerprint is kept in memory only.
Every document has an age besides, since a server may change one without saying so (as sharing an experiment does);
one that is too old is served while it is fetched anew, and on while the server cannot be reached. What the server
refuses is withheld.

Threads: any. `_lock` guards the memory cache; reading, fetching and decoding happen in Flight's workers.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Protocol, TypeVar

from cachetools import LRUCache

from cdbfs.caller import Caller
from cdbfs.errors import AccessRefused, CdbfsError, NotFound, ours
from cdbfs.events import Journal
from cdbfs.store.disk import DiskCache
from cdbfs.store.flight import Flight


@dataclass(frozen=True)
class Key:
    """One version of one document."""

    kind: str
    ID: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.kind} {self.ID}"


class Weighed(Protocol):
    """A decoded document that can say how much memory it takes."""

    @property
    def weight(self) -> int: ...


D = TypeVar("D", bound=Weighed)


@dataclass(frozen=True)
class Ages:
    """How long documents are trusted, in seconds, and the pause after a failure to renew one."""

    versioned: float = 3600.0
    unversioned: float = 300.0
    retry_pause: float = 5.0


@dataclass(frozen=True)
class _Kept:
    document: Any
    due: float


class Documents:
    """Keeps up to `memory_size` bytes of decoded documents.

    Disk and server have workers of their own: what lies on disk must not wait for a server that is slow.
    """

    def __init__(
        self,
        disk_flight: Flight,
        server_flight: Flight,
        disk: DiskCache,
        journal: Journal,
        memory_size: int,
        ages: Ages,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._disk_flight = disk_flight
        self._server_flight = server_flight
        self._disk = disk
        self._journal = journal
        self._memory_size = memory_size
        self._ages = ages
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._memory: LRUCache[Key, _Kept] = LRUCache(memory_size, getsizeof=lambda kept: kept.document.weight)

    @property
    def memory_used(self) -> int:
        return int(self._memory.currsize)

    def get(self, key: Key, fetch: Callable[[], bytes], decode: Callable[[bytes], D], caller: Caller) -> D:
        """The decoded document. Raises what `fetch` and `decode` raise, and what Flight.run does."""
        what = f"the document of {key}"
        with self._lock:
            kept = self._memory.get(key)
        if kept is None and key.fingerprint and self._disk.has(str(key), key.fingerprint):
            kept = self._disk_flight.run(key, lambda: self._load(key, decode), caller, what)
        if kept is None:
            return self._server_flight.run(key, lambda: self._fetch(key, fetch, decode), caller, what)
        if self._clock() >= kept.due:
            self._server_flight.start(key, lambda: self._refresh(key, fetch, decode, kept))
        document: D = kept.document
        return document

    def _load(self, key: Key, decode: Callable[[bytes], D]) -> _Kept | None:
        """From disk; due at once where it is too old, or where the clock was set back and its age is not known.

        From memory, if somebody got it there meanwhile. None where this cdbfs cannot decode what is there.
        """
        found = self._disk.read(str(key), key.fingerprint)
        if found is None:
            return None
        with self._lock:
            kept = self._memory.get(key)
        if kept is not None:
            return kept
        age = self._wall_clock() - found.written
        left = self._ages.versioned - age if age >= 0 else 0.0
        try:
            document = decode(found.body)
        except CdbfsError:
            self._disk.drop(str(key), key.fingerprint)
            return None
        return self._keep(key, document, max(0.0, left))

    def _fetch(self, key: Key, fetch: Callable[[], bytes], decode: Callable[[bytes], D]) -> D:
        """From the server, unless somebody got it between this caller's look and this run."""
        with self._lock:
            kept = self._memory.get(key)
        if kept is not None and self._clock() < kept.due:
            found: D = kept.document
            return found
        body = fetch()
        document = decode(body)
        # Memory first: who finds it on disk looks there before decoding it again.
        self._keep(key, document, self._ages.versioned if key.fingerprint else self._ages.unversioned)
        if key.fingerprint:
            self._disk.write(str(key), key.fingerprint, body, self._wall_clock())
        return document

    def _refresh(self, key: Key, fetch: Callable[[], bytes], decode: Callable[[bytes], D], kept: _Kept) -> D:
        """As _fetch, in the background, while `kept` is served."""
        try:
            return self._fetch(key, fetch, decode)
        except Exception as error:
            self._journal.record(ours(error), f"the document of {key}")
            self._after_failure(key, error, kept)
            raise

    def _after_failure(self, key: Key, error: Exception, kept: _Kept) -> None:
        """The old one goes on being served where the server could not be asked, and is gone where it refused."""
        if not isinstance(error, (AccessRefused, NotFound)):
            self._keep(key, kept.document, self._ages.retry_pause)
            return
        with self._lock:
            self._memory.pop(key, None)
        self._disk.drop(str(key), key.fingerprint)

    def _keep(self, key: Key, document: Weighed, seconds: float) -> _Kept:
        kept = _Kept(document, self._clock() + seconds)
        with self._lock:
            self._memory.pop(key, None)  # an older one must not outlive this one if it is too large
            if document.weight <= self._memory_size:
                self._memory[key] = kept
        return kept
