"""What tests of faults share: a mount over a small server that can fail, and how a failure is looked at."""

from __future__ import annotations

import errno as codes
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, TypeVar

from cdbfs.demo import StandIn, connectomedb, document
from tests.ports import free_port
from tests.views import mounted
from tests.worlds import World

T = TypeVar("T")

DEADLINES = {
    "connect_timeout": "1",
    "silence_timeout": "2",
    "request_deadline": "4",
    "lookup_deadline": "8",
    "retry_pause": "1",
    "listing_ttl": "1",
}
"""Short, and such that what the server does is told before a lookup loses its patience."""
SOON = 20.0
"""Seconds within which everything here must be over, on a busy machine too; no deadline above is longer."""

SMALL = World("small", connectomedb(6))
KNOWN_LISTING = "projects/HCP_Q2/subjects"
UNKNOWN_LISTING = "projects/HCP_Q1/subjects"


def experiments() -> Iterator[tuple[str, bytes]]:
    """Every experiment's directory in HCP_Q2, and its document."""
    subjects = {subject.id: label for label, subject in SMALL.subjects("HCP_Q2")}
    for label, experiment in SMALL.experiments("HCP_Q2"):
        place = f"projects/HCP_Q2/subjects/{subjects[experiment.subject_id]}/experiments/{label}"
        yield place, document(SMALL.data, experiment.id)


DOCUMENTS = {f"{place}/experiment.xml": content for place, content in experiments()}
KNOWN = next(path for path in DOCUMENTS if path.endswith("_NonToolbox/experiment.xml"))
UNKNOWN = next(path for path in reversed(DOCUMENTS) if path.endswith("_NonToolbox/experiment.xml"))


@dataclass
class Scene:
    """A mount, and the server behind it."""

    server: StandIn
    mount: Path

    def read(self, path: str) -> bytes:
        return (self.mount / path).read_bytes()

    def names(self, path: str) -> list[str]:
        return os.listdir(self.mount / path)

    def errors(self) -> list[str]:
        return self.read(".cdbfs/errors").decode().splitlines()

    def told(self, path: str, pattern: str) -> str:
        """The errno and the reason of the last failure of `path`, once the reason matches `pattern`.

        `.cdbfs/errors` is as old as what the kernel may remember of it.
        """
        last = ""

        def is_told() -> bool:
            nonlocal last
            lines = [line for line in self.errors() if f" {path}: " in line]
            if lines:
                name, _, rest = lines[-1].partition(" ")[2].partition(" ")
                last = f"{name} {rest.partition(': ')[2]}"
            return re.search(pattern, last) is not None

        try:
            wait_until(is_told, 5)
        except AssertionError:
            raise AssertionError(f"{pattern!r} is not told of {path}: {last or self.errors()}") from None
        return last

    def status(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.read(".cdbfs/status.json"))
        return found

    def look(self) -> None:
        """See everything that a fault must leave alone."""
        assert self.read(KNOWN) == DOCUMENTS[KNOWN]
        assert len(self.names(KNOWN_LISTING)) == 6

    def still_served(self) -> float:
        """Look at what needs no server, and at what is known; the slowest took so many milliseconds."""
        looks: list[Callable[[], object]] = [
            lambda: self.names("."),
            lambda: self.read("README.txt"),
            self.status,
            lambda: self.names(KNOWN_LISTING),
            lambda: self.read("projects/HCP_Q2/subjects.csv"),
            lambda: self.read(KNOWN.replace("experiment.xml", "scores.csv")),
        ]
        self.look()
        return 1000 * max(timed(look)[0] for look in looks)

    def recovers(self, seconds: float = SOON) -> float:
        """Wait until all that failed is there; how many seconds that took."""
        began = time.monotonic()
        wait_until(lambda: answers(lambda: self.names(UNKNOWN_LISTING)), seconds)
        wait_until(lambda: answers(lambda: self.read(UNKNOWN)), seconds - (time.monotonic() - began))
        took = time.monotonic() - began
        assert len(self.names(UNKNOWN_LISTING)) == 6
        assert self.read(UNKNOWN) == DOCUMENTS[UNKNOWN]
        self.look()
        return took


@contextmanager
def scene(scratch: Path, url: str = "", port: int = 0, **options: str) -> Iterator[Scene]:
    """A mount that knows KNOWN and KNOWN_LISTING. What is cached belongs to the server's URL, so to its port."""
    with StandIn(SMALL.data, port=port or free_port()) as server:
        address = url.format(port=server.url.rpartition(":")[2]) or server.url
        with mounted(
            server, SMALL.login, scratch / "m", scratch / "cache", url=address, **{**DEADLINES, **options}
        ) as mount:
            found = Scene(server, mount)
            found.look()
            try:
                yield found
            finally:
                found.server.clear_faults()  # so that the mount's goodbye is heard
                if found.server is not server:
                    found.server.stop()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.monotonic()
    result = work()
    return time.monotonic() - began, result


def failure(work: Callable[[], object]) -> OSError:
    """The error that `work` ends with, soon."""
    began = time.monotonic()
    try:
        result = work()
    except OSError as error:
        assert time.monotonic() - began < SOON
        return error
    raise AssertionError(f"it did not fail: {result!r}")


def errno_name(error: OSError) -> str:
    return codes.errorcode[error.errno or 0]


def answers(work: Callable[[], object]) -> bool:
    try:
        work()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float = SOON) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)
