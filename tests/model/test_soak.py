"""Many readers for a long time, while sessions expire, data change and the server fails now and then."""

from __future__ import annotations

import errno
import glob
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdbfs.demo import DataSet, StandIn
from tests.hostile.servers import daemon
from tests.model import published as edits
from tests.model import reader
from tests.model.machine import FAILED, FAULTS, ROUTES
from tests.model.published import LABELS, Published, Value
from tests.tables import table
from tests.views import mounted
from tests.worlds import World

READERS = 10
STATES = 12
STORM, CALM = 6.0, 14.0
"""Seconds in which the server fails now and then, and in which it does not."""
GRACE = 8.0
"""Seconds of a calm in which the storm before may still be felt: requests under way, and the breaker's pause."""
WARM_UP = 20.0
MORE = {"threads": 2, "descriptors": 2}
MORE_MEMORY = 0.10
OPTIONS = {
    "listing_ttl": "1",
    "document_ttl": "2",
    "attr_timeout": "0.5",
    "entry_timeout": "0.5",
    "retry_pause": "0.5",
    "login_pause": "0.5",
    "memory_size": "500K",
    "cache_size": "300K",
}

SOAK = table("soak", "size", "what", "at the beginning", "at the end")


@dataclass(frozen=True)
class Footprint:
    """What a process has of the machine; memory in KB."""

    threads: int
    descriptors: int
    memory: int


def footprint(pid: int) -> Footprint:
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = {line.split()[0]: line.split()[1] for line in status.splitlines() if line[:3] in ("Thr", "VmR")}
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Footprint(int(numbers["Threads:"]), descriptors, int(numbers["VmRSS:"]))


def states() -> list[DataSet]:
    """Data as they change: labels, shares and members, dated edits and others."""
    chance = random.Random(7)
    data = edits.beginning()
    for number in range(20):
        data = edits.add_subject(data, number, f"s{number}", 200 + number)
        for extra in range(2):
            data = edits.add_experiment(data, 0, f"e{number}-{extra}", 300 + 2 * number + extra)
    found = [data]
    for number in range(400, 400 + 8 * (STATES - 1)):
        pick, label = chance.randrange(1000), chance.choice(LABELS)
        data = chance.choice(
            (
                lambda d, p=pick, n=number: edits.edit_scores(d, p, n, dated=True),
                lambda d, p=pick, n=number: edits.edit_scores(d, p, n, dated=False),
                lambda d, p=pick, name=label: edits.rename(d, p, name),
                lambda d, p=pick, name=label: edits.share(d, p, name),
                lambda d, p=pick, name=label, n=number: edits.add_subject(d, p, name, n),
                lambda d, p=pick, name=label, n=number: edits.add_experiment(d, p, name, n),
                lambda d, p=pick: edits.remove_experiment(d, p),
                lambda d, p=pick, n=number: edits.describe(d, p, n),
            )
        )(data)
        if number % 8 == 7:
            found.append(data)
    return found


def truth(every: list[DataSet]) -> dict[str, dict[str, object]]:
    """For each path of any state what may be seen there, as readers take it."""
    published = Published(every[0])
    for data in every[1:]:
        published.publish(data)
    found = {}
    for spot in {spot for state in published.states for spot in state.spots()}:
        values = published.values(spot)
        kind = "file" if spot.is_file else "directory" if spot.is_directory else "link"
        digests = sorted({reader.digest(_bytes(value)) for value in values if value is not None})
        found[spot.path] = {"kind": kind, "seen": digests, "away": None in values}
    return found


def _bytes(value: Value) -> bytes:
    if isinstance(value, tuple):
        return "/".join(value).encode()
    return value.encode() if isinstance(value, str) else value or b""


