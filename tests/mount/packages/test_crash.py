"""kill -9 of the daemon, of ascp and of both: what comes next goes on from there, and every byte is right."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from cdbfs.demo import DataSetBuilder, StandIn, connectomedb
from tests.mount.failing import SOON, wait_until
from tests.mount.packages.conftest import STRUCTURAL, SUBJECT, Site
from tests.mount.packages.stage import (
    FEW,
    MIB,
    PATIENT,
    cat,
    complaint,
    daemon,
    digest,
    held,
    here,
    is_gone,
    left_over,
    no_ascp,
    parts,
    resumed_from,
    site_of,
    told_md5s,
    waits,
)
from tests.mount.test_interruption import interrupt, start
from tests.tables import table
from tests.worlds import World

TABLE = table("kill -9 while packages arrive", "kills", "of ascp, too", "reads", "wrong", "transfers", "seconds")
ZIP = f"{SUBJECT}_{STRUCTURAL}.zip"


@pytest.fixture(scope="module")
def tutorial() -> World:
    """Of one dialect: nothing here depends on it."""
    return FEW


@pytest.fixture
def scratch(server: StandIn, tmp_path: Path, each_fuse: str) -> Path:
    """With each libfuse; the transfers of zips stop at 1 MiB."""
    server.pause_ascp(MIB)
    return tmp_path


def kill(*processes: int) -> None:
    for process in processes:
        os.kill(process, signal.SIGKILL)
    for process in processes:
        wait_until(lambda process=process: is_gone(process))  # type: ignore[misc]


def goes_on(server: StandIn, scratch: Path, least: int = MIB) -> None:
    """What is mounted next goes on with the transfer, and leaves nothing of it but the package."""
    server.pause_ascp()
    with site_of(server, FEW, scratch) as site:
        program = cat(site.zip())
        assert resumed_from(site) >= least
        server.resume_ascp()
        assert told_md5s(program) == [digest(site)]
        assert site.moved() == (2, 2)
        assert site.errors() == ""
        assert left_over(site.cache) == []
    no_ascp(server)


# -- one mount -------------------------------------------------------------------------------------------------


def test_the_daemon_and_ascp_are_killed(server: StandIn, scratch: Path) -> None:
    with site_of(server, FEW, scratch) as site:
        program = cat(site.zip())
        held(site)
        kill(server.ascp_running[0].pid, daemon(site.point))
        assert complaint(program)
    assert here(scratch / "cache") == []
    goes_on(server, scratch)


def test_the_daemon_is_killed_and_its_ascp_lives_on(server: StandIn, scratch: Path) -> None:
    """The orphan has the lock on the file, and may write on as long as it lives: whoever comes next ends it."""
    with site_of(server, FEW, scratch) as site:
        program = cat(site.zip())
        held(site)
        (orphan,) = server.ascp_running
        os.kill(orphan.pid, signal.SIGSTOP)  # else it would notice
        kill(daemon(site.point))
        assert complaint(program)
    assert not is_gone(orphan.pid)
    goes_on(server, scratch)
    assert is_gone(orphan.pid)


def test_an_orphan_that_nobody_needs_to_wait_for_ends_by_itself(server: StandIn, scratch: Path) -> None:
    with site_of(server, FEW, scratch) as site:
        program = cat(site.zip())
        held(site)
        kill(daemon(site.point))
        assert complaint(program)
    no_ascp(server)
    goes_on(server, scratch)


def test_ascp_is_killed(server: StandIn, scratch: Path) -> None:
    """The reader does not notice."""
    with site_of(server, FEW, scratch) as site:
        program = cat(site.zip())
        held(site)
        kill(server.ascp_running[0].pid)
        wait_until(lambda: server.ascp_sessions == 2)
        assert resumed_from(site) >= MIB
        server.resume_ascp()
        assert told_md5s(program) == [digest(site)]
        assert site.errors() == ""
        assert left_over(site.cache) == []


def test_the_daemon_is_killed_while_it_checks_what_has_arrived(server: StandIn, scratch: Path) -> None:
    """All bytes are there, but nobody has checked them: played by a sound part without a daemon."""
    with site_of(server, FEW, scratch) as site:
        program = cat(site.zip())
        held(site)
        process = daemon(site.point)
        os.kill(process, signal.SIGSTOP)
        server.resume_ascp()
        wait_until(lambda: parts(site.cache)[ZIP] == len(site.original()), SOON)
        no_ascp(server)
        kill(process)
        assert complaint(program)
    with site_of(server, FEW, scratch) as site:
        assert told_md5s(cat(site.zip())) == [digest(site)]
        assert left_over(site.cache) == []


# -- two mounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orphaned", [False, True])
def test_another_mount_takes_over(orphaned: bool, server: StandIn, scratch: Path) -> None:
    with site_of(server, FEW, scratch) as site:
        first = cat(site.zip())
        held(site)
        with site.another(scratch / "other", **PATIENT) as other:
            second = cat(other / site.zip().relative_to(site.point))
            waits(second, other)
            (ascp,) = server.ascp_running
            if orphaned:
                os.kill(ascp.pid, signal.SIGSTOP)
                kill(daemon(site.point))
            else:
                kill(ascp.pid, daemon(site.point))
            assert complaint(first)
            survivor = Site(server, FEW, other, site.cache)
            wait_until(lambda: server.ascp_sessions == 2)
            assert resumed_from(survivor) >= MIB
            server.resume_ascp()
            assert told_md5s(second) == [digest(site)]
            assert survivor.errors() == ""
            assert left_over(site.cache) == []
            assert site.moved() == (2, 2)


@pytest.mark.parametrize("fuse", ["3"], indirect=True)
def test_the_mount_that_waits_is_killed(server: StandIn, scratch: Path) -> None:
    """The one that transfers goes on, and waits for nobody who is dead."""
    with site_of(server, FEW, scratch, transfer_grace="0") as site:
        first = cat(site.zip())
        held(site)
        with site.another(scratch / "other", **PATIENT) as other:
            second = cat(other / site.zip().relative_to(site.point))
            waits(second, site.point)
            kill(daemon(other))
            assert complaint(second)
        wait_until(lambda: f"{second.pid} " not in _waiting(site))
        interrupt(first)
        first.communicate(timeout=SOON)
        no_ascp(server)  # nobody is left
        assert parts(site.cache)[ZIP] >= MIB
    goes_on(server, scratch)


def _waiting(site: Site) -> str:
    return (site.point / ".cdbfs/transfers" / ZIP).read_text()


# -- members ---------------------------------------------------------------------------------------------------

LARGE = 256 * MIB
LARGE_BLOCK = random.Random(0).randbytes(16 * 1024)


@pytest.fixture(scope="module")
def large_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A package with a member that takes a moment to inflate."""
    path = tmp_path_factory.mktemp("large") / "large.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("s/large.bin", "w", force_zip64=True) as member,
    ):
        for _ in range(LARGE // MIB):
            member.write(LARGE_BLOCK * (MIB // len(LARGE_BLOCK)))
    make = DataSetBuilder(site_id="Lab")
    make.project("P")
    make.package(make.subject("s", "P"), "large", path)
    make.account("ana", "secret", ["P"])
    return World("large", make.build())


def test_the_daemon_is_killed_while_it_unpacks_a_member(
    large_world: World, tmp_path: Path, each_fuse: str
) -> None:
    with large_world.server() as server:
        member = Path("unpacked/P/s_large/s/large.bin")
        with site_of(server, large_world, tmp_path) as site:
            assert (site.point / member).stat().st_size == LARGE
            program = start(["md5sum", str(site.point / member)], tmp_path)
            wait_until(lambda: _unpacking(site.cache) != [])
            process = daemon(site.point)
            os.kill(process, signal.SIGSTOP)
            assert _unpacking(site.cache) != []
            kill(process)
            assert complaint(program)
        left = _unpacking(site.cache)
        for part in left:
            os.utime(part, (0, 0))  # as if it had been a while ago
        with site_of(server, large_world, tmp_path) as site:
            expected = hashlib.md5(LARGE_BLOCK * (LARGE // len(LARGE_BLOCK)), usedforsecurity=False).hexdigest()
            assert told_md5s(start(["md5sum", str(site.point / member)], tmp_path)) == [expected]
            assert _unpacking(site.cache) == []
            assert site.moved() == (1, 1)


def _unpacking(cache: Path) -> list[Path]:
    return list(cache.glob("packages/*/objects/*/members/.part-*"))


# -- at any moment ---------------------------------------------------------------------------------------------

SIZE = 300_000
RATE = 600_000
"""Bytes a second, so that a package takes half a second."""
PACKAGES = 8
MANY = World("many", connectomedb(3, package_size=SIZE))


class Readers:
    """What threads read of packages, again and again."""

    def __init__(self, site: Site, packages: Sequence[str], digests: dict[str, str], seed: int) -> None:
        self.reads = 0
        self.wrong: list[str] = []
        self.ended = threading.Event()
        self._site, self._packages, self._digests = site, packages, digests
        self._threads = [
            threading.Thread(target=self._read, args=(random.Random(seed * 10 + number),)) for number in range(4)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join()

    def _read(self, chance: random.Random) -> None:
        while not self.ended.is_set():
            package = chance.choice(self._packages)
            try:
                found = self._site.zip(package).read_bytes()
            except OSError:
                continue
            self.reads += 1
            if hashlib.md5(found, usedforsecurity=False).hexdigest() != self._digests[package]:
                self.wrong.append(package)


@pytest.mark.parametrize("fuse", ["3"], indirect=True)
@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.full)])
def test_kills_at_any_moment_never_show_a_wrong_byte(kills: int, each_fuse: str, tmp_path: Path) -> None:
    chance, began = random.Random(kills), time.monotonic()
    reads = of_ascp = 0
    with MANY.server() as server:
        server.ascp_rate = RATE
        options = {"packages_size": str(4 * SIZE), "bulk_limit": "0"}  # so that there is always one to fetch
        packages = [offer.id for offer in server.data.packages.offers][:PACKAGES] if server.data.packages else []
        site = Site(server, MANY, tmp_path / "m", tmp_path / "cache")
        digests = {package: digest(site, package) for package in packages}
        for turn in range(kills):
            with site_of(server, MANY, tmp_path, **options) as site:
                process = daemon(site.point)
                readers = Readers(site, packages, digests, turn)
                time.sleep(chance.uniform(0.1, 1.5))
                if turn % 2:
                    of_ascp += 1
                    for run in server.ascp_running:
                        _kill_if_there(run.pid)
                    time.sleep(chance.uniform(0, 0.05))
                kill(process)
                readers.join()
                assert readers.wrong == []
                reads += readers.reads
        server.ascp_rate = None
        with site_of(server, MANY, tmp_path, bulk_limit="0") as site:
            for package in packages:
                assert told_md5s(cat(site.zip(package))) == [digests[package]]
            assert site.errors() == ""
            assert left_over(site.cache) == []
        assert reads > kills
        TABLE.add(kills, of_ascp, reads, 0, server.ascp_sessions, f"{time.monotonic() - began:.0f}")


def _kill_if_there(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
