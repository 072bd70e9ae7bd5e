"""Many packages at once: batches, what is here already, what cannot be had, and an end in the middle."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timezone
from pathlib import Path

import pytest

from cdbfs.caller import Caller
from cdbfs.errors import AccessRefused, CdbfsError, NoSpace, NotFound, TooManyPackages
from cdbfs.events import Journal
from cdbfs.hcp.models import Package
from cdbfs.hcp.transport import Order, Watch
from cdbfs.store.flight import Flight
from cdbfs.store.packages.bulk import Bulk
from cdbfs.store.packages.fetching import MOST_IN_A_BATCH, MOST_UNASKED, check_amount, fetch_all
from cdbfs.store.packages.packages import Packages
from cdbfs.store.packages.progress import Arrived, Failed, Moving, Outcome, Planned, Progress, event, last_event
from cdbfs.store.packages.unpacker import Unpacker
from tests.store.packages.doubles import MIB, Scripted, Store, content, files_of, here, in_threads, opened, until

MANY = [Package(str(100_000 + number), "3T_Structural_preproc") for number in range(45)]
FEW = MANY[:3]
SMALL = 1000


@contextmanager
def packages_of(
    root: Path, transport: Scripted, cap: int = 0, grace: float = 60.0
) -> Iterator[tuple[Packages, Store]]:
    with opened(root, transport, cap=cap, grace=grace) as store:
        flight = (Flight(1, store.waiters), Flight(1, store.waiters))
        unpacker = Unpacker(store.kept, store.space, flight, Journal(), timezone.utc, 1000)
        packages = Packages(store.kept, store.transfers, store.space, Bulk(1), unpacker)
        try:
            yield packages, store
        finally:
            unpacker.close()


class Watcher:
    """What was told, and a stop."""

    def __init__(self) -> None:
        self.told: list[Progress] = []
        self.stop = threading.Event()

    def fetch(self, packages: Packages, wanted: Sequence[Package], announced: int = SMALL) -> Outcome:
        asked = [(package, announced) for package in wanted]
        return fetch_all(packages, asked, self.told.append, self.stop.is_set)

    def of(self, kind: type[Progress]) -> list[Progress]:
        return [each for each in self.told if isinstance(each, kind)]


def zips(order: Order) -> list[str]:
    return [file for file in order.files if file.endswith(".zip")]


def test_all_come_in_one_session_a_batch(tmp_path: Path) -> None:
    transport, watcher = Scripted(files_of(*MANY, size=SMALL)), Watcher()
    with packages_of(tmp_path, transport) as (packages, store):
        outcome = watcher.fetch(packages, MANY)
        assert (outcome.here, outcome.fetched, outcome.size) == (45, 45, 45 * SMALL)
        assert (outcome.failed, outcome.missing, outcome.left) == ((), (), ())
        assert [store.read(package) for package in MANY] == [content(package, SMALL) for package in MANY]
        assert store.rest() == []
    assert [len(zips(order)) for order in transport.orders] == [MOST_IN_A_BATCH, MOST_IN_A_BATCH, 5]
    assert watcher.told[0] == Planned(45, 45 * SMALL, 0)
    assert {each.package for each in watcher.told if isinstance(each, Arrived)} == set(MANY)


def test_what_is_here_is_told_and_not_fetched_again(tmp_path: Path) -> None:
    transport, watcher = Scripted(files_of(*FEW, size=SMALL)), Watcher()
    with packages_of(tmp_path, transport) as (packages, _):
        watcher.fetch(packages, FEW[:2])
        watcher.told.clear()
        outcome = watcher.fetch(packages, [*FEW, *FEW])
        assert (outcome.here, outcome.fetched, outcome.size) == (3, 1, SMALL)
        assert watcher.told[:3] == [
            Arrived(FEW[0], SMALL, fetched=False),
            Arrived(FEW[1], SMALL, fetched=False),
            Planned(1, SMALL, 2),
        ]
        assert watcher.fetch(packages, FEW).fetched == 0
    assert [zips(order) for order in transport.orders] == [[FEW[0].zip, FEW[1].zip], [FEW[2].zip]]


def test_a_batch_takes_at_most_half_of_what_packages_may(tmp_path: Path) -> None:
    transport = Scripted(files_of(*MANY[:5], size=MIB))
    with packages_of(tmp_path, transport, cap=6 * MIB) as (packages, _):
        assert Watcher().fetch(packages, MANY[:5], announced=2 * MIB).here == 5
    assert [len(zips(order)) for order in transport.orders] == [1, 1, 1, 1, 1]


def test_one_that_is_larger_than_that_comes_alone(tmp_path: Path) -> None:
    transport = Scripted(files_of(*FEW, size=SMALL))
    with packages_of(tmp_path, transport, cap=4 * MIB) as (packages, _):
        asked = [(FEW[0], SMALL), (FEW[1], 3 * MIB), (FEW[2], SMALL)]
        assert fetch_all(packages, asked, lambda _: None, lambda: False).here == 3
    assert [len(zips(order)) for order in transport.orders] == [1, 1, 1]


def test_the_others_come_where_one_cannot_be_had(tmp_path: Path) -> None:
    transport, watcher = Scripted(files_of(*FEW, size=SMALL)), Watcher()

    def without_the_second(order: Order, watch: Watch) -> None:
        watch.failed(FEW[1].zip, NotFound("it was taken back"))
        for file in order.files:
            if FEW[1].name not in file:
                transport.write(file, order, watch)

    transport.script = [without_the_second]
    with packages_of(tmp_path, transport) as (packages, _):
        outcome = watcher.fetch(packages, FEW)
        assert (outcome.here, outcome.failed) == (2, (Failed(FEW[1], "it was taken back"),))
        assert watcher.of(Failed) == list(outcome.failed)
    assert last_event(outcome)["failed"] == [{"package": FEW[1].name, "reason": "it was taken back"}]


def test_after_batches_that_bring_nothing_the_others_are_not_tried(tmp_path: Path) -> None:
    transport, watcher = Scripted({}), Watcher()

    def refuse(order: Order, watch: Watch) -> None:
        raise AccessRefused("the terms are not accepted")

    transport.script = [refuse] * 10
    wanted = [Package(str(number), "A") for number in range(100)]
    with packages_of(tmp_path, transport) as (packages, store):
        outcome = watcher.fetch(packages, wanted)
        assert (outcome.here, len(outcome.failed), outcome.missing) == (0, 100, ())
        assert all("the terms are not accepted" in each.reason for each in outcome.failed)
        assert [each.reason.count("not tried") for each in outcome.failed] == [0] * 40 + [1] * 60
        assert store.rest() == sorted(f"{package.zip}.failed" for package in wanted[:40])
    assert len(transport.orders) == 2


def test_it_is_stopped_in_the_middle_and_gone_on_with(tmp_path: Path) -> None:
    transport, watcher = Scripted(files_of(*MANY[:22], size=SMALL)), Watcher()
    transport.gate.clear()
    with packages_of(tmp_path, transport) as (packages, store):
        found: list[Outcome] = []
        (fetching,) = in_threads([lambda: found.append(watcher.fetch(packages, MANY[:22]))])
        assert transport.reached.wait(10)
        watcher.stop.set()
        fetching.join(10)
        (outcome,) = found
        assert (outcome.here, len(outcome.missing), len(outcome.left)) == (0, 22, MOST_IN_A_BATCH)
        packages.give_up(outcome.left)
        until(lambda: not packages.transfers())
        assert MANY[0].zip in store.rest()  # half of it
        transport.gate.set()
        assert Watcher().fetch(packages, MANY[:22]).here == 22
    assert len(transport.orders) == 3


def test_what_was_begun_goes_on_for_a_grace_where_nobody_gives_it_up(tmp_path: Path) -> None:
    transport, watcher = Scripted(files_of(*FEW, size=SMALL)), Watcher()
    transport.gate.clear()
    with packages_of(tmp_path, transport) as (packages, _):
        (fetching,) = in_threads([lambda: watcher.fetch(packages, FEW)])
        assert transport.reached.wait(10)
        watcher.stop.set()
        fetching.join(10)
        transport.gate.set()
        until(lambda: packages.here() == FEW)
    assert len(transport.orders) == 1


def test_what_somebody_else_waits_for_is_not_given_up(tmp_path: Path) -> None:
    transport, watcher = Scripted(files_of(*FEW, size=SMALL)), Watcher()
    transport.gate.clear()
    with packages_of(tmp_path, transport) as (packages, store):
        found: list[Outcome] = []
        (fetching,) = in_threads([lambda: found.append(watcher.fetch(packages, FEW))])
        assert transport.reached.wait(10)
        (reader,) = in_threads([lambda: store.fetch(FEW[1], caller=Caller(pid=1))])
        until(lambda: any(1 in told.waiting for told in packages.transfers()))
        assert all(here() in told.waiting for told in packages.transfers())
        watcher.stop.set()
        fetching.join(10)
        packages.give_up(found[0].left)
        until(lambda: [told.file for told in packages.transfers()] == [FEW[1].zip])
        transport.gate.set()
        reader.join(10)
        assert packages.here() == [FEW[1]]


def test_who_waits_is_told_by_his_process(tmp_path: Path) -> None:
    transport = Scripted(files_of(*FEW, size=SMALL))
    transport.gate.clear()
    with packages_of(tmp_path, transport) as (packages, _):
        asked = [(package, SMALL) for package in FEW]
        (fetching,) = in_threads(
            [lambda: fetch_all(packages, asked, lambda _: None, lambda: transport.gate.is_set(), process=1)]
        )
        until(lambda: [told.waiting for told in packages.transfers()] == [(1,), (1,), (1,)])
        transport.gate.set()
        fetching.join(10)


def test_how_it_moves_is_told(tmp_path: Path) -> None:
    transport, watcher = Scripted(files_of(*FEW, size=SMALL)), Watcher()
    transport.gate.clear()
    with packages_of(tmp_path, transport) as (packages, _):
        (fetching,) = in_threads([lambda: watcher.fetch(packages, FEW, announced=7 * SMALL)])
        until(lambda: any(isinstance(each, Moving) and each.done for each in watcher.told))
        transport.gate.set()
        fetching.join(10)
    moving = next(each for each in watcher.told if isinstance(each, Moving) and each.done)
    assert (moving.done, moving.size) == (SMALL // 2, SMALL + 2 * 7 * SMALL)  # of the first the size is known now
    told = event(moving)
    assert {each["file"]: each["done"] for each in told["packages"]}[FEW[0].zip] == SMALL // 2


def test_what_was_evicted_again_is_told(tmp_path: Path) -> None:
    transport, watcher = Scripted(files_of(*FEW, size=MIB)), Watcher()
    with packages_of(tmp_path, transport, cap=2 * MIB) as (packages, _):
        outcome = watcher.fetch(packages, FEW, announced=MIB)
        assert (outcome.here, len(outcome.failed)) == (2, 1)
        assert outcome.failed[0].package == FEW[0]
        assert "evicted again" in outcome.failed[0].reason


def test_what_is_here_is_not_evicted_for_what_comes(tmp_path: Path) -> None:
    other = Package("999999", "B")
    transport = Scripted(files_of(*FEW, other, size=MIB))
    with packages_of(tmp_path, transport, cap=3 * MIB) as (packages, _):
        for package in (FEW[0], other, FEW[1]):
            Watcher().fetch(packages, [package], announced=MIB)
        outcome = Watcher().fetch(packages, FEW, announced=MIB)
        assert (outcome.here, outcome.failed) == (3, ())
        assert packages.here() == FEW


def test_one_program_may_fetch_more_so_than_by_opening(tmp_path: Path) -> None:
    transport = Scripted(files_of(*FEW, size=SMALL))
    with packages_of(tmp_path, transport) as (packages, _):  # whose bulk_limit is 1
        assert Watcher().fetch(packages, FEW).here == 3


def test_an_order_that_is_too_large_to_be_meant_is_refused(tmp_path: Path) -> None:
    many = [(Package(str(number), "A"), SMALL) for number in range(MOST_UNASKED + 1)]
    with packages_of(tmp_path, Scripted(files_of(*FEW)), cap=2 * MIB) as (packages, _):
        check_amount(packages, many[1:])
        with pytest.raises(TooManyPackages, match=r"101 packages of about 98\.6 KiB; say --yes"):
            check_amount(packages, many)
        with pytest.raises(NoSpace, match="raise packages_size, or say --yes"):
            check_amount(packages, [(package, MIB) for package in FEW])
        Watcher().fetch(packages, FEW[:1])
        check_amount(packages, [(FEW[0], 900 * MIB), (FEW[1], MIB)])  # what is here has the size that it has
        with pytest.raises(NoSpace):
            check_amount(packages, [(FEW[0], 0), (FEW[1], MIB + 1)])


def test_a_mount_that_ends_ends_it(tmp_path: Path) -> None:
    transport, watcher = Scripted(files_of(*FEW, size=SMALL)), Watcher()
    transport.gate.clear()
    with packages_of(tmp_path, transport) as (packages, _):
        found: list[Outcome] = []
        (fetching,) = in_threads([lambda: found.append(watcher.fetch(packages, FEW))])
        assert transport.reached.wait(10)
        packages.close()
        fetching.join(10)
    assert {each.reason for each in found[0].failed} == {"the mount is ending"}


def test_an_error_that_is_nobody_s_is_told_of_each(tmp_path: Path) -> None:
    transport = Scripted(files_of(*FEW))
    transport.script = [lambda order, watch: (_ for _ in ()).throw(CdbfsError("no ascp"))]
    with packages_of(tmp_path, transport) as (packages, _):
        assert [each.reason for each in Watcher().fetch(packages, FEW).failed] == ["no ascp"] * 3