class Weather:
    """What happens to the server: changes and expiry all the time, failures in storms."""

    def __init__(self, server: StandIn, every: list[DataSet]) -> None:
        self.storms: list[tuple[float, float]] = []
        self._server = server
        self._every = every
        self._chance = random.Random(3)

    def pass_by(self, seconds: float) -> None:
        """Let storm and calm alternate; it ends in a calm."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            began = time.time()
            self._days(STORM, stormy=True)
            self._server.clear_faults()
            self.storms.append((began, time.time() + GRACE))
            self._days(CALM, stormy=False)

    def explains(self, when: float) -> bool:
        return any(began <= when <= ended for began, ended in self.storms)

    def _days(self, seconds: float, *, stormy: bool) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._server.replace(self._chance.choice(self._every))
            self._server.expire_sessions()
            if stormy:
                kind, parameters = self._chance.choice(FAULTS)
                self._server.fault(f"GET {self._chance.choice(ROUTES)}", kind, times=3, **parameters)
            time.sleep(0.5)
            self._server.replace(self._chance.choice(self._every))
            time.sleep(0.5)


@contextmanager
def readers(mount: Path, scratch: Path) -> Iterator[list[reader.Report]]:
    """Readers that read while this is entered; their reports are in the list afterwards."""
    end = scratch / "end"
    end.unlink(missing_ok=True)
    program = [sys.executable, reader.__file__, str(mount), str(scratch / "truth.json"), str(end)]
    running = [subprocess.Popen([*program, str(n)], stdout=subprocess.PIPE, text=True) for n in range(READERS)]
    reports: list[reader.Report] = []
    try:
        yield reports
    finally:
        end.touch()
        outputs = [process.communicate(timeout=120)[0] for process in running]
    reports += [reader.Report(**json.loads(output)) for output in outputs]


def at_rest(pid: int, at_most: Footprint | None = None) -> Footprint:
    """A process that nobody asks anything any more; `at_most` is waited for, for a while."""
    ends = time.monotonic() + 60
    while True:
        found = []
        for _ in range(5):
            time.sleep(0.5)
            found.append(footprint(pid))
        calm = len({(one.threads, one.descriptors) for one in found}) == 1
        if (calm and (at_most is None or within(found[-1], at_most))) or time.monotonic() > ends:
            return found[-1]


def within(now: Footprint, before: Footprint) -> bool:
    return (
        now.threads <= before.threads + MORE["threads"]
        and now.descriptors <= before.descriptors + MORE["descriptors"]
        and now.memory <= before.memory * (1 + MORE_MEMORY)
    )


def _read_if_there(document: Path) -> None:
    """The data changed a moment ago: what an old listing showed may be gone."""
    with suppress(FileNotFoundError):
        document.read_bytes()


def use_all_connections(server: StandIn, mount: Path) -> None:
    """Ask for so much at once that every connection is open that cdbfs keeps: else their number is chance."""
    # Not Path.glob: it stumbles over a directory that vanishes meanwhile.
    below = f"{glob.escape(str(mount))}/projects/*/subjects"
    documents = [Path(found) for found in glob.glob(f"{below}/*/experiments/*/experiment.xml")]
    server.fault("*", "delay", seconds=0.5)
    time.sleep(3 * float(OPTIONS["document_ttl"]))  # all of them are due
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(_read_if_there, documents))
        list(pool.map(os.listdir, glob.glob(below)))
    server.clear_faults()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("size", "seconds", "operations"),
    [("1 minute", 60.0, 2_000), pytest.param("10 minutes", 600.0, 100_000, marks=pytest.mark.full)],
    ids=lambda value: str(value).replace(" ", "-"),
)
def test_a_mount_comes_through_all_weathers(size: str, seconds: float, operations: int, tmp_path: Path) -> None:
    every = states()
    (tmp_path / "truth.json").write_text(json.dumps(truth(every)))
    login = World("soak", every[0]).login
    with (
        StandIn(every[0], latency=0.002) as server,
        mounted(server, login, tmp_path / "m", tmp_path / "c", **OPTIONS) as mount,
    ):
        weather = Weather(server, every)
        with readers(mount, tmp_path):
            weather.pass_by(max(WARM_UP, seconds / 10))
        pid = daemon(mount)
        use_all_connections(server, mount)
        before = at_rest(pid)
        with readers(mount, tmp_path) as reports:
            weather.pass_by(seconds)
        use_all_connections(server, mount)
        after = at_rest(pid, before)
        status = json.loads((mount / ".cdbfs/status.json").read_text())
        reasons = (mount / ".cdbfs/errors").read_text()
    done = sum(report.done + report.away for report in reports)
    errors = [error for report in reports for error in report.errors]
    unexplained = [error for error in errors if not weather.explains(error[0]) or error[1] not in explained()]
    SOAK.add(size, "operations", "", done)
    SOAK.add(size, "errors, all in storms", "", len(errors))
    SOAK.add(size, "links that had turned", "", sum(report.turned for report in reports))
    SOAK.add(size, "requests", "", sum(status["requests"].values()))
    SOAK.add(size, "logins", "", status["logins"])
    for name in ("threads", "descriptors", "memory"):
        SOAK.add(size, f"{name} of the daemon", getattr(before, name), getattr(after, name))
    assert not (wrongs := [wrong for report in reports for wrong in report.wrong]), wrongs[:3]
    assert [(errno.errorcode[code], when, path) for when, code, path in unexplained] == [], reasons
    assert within(after, before), (before, after)
    assert done >= operations


def explained() -> tuple[int, ...]:
    return (*FAILED, errno.ENOENT)
