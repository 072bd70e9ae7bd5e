"""Who waits for a package: all get it of one transfer, anybody may leave, and nobody else is held up.

What was measured is printed at the end of the run.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Callable

import pytest

from cdbfs.demo import StandIn
from cdbfs.mount import mounts
from tests.mount.failing import SOON, errno_name, timed, wait_until
from tests.mount.packages.conftest import DIFFUSION, PROJECT, STRUCTURAL, SUBJECT, Site
from tests.mount.packages.stage import (
    FEW,
    MIB,
    PATIENT,
    arrived,
    cat,
    complaint,
    daemon,
    digest,
    held,
    is_gone,
    left_over,
    no_ascp,
    parts,
    reads,
    resumed_from,
    site_of,
    status,
    told,
    told_md5s,
    transfer,
    transfers,
    waits,
)
from tests.mount.test_interruption import LEAVES, interrupt, start
from tests.tables import table
from tests.views import FUSE
from tests.worlds import World

LEAVING = table("Ctrl-C while a package arrives", "program", "libfuse", "over after")
CROWD = table("300 openers of a package", "look", "libfuse", "milliseconds")
READERS = 300
AT_ONCE = 5.0
"""Seconds: a loaded machine's 'at once'. Who waits for the transfer would wait for ever."""
ZIP = f"{SUBJECT}_{STRUCTURAL}.zip"
R = "x <- readBin(commandArgs(TRUE)[1], 'raw', 1e9); cat(length(x))"
PROGRAMS = {
    "cat": ["cat"],
    "R readBin": ["Rscript", "--vanilla", "-e", R],
    "Python": [sys.executable, "-c", "import sys; open(sys.argv[1], 'rb').read()"],
    "Python, handler that leaves": [sys.executable, "-c", LEAVES],
}
ASKS_AGAIN = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"handled\\n"))
data = open(sys.argv[1], "rb").read()
os.write(1, b"%d\\n" % len(data))
"""


@pytest.fixture(scope="module")
def tutorial() -> World:
    """Of one dialect: nothing here depends on it."""
    return FEW


@pytest.fixture
def held_site(server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str) -> Iterator[Site]:
    """A mount whose transfers of zips stop at 1 MiB until the server lets them go on."""
    server.pause_ascp(MIB)
    with site_of(server, tutorial, tmp_path, retry_pause="60") as site:
        yield site


def elsewhere(path: Path, point: Path) -> Path:
    """The same file in another mount."""
    return point / Path(*path.parts[-4:])


# -- one transfer for all -----------------------------------------------------------------------------------------


def test_ten_readers_in_four_processes_over_two_mounts_share_one_transfer(held_site: Site, tmp_path: Path) -> None:
    site = held_site
    with site.another(tmp_path / "other", **PATIENT) as other:
        here, there = site.zip(), elsewhere(site.zip(), other)
        programs = [reads(*[here] * 4), cat(here), reads(*[there] * 4), cat(there)]
        held(site)
        wait_until(lambda: status(site.point)["waiting"] == status(other)["waiting"] == 5)
        assert site.moved() == (1, 1)
        site.server.resume_ascp()
        assert told_md5s(*programs) == [digest(site)] * 10
        assert site.moved() == (1, 1)
        assert transfers(site.point) == transfers(other) == []
        assert left_over(site.cache) == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_ends_a_program_at_once_and_the_others_get_their_bytes(
    name: str, held_site: Site, tmp_path: Path
) -> None:
    site = held_site
    with site.another(tmp_path / "other", **PATIENT) as other:
        leaving = start([*PROGRAMS[name], str(site.zip())], tmp_path)
        held(site)
        staying = [cat(site.zip()), cat(elsewhere(site.zip(), other))]
        for program in (leaving, staying[0]):
            waits(program, site.point)
        waits(staying[1], other)
        began = time.monotonic()
        interrupt(leaving)
        out, _ = leaving.communicate(timeout=SOON)
        took = time.monotonic() - began
        assert leaving.returncode != 0
        assert took < AT_ONCE
        LEAVING.add(name, os.environ[FUSE], f"{took:.2f} s")
        if name == "Python, handler that leaves":
            assert (out, leaving.returncode) == ("handled\n", 3)
        wait_until(lambda: status(site.point)["waiting"] == 1)
        site.server.resume_ascp()
        assert told_md5s(*staying) == [digest(site)] * 2
        assert site.moved() == (1, 1)
        assert site.errors() == ""  # to be interrupted is no failure


def test_a_handler_of_the_programs_own_runs_at_once(held_site: Site, tmp_path: Path) -> None:
    """Python then asks again, and gets its bytes in the end."""
    program = start([sys.executable, "-c", ASKS_AGAIN, str(held_site.zip())], tmp_path)
    assert program.stdout is not None
    held(held_site)
    for _ in range(3):
        began = time.monotonic()
        interrupt(program)
        assert program.stdout.readline() == "handled\n"
        took = time.monotonic() - began
        assert took < AT_ONCE
        wait_until(lambda: status(held_site.point)["waiting"] == 1)
    LEAVING.add("Python, handler that returns", os.environ[FUSE], f"{took:.2f} s")
    held_site.server.resume_ascp()
    assert program.communicate(timeout=SOON)[0] == f"{len(held_site.original())}\n"
    assert held_site.moved() == (1, 1)


# -- many ---------------------------------------------------------------------------------------------------------


def read_or_fail(path: Path) -> bytes | OSError:
    try:
        return path.read_bytes()
    except OSError as error:
        return error


def test_three_hundred_openers_leave_the_mount_usable(held_site: Site) -> None:
    site = held_site
    subjects_csv = (site.point / "projects" / PROJECT / "subjects.csv").read_bytes()
    with ThreadPoolExecutor(READERS) as pool:
        asked = [pool.submit(read_or_fail, site.zip()) for _ in range(READERS)]
        try:
            wait_until(lambda: sum(future.done() for future in asked) == READERS - 160, SOON * 2)
            wait_until(lambda: status(site.point)["waiting"] == 160)
            refused = [future.result() for future in asked if future.done()]
            assert {errno_name(error) for error in refused if isinstance(error, OSError)} == {"EAGAIN"}
            assert not any(isinstance(each, bytes) for each in refused)
            held(site)
            look_around(site, subjects_csv)
            lines = site.errors().splitlines()
            assert lines
            assert all(" EAGAIN packages/" in line for line in lines)
            assert all("160 readers wait for the server already; try again later" in line for line in lines)
        finally:
            site.server.resume_ascp()
        wait(asked, SOON * 3)
        found = [future.result(0) for future in asked]
    original = site.original()
    assert sum(isinstance(each, bytes) and each == original for each in found) == 160
    assert site.moved() == (1, 1)
    assert site.zip().read_bytes() == original  # and who was refused may try again


def look_around(site: Site, subjects_csv: bytes) -> None:
    """Everything but what is awaited answers at once while all who may wait do."""
    point = site.point
    looks: dict[str, Callable[[], bool]] = {
        ".cdbfs/status.json": lambda: json.loads((point / ".cdbfs/status.json").read_bytes())["pid"] > 0,
        ".cdbfs/errors": lambda: "EAGAIN" in site.errors(),
        ".cdbfs/transfers": lambda: transfers(point) == [ZIP],
        ".cdbfs/transfers/<zip>": lambda: "percent" in told(point),
        "ls projects": lambda: len(os.listdir(point / "projects")) == 2,
        "subjects.csv": lambda: (point / "projects" / PROJECT / "subjects.csv").read_bytes() == subjects_csv,
        "stat of another package": lambda: site.zip(DIFFUSION).stat().st_size > 0,
        "stat of the awaited package": lambda: site.zip().stat().st_size > 0,
        "ls of packages": lambda: ZIP in os.listdir(site.zip().parent),
        "ls of unpacked": lambda: os.listdir(site.unpacked(DIFFUSION)) == [SUBJECT],
    }
    for name, look in looks.items():
        times = []
        for _ in range(5):
            took, right = timed(look)
            assert right, name
            times.append(took)
        assert statistics.median(times) < 1, name
        CROWD.add(name, os.environ[FUSE], f"{1000 * statistics.median(times):.1f}")


# -- how it stands, and how it is ended ---------------------------------------------------------------------------


def test_a_transfer_tells_how_far_it_is_and_who_waits_in_both_mounts(
    server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str
) -> None:
    server.ascp_rate = 150_000
    with (
        site_of(server, tutorial, tmp_path) as site,
        site.another(tmp_path / "other", **PATIENT) as other,
    ):
        here = cat(site.zip())
        wait_until(lambda: transfers(site.point) == [ZIP])
        there = cat(elsewhere(site.zip(), other))
        size = len(site.original())
        both = sorted([f"{here.pid} (md5sum)", f"{there.pid} (md5sum)"])
        for point in (site.point, other):
            wait_until(lambda point=point: right(told(point), size))  # type: ignore[misc]
            wait_until(lambda point=point: sorted(told(point).get("waiting", "").split(", ")) == both)  # type: ignore[misc]
            assert transfers(point) == [ZIP]
        assert status(site.point)["transfers"] == status(other)["transfers"] == 1
        server.ascp_rate = None
        assert told_md5s(here, there) == [digest(site)] * 2
        assert transfers(site.point) == transfers(other) == []


def right(shown: dict[str, str], size: int) -> bool:
    """Whether what is told is of one moment of a transfer that moves on."""
    if shown.get("state") != "fetching" or shown["left"] == "?" or shown["rate"] == "0 B/s":
        return False
    done, _, of = shown["bytes"].partition(" of ")
    assert int(of) == size
    assert shown["percent"] == f"{100 * int(done) / size:.0f} %"
    assert re.fullmatch(r"[1-9]\d*(\.\d+)? [KM]?i?B/s", shown["rate"])
    assert float(shown["left"].removesuffix(" s")) >= 0
    return 0 < int(done) < size


@pytest.mark.parametrize("by_the_other", [False, True])
def test_removing_it_ends_it_for_all_who_wait(by_the_other: bool, held_site: Site, tmp_path: Path) -> None:
    site = held_site
    with site.another(tmp_path / "other", **PATIENT) as other:
        programs = [cat(site.zip())]
        held(site)
        programs.append(cat(elsewhere(site.zip(), other)))
        waits(programs[1], other)
        subprocess.run(["rm", transfer(other if by_the_other else site.point)], check=True, timeout=SOON)
        for program in programs:
            assert "Operation canceled" in complaint(program)
        no_ascp(site.server)
        wait_until(lambda: transfers(site.point) == transfers(other) == [])
        assert "ECANCELED" in site.errors()
        again(site)


def again(site: Site) -> None:
    """The next one to open it goes on from where it was, at once: what was ended is no failure to remember."""
    site.server.pause_ascp()
    program = cat(site.zip())
    assert resumed_from(site) == MIB
    site.server.resume_ascp()
    assert told_md5s(program) == [digest(site)]
    assert site.moved() == (2, 2)
    assert left_over(site.cache) == []


def test_what_nobody_waits_for_ends_after_a_grace_and_is_gone_on_with(
    server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str
) -> None:
    server.pause_ascp(MIB)
    with site_of(server, tutorial, tmp_path, transfer_grace="2") as site:
        program = cat(site.zip())
        held(site)
        interrupt(program)
        program.communicate(timeout=SOON)
        assert len(server.ascp_running) == 1  # it has two seconds
        wait_until(lambda: transfers(site.point) == [])
        no_ascp(server)
        assert parts(site.cache)[ZIP] >= MIB
        again(site)


def test_who_comes_within_the_grace_joins_the_same_transfer(held_site: Site) -> None:
    program = cat(held_site.zip())
    held(held_site)
    interrupt(program)
    program.communicate(timeout=SOON)
    wait_until(lambda: told(held_site.point)["waiting"] == "nobody")
    program = cat(held_site.zip())
    waits(program, held_site.point)
    held_site.server.resume_ascp()
    assert told_md5s(program) == [digest(held_site)]
    assert held_site.moved() == (1, 1)


# -- below unpacked/ ----------------------------------------------------------------------------------------------


def test_a_lookup_below_unpacked_waits_for_as_long_as_it_moves_on(
    server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str
) -> None:
    server.pause_ascp(MIB)
    with site_of(server, tutorial, tmp_path, lookup_deadline="1") as site:
        top = site.unpacked() / SUBJECT
        listing = start(["ls", str(top)], tmp_path)
        held(site)
        time.sleep(2.5)
        assert listing.poll() is None
        began = time.monotonic()
        interrupt(listing)
        listing.communicate(timeout=SOON)
        LEAVING.add("ls below unpacked/", os.environ[FUSE], f"{time.monotonic() - began:.2f} s")
        looking = start(["stat", str(top / "MNINonLinear")], tmp_path)
        waits(looking, site.point)
        time.sleep(1.5)
        assert looking.poll() is None
        began = time.monotonic()
        interrupt(looking)
        looking.communicate(timeout=SOON)
        LEAVING.add("stat below unpacked/", os.environ[FUSE], f"{time.monotonic() - began:.2f} s")
        assert time.monotonic() - began < AT_ONCE
        wait_until(lambda: status(site.point)["waiting"] == 0)
        listing = start(["ls", str(top)], tmp_path)
        waits(listing, site.point)
        server.resume_ascp()
        assert "MNINonLinear" in listing.communicate(timeout=SOON)[0]
        assert site.moved() == (1, 1)


# -- the end of a mount -------------------------------------------------------------------------------------------


def test_a_signal_to_the_daemon_lets_everybody_go(held_site: Site) -> None:
    site = held_site
    programs = [cat(site.zip()), reads(site.zip()), start(["ls", str(site.unpacked() / SUBJECT)], site.cache)]
    held(site)
    for program in programs:
        waits(program, site.point)
    process = daemon(site.point)
    os.kill(process, signal.SIGTERM)
    for program in programs:
        assert complaint(program)
    wait_until(lambda: is_gone(process))
    no_ascp(site.server)
    assert not mounts.is_mounted(str(site.point))
    assert parts(site.cache)[ZIP] >= MIB
    goes_on_in_a_new_mount(site)


def test_umount_ends_what_nobody_waits_for_any_more(held_site: Site) -> None:
    site = held_site
    program = cat(site.zip())
    held(site)
    interrupt(program)
    program.communicate(timeout=SOON)
    process = daemon(site.point)
    mounts.unmount(str(site.point))
    wait_until(lambda: is_gone(process))
    no_ascp(site.server)
    assert parts(site.cache)[ZIP] >= MIB
    goes_on_in_a_new_mount(site)


def test_umount_right_after_a_look(server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str) -> None:
    """The kernel is still being told to forget the sizes that were announced; the log stays empty."""
    for turn in range(5):
        with site_of(server, tutorial, tmp_path / str(turn)) as site:
            process = daemon(site.point)
            directory = site.zip().parent
            for name in os.listdir(directory) * 5:
                (directory / name).stat()
            mounts.unmount(str(site.point))
            wait_until(lambda process=process: is_gone(process))  # type: ignore[misc]


def test_a_lazy_umount_leaves_who_waits_his_file(held_site: Site) -> None:
    site = held_site
    program = cat(site.zip())
    held(site)
    process = daemon(site.point)
    mounts.unmount(str(site.point), lazy=True)
    site.server.resume_ascp()
    assert told_md5s(program) == [digest(site)]
    wait_until(lambda: is_gone(process))
    assert left_over(site.cache) == []


def goes_on_in_a_new_mount(site: Site) -> None:
    site.server.pause_ascp()
    with site.another(site.point.parent / "again", **PATIENT) as point:
        new = Site(site.server, site.world, point, site.cache)
        program = cat(new.zip())
        assert resumed_from(new) >= MIB
        site.server.resume_ascp()
        assert told_md5s(program) == [digest(site)]
        assert site.moved() == (2, 2)
    assert left_over(site.cache) == []


# -- several packages ---------------------------------------------------------------------------------------------


def test_another_package_can_be_read_while_one_stands_still(held_site: Site) -> None:
    site = held_site
    site.server.pause_ascp(MIB, file=ZIP)
    program = cat(site.zip())
    held(site)
    assert site.zip(DIFFUSION).read_bytes() == site.original(DIFFUSION)
    assert len(os.listdir(site.unpacked(DIFFUSION) / SUBJECT)) > 0
    assert program.poll() is None
    site.server.resume_ascp()
    assert told_md5s(program) == [digest(site)]
    assert site.moved() == (2, 2)


@pytest.mark.parametrize("fuse", ["3"], indirect=True)
def test_at_most_so_many_transfers_at_once_over_all_mounts(
    server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str
) -> None:
    options = {**PATIENT, "transfers": "2"}
    packages = [STRUCTURAL, DIFFUSION, "3T_rfMRI_REST1_preproc", "3T_tfMRI_WM_preproc"]
    server.pause_ascp(MIB)
    with (
        site_of(server, tutorial, tmp_path, **options) as site,
        site.another(tmp_path / "other", **options) as other,
    ):
        files = [site.zip(package) for package in packages]
        assert all(path.exists() for path in files)
        programs = [cat(path if turn % 2 else elsewhere(path, other)) for turn, path in enumerate(files)]
        wait_until(lambda: len(server.held()) == 2)
        wait_until(lambda: len(transfers(site.point)) == len(transfers(other)) == 4)
        time.sleep(3)  # longer than those that begin wait for each other
        assert len(server.ascp_running) == 2
        states = sorted(told(other, package)["state"] for package in packages)
        assert states == ["fetching", "fetching", "waiting", "waiting"]
        assert sum(arrived(site.point, package) >= MIB for package in packages) == 2
        server.resume_ascp()
        most = 0
        while any(program.poll() is None for program in programs):
            most = max(most, len(server.ascp_running))
            time.sleep(0.01)
        assert most <= 2
        assert told_md5s(*programs) == [digest(site, package) for package in packages]
        assert site.moved() == (4, 4)
