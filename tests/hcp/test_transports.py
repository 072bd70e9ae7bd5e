"""One suite for every way in which packages come: what arrives, what stays, and how it ends."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdbfs.config import Settings
from cdbfs.errors import CdbfsError, Interrupted, NoSpace, NotFound, TimedOut
from cdbfs.hcp.aspera.transport import AsperaTransport
from cdbfs.hcp.command import CommandTransport
from cdbfs.hcp.directory import DirectoryTransport
from cdbfs.hcp.models import Package
from cdbfs.hcp.service import PackageService
from cdbfs.hcp.transport import Again, Order, Transport
from cdbfs.hcp.transports import chosen
from tests.hcp.watching import Noted
from tests.hcp.ways import CONTENT, ETA, HELD, MISSING, WAYS, ZETA, ByAspera, Way, expected, is_gone, way


@pytest.fixture(params=WAYS)
def by(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    with way(request.param, tmp_path / "source") as found:
        yield found


@pytest.fixture
def into(tmp_path: Path) -> Path:
    directory = tmp_path / "into: it's *here*"
    directory.mkdir()
    return directory


def order(into: Path, *packages: Package, files: Sequence[str] = (), hold: tuple[int, ...] = ()) -> Order:
    named = files or [file for package in packages for file in (package.md5, package.zip)]
    return Order(packages, tuple(named), into, hold)


def arrived(into: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in into.iterdir()}


class Fetching:
    """A fetch in a thread of its own, until it ends."""

    def __init__(self, transport: Transport, wanted: Order, watch: Noted) -> None:
        self.error: Again | CdbfsError | None = None
        self._thread = threading.Thread(target=self._run, args=(transport, wanted, watch))
        self._thread.start()

    def _run(self, transport: Transport, wanted: Order, watch: Noted) -> None:
        try:
            transport.fetch(wanted, watch)
        except (Again, CdbfsError) as error:
            self.error = error

    def end(self, seconds: float = 20.0) -> Again | CdbfsError | None:
        """What it raised."""
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        return self.error


def wait_held(watch: Noted, file: str = ZETA.zip) -> None:
    ends = time.monotonic() + 20
    while HELD not in watch.done(file):
        assert time.monotonic() < ends, watch.moves
        time.sleep(0.01)


def check_progress(watch: Noted, *packages: Package) -> None:
    """What is told of each file never goes back, and ends with all of it."""
    for package in packages:
        for name, content in expected(package).items():
            done = watch.done(name)
            assert done == sorted(done)
            assert {size for file, _, size in watch.moves if file == name} <= {len(content), None}
            assert done[-1] == len(content)


# -- what arrives -----------------------------------------------------------------------------------------------


def test_a_package_arrives_whole(by: Way, into: Path) -> None:
    watch = Noted()
    by.transport().fetch(order(into, ZETA), watch)
    assert arrived(into) == expected(ZETA)
    check_progress(watch, ZETA)
    assert watch.failures == {}
    assert bool(watch.programs) is by.has_program
    assert all(map(is_gone, watch.programs))


def test_several_packages_arrive_together(by: Way, into: Path) -> None:
    watch = Noted()
    by.transport().fetch(order(into, ZETA, ETA), watch)
    assert arrived(into) == {**expected(ZETA), **expected(ETA)}
    check_progress(watch, ZETA, ETA)


def test_only_what_is_named_is_moved(by: Way, into: Path) -> None:
    by.transport().fetch(order(into, ZETA, files=[ZETA.md5]), Noted())
    assert arrived(into) == {ZETA.md5: expected(ZETA)[ZETA.md5]}


def test_what_is_there_is_not_moved_again(by: Way, into: Path) -> None:
    transport = by.transport()
    transport.fetch(order(into, ZETA), Noted())
    by.hold()
    before = {path.name: path.stat().st_ino for path in into.iterdir()}
    transport.fetch(order(into, ZETA), Noted())
    assert {path.name: path.stat().st_ino for path in into.iterdir()} == before


def test_files_are_nobody_elses(by: Way, into: Path) -> None:
    by.transport().fetch(order(into, ZETA), Noted())
    assert all(path.stat().st_mode & 0o077 == 0 for path in into.iterdir() if path.name.endswith(".zip"))


# -- what does not ----------------------------------------------------------------------------------------------


def test_what_breaks_off_is_gone_on_with(by: Way, into: Path) -> None:
    by.cut()
    transport = by.transport()
    with pytest.raises(Again) as cut:
        transport.fetch(order(into, ZETA), Noted())
    assert str(cut.value).isprintable()
    left = [path for path in into.iterdir() if path.name.startswith(ZETA.zip) and path.stat().st_size >= HELD]
    assert len(left) == 1
    watch = Noted()
    transport.fetch(order(into, ZETA), watch)
    assert arrived(into) == expected(ZETA)
    assert watch.done(ZETA.zip)[0] >= HELD
    assert watch.done(ZETA.zip) == sorted(watch.done(ZETA.zip))


def test_what_is_not_there_is_not_found(by: Way, into: Path) -> None:
    watch = Noted()
    if by.knows_what_is_missing:
        with pytest.raises(NotFound, match=MISSING.zip):
            by.transport().fetch(order(into, MISSING), watch)
    else:
        with pytest.raises(Again, match="no such object"):
            by.transport().fetch(order(into, MISSING), watch)
    assert watch.failures == {}
    assert arrived(into) == {}


def test_what_is_not_there_leaves_the_others_alone(by: Way, into: Path) -> None:
    if not by.knows_what_is_missing:
        return
    watch = Noted()
    by.transport().fetch(order(into, MISSING, ZETA), watch)
    assert arrived(into) == expected(ZETA)
    assert watch.failures.keys() == {MISSING.zip, MISSING.md5}
    assert {type(error) for error in watch.failures.values()} == {NotFound}


def test_a_transfer_that_is_stopped_ends_and_leaves_what_came(by: Way, into: Path) -> None:
    by.hold()
    watch = Noted()
    fetching = Fetching(by.transport(), order(into, ZETA), watch)
    wait_held(watch)
    watch.stop.set()
    assert isinstance(fetching.end(), Interrupted)
    assert all(map(is_gone, watch.programs))
    by.go_on()
    again = Noted()
    by.transport().fetch(order(into, ZETA), again)
    assert arrived(into) == expected(ZETA)
    assert again.done(ZETA.zip)[0] >= HELD or not by.has_program


def test_a_transfer_that_was_stopped_before_starts_nothing(by: Way, into: Path) -> None:
    watch = Noted()
    watch.stop.set()
    with pytest.raises(Interrupted):
        by.transport().fetch(order(into, ZETA), watch)
    assert all(map(is_gone, watch.programs))
    if isinstance(by, ByAspera):
        assert by.server.downloads() == []


def test_a_transfer_that_stands_still_is_given_up_for_another(by: Way, into: Path) -> None:
    by.hold()
    watch = Noted()
    with pytest.raises(Again) as stalled:
        by.transport(stall=1.0).fetch(order(into, ZETA), watch)
    assert isinstance(stalled.value.meaning, TimedOut)
    assert "stood still for 1 s" in str(stalled.value)
    assert all(map(is_gone, watch.programs))
    by.go_on()
    by.transport().fetch(order(into, ZETA), Noted())
    assert arrived(into) == expected(ZETA)


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", directory], check=True, timeout=30)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True, timeout=30)


def test_a_disk_that_is_full_is_told_as_that(by: Way, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        return  # an ordinary user has no small disk
    with small_disk(tmp_path / "disk") as disk:
        with pytest.raises(NoSpace, match="full"):
            by.transport().fetch(order(disk, ZETA), Noted())
        for path in disk.iterdir():
            path.unlink()
        by.transport().fetch(order(disk, ETA), Noted())
        assert arrived(disk) == expected(ETA)


# -- programs ---------------------------------------------------------------------------------------------------


def test_a_program_holds_the_locks_for_as_long_as_it_lives(by: Way, into: Path, tmp_path: Path) -> None:
    if not by.has_program:
        return
    by.hold()
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    watch = Noted()
    fetching = Fetching(by.transport(), order(into, ZETA, hold=(lock,)), watch)
    wait_held(watch)
    os.close(lock)
    with open(tmp_path / "lock") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        watch.stop.set()
        fetching.end()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_program_leaves_the_descriptors_that_it_does_not_need(by: Way, into: Path) -> None:
    """Its own, three standard ones, and what the transfer takes."""
    if not by.has_program:
        return
    by.hold()
    watch = Noted()
    ours = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(ours, True)
    fetching = Fetching(by.transport(), order(into, ZETA), watch)
    wait_held(watch)
    open_ones = [os.readlink(f"/proc/{watch.programs[-1]}/fd/{number}") for number in (0, 1, 2)]
    session, group = os.getsid(watch.programs[-1]), os.getpgid(watch.programs[-1])
    same = [os.readlink(path) for path in Path(f"/proc/{watch.programs[-1]}/fd").iterdir()]
    watch.stop.set()
    fetching.end()
    os.close(ours)
    assert open_ones[0] == "/dev/null"
    assert all(name.startswith("pipe:") for name in open_ones[1:])
    assert session == group == watch.programs[-1]
    assert same.count("/dev/null") == 1


# -- which way --------------------------------------------------------------------------------------------------


def test_the_settings_choose_the_way(tmp_path: Path) -> None:
    with way("aspera", tmp_path) as by:
        assert isinstance(by, ByAspera)
        service: PackageService = by.service
        aspera = chosen(Settings(), service, "ana")
        assert isinstance(aspera, AsperaTransport)
        assert aspera.hosts == Settings().aspera_hosts
        assert isinstance(chosen(Settings(packages_dir=tmp_path), service, "ana"), DirectoryTransport)
        assert isinstance(chosen(Settings(packages_command="cp {file} {into}"), service, "ana"), CommandTransport)


def test_the_contents_are_what_they_are_taken_for() -> None:
    assert all(len(content) > HELD for package, content in CONTENT.items() if package == ZETA)
