"""The model: what a server published against what cdbfs shows of it, whatever happens in between.

After each step: what was seen is of published versions and none that is out of date, errors only where a fault
explains them, no two requests for one thing at once, caches under their caps.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from cdbfs.demo import DataSet, StandIn
from tests.model import published as edits
from tests.model.observed import Observed
from tests.model.published import LABELS, Published, Spot, Value
from tests.model.subjects import CAPS, LARGEST, InMemory, Mounted, Subject

T = TypeVar("T")

AWAY = (errno.ENOENT, errno.ENOTDIR)
FAILED = (errno.EIO, errno.EACCES, errno.ETIMEDOUT, errno.EHOSTUNREACH)
"""What a fault may lead to."""
GRACE = 10.0
"""Seconds after the last fault in which it may still be felt: the longest pause of the breaker, and more."""
DEADLINE = 30.0
CROWD = 4

FAULTS: tuple[tuple[str, dict[str, float]], ...] = (
    ("status", {"code": 500}),
    ("status", {"code": 503}),
    ("status", {"code": 401}),
    ("status", {"code": 403}),
    ("status", {"code": 404}),
    ("reset", {}),
    ("cut", {"bytes": 100}),
    ("truncate", {"bytes": 300}),
    ("html", {}),
    ("empty", {}),
    ("garbage", {}),
    ("delay", {"seconds": 0.05}),
    ("stall", {"bytes": 50, "seconds": 0.05}),
    ("drip", {"bytes": 1500, "seconds": 0.01}),
)
ROUTES = (
    "/data/projects",
    "/data/projects/{project}",
    "/data/projects/{project}/subjects",
    "/data/projects/{project}/experiments",
    "/data/subjects/{subject}",
    "/data/experiments/{experiment}",
)

PICKS = st.integers(0, 1000)
LABEL = st.sampled_from(LABELS)


class Unexplained(AssertionError):
    """Something was seen that nobody published."""


class Machine(RuleBasedStateMachine):
    """Rules over one server and one cdbfs; `make` gives the latter."""

    make: ClassVar[type[Subject]]
    handles = Bundle("handles")

    # --- life

    @initialize()
    def begin(self) -> None:
        self.published = Published(edits.beginning())
        self.number = 100
        self.trouble = False
        self.offline = False
        self.calm_since = 0.0
        self.opened: dict[int, tuple[int, bytes]] = {}
        self.issued: set[int] = set()
        self.directory = tempfile.TemporaryDirectory(prefix="cdbfs-model-")
        with StandIn(self.published.now.data) as found:
            port = int(found.url.rpartition(":")[2])
        self.server = Observed(self.published.now.data, self.limit, port=port, latency=0.002)
        self.server.start()
        self.pool = ThreadPoolExecutor(CROWD)
        self.subject = self.make(self.server, Path(self.directory.name))
        self.subject.start()

    def teardown(self) -> None:
        if not hasattr(self, "subject"):
            return
        self.close_all()
        self.pool.shutdown()
        self.subject.stop()
        self.server.stop()
        self.directory.cleanup()

    def limit(self, path: str) -> int:
        """How many requests for a path may be under way: one for each version that the listings tell apart."""
        head, _, item = path.rpartition("/")
        return max(1, self.published.fingerprints(item)) if head == "/data/experiments" else 1

    # --- looking

    @rule(pick=PICKS, newest=st.booleans())
    def look(self, pick: int, newest: bool) -> None:
        """Read a file, list a directory or follow a link."""
        spot = self.spot(pick, newest)
        self.check(spot, lambda: self.seen(spot))

    @rule(pick=PICKS, newest=st.booleans())
    def stat(self, pick: int, newest: bool) -> None:
        spot = self.spot(pick, newest)
        size = self.tried(spot, lambda: self.subject.view.stat(spot.path).size)
        if size is not None and not spot.is_directory:
            values = self.values(spot)
            sizes = {len(v.encode() if isinstance(v, str) else v) for v in values if isinstance(v, (str, bytes))}
            self.hold(size in sizes or "" in values, spot, size)  # "" stands for a directory in a link's place

    @rule(pick=PICKS, start=st.integers(0, 4000), length=st.integers(0, 4000))
    def read_a_range(self, pick: int, start: int, length: int) -> None:
        spot = self.file(pick)
        whole = self.tried(spot, lambda: self.whole(spot, start, length))
        if whole is not None:
            self.hold(whole in self.values(spot), spot, whole)

    @rule(pick=PICKS)
    def look_in_a_crowd(self, pick: int) -> None:
        """Several at once, who all see something published."""
        spot = self.spot(pick, newest=True)
        futures = [self.pool.submit(self.check, spot, lambda: self.seen(spot)) for _ in range(CROWD)]
        for future in futures:
            future.result(DEADLINE)

    @rule(pick=PICKS)
    def look_for_what_is_not_there(self, pick: int) -> None:
        spot = Spot("experiments of a subject", edits.PROJECTS[pick % 2], "nobody")
        self.check(spot, lambda: self.seen(spot))

    # --- handles of a mount

    @precondition(lambda self: isinstance(self.subject, Mounted) and len(self.issued) < 5)
    @rule(target=handles, pick=PICKS)
    def open(self, pick: int) -> int:
        """A number for a handle, also where it could not be opened: what comes next must not depend on that."""
        number, spot = self.next(), self.file(pick)
        self.issued.add(number)
        found = self.tried(spot, lambda: self.opened_whole(spot))
        if found is not None:
            self.opened[number] = found
            self.hold(found[1] in self.values(spot), spot, found[1])
        return number

    @rule(number=handles)
    def read_again(self, number: int) -> None:
        """A handle reads one version from open to close."""
        if number in self.opened:  # settling closes them all
            descriptor, data = self.opened[number]
            assert os.pread(descriptor, 10**6, 0) == data

    @rule(number=consumes(handles))
    def close(self, number: int) -> None:
        self.issued.discard(number)
        if number in self.opened:
            os.close(self.opened.pop(number)[0])

    # --- what happens to the server

    @rule()
    def expire(self) -> None:
        self.server.expire_sessions()

    @rule(pick=PICKS, dated=st.booleans())
    def edit(self, pick: int, dated: bool) -> None:
        self.publish(edits.edit_scores(self.data, pick, self.next(), dated=dated))

    @rule(pick=PICKS, label=LABEL)
    def rename(self, pick: int, label: str) -> None:
        self.publish(edits.rename(self.data, pick, label))

    @rule(pick=PICKS, label=LABEL)
    def share(self, pick: int, label: str) -> None:
        self.publish(edits.share(self.data, pick, label))

    @rule(pick=PICKS, label=LABEL)
    def add(self, pick: int, label: str) -> None:
        data = edits.add_subject(self.data, pick, label, self.next())
        self.publish(edits.add_experiment(data, 0, label, self.next()))

    @rule(pick=PICKS, label=LABEL)
    def add_an_experiment(self, pick: int, label: str) -> None:
        self.publish(edits.add_experiment(self.data, pick, label, self.next()))

    @rule(pick=PICKS, subject=st.booleans())
    def remove(self, pick: int, subject: bool) -> None:
        self.publish((edits.remove_subject if subject else edits.remove_experiment)(self.data, pick))

    @rule(pick=PICKS)
    def describe(self, pick: int) -> None:
        self.publish(edits.describe(self.data, pick, self.next()))

    @precondition(lambda self: not self.offline)
    @rule(route=st.sampled_from(ROUTES), fault=st.sampled_from(FAULTS), times=st.integers(1, 4))
    def fail(self, route: str, fault: tuple[str, dict[str, float]], times: int) -> None:
        kind, parameters = fault
        self.trouble = True
        self.server.fault(f"GET {route}", kind, times=times, **parameters)

    @precondition(lambda self: not self.offline)
    @rule()
    def go_offline(self) -> None:
        self.offline = self.trouble = True
        self.server.stop()

    @precondition(lambda self: self.trouble)
    @rule()
    def come_back(self) -> None:
        self.server.clear_faults()
        if self.offline:
            self.server.wait_until_idle()
            self.server.start()
        self.offline = self.trouble = False
        self.calm_since = time.monotonic()

    # --- what happens to cdbfs

    @rule()
    def age(self) -> None:
        self.subject.age()

    @rule()
    def lose_documents(self) -> None:
        for path in self.subject.documents():
            path.unlink(missing_ok=True)

    @precondition(lambda self: not self.trouble)
    @rule()
    def remount(self) -> None:
        self.close_all()
        self.subject.stop()
        self.server.wait_until_idle()
        self.subject.start()

    @precondition(lambda self: not self.trouble)
    @rule()
    def settle(self) -> None:
        """In the end everything is as it was published last, and stays so."""
        self.close_all()
        ends = time.monotonic() + DEADLINE
        for ages in (True, False):
            for spot in self.published.now.spots():
                expected = self.published.value(spot)
                while self.tried(spot, lambda spot=spot: self.seen(spot)) != expected:  # type: ignore[misc]
                    self.hold(time.monotonic() < ends, spot, "is out of date for ever")
                    time.sleep(0.01)
                    if ages:
                        self.subject.age()
        self.published.settled()

    @precondition(lambda self: not self.trouble)
    @rule(pick=PICKS)
    def follow_the_dates(self, pick: int) -> None:
        """Once the listings are fresh, no document of an older date is shown, however young it is."""
        made = [s for s in self.published.now.spots() if s.kind in ("experiment.xml", "scores.csv", "score")]
        for spot in made:
            self.check(spot, lambda spot=spot: self.seen(spot))  # type: ignore[misc]
        self.edit(pick, dated=True)
        ends = time.monotonic() + DEADLINE
        for spot in made:
            expected = self.published.of_the_latest_date(spot)
            while self.tried(spot, lambda spot=spot: self.seen(spot)) not in expected:  # type: ignore[misc]
                self.hold(time.monotonic() < ends, spot, "is out of date for ever")
                time.sleep(0.01)
                self.subject.age(listings_only=True)

    # --- what always holds

    @invariant()
    def one_request_at_a_time(self) -> None:
        assert not hasattr(self, "server") or self.server.overlaps == []

    @invariant()
    def caches_keep_under_their_caps(self) -> None:
        if hasattr(self, "subject"):
            memory, listings = self.subject.memory()
            assert memory <= CAPS["memory_size"]
            assert listings <= CAPS["listings"]
            assert self.subject.disk() <= CAPS["cache_size"] + LARGEST

    # --- parts

    @property
    def data(self) -> DataSet:
        return self.published.now.data

    def next(self) -> int:
        self.number += 1
        return self.number

    def publish(self, data: DataSet) -> None:
        self.published.publish(data)  # first, since it may be seen from the next line on
        self.server.replace(data)

    def spot(self, pick: int, newest: bool) -> Spot:
        """A path of the latest state, or of the oldest that may still be seen."""
        spots = (self.published.now if newest else self.published.live[0]).spots()
        return spots[pick % len(spots)]

    def file(self, pick: int) -> Spot:
        files = [spot for spot in self.published.now.spots() if spot.is_file]
        return files[pick % len(files)]

    def values(self, spot: Spot) -> set[Value]:
        return self.published.values(spot)

    def seen(self, spot: Spot) -> Value:
        """What is at a path. Raises OSError."""
        view = self.subject.view
        if spot.is_file:
            return view.read(spot.path)
        if spot.is_directory:
            return tuple(view.listdir(spot.path))
        try:
            return view.readlink(spot.path)
        except OSError as error:
            if error.errno == errno.EINVAL:  # no link
                return ""
            raise

    def whole(self, spot: Spot, start: int, length: int) -> bytes:
        """A file's bytes, after a part of them was read."""
        if not isinstance(self.subject, Mounted):
            return self.subject.view.read(spot.path)
        descriptor, data = self.opened_whole(spot)
        try:
            assert os.pread(descriptor, length, start) == data[start : start + length]
        finally:
            os.close(descriptor)
        return data

    def opened_whole(self, spot: Spot) -> tuple[int, bytes]:
        """A new handle, and all its bytes, which are as many as fstat says."""
        assert isinstance(self.subject, Mounted)
        descriptor = self.subject.open(spot.path)
        size = os.fstat(descriptor).st_size
        data = os.pread(descriptor, 10**6, 0)
        assert size == len(data)
        return descriptor, data

    def check(self, spot: Spot, ask: Callable[[], Value]) -> None:
        value = self.tried(spot, ask)
        if value is not None:
            self.hold(value in self.values(spot), spot, value)

    def tried(self, spot: Spot, ask: Callable[[], T]) -> T | None:
        """What `ask` gives; None where it is not there or a fault is in its way."""
        while True:
            try:
                return ask()
            except OSError as error:
                if error.errno in AWAY and None in self.values(spot):
                    return None
                if error.errno not in AWAY + FAILED:
                    raise
                if error.errno == errno.EIO and spot.kind == "link" and "" in self.values(spot):
                    # The kernel's word for an inode that turned from link to directory, until its entry is due.
                    time.sleep(0.5)
                    return ask()
                if self.trouble:
                    return None
                if time.monotonic() > self.calm_since + GRACE:
                    raise Unexplained(f"{spot.path!r}: {error}") from error
            time.sleep(0.02)

    def hold(self, what: bool, spot: Spot, value: object) -> None:
        if not what:
            raise Unexplained(f"{spot.path!r}: {value!r}")

    def close_all(self) -> None:
        self.issued.clear()
        while self.opened:
            os.close(self.opened.popitem()[1][0])


class MemoryMachine(Machine):
    make = InMemory


class MountMachine(Machine):
    make = Mounted
