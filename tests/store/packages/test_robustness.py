"""What a critic found: locks and places that must not be lost or shared, and who counts as alive."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from cdbfs.caller import Caller
from cdbfs.errors import CdbfsError, NotFound
from cdbfs.hcp.models import Package
from cdbfs.hcp.transport import Order, Watch
from cdbfs.store.packages import boards
from cdbfs.store.packages.layout import sidecar, whole
from cdbfs.store.packages.locks import take
from tests.store.packages.doubles import (
    MIB,
    OTHER,
    PACKAGE,
    THIRD,
    Scripted,
    content,
    files_of,
    in_threads,
    opened,
    until,
)


def test_packages_of_one_name_have_places_of_their_own(tmp_path: Path) -> None:
    one, other = Package("a_b", "c"), Package("a", "b_c")
    with opened(tmp_path, Scripted(files_of(one))) as store:
        store.fetch(one)
        assert store.kept.find(whole(other)) is None
        assert store.kept.open(whole(other)) is None
        assert store.kept.here() == [one]


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_what_arrives_as_a_link_is_refused_and_its_target_let_alone(tmp_path: Path, link) -> None:  # type: ignore[no-untyped-def]
    transport = Scripted(files_of(PACKAGE))
    mirror = tmp_path / "mirror.zip"
    mirror.write_bytes(content(PACKAGE))
    mirror.chmod(0o640)

    def by_link(order: Order, watch: Watch) -> None:
        transport.write(PACKAGE.md5, order, watch)
        link(mirror, order.into / PACKAGE.zip)

    transport.script = [by_link, by_link]
    with opened(tmp_path / "cache", transport) as store:
        with pytest.raises(CdbfsError, match="link"):
            store.fetch(PACKAGE)
        assert store.kept.here() == []
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)
    assert mirror.stat().st_mode & 0o777 == 0o640
    assert mirror.read_bytes() == content(PACKAGE)


def test_a_lock_is_given_back_where_the_board_cannot_be_written(tmp_path: Path) -> None:
    with opened(tmp_path, Scripted(files_of(PACKAGE))) as store:
        board = store.layout.board(whole(PACKAGE))
        board.mkdir()
        with pytest.raises(CdbfsError, match="cache_dir"):
            store.fetch(PACKAGE)
        lock = take(store.layout.lock(whole(PACKAGE)))
        assert lock is not None
        lock.release()
        board.rmdir()
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)


def test_descriptors_do_not_pile_up_where_locks_are_held(tmp_path: Path) -> None:
    held = take(tmp_path / "lock")
    assert held is not None
    before = _descriptors(tmp_path)
    assert [take(tmp_path / "lock") for _ in range(20)] == [None] * 20
    assert [boards.is_live(tmp_path / "lock") for _ in range(20)] == [True] * 20
    assert _descriptors(tmp_path) == before == 1
    held.release()
    assert not boards.is_live(tmp_path / "lock")
    assert _descriptors(tmp_path) == 0


def _descriptors(below: Path) -> int:
    """How many are open on files of a directory; other threads open and close others meanwhile."""
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += os.readlink(path).startswith(str(below))
    return count


def test_a_transfer_whose_bytes_stand_still_is_waited_for_while_its_process_lives(tmp_path: Path) -> None:
    transport = Scripted(files_of(PACKAGE))
    transport.gate.clear()
    with opened(tmp_path, transport) as one, opened(tmp_path, transport, silence=1.5) as two:
        readers = in_threads([lambda: one.fetch(PACKAGE)])
        transport.reached.wait(10)
        readers += in_threads([lambda: two.fetch(PACKAGE)])
        time.sleep(3.0)
        assert two.waiters.now == 1
        transport.gate.set()
        for reader in readers:
            reader.join(10)
        assert two.read(PACKAGE) == content(PACKAGE)
    assert len(transport.orders) == 1


def test_those_that_queue_reserve_nothing(tmp_path: Path) -> None:
    packages = [Package(f"10{number}", "P") for number in range(5)]
    transport = Scripted(files_of(*packages))
    with opened(tmp_path, transport, slots=1, cap=int(2.5 * MIB)) as store:
        failed: list[BaseException] = []

        def fetch(package: Package) -> None:
            try:
                store.fetch(package)
            except CdbfsError as error:
                failed.append(error)

        for reader in in_threads([lambda p=p: fetch(p) for p in packages]):  # type: ignore[misc]
            reader.join(20)
        assert failed == []
        assert len(transport.orders) == len(packages)
        assert len(store.kept.here()) == 2


def test_a_failure_by_other_settings_is_tried_anew(tmp_path: Path) -> None:
    def missing(order: Order, watch: Watch) -> None:
        raise CdbfsError("no ascp")

    with (
        opened(tmp_path, Scripted({}, [missing]), retry_pause=60) as store,
        pytest.raises(CdbfsError, match="no ascp"),
    ):
        store.fetch(PACKAGE)
    with opened(tmp_path, Scripted(files_of(PACKAGE)), retry_pause=60, by="other settings") as store:
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)


def test_who_joins_what_is_just_being_ended_gets_a_transfer_of_his_own(tmp_path: Path) -> None:
    transport = Scripted(files_of(PACKAGE))
    transport.gate.clear()
    leave = threading.Event()
    with opened(tmp_path, transport) as store:
        first = store.transfers.begin([(whole(PACKAGE), MIB)])[0]
        transport.reached.wait(10)
        first.cancelled = True  # its program has not ended yet
        (reader,) = in_threads([lambda: store.fetch(PACKAGE, caller=Caller(interrupted=leave.is_set))])
        until(lambda: first.future.done())
        transport.gate.set()
        reader.join(10)
        assert store.read(PACKAGE) == content(PACKAGE)


def test_an_evicted_package_takes_its_md5_along(tmp_path: Path) -> None:
    with opened(tmp_path, Scripted(files_of(PACKAGE, OTHER, THIRD)), cap=int(1.5 * MIB)) as store:
        store.fetch(PACKAGE)
        store.fetch(OTHER)
        assert store.kept.here() == [OTHER]
        assert store.kept.find(sidecar(PACKAGE)) is None
        store.kept.evict(OTHER)
        assert store.kept.find(sidecar(OTHER)) is None


def test_a_name_that_no_file_can_have_is_not_found(tmp_path: Path) -> None:
    with opened(tmp_path, Scripted({})) as store, pytest.raises(NotFound):
        store.layout.object(Package("s" * 200, "p" * 100))


def test_a_program_s_own_names_for_a_file_are_its_transfer_s(tmp_path: Path) -> None:
    """rsync writes .NAME.Ab12Cd."""
    transport = Scripted(files_of(PACKAGE, OTHER))

    def as_rsync(order: Order, watch: Watch) -> None:
        own = order.into / f".{PACKAGE.zip}.Ab12Cd"
        own.write_bytes(content(PACKAGE)[:1000])
        store.space.make_room(MIB)
        assert own.exists()
        own.unlink()
        for file in order.files:
            transport.write(file, order, watch)

    transport.script = [as_rsync]
    with opened(tmp_path, transport, cap=3 * MIB) as store:
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)
