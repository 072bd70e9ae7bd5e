"""Who waits for a stalled server can leave at once, and holds nobody else up.

What was measured is printed at the end of the run.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from cdbfs.config import Settings
from cdbfs.demo import StandIn, connectomedb, document
from tests.mount.failing import SOON, Scene, answers, errno_name, failure, timed, wait_until
from tests.mount.test_requests import known
from tests.tables import table
from tests.views import FUSE, mounted
from tests.worlds import World

pytestmark = pytest.mark.usefixtures("each_fuse")

LEAVING = table("Ctrl-C while the server stalls", "program", "libfuse", "over after")
CROWD = table("300 readers of a stalled server", "look", "libfuse", "milliseconds")
DOCUMENT_ROUTE = "GET /data/experiments/{experiment}"
EXPERIMENT = "projects/HCP_Q2/subjects/100307/experiments/100307_NonToolbox"
PATIENT = {"lookup_deadline": "60", "silence_timeout": "120", "request_deadline": "120"}
"""So that nobody leaves by himself while a test looks."""
READERS = 300
STALL = 600.0

ASKS_AGAIN = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"handled\\n"))
open(sys.argv[1]).read()
"""
LEAVES = """
import signal, sys
def leave(*_):
    print("handled", flush=True)
    raise SystemExit(3)
signal.signal(signal.SIGINT, leave)
open(sys.argv[1]).read()
"""
PROGRAMS = {
    "cat": ["cat", "experiment.xml"],
    "ls -l": ["ls", "-l", "experiment.xml"],
    "ls scores": ["ls", "scores"],
    "grep -r": ["grep", "-r", "x", "."],
    "head < (shell)": ["bash", "-c", "head -n 1 < scores.csv"],
    "a pipeline": ["bash", "-c", "set -o pipefail; cat experiment.xml scores.csv | sort | head -n 1"],
    "R read.csv": ["Rscript", "--vanilla", "-e", 'x <- read.csv("scores.csv"); print(nrow(x))'],
    "Python": [sys.executable, "-c", "open('experiment.xml').read()"],
    "Python, handler that leaves": [sys.executable, "-c", LEAVES, "experiment.xml"],
}


@pytest.fixture(scope="module")
def tutorial() -> World:
    """Of one dialect: nothing here depends on it."""
    return World("tutorial", connectomedb())


@pytest.fixture
def patient(server: StandIn, tutorial: World, tmp_path: Path) -> Iterator[Scene]:
    """A mount that waits for long, with its listings known."""
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache", **PATIENT) as mount:
        known(mount / EXPERIMENT)
        os.listdir(mount / "projects/HCP_Q2/experiments")
        yield Scene(server, mount)
        server.clear_faults()


def start(command: list[str], cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def interrupt(program: subprocess.Popen[str]) -> None:
    """As Ctrl-C in a terminal does: the whole group of processes."""
    os.killpg(program.pid, signal.SIGINT)


def stalled_at(scene: Scene, route: str = DOCUMENT_ROUTE) -> None:
    """Wait until the server holds a request."""
    wait_until(lambda: scene.server.counts().get(route, 0) > 0)


@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_ends_a_program_that_waits(name: str, patient: Scene) -> None:
    patient.server.fault(DOCUMENT_ROUTE, "delay", seconds=STALL)
    program = start(PROGRAMS[name], patient.mount / EXPERIMENT)
    stalled_at(patient)
    began = time.monotonic()
    interrupt(program)
    out, _ = program.communicate(timeout=SOON)  # a third of the time that it would wait
    took = time.monotonic() - began
    assert program.returncode != 0
    if name == "Python, handler that leaves":
        assert (out, program.returncode) == ("handled\n", 3)
    LEAVING.add(name, os.environ[FUSE], f"{took:.2f} s")
    wait_until(lambda: patient.status()["waiting"] == 0)
    assert patient.errors() == []  # to be interrupted is no failure


def test_a_handler_of_the_programs_own_runs_at_once(patient: Scene) -> None:
    """Python then asks again, as often as it is interrupted, and gets its bytes in the end."""
    patient.server.fault(DOCUMENT_ROUTE, "delay", seconds=STALL)
    program = start([sys.executable, "-c", ASKS_AGAIN, "experiment.xml"], patient.mount / EXPERIMENT)
    assert program.stdout is not None
    stalled_at(patient)
    for _ in range(3):
        began = time.monotonic()
        interrupt(program)
        assert program.stdout.readline() == "handled\n"
        took = time.monotonic() - began
        assert took < SOON
        wait_until(lambda: patient.status()["waiting"] == 1)
    LEAVING.add("Python, handler that returns", os.environ[FUSE], f"{took:.2f} s")
    patient.server.clear_faults()
    assert program.communicate(timeout=SOON)[1] == ""
    assert program.returncode == 0


def test_a_listing_that_stalls_can_be_left_too(patient: Scene) -> None:
    route = "GET /data/projects/{project}/subjects"
    patient.server.reset_counts()
    patient.server.fault(route, "delay", seconds=STALL)
    program = start(["ls", "projects/HCP_Q1/subjects"], patient.mount)
    stalled_at(patient, route)
    began = time.monotonic()
    interrupt(program)
    program.communicate(timeout=SOON)
    assert program.returncode == -signal.SIGINT
    LEAVING.add("ls of a listing", os.environ[FUSE], f"{time.monotonic() - began:.2f} s")


# -- several for one name ----------------------------------------------------------------------------------------


def test_those_who_wait_for_one_name_all_leave_within_the_lookup_deadline(
    server: StandIn, tutorial: World, tmp_path: Path
) -> None:
    """The kernel lets one lookup of a name through at a time; the others cannot even be killed meanwhile."""
    with mounted(
        server, tutorial.login, tmp_path / "m", tmp_path / "cache", **{**PATIENT, "lookup_deadline": "4"}
    ) as mount:
        here = Scene(server, mount)
        path = f"{EXPERIMENT}/experiment.xml"
        known(mount / EXPERIMENT)
        server.fault(DOCUMENT_ROUTE, "delay", seconds=STALL)
        second = start(["cat", path], mount)
        with ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(timed, lambda: failure(lambda: here.read(path))) for _ in range(20)]
            stalled_at(here)
            time.sleep(0.2)
            interrupt(second)
            second.communicate(timeout=SOON)
            times = []
            for future in waiting:
                took, error = future.result(SOON)
                assert errno_name(error) == "ETIMEDOUT"
                times.append(took)
        assert max(times) < 2 * 4  # 80 s, did each wait its own 4 s
        LEAVING.add("(nobody: 20 readers of one name, deadline 4 s)", os.environ[FUSE], f"{max(times):.2f} s")
        server.clear_faults()
        wait_until(lambda: answers(lambda: here.read(path)))
        assert here.read(path) == document(tutorial.data, "ConnectomeDB_E00299")
        assert server.counts()[DOCUMENT_ROUTE] == 1


