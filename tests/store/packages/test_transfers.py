"""Files fetched once, however many want them; and what becomes of them when something goes wrong."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from cdbfs.caller import Caller
from cdbfs.errors import (
    AccessRefused,
    Cancelled,
    CdbfsError,
    Interrupted,
    NoSpace,
    NotFound,
    TooManyWaiters,
    Unreachable,
)
from cdbfs.hcp.transport import Again, Order, Watch
from cdbfs.store.packages.layout import sidecar, whole
from tests.store.packages.doubles import (
    MIB,
    OTHER,
    PACKAGE,
    THIRD,
    Scripted,
    content,
    files_of,
    in_threads,
    md5_line,
    opened,
    until,
)


@pytest.fixture
def transport() -> Scripted:
    return Scripted(files_of(PACKAGE, OTHER, THIRD))


def test_what_was_fetched_is_here_with_its_md5_and_nothing_else(tmp_path: Path, transport: Scripted) -> None:
    with opened(tmp_path, transport) as store:
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)
        assert store.kept.find(sidecar(PACKAGE)) is not None
        assert store.kept.here() == [PACKAGE]
        assert store.rest() == []
    assert [order.files for order in transport.orders] == [(PACKAGE.md5, PACKAGE.zip)]


def test_the_md5_alone_moves_nothing_else(tmp_path: Path, transport: Scripted) -> None:
    with opened(tmp_path, transport) as store:
        store.transfers.fetch(sidecar(PACKAGE), 50, Caller())
        assert store.kept.find(whole(PACKAGE)) is None
        store.fetch(PACKAGE)
    assert [order.files for order in transport.orders] == [(PACKAGE.md5,), (PACKAGE.md5, PACKAGE.zip)]


def test_many_readers_in_two_mounts_cost_one_transfer(tmp_path: Path, transport: Scripted) -> None:
    transport.gate.clear()
    with opened(tmp_path, transport) as one, opened(tmp_path, transport) as two:
        readers = in_threads([lambda: one.fetch(PACKAGE)] * 5)
        transport.reached.wait(10)
        readers += in_threads([lambda: two.fetch(PACKAGE)] * 5)
        until(lambda: one.waiters.now == two.waiters.now == 5)
        until(lambda: two.transfers.told()[0].done > 0)
        transport.gate.set()
        for reader in readers:
            reader.join(10)
        assert one.read(PACKAGE) == two.read(PACKAGE) == content(PACKAGE)
    assert len(transport.orders) == 1


def test_who_is_interrupted_leaves_and_the_others_get_their_bytes(tmp_path: Path, transport: Scripted) -> None:
    transport.gate.clear()
    gone: list[BaseException] = []
    interrupted = threading.Event()

    def impatient() -> None:
        try:
            store.fetch(PACKAGE, caller=Caller(interrupted=interrupted.is_set))
        except Interrupted as error:
            gone.append(error)

    with opened(tmp_path, transport) as store:
        leaver, stayer = in_threads([impatient, lambda: store.fetch(PACKAGE)])
        transport.reached.wait(10)
        interrupted.set()
        leaver.join(5)
        assert len(gone) == 1
        transport.gate.set()
        stayer.join(10)
        assert store.read(PACKAGE) == content(PACKAGE)


def test_a_transfer_that_nobody_wants_ends_and_is_gone_on_with(tmp_path: Path, transport: Scripted) -> None:
    transport.gate.clear()
    with opened(tmp_path, transport, grace=0.2) as store:
        with pytest.raises(Interrupted):
            store.fetch(PACKAGE, caller=Caller(interrupted=transport.reached.is_set))
        until(lambda: store.transfers.told() == [])
        assert PACKAGE.zip in store.rest() or PACKAGE.md5 in store.rest()
        transport.gate.set()
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)
        assert store.rest() == []


def test_another_mount_that_waits_keeps_it_going(tmp_path: Path, transport: Scripted) -> None:
    transport.gate.clear()
    with opened(tmp_path, transport, grace=0.1) as one, opened(tmp_path, transport, grace=0.1) as two:
        began = threading.Event()
        (leaver,) = in_threads([lambda: _suppressed(one, began)])
        transport.reached.wait(10)
        (stayer,) = in_threads([lambda: two.fetch(PACKAGE)])
        until(lambda: two.layout.mark(PACKAGE.zip).exists())
        began.set()
        leaver.join(5)
        time.sleep(1.0)
        transport.gate.set()
        stayer.join(10)
        assert two.read(PACKAGE) == content(PACKAGE)
    assert len(transport.orders) == 1


def _suppressed(store, interrupted: threading.Event) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Interrupted):
        store.fetch(PACKAGE, caller=Caller(interrupted=interrupted.is_set))


def test_a_network_that_is_cut_is_tried_again_from_where_it_was(tmp_path: Path, transport: Scripted) -> None:
    def cut(order: Order, watch: Watch) -> None:
        transport.write(PACKAGE.md5, order, watch)
        (order.into / PACKAGE.zip).write_bytes(content(PACKAGE)[:1000])
        watch.moved(PACKAGE.zip, 1000, MIB)
        raise Again(Unreachable("the connection was lost"))

    transport.script = [cut, cut]
    with opened(tmp_path, transport) as store:
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)
    assert len(transport.orders) == 3


@pytest.mark.parametrize(
    ("came", "blocked", "attempts"),
    [(0, [False], 5), (0, [True], 2), (0, [False, True], 5), (0, [False, True, True], 3), (1000, [True], 6)],
)
def test_a_network_that_stays_away_is_given_up(
    came: int, blocked: list[bool], attempts: int, tmp_path: Path, transport: Scripted
) -> None:
    """Soon where it looks like a firewall, unless that one lets through what comes."""
    turns = cycle(blocked)

    def away(order: Order, watch: Watch) -> None:
        if came:
            watch.moved(PACKAGE.zip, came, MIB)
        raise Again(Unreachable("no connection"), blocked=next(turns))

    transport.script = [away] * 100
    with opened(tmp_path, transport) as store, pytest.raises(Unreachable, match="no connection"):
        store.fetch(PACKAGE)
    assert len(transport.orders) == attempts


@pytest.mark.parametrize(
    "error", [AccessRefused("token refused"), NotFound("no such file"), CdbfsError("no ascp")]
)
def test_what_is_final_is_told_to_all_and_not_tried_again(
    tmp_path: Path, transport: Scripted, error: CdbfsError
) -> None:
    def refuse(order: Order, watch: Watch) -> None:
        raise error

    transport.script = [refuse]
    with opened(tmp_path, transport) as store:
        with pytest.raises(type(error), match=str(error)):
            store.fetch(PACKAGE)
        assert store.kept.here() == []
        store.fetch(PACKAGE)  # a later try is a real one
    assert len(transport.orders) == 2


def test_right_after_a_failure_it_is_told_again_without_a_try(tmp_path: Path, transport: Scripted) -> None:
    def refuse(order: Order, watch: Watch) -> None:
        raise AccessRefused("token refused")

    transport.script = [refuse]
    with (
        opened(tmp_path, transport, retry_pause=60) as one,
        opened(tmp_path, transport, retry_pause=60) as two,
    ):
        for store in (one, one, two):
            with pytest.raises(AccessRefused, match="token refused"):
                store.fetch(PACKAGE)
    assert len(transport.orders) == 1


def damaged(transport: Scripted, times: int) -> None:
    def flip(order: Order, watch: Watch) -> None:
        for file in order.files:
            transport.write(file, order, watch)
        with (order.into / PACKAGE.zip).open("r+b") as broken:
            broken.write(b"X")

    transport.script = [flip] * times


def test_a_wrong_md5_once_is_fetched_anew(tmp_path: Path, transport: Scripted) -> None:
    damaged(transport, 1)
    with opened(tmp_path, transport) as store:
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)
    assert [order.files for order in transport.orders] == [(PACKAGE.md5, PACKAGE.zip)] * 2


def test_a_wrong_md5_twice_is_an_error_and_leaves_nothing(tmp_path: Path, transport: Scripted) -> None:
    damaged(transport, 2)
    with opened(tmp_path, transport) as store:
        with pytest.raises(CdbfsError, match="md5") as caught:
            store.fetch(PACKAGE)
        assert caught.value.errno == errno.EIO
        assert store.kept.here() == []
        assert store.rest() == [f"{PACKAGE.zip}.failed"]
        assert store.space.usage().kept == 0


def test_a_package_that_was_published_anew_beside_an_old_md5(tmp_path: Path, transport: Scripted) -> None:
    old = content(PACKAGE)[::-1]
    transport.files = {**transport.files, PACKAGE.md5: md5_line(PACKAGE, old)}
    with opened(tmp_path, transport) as store:
        store.transfers.fetch(sidecar(PACKAGE), 50, Caller())
        transport.files = files_of(PACKAGE)
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)


@pytest.mark.parametrize("text", [b"", b"<html>", b"0" * 32 + b"  other.zip\n", b"\xff" * 5000])
def test_an_md5_that_is_none(tmp_path: Path, transport: Scripted, text: bytes) -> None:
    transport.files = {**transport.files, PACKAGE.md5: text}
    with opened(tmp_path, transport) as store, pytest.raises(CdbfsError, match="not as md5sum writes it"):
        store.fetch(PACKAGE)


def test_a_file_that_does_not_come(tmp_path: Path, transport: Scripted) -> None:
    transport.script = [lambda order, watch: None]
    with opened(tmp_path, transport) as store, pytest.raises(CdbfsError, match="ended without"):
        store.fetch(PACKAGE)


def test_cancel_frees_all_who_wait(tmp_path: Path, transport: Scripted) -> None:
    transport.gate.clear()
    ended: list[str] = []

    def wait(store) -> None:  # type: ignore[no-untyped-def]
        try:
            store.fetch(PACKAGE)
        except Cancelled:
            ended.append("cancelled")

    with opened(tmp_path, transport) as one, opened(tmp_path, transport) as two:
        waiters = in_threads([lambda: wait(one)])
        transport.reached.wait(10)
        waiters += in_threads([lambda: wait(two)])
        until(lambda: two.layout.mark(PACKAGE.zip).exists())
        two.transfers.cancel(PACKAGE.zip)  # of a transfer that runs in another mount
        for waiter in waiters:
            waiter.join(10)
    assert ended == ["cancelled"] * 2


def test_several_come_in_one_session(tmp_path: Path, transport: Scripted) -> None:
    with opened(tmp_path, transport) as store:
        begun = store.transfers.begin([(whole(package), MIB) for package in (PACKAGE, OTHER, THIRD)])
        for transfer in begun:
            transfer.future.result(10)
        assert store.kept.here() == sorted([PACKAGE, OTHER, THIRD])
    assert len(transport.orders) == 1


def test_one_of_several_that_fails_leaves_the_others(tmp_path: Path, transport: Scripted) -> None:
    def without_one(order: Order, watch: Watch) -> None:
        for file in order.files:
            if file.startswith(OTHER.name):
                watch.failed(file, NotFound(f"no {file}"))
            else:
                transport.write(file, order, watch)

    transport.script = [without_one]
    with opened(tmp_path, transport) as store:
        begun = store.transfers.begin([(whole(package), MIB) for package in (PACKAGE, OTHER, THIRD)])
        assert begun[0].future.result(10) is None
        assert isinstance(begun[1].future.exception(10), NotFound)
        assert begun[2].future.result(10) is None
    assert len(transport.orders) == 1


def test_more_than_may_wait_are_turned_away(tmp_path: Path, transport: Scripted) -> None:
    transport.gate.clear()
    with opened(tmp_path, transport, waiters=3) as store:
        readers = in_threads([lambda: store.fetch(PACKAGE)] * 3)
        until(lambda: store.waiters.now == 3)
        with pytest.raises(TooManyWaiters):
            store.fetch(PACKAGE)
        transport.gate.set()
        for reader in readers:
            reader.join(10)


def test_so_many_run_at_once(tmp_path: Path, transport: Scripted) -> None:
    transport.gate.clear()
    with opened(tmp_path, transport, slots=2) as store:
        readers = in_threads([lambda p=p: store.fetch(p) for p in (PACKAGE, OTHER, THIRD)])  # type: ignore[misc]
        until(lambda: len(transport.orders) == 2)
        time.sleep(0.5)
        assert len(transport.orders) == 2
        assert sorted(told.phase for told in store.transfers.told()) == ["fetching", "fetching", "waiting"]
        transport.gate.set()
        for reader in readers:
            reader.join(10)
    assert len(transport.orders) == 3


# -- space


def test_a_package_larger_than_all_may_take(tmp_path: Path, transport: Scripted) -> None:
    with opened(tmp_path, transport, cap=MIB // 2) as store:
        with pytest.raises(NoSpace, match="packages_size"):
            store.fetch(PACKAGE)
        assert transport.orders == []
        assert store.rest() == [f"{PACKAGE.zip}.failed"]


def test_one_that_turns_out_larger_than_all_may_take(tmp_path: Path) -> None:
    transport = Scripted(files_of(PACKAGE, size=4 * MIB))
    with opened(tmp_path, transport, cap=2 * MIB) as store:
        with pytest.raises(NoSpace, match="packages_size"):
            store.fetch(PACKAGE)
        assert store.rest() == [f"{PACKAGE.zip}.failed"]


def test_the_least_recently_used_makes_room(tmp_path: Path, transport: Scripted) -> None:
    with opened(tmp_path, transport, cap=int(2.5 * MIB)) as store:
        store.fetch(PACKAGE, OTHER)
        store.read(PACKAGE)
        store.fetch(THIRD)
        assert store.kept.here() == sorted([PACKAGE, THIRD])
        assert store.kept.state(OTHER) is not None, "what is known of it outlives it"


def test_what_is_open_is_never_evicted(tmp_path: Path, transport: Scripted) -> None:
    with opened(tmp_path, transport, cap=int(1.5 * MIB)) as store, opened(tmp_path, transport) as two:
        store.fetch(PACKAGE)
        reading = two.kept.open(whole(PACKAGE))
        assert reading is not None
        with pytest.raises(NoSpace, match="in use"):
            store.fetch(OTHER)
        assert store.kept.evict(PACKAGE) == (0, True)
        assert reading.read(10, 0) == content(PACKAGE)[:10]
        reading.close()
        store.fetch(OTHER)
        assert store.kept.here() == [OTHER]


def test_transfers_count_by_what_they_reserved(tmp_path: Path, transport: Scripted) -> None:
    transport.gate.clear()
    with opened(tmp_path, transport, cap=int(1.5 * MIB)) as store:
        (reader,) = in_threads([lambda: store.fetch(PACKAGE)])
        transport.reached.wait(10)
        with pytest.raises(NoSpace, match="in use"):
            store.fetch(OTHER)
        transport.gate.set()
        reader.join(10)
        assert store.kept.here() == [PACKAGE]


def test_a_floor_of_free_space_is_left(tmp_path: Path, transport: Scripted) -> None:
    free = shutil.disk_usage(tmp_path).free
    with opened(tmp_path, transport, cap=10 * free, floor=free) as store:
        with pytest.raises(NoSpace, match="packages_free"):
            store.fetch(PACKAGE)
        assert len(store.space.warnings()) == 1


def test_a_disk_that_is_full_is_cleared_once(tmp_path: Path, transport: Scripted) -> None:
    def full(order: Order, watch: Watch) -> None:
        watch.moved(PACKAGE.zip, 1000, MIB)
        (order.into / PACKAGE.zip).write_bytes(content(PACKAGE)[:1000])
        raise NoSpace("the disk is full")

    transport.script = [full]
    with opened(tmp_path, transport) as store:
        store.fetch(PACKAGE)
        assert store.read(PACKAGE) == content(PACKAGE)
    transport.script = [full, full]
    with opened(tmp_path / "two", transport) as store:
        with pytest.raises(NoSpace, match="the disk is full"):
            store.fetch(PACKAGE)
        assert store.rest() == [f"{PACKAGE.zip}.failed"]


def test_leftovers_of_nobody_make_room(tmp_path: Path, transport: Scripted) -> None:
    with opened(tmp_path, transport, cap=2 * MIB) as store:
        left = store.layout.arriving(True) / OTHER.zip
        left.write_bytes(bytes(int(1.5 * MIB)))
        store.fetch(PACKAGE)
        assert not left.exists()


def test_a_mount_that_ends_lets_everybody_go(tmp_path: Path, transport: Scripted) -> None:
    transport.gate.clear()
    let_go: list[CdbfsError] = []

    def wait() -> None:
        try:
            store.fetch(PACKAGE)
        except Interrupted as error:
            let_go.append(error)

    with opened(tmp_path, transport) as store:
        (reader,) = in_threads([wait])
        transport.reached.wait(10)
        store.transfers.close()
        reader.join(5)
        assert len(let_go) == 1
        with pytest.raises(Interrupted, match="ending"):
            store.fetch(OTHER)


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    yield
    until(lambda: all(thread.name != "cdbfs-transfer" for thread in threading.enumerate()))
