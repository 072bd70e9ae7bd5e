"""Fetches many packages, batch after batch: one transfer spec and one session of the transport a batch.

Used by the daemon of a mount (mount/answering) and by `cdbfs fetch` without one. Batches are small beside the cap,
so that what has arrived is not evicted for what is still to come; packages that are here count as used just now,
for the same reason. Whatever is stopped is gone on with by the next who asks for the same.

Threads: `fetch_all` keeps its caller's until all is over, and calls `report` and `stopped` in it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from typing import Callable

from cdbfs import amounts
from cdbfs.errors import NoSpace, TooManyPackages
from cdbfs.hcp.models import Package
from cdbfs.store.packages.packages import Packages
from cdbfs.store.packages.progress import Arrived, Failed, Moving, Outcome, Planned, Progress
from cdbfs.store.packages.transfer import Transfer

Asked = tuple[Package, int]
"""A package, and the bytes that are announced."""

MOST_IN_A_BATCH = 20
SHARE_OF_THE_CAP = 2
"""What a batch may take: one part in so many."""
MOST_UNASKED = 100
"""More packages than these are not fetched by a slip of the hand."""
LOOK_SECONDS = 0.2
TELL_SECONDS = 0.5
RATE_SECONDS = 10.0
FRUITLESS = 2
"""Batches in a row that brought nothing, after which the others are not tried: what fails is not one package."""


def check_amount(packages: Packages, asked: Sequence[Asked]) -> None:
    """Raises TooManyPackages or NoSpace where more is asked for than anybody may mean without saying so."""
    missing = [_expected(packages, each) for each in asked if not packages.is_here(each[0])]
    here = [_expected(packages, each) for each in asked if packages.is_here(each[0])]
    size, cap = sum(missing), packages.usage().cap
    if len(missing) > MOST_UNASKED:
        raise TooManyPackages(
            f"these are {len(missing)} packages of about {amounts.size(size)}; say --yes to fetch so many at once"
        )
    if missing and size + sum(here) > cap:
        raise NoSpace(
            f"these packages take about {amounts.size(size + sum(here))}, and all packages may take "
            f"{amounts.size(cap)}: raise packages_size, or say --yes to fetch them all the same, the first giving "
            "way to the last"
        )


def fetch_all(
    packages: Packages,
    asked: Sequence[Asked],
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
    process: int = 0,
) -> Outcome:
    """Have all of them here; goes on with the others where one cannot be had. Nothing is raised for that.

    `process` is who waits for them, if it is not this one.
    """
    return _Fetch(packages, report, stopped, process or os.getpid()).run(list(dict(asked).items()))


class _Fetch:
    """One call of `fetch_all`."""

    def __init__(
        self,
        packages: Packages,
        report: Callable[[Progress], None],
        stopped: Callable[[], bool],
        process: int,
    ) -> None:
        self._packages = packages
        self._report = report
        self._stopped = stopped
        self._process = process
        self._here: dict[Package, bool] = {}
        """Those that are here, and whether they were fetched."""
        self._failed: dict[Package, Failed] = {}
        self._left: list[Transfer] = []
        self._size = 0
        """Bytes that were fetched."""
        self._outstanding: dict[Package, int] = {}
        """Those that are still to come, and the bytes that they are expected to take."""
        self._told = 0.0
        self._moves: deque[tuple[float, int]] = deque()

    def run(self, asked: Sequence[Asked]) -> Outcome:
        missing = []
        for package, announced in asked:
            if not self._find(package, fetched=False):
                missing.append((package, _expected(self._packages, (package, announced))))
        self._outstanding = dict(missing)
        self._report(Planned(len(missing), sum(self._outstanding.values()), len(self._here)))
        fruitless = 0
        for batch in _batches(missing, self._packages.usage().cap // SHARE_OF_THE_CAP):
            if self._stopped():
                break
            if fruitless >= FRUITLESS:
                self._give_up()
                break
            before = len(self._here)
            if not self._fetch(batch):
                break
            fruitless = fruitless + 1 if len(self._here) == before else 0
        self._look_again()
        return self._outcome([package for package, _ in asked])

    def _fetch(self, batch: Sequence[Asked]) -> bool:
        """Whether it was not stopped."""
        transfers = self._packages.begin(batch)
        begun = {transfer.wanted.package for transfer in transfers}
        for package, _ in batch:
            if package not in begun:  # somebody else had it fetched meanwhile
                self._arrived(package)
        with ExitStack() as waiting:
            for transfer in transfers:
                waiting.enter_context(transfer.waited_for(self._process))
            self._left = self._wait({transfer.future: transfer for transfer in transfers})
        return not self._left

    def _wait(self, pending: dict[Future[None], Transfer]) -> list[Transfer]:
        """Those that are still under way when it was stopped."""
        stopped = False
        while pending and not stopped:
            stopped = self._stopped()
            for future in wait(pending, 0 if stopped else LOOK_SECONDS, FIRST_COMPLETED).done:
                self._ended(pending.pop(future))
            self._tell(list(pending.values()))
        return list(pending.values())

    def _ended(self, transfer: Transfer) -> None:
        package, error = transfer.wanted.package, transfer.future.exception()
        if error is None:
            self._arrived(package)
        else:
            self._fail(Failed(package, str(error)))

    def _arrived(self, package: Package) -> None:
        if not self._find(package, fetched=True):
            self._fail(Failed(package, "it was evicted as soon as it was here; try again"))

    def _find(self, package: Package, *, fetched: bool) -> bool:
        """Whether it is here; counts as a use of it."""
        size = self._packages.use(package)
        if size is None:
            return False
        self._here[package] = fetched
        self._outstanding.pop(package, None)
        self._size += size if fetched else 0
        self._report(Arrived(package, size, fetched))
        return True

    def _fail(self, failed: Failed) -> None:
        self._here.pop(failed.package, None)
        self._outstanding.pop(failed.package, None)
        self._failed[failed.package] = failed
        self._report(failed)

    def _give_up(self) -> None:
        reason = next(reversed(self._failed.values())).reason
        for package in list(self._outstanding):
            self._fail(Failed(package, f"not tried, since nothing came of those before it: {reason}"))

    def _look_again(self) -> None:
        """Whether what was fetched first is still here."""
        for package in list(self._here):
            if not self._packages.is_here(package):
                self._fail(Failed(package, "it was evicted again to make room for others: raise packages_size"))

    def _tell(self, transfers: list[Transfer]) -> None:
        moment = time.monotonic()
        if moment - self._told < TELL_SECONDS:
            return
        self._told = moment
        under_way = tuple(transfer.told() for transfer in transfers)
        sizes = {
            transfer.wanted.package: told.size
            for transfer, told in zip(transfers, under_way)
            if told.size is not None
        }
        outstanding = sum({**self._outstanding, **sizes}.values())
        done = self._size + sum(told.done for told in under_way)
        size = max(done, self._size + outstanding)
        self._report(Moving(done, size, self._rate(moment, done), under_way))

    def _rate(self, moment: float, done: int) -> float:
        """Bytes a second, lately."""
        self._moves.append((moment, done))
        while self._moves[0][0] < moment - RATE_SECONDS:
            self._moves.popleft()
        (first, before), (last, now) = self._moves[0], self._moves[-1]
        return max(0, now - before) / (last - first) if last > first else 0.0

    def _outcome(self, asked: Sequence[Package]) -> Outcome:
        missing = [package for package in asked if package not in self._here and package not in self._failed]
        return Outcome(
            here=len(self._here),
            fetched=sum(self._here.values()),
            size=self._size,
            failed=tuple(self._failed.values()),
            missing=tuple(missing),
            left=tuple(self._left),
        )


def _expected(packages: Packages, asked: Asked) -> int:
    """The bytes of a package: as they were when it was here, else as announced."""
    known = packages.shown_zip(asked[0])
    return asked[1] if known is None else known.size


def _batches(asked: Sequence[Asked], most: int) -> Iterator[list[Asked]]:
    """At most MOST_IN_A_BATCH together, and `most` bytes, except where one alone takes more."""
    batch: list[Asked] = []
    size = 0
    for package, expected in asked:
        if batch and (len(batch) >= MOST_IN_A_BATCH or size + expected > most):
            yield batch
            batch, size = [], 0
        batch.append((package, expected))
        size += expected
    if batch:
        yield batch