# -- many at once ------------------------------------------------------------------------------------------------


def use(pid: int) -> tuple[int, int]:
    """Threads and descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd"))


def names(world: World) -> list[tuple[str, str]]:
    """(path of the document, ID) of every experiment of HCP_Q2."""
    subjects = {subject.id: label for label, subject in world.subjects("HCP_Q2")}
    return [
        (f"projects/HCP_Q2/subjects/{subjects[e.subject_id]}/experiments/{label}/experiment.xml", e.id)
        for label, e in world.experiments("HCP_Q2")
    ]


def test_three_hundred_readers_leave_the_mount_usable(patient: Scene, tutorial: World) -> None:
    """Twice, so that what the first crowd leaves behind can be told from what the second adds."""
    limit = Settings().max_waiters
    assert (limit, Settings().max_threads - limit) == (160, 40)
    cached, cached_id = names(tutorial)[-1]
    content = document(tutorial.data, cached_id)
    assert patient.read(cached) == content
    pid = int(str(patient.status()["pid"]))
    left = []
    for turn in range(2):
        crowd(patient, names(tutorial)[turn * READERS : (turn + 1) * READERS], tutorial, limit, (cached, content))
        wait_until(lambda: patient.status()["waiting"] == 0)
        left.append(settled(pid))
    (threads, descriptors), (threads_after, descriptors_after) = left
    CROWD.add("threads and descriptors after 1 and 2 crowds", os.environ[FUSE], f"{left[0]}, {left[1]}")
    assert threads_after <= threads + 2
    assert descriptors_after <= descriptors + 2


def settled(pid: int) -> tuple[int, int]:
    """What a process uses once it uses no less a second later; libfuse ends its idle threads by and by."""
    ends = time.monotonic() + SOON
    before = use(pid)
    while time.monotonic() < ends:
        time.sleep(1)
        now = use(pid)
        if now >= before:
            return now
        before = now
    return before


def crowd(
    scene: Scene, wanted: list[tuple[str, str]], world: World, limit: int, cached: tuple[str, bytes]
) -> None:
    scene.server.fault(DOCUMENT_ROUTE, "delay", seconds=STALL)
    assert len(wanted) == READERS
    with ThreadPoolExecutor(READERS) as pool:
        asked = [pool.submit(read_or_fail, scene, path) for path, _ in wanted]
        try:
            wait_until(lambda: scene.status()["waiting"] == limit)
            wait_until(lambda: sum(future.done() for future in asked) == READERS - limit)
            refused = [future.result() for future in asked if future.done()]
            assert {errno_name(error) for error in refused if isinstance(error, OSError)} == {"EAGAIN"}
            look_around(scene, cached)
            lines = scene.errors()
            assert all("EAGAIN projects/HCP_Q2/" in line for line in lines)
            assert all(f"{limit} readers wait for the server already; try again later" in line for line in lines)
        finally:
            scene.server.clear_faults()
        wait(asked, SOON * 3)
        for (_, experiment), future in zip(wanted, asked):
            result = future.result(0)
            if isinstance(result, bytes):
                assert result == document(world.data, experiment)
        assert sum(isinstance(future.result(), bytes) for future in asked) == limit


def read_or_fail(scene: Scene, path: str) -> bytes | OSError:
    try:
        return scene.read(path)
    except OSError as error:
        return error


def look_around(scene: Scene, cached: tuple[str, bytes]) -> None:
    """What needs no server answers at once while all who may wait do."""
    looks = {
        ".cdbfs/status.json": lambda: json.loads(scene.read(".cdbfs/status.json"))["pid"] > 0,
        ".cdbfs/errors": lambda: b"EAGAIN" in scene.read(".cdbfs/errors"),
        "README.txt": lambda: len(scene.read("README.txt")) > 100,
        "ls projects": lambda: scene.names("projects") == ["HCP_Q1", "HCP_Q2"],
        "ls of 144 subjects": lambda: len(scene.names("projects/HCP_Q2/subjects")) == 144,
        "subjects.csv": lambda: scene.read("projects/HCP_Q2/subjects.csv").startswith(b"label,"),
        "a cached document": lambda: scene.read(cached[0]) == cached[1],
    }
    for name, look in looks.items():
        times = []
        for _ in range(5):
            took, right = timed(look)
            assert right, name
            times.append(took)
        assert statistics.median(times) < 1, name
        CROWD.add(name, os.environ[FUSE], f"{1000 * statistics.median(times):.1f}")
