"""The three ways in which packages come, each with a source whose transfers a test can hold and cut."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cdbfs.credentials import Credentials
from cdbfs.demo import DataSetBuilder, StandIn
from cdbfs.hcp.aspera.transport import AsperaTransport
from cdbfs.hcp.command import CommandTransport
from cdbfs.hcp.directory import DirectoryTransport, copy_some
from cdbfs.hcp.models import Package
from cdbfs.hcp.service import PackageService
from cdbfs.hcp.transport import Transport
from cdbfs.xnat.http import Http
from cdbfs.xnat.session import Session

ZETA, ETA = Package("zeta", "3T_a_preproc"), Package("eta", "3T_a_preproc")
MISSING = Package("eta", "3T_b_preproc")
LENGTHS = {ZETA: 3 * 2**20 + 17, ETA: 2**20 + 5}
CONTENT: Mapping[Package, bytes] = {
    package: random.Random(length).randbytes(length) for package, length in LENGTHS.items()
}
HELD = 2**20 + 4096
"""Where a transfer of ZETA stands still, or breaks off."""
PASSWORD = "the-password"
STALL = 30.0


def expected(package: Package) -> Mapping[str, bytes]:
    """The files of a package."""
    digest = hashlib.md5(CONTENT[package]).hexdigest()
    return {package.zip: CONTENT[package], package.md5: f"{digest}  {package.zip}\n".encode()}


class Way(ABC):
    """A way, and the source at its other end."""

    has_program = True
    """Whether it starts programs."""
    knows_what_is_missing = True
    """Whether it can tell a file that is not there from one that does not come just now."""

    @abstractmethod
    def transport(self, stall: float = STALL) -> Transport: ...

    @abstractmethod
    def hold(self) -> None:
        """Zips stand still at HELD."""

    @abstractmethod
    def go_on(self) -> None:
        """They stand still no more."""

    @abstractmethod
    def cut(self) -> None:
        """The next transfer of a zip breaks off at HELD."""


class ByAspera(Way):
    def __init__(self, server: StandIn, session: Session) -> None:
        self.server = server
        self.service = PackageService(session)
        self.environ = {**os.environ, "ASCP": server.ascp, "CDBFS_PASSWORD": PASSWORD, "CDBFS_USER": "ana"}

    def transport(self, stall: float = STALL) -> Transport:
        return AsperaTransport(self.service, "ana", frozenset(), stall, self.environ)

    def hold(self) -> None:
        self.server.pause_ascp(HELD)

    def go_on(self) -> None:
        self.server.resume_ascp()

    def cut(self) -> None:
        self.server.ascp_fault("cut", times=1, bytes=HELD)


class ByDirectory(Way):
    has_program = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self._free = threading.Event()
        self._free.set()
        self._cut = False
        for package in CONTENT:
            folder = root / "HCP_Q2" / package.subject / "preproc"
            folder.mkdir(parents=True)
            for name, content in expected(package).items():
                (folder / name).write_bytes(content)

    def transport(self, stall: float = STALL) -> Transport:
        return DirectoryTransport(self.root, stall, self._step)

    def hold(self) -> None:
        self._free.clear()

    def go_on(self) -> None:
        self._free.set()

    def cut(self) -> None:
        self._cut = True

    def _step(self, source: int, target: int, offset: int, count: int) -> int:
        if offset < HELD and (self._cut or not self._free.is_set()):
            return copy_some(source, target, offset, min(count, HELD - offset))
        if self._cut and offset == HELD:
            self._cut = False
            raise OSError(5, "Input/output error")
        while not self._free.wait(0.01):
            if offset >= HELD:
                self._hang()
        return copy_some(source, target, offset, count)

    def _hang(self) -> None:
        """As a disk that does not answer."""
        self._free.wait()
        raise OSError(5, "Input/output error")


FETCHER = """
import os, sys, time
from pathlib import Path
mirror, control, subject, package, name, into = sys.argv[1:]
source, target = Path(mirror, name), Path(into, name)
if not source.exists():
    sys.exit(f"no such object: {name}")
with open(source, "rb") as reading, open(target, "ab") as writing:
    reading.seek(writing.tell())
    while True:
        most = 65536
        if name.endswith(".zip"):
            for what in ("hold", "cut"):
                mark = Path(control, what)
                if not mark.exists() or writing.tell() < int(mark.read_text()):
                    continue
                writing.flush()
                if what == "cut":
                    mark.unlink()
                    sys.exit("the line broke\\x1b[2J")
                while mark.exists():
                    time.sleep(0.01)
            most = 4096
        block = reading.read(most)
        if not block:
            break
        try:
            writing.write(block)
            writing.flush()
        except OSError as error:
            sys.stderr.write(error.strerror)
            os._exit(3)
"""


class ByCommand(Way):
    knows_what_is_missing = False

    def __init__(self, scratch: Path) -> None:
        self.control, mirror, script = scratch / "control", scratch / "mirror of it", scratch / "fetch it.py"
        for folder in (self.control, mirror):
            folder.mkdir(parents=True)
        for package in CONTENT:
            for name, content in expected(package).items():
                (mirror / name).write_bytes(content)
        script.write_text(FETCHER)
        self.command = (
            f"'{sys.executable}' -I -S '{script}' '{mirror}' '{self.control}' "
            "{subject} {package} {file} {into}"
        )

    def transport(self, stall: float = STALL) -> Transport:
        return CommandTransport(self.command, stall, {**os.environ, "CDBFS_PASSWORD": PASSWORD})

    def hold(self) -> None:
        (self.control / "hold").write_text(str(HELD))

    def go_on(self) -> None:
        (self.control / "hold").unlink(missing_ok=True)

    def cut(self) -> None:
        (self.control / "cut").write_text(str(HELD))


@contextmanager
def by_aspera() -> Iterator[ByAspera]:
    make = DataSetBuilder(site_id="Lab")
    make.project("HCP_Q2")
    for package, content in CONTENT.items():
        make.package(make.subject(package.subject, "HCP_Q2"), package.id, content)
    make.offer(MISSING.id)
    make.account("ana", PASSWORD, ["HCP_Q2"])
    with StandIn(make.build()) as server, ExitStack() as ending:
        session = Session(Http(server.url), Credentials("ana", PASSWORD))
        ending.callback(session.close)
        yield ByAspera(server, session)


@contextmanager
def way(name: str, scratch: Path) -> Iterator[Way]:
    """One of WAYS."""
    if name == "aspera":
        with by_aspera() as found:
            yield found
        return
    made = ByDirectory(scratch / "mirror [of *] it") if name == "directory" else ByCommand(scratch)
    try:
        yield made
    finally:
        made.go_on()


WAYS = ("aspera", "directory", "command")


def is_gone(pid: int) -> bool:
    """Whether there is no such process, nor a zombie of it."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False
