"""The members of packages that are here: their index made once, each deflated one inflated once.

Used by packages. An index outlives the zip it was made of, and so do members that were inflated; a zip that was
published anew has other ones.

Threads: any. `_lock` guards the table of indexes and is never held while one is made or loaded; the work is done
in the flight's workers, for however many wait.
"""

from __future__ import annotations

import contextlib
import errno as codes
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import tzinfo
from functools import partial
from itertools import islice
from typing import Callable

from cachetools import LRUCache

from cdbfs.caller import Caller
from cdbfs.errors import NoSpace, NotFound
from cdbfs.events import Journal
from cdbfs.hcp.models import Package
from cdbfs.store.flight import Flight
from cdbfs.store.packages.kept import KeptPackages
from cdbfs.store.packages.layout import whole
from cdbfs.store.packages.space import Space, pin
from cdbfs.store.packages.states import State
from cdbfs.store.zips.index import Index, Member
from cdbfs.store.zips.inflated import sweep
from cdbfs.store.zips.members import Members, OpenMember

MOST_INDEXES = 64
ROOM = 256 * 2**20
MOST_TOLD = 20
"""Members that cannot be read of which `.cdbfs/errors` tells as soon as a package is looked into."""
TRIES = 2


class ZipGone(Exception):
    """The zip is needed, and not here."""


class Unpacker:
    """Unpacks what `kept` has."""

    def __init__(
        self,
        kept: KeptPackages,
        space: Space,
        flights: tuple[Flight, Flight],
        journal: Journal,
        zone: tzinfo,
        max_ratio: int,
    ) -> None:
        self._kept = kept
        self._space = space
        self._looking, self._unpacking = flights
        """Who only wants to know the members does not wait for others to be unpacked."""
        self._journal = journal
        self._zone = zone
        self._max_ratio = max_ratio
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._indexes: LRUCache[Package, Index] = LRUCache(MOST_INDEXES)
        self._settling = ThreadPoolExecutor(1, thread_name_prefix="cdbfs-settling")
        self._room = 0
        """Bytes that may be unpacked before the space is counted again."""

    def index(self, package: Package, caller: Caller) -> Index | None:
        """The members; None where the zip must be fetched to know them. Raises what reading a zip raises."""
        found = self._known(package, self._kept.glance(package), caller)
        # A glance may be behind: of a version that is gone there may be no index any more.
        return found if found is not None else self._known(package, self._kept.state(package), caller)

    def open(self, package: Package, path: str, caller: Caller) -> OpenMember | None:
        """The member at `path`; None where the zip must be fetched. Raises why it cannot be had."""
        index = self._known(package, self._kept.state(package), caller)
        if index is None:
            return None
        member = index.find(path)
        if not isinstance(member, Member):
            raise NotFound(f"{package.zip} was published anew, and has no file {path} any more")
        directory = self._kept.layout.object(package)
        open_zip = partial(self._open_zip, package, index.identity)
        members = Members(directory, index, open_zip, make_room=self._take_room, later=self._settle)
        key = ("member", package, index.identity, member.number)
        what = f"{package.zip}: member {member.number}"
        try:
            found = members.ready(member)
            if found is None:
                self._unpacking.run(key, lambda: self._prepare(members, member), caller.unhurried(), what)
                found = members.open(member, self._ending.is_set)
            return found
        except ZipGone:
            return None

    def close(self) -> None:
        """Take no more work, and give up what is under way."""
        self._ending.set()
        self._looking.close()
        self._unpacking.close()
        self._settling.shutdown(wait=False, cancel_futures=True)

    # -- in the flight's workers

    def _load(self, package: Package, identity: str) -> Index | None:
        path = self._kept.index(package, identity)
        sweep(path.parent)
        index = Index.load(path, identity)
        if index is not None:
            return index
        try:
            descriptor = self._open_zip(package, identity)
        except ZipGone:
            return None
        try:
            size = os.fstat(descriptor).st_size
            stop = self._ending.is_set
            index = Index.build(descriptor, size, path, identity, self._zone, self._max_ratio, stop)
        finally:
            os.close(descriptor)
        for name, reason in islice(index.refused(), MOST_TOLD):
            self._journal.note(codes.EIO, f"{package.zip}: {name}", reason)
        return index

    def _prepare(self, members: Members, member: Member) -> None:
        """Have it inflated, or checked. A disk that is full is cleared once."""
        for last in (False, True):
            try:
                members.open(member, self._ending.is_set).close()
                return
            except NoSpace:
                if last:
                    raise
                with self._lock:
                    self._room = 0  # what was counted is not so any more

    def _take_room(self, size: int) -> None:
        """Room for a member: taken in large pieces, since counting what is taken costs a look at every file."""
        with self._lock:
            self._room -= size
            if self._room >= 0:
                return
        piece = min(ROOM, self._space.cap // 20)
        try:
            self._space.make_room(size + piece)
        except NoSpace:
            piece = 0
            self._space.make_room(size)
        with self._lock:
            self._room = piece

    def _settle(self, job: Callable[[], None]) -> None:
        """Bring an unpacked member to the disk, one after the other."""
        with contextlib.suppress(RuntimeError):  # the mount is ending
            self._settling.submit(job)

    # -- parts

    def _known(self, package: Package, state: State | None, caller: Caller) -> Index | None:
        if state is None:
            return None
        identity = self._identity(state)
        with self._lock:
            known = self._indexes.get(package)
        if known is not None and known.identity == identity:
            return known
        key = ("index", package, identity)
        found = self._looking.run(key, lambda: self._load(package, identity), caller.unhurried(), package.zip)
        if found is not None:
            with self._lock:
                self._indexes[package] = found
        return found

    def _open_zip(self, package: Package, identity: str) -> int:
        """A pinned descriptor of the zip. Raises ZipGone, also where another version took its place meanwhile."""
        descriptor = pin(self._kept.layout.kept(whole(package)))
        if descriptor is None:
            raise ZipGone
        state = self._kept.state(package)
        if state is None or self._identity(state) != identity:
            os.close(descriptor)
            raise ZipGone
        return descriptor

    def _identity(self, state: State) -> str:
        return f"{state.identity} {self._zone} {self._max_ratio}"
