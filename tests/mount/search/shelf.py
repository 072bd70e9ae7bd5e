"""What tests of search/ share: a directory of queries with the server behind it, and the answers to expect."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cdbfs.demo import StandIn
from tests.mount.failing import SMALL, Scene, failure, scene, wait_until

SEARCH = "POST /data/search"
STALL = 600.0
"""Seconds that a test does not wait for: it ends the fault instead."""
LABELS = [label for label, _ in SMALL.subjects("HCP_Q2")]


def first(count: int) -> str:
    """A query for so many subjects; each count another text."""
    return f"SELECT subject\nFROM nt:scores\nWHERE project = 'HCP_Q2'\nORDER BY subject\nLIMIT {count}\n"


def answer(count: int) -> str:
    """Its result."""
    return "".join(f"{line}\n" for line in ["subject", *LABELS[:count]])


@dataclass
class Shelf:
    """search/ of a mount, its server, and where it lies on disk."""

    mount: Path
    server: StandIn
    stored: Path

    @property
    def root(self) -> Path:
        return self.mount / "search"

    @property
    def on_disk(self) -> Path:
        """The directory that search/ shows."""
        (found,) = self.stored.iterdir()
        return found

    def names(self, path: str = ".") -> list[str]:
        return sorted(os.listdir(self.root / path))

    def read(self, name: str) -> str:
        return (self.root / name).read_bytes().decode()

    def write(self, name: str, text: str | bytes) -> None:
        (self.root / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def searches(self) -> int:
        """How many the server was asked for so far."""
        return self.server.counts().get(SEARCH, 0)

    def slow(self) -> None:
        """Searches do not end until `clear_faults`."""
        self.server.fault(SEARCH, "delay", seconds=STALL)

    def scene(self) -> Scene:
        return Scene(self.server, self.mount)

    def errors(self) -> list[str]:
        return self.scene().errors()

    def status(self, name: str) -> object:
        return self.scene().status()[name]

    def shows(self, name: str, value: object) -> None:
        """Wait until status.json says so, which may be some seconds old."""
        wait_until(lambda: self.status(name) == value)

    def settled(self) -> None:
        """Wait until no search is under way, and nobody waits for one."""
        wait_until(lambda: self.status("searches") == 0 and self.status("waiting") == 0)

    def holds(self, name: str, count: int) -> None:
        """The query `name` is the one for so many subjects, on disk and in the mount, and has its result."""
        assert (self.on_disk / name).read_text() == self.read(name) == first(count)
        result = str(Path(name).with_suffix(".csv"))
        assert self.read(result) == answer(count)
        assert (self.root / result).stat().st_size == len(answer(count))
        assert not (self.root / name).with_suffix(".error").exists()

    def fails(self, name: str) -> OSError:
        """The error that reading a result ends with; whatever was read does not count as an answer."""
        return failure(lambda: self.read(name))


@contextmanager
def shelf(scratch: Path, **options: str) -> Iterator[Shelf]:
    """A mount with an empty search/, over six subjects."""
    with scene(scratch, "", 0, **options) as found:
        yield Shelf(found.mount, found.server, Path(f"{scratch / 'cache'}-search"))


def run(*command: str, cwd: Path, status: int = 0, seconds: float = 60) -> str:
    """What a program prints; its exit status is as said."""
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def shell(command: str, cwd: Path, status: int = 0) -> str:
    return run("bash", "-c", f"set -e -o pipefail\n{command}", cwd=cwd, status=status)
