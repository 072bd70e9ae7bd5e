"""A transport that does what a test scripts, and stores that use it."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from cdbfs.caller import Caller
from cdbfs.errors import Interrupted
from cdbfs.hcp.models import Package
from cdbfs.hcp.transport import Order, Watch
from cdbfs.store.flight import Waiters
from cdbfs.store.packages.arrival import Parts
from cdbfs.store.packages.kept import KeptPackages
from cdbfs.store.packages.layout import Layout, whole
from cdbfs.store.packages.slots import Slots
from cdbfs.store.packages.space import Space
from cdbfs.store.packages.transfers import Patience, Transfers

MIB = 2**20
PACKAGE = Package("100307", "3T_Structural_preproc")
OTHER = Package("100307", "3T_Diffusion_preproc")
THIRD = Package("103414", "3T_Structural_preproc")


def content(package: Package, size: int = MIB) -> bytes:
    """The bytes of a package: some that no other has."""
    seed = hashlib.sha256(package.name.encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


def md5_line(package: Package, data: bytes) -> bytes:
    return f"{hashlib.md5(data).hexdigest()}  {package.zip}\n".encode()


def files_of(*packages: Package, size: int = MIB) -> dict[str, bytes]:
    """Zips and their md5s, by name."""
    found = {}
    for package in packages:
        data = content(package, size)
        found.update({package.zip: data, package.md5: md5_line(package, data)})
    return found


@dataclass
class Scripted:
    """Serves `files`; each attempt first does what the next of `script` says, if there is one left."""

    files: Mapping[str, bytes]
    script: list[Callable[[Order, Watch], None]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    """Where it is cleared, the bytes of zips stop half way."""
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when bytes stop half way."""

    def __post_init__(self) -> None:
        self.gate.set()

    def fetch(self, order: Order, watch: Watch) -> None:
        self.orders.append(order)
        if self.script:
            self.script.pop(0)(order, watch)
            return
        for file in order.files:
            self.write(file, order, watch)

    def write(self, file: str, order: Order, watch: Watch) -> None:
        """A file, from where an attempt before left it."""
        data, place = self.files[file], order.into / file
        done = place.stat().st_size if place.exists() else 0
        with place.open("ab") as out:
            for end in sorted({len(data) // 2, len(data)}):
                out.write(data[done:end])
                out.flush()
                done = max(done, end)
                watch.moved(file, done, len(data))
                if file.endswith(".zip"):
                    self._wait(watch)

    def _wait(self, watch: Watch) -> None:
        while not self.gate.is_set():
            self.reached.set()
            if watch.stopped:
                raise Interrupted("stopped")
            time.sleep(0.01)


@dataclass(frozen=True)
class Store:
    """A process's part of a store."""

    kept: KeptPackages
    space: Space
    transfers: Transfers
    waiters: Waiters
    layout: Layout

    def fetch(self, *packages: Package, caller: Caller | None = None) -> None:
        for package in packages:
            self.transfers.fetch(whole(package), MIB, (caller or Caller()).unhurried())

    def read(self, package: Package) -> bytes:
        found = self.kept.open(whole(package))
        assert found is not None
        try:
            return found.read(found.size, 0)
        finally:
            found.close()

    def rest(self) -> list[str]:
        """What lies about of transfers: nothing, when all are over."""
        places = (self.layout.arriving(True), self.layout.arriving(False), self.layout.active)
        return sorted(path.name for place in places for path in place.iterdir())


@contextmanager
def opened(
    root: Path,
    transport: Scripted,
    *,
    cap: int = 0,
    floor: int = 0,
    slots: int = 3,
    grace: float = 60.0,
    retry_pause: float = 0.0,
    waiters: int = 160,
    stagger: float = 0.0,
    silence: float = 30.0,
    by: str = "",
) -> Iterator[Store]:
    """The store below `root`, as one process has it."""
    layout = Layout(root / "scope")
    layout.prepare()
    kept = KeptPackages(layout)
    space = Space(root, cap, floor)
    slots_of_user = Slots(root / "locks", slots, stagger)
    parts = Parts(kept, space, slots_of_user, transport, grace, threading.Event(), pause=0.01)
    counted = Waiters(waiters)
    transfers = Transfers(layout, parts, counted, Patience(retry_pause, silence, by))
    try:
        yield Store(kept, space, transfers, counted, layout)
    finally:
        transfers.close()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for it."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def in_threads(works: Sequence[Callable[[], object]]) -> list[threading.Thread]:
    """Started."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    return threads


def here() -> int:
    return os.getpid()
