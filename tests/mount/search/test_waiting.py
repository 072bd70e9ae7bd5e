"""Who waits for a search holds nobody up, can leave at once, and is let go when the query changes.

The searches here last until the test ends them, so what must not wait for them is seen to be over before.
"""

from __future__ import annotations

import errno as codes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable

import pytest

from cdbfs.mount import mounts
from tests.mount.failing import SOON, timed, wait_until
from tests.mount.search.shelf import SEARCH, STALL, Shelf, answer, first, run, shelf
from tests.mount.test_interruption import interrupt
from tests.mount.test_interruption import start as begun

pytestmark = pytest.mark.usefixtures("each_fuse")

READERS = {
    "cat": ["cat", "x.csv"],
    "Python": [sys.executable, "-c", "print(open('x.csv').read(), end='')"],
    "R": ["Rscript", "--vanilla", "-e", 'writeLines(readLines("x.csv"))'],
}
AT_ONCE = 3.0
"""Seconds that are short beside a search that does not end, and long enough for a busy machine."""

Program = subprocess.Popen[str]
STARTED: list[Program] = []


@pytest.fixture(autouse=True)
def ending() -> Iterator[None]:
    """No program outlives a test that failed."""
    yield
    for program in STARTED:
        program.kill()
        if program.stdout is not None and not program.stdout.closed:
            program.communicate()
    STARTED.clear()


def start(command: list[str], cwd: Path) -> Program:
    STARTED.append(begun(command, cwd))
    return STARTED[-1]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shelf]:
    """search/, where saving waits for nothing."""
    with shelf(tmp_path, save_wait="0", search_deadline=str(STALL)) as found:
        yield found


def begin(here: Shelf, count: int = 3, name: str = "x.sql") -> None:
    """Save a query whose search does not end."""
    here.slow()
    asked = here.searches()
    here.write(name, first(count))
    wait_until(lambda: here.searches() == asked + 1)


def readers(here: Shelf, *names: str) -> list[Program]:
    """Programs that wait for x.csv."""
    waiting = int(str(here.status("waiting")))
    found = [start(READERS[name], here.root) for name in names]
    wait_until(lambda: here.status("waiting") == waiting + len(names))
    return found


def ended(program: Program) -> str:
    """What a program that ends by itself has printed."""
    out, said = program.communicate(timeout=SOON)
    assert program.returncode == 0, said
    return out


def missed(program: Program) -> str:
    """What a program has to say that ends by itself, and has read nothing."""
    out, said = program.communicate(timeout=SOON)
    assert program.returncode != 0
    assert out == ""
    return said


def at_once(work: Callable[[], object]) -> None:
    took, _ = timed(work)
    assert took < AT_ONCE


# -- others ------------------------------------------------------------------------------------------------------


def test_others_go_on_while_ten_readers_wait(here: Shelf) -> None:
    here.write("a.sql", first(1))
    here.holds("a.sql", 1)
    here.write("b.sql", first(2))
    (here.root / "sub").mkdir()
    begin(here)
    waiting = readers(here, *["cat"] * 4, *["Python"] * 3, *["R"] * 3)
    at_once(lambda: here.names())
    at_once(lambda: run("ls", "-l", cwd=here.root))
    at_once(lambda: run("ls", "-lR", cwd=here.mount / "search"))
    at_once(lambda: run("touch", "new", cwd=here.root))
    at_once(lambda: run("mv", "new", "sub/newer", cwd=here.root))
    at_once(lambda: run("rm", "sub/newer", cwd=here.root))
    at_once(lambda: here.read("a.csv"))
    at_once(lambda: os.rename(here.root / "a.sql", here.root / "c.sql"))
    at_once(lambda: os.unlink(here.root / "b.csv"))
    at_once(lambda: os.unlink(here.root / "b.sql"))
    at_once(lambda: here.write("other.sql", first(4)))
    at_once(lambda: here.read("x.sql"))
    at_once(lambda: os.stat(here.root / "x.csv"))
    at_once(lambda: (here.root / "x.error").exists())
    here.holds("c.sql", 1)
    here.shows("waiting", 10)
    assert [program.poll() for program in waiting] == [None] * 10
    here.server.clear_faults()
    assert {ended(program) for program in waiting} == {answer(3)}
    here.holds("other.sql", 4)
    assert here.searches() == 4


def test_twenty_readers_cost_one_search(here: Shelf) -> None:
    begin(here)
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(here.read, "x.csv") for _ in range(20)]
        here.shows("waiting", 20)
        assert here.searches() == 1
        here.server.clear_faults()
        assert {future.result(SOON) for future in waiting} == {answer(3)}
    assert here.searches() == 1


# -- leaving -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READERS)
def test_a_signal_ends_a_reader_at_once(name: str, here: Shelf) -> None:
    begin(here)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        (program,) = readers(here, name)
        os.killpg(program.pid, number)
        missed(program)
        here.shows("waiting", 0)
    here.shows("searches", 1)  # it goes on
    assert here.errors() == []
    here.server.clear_faults()
    assert here.read("x.csv") == answer(3)
    assert here.searches() == 1


def test_closing_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    with shelf(tmp_path, save_wait="1") as here:
        here.slow()
        (tmp_path / "new").write_text(first(3))
        took, _ = timed(lambda: run("cp", f"{tmp_path}/new", "x.sql", cwd=here.root))  # status 0
        assert 0.9 < took < 1 + AT_ONCE
        assert here.names() == ["x.csv", "x.sql"]
        assert here.read("x.sql") == first(3)
        here.server.clear_faults()
        here.holds("x.sql", 3)
        assert here.searches() == 1


@pytest.mark.parametrize(
    "command", ["cat {new} > x.sql", "printf %s \"$(< {new})\" $'\\n' > x.sql", "cp {new} x.sql"]
)
def test_ctrl_c_while_closing_leaves_the_text_and_the_search(command: str, tmp_path: Path) -> None:
    with shelf(tmp_path, save_wait=str(STALL)) as here:
        here.slow()
        (tmp_path / "new").write_text(first(3))
        program = start(["bash", "-c", command.format(new=tmp_path / "new")], here.root)
        here.shows("waiting", 1)
        interrupt(program)
        program.communicate(timeout=SOON)
        here.shows("waiting", 0)
        here.shows("searches", 1)
        here.server.clear_faults()
        here.holds("x.sql", 3)
        assert here.searches() == 1
        assert here.errors() == []


def test_a_signal_to_the_daemon_lets_everybody_go(tmp_path: Path) -> None:
    with shelf(tmp_path, save_wait=str(STALL)) as here:
        here.slow()
        (tmp_path / "new").write_text(first(3))
        closing = start(["cp", str(tmp_path / "new"), "x.sql"], here.root)
        here.shows("waiting", 1)
        waiting = readers(here, *READERS)
        os.kill(int(str(here.status("pid"))), signal.SIGTERM)
        for program in waiting:
            missed(program)
        closing.communicate(timeout=SOON)
        wait_until(lambda: not mounts.is_mounted(str(here.mount)))
        assert (here.on_disk / "x.sql").read_text() == first(3)


# -- another text, or none ---------------------------------------------------------------------------------------


def test_a_newer_text_frees_who_waits_for_the_old(here: Shelf) -> None:
    here.server.fault(SEARCH, "delay", seconds=STALL, times=1)
    here.write("x.sql", first(3))
    wait_until(lambda: here.searches() == 1)
    waiting = readers(here, *READERS, *READERS)
    at_once(lambda: here.write("x.sql", first(4)))
    assert {ended(program) for program in waiting} == {answer(4)}
    here.holds("x.sql", 4)
    assert here.searches() == 2
    here.settled()


def test_a_newer_text_frees_who_waits_though_another_query_wants_the_old(here: Shelf) -> None:
    here.server.fault(SEARCH, "delay", seconds=STALL, times=1)
    here.write("x.sql", first(3))
    here.write("y.sql", first(3))
    wait_until(lambda: here.searches() == 1)
    waiting = readers(here, *READERS)
    here.write("x.sql", first(4))
    assert {ended(program) for program in waiting} == {answer(4)}
    here.shows("searches", 1)  # that of y
    here.server.clear_faults()
    here.holds("y.sql", 3)
    assert here.searches() == 2


def test_removing_the_query_frees_who_waits(here: Shelf) -> None:
    begin(here)
    waiting = readers(here, *READERS)
    at_once(lambda: run("rm", "x.sql", cwd=here.root))
    for program in waiting:
        assert "No such file or directory" in missed(program)
    assert here.names() == []
    here.shows("searches", 0)
    assert here.errors() == []


def test_renaming_the_query_while_others_wait(here: Shelf) -> None:
    """Its search goes on under the new name; under the old one there is nothing any more."""
    begin(here)
    waiting = readers(here, *READERS)
    at_once(lambda: run("mv", "x.sql", "y.sql", cwd=here.root))
    for program in waiting:
        assert "No such file or directory" in missed(program)
    assert here.names() == ["y.csv", "y.sql"]
    here.shows("searches", 1)
    here.server.clear_faults()
    here.holds("y.sql", 3)
    assert here.searches() == 1


def test_removing_a_result_waits_for_its_readers_at_most(tmp_path: Path) -> None:
    """libfuse holds it up: a path cannot be removed while it is being opened.

    Meanwhile the kernel holds the directory's lock, so that `ls` of it waits, too; what is known by name does not.
    """
    with shelf(tmp_path, save_wait="0", search_deadline="5") as here:
        here.slow()
        here.write("x.sql", first(3))
        waiting = readers(here, "cat", "Python")
        removing = start(["rm", "x.csv"], here.root)
        at_once(lambda: here.mount.joinpath("projects/HCP_Q2/subjects.csv").read_bytes())
        for program in waiting:
            assert "Connection timed out" in missed(program)
        assert ended(removing) == ""
        here.server.clear_faults()
        here.holds("x.sql", 3)


def test_a_reader_that_leaves_lets_go_of_who_removes_the_result(here: Shelf) -> None:
    begin(here)
    (program,) = readers(here, "cat")
    removing = start(["rm", "x.csv"], here.root)
    time.sleep(0.5)  # so that it has begun; either order is right
    interrupt(program)
    missed(program)
    assert ended(removing) == ""
    here.server.clear_faults()
    here.holds("x.sql", 3)


# -- how many ----------------------------------------------------------------------------------------------------


def test_at_most_two_searches_at_once(here: Shelf) -> None:
    here.slow()
    for number in range(1, 5):
        here.write(f"{number}.sql", first(number))
    wait_until(lambda: here.searches() == 2)
    here.shows("searches", 4)
    time.sleep(0.5)
    assert here.searches() == 2
    here.write("1.sql", first(5))  # gives up its place, though the server has not answered, and comes last
    wait_until(lambda: here.searches() == 3)
    os.unlink(here.root / "2.sql")
    wait_until(lambda: here.searches() == 4)
    os.unlink(here.root / "4.sql")
    wait_until(lambda: here.searches() == 5)
    here.shows("searches", 2)
    here.server.clear_faults()
    here.holds("1.sql", 5)
    here.holds("3.sql", 3)
    assert here.searches() == 5


def test_a_search_that_has_not_begun_is_never_sent(here: Shelf) -> None:
    here.slow()
    for number in range(1, 5):
        here.write(f"{number}.sql", first(number))
    wait_until(lambda: here.searches() == 2)
    for count in (4, 5, 6):
        here.write("3.sql", first(count))
    os.unlink(here.root / "4.sql")
    here.server.clear_faults()
    here.holds("3.sql", 6)
    here.settled()
    assert here.searches() == 3


def test_more_readers_than_may_wait_are_turned_away(tmp_path: Path) -> None:
    with shelf(tmp_path, save_wait="0", max_waiters="3") as here:
        begin(here)
        waiting = readers(here, *READERS)
        for _ in range(5):
            assert here.fails("x.csv").errno == codes.EAGAIN
        assert here.names() == ["x.csv", "x.sql"]
        assert "3 readers wait for the server already" in here.scene().told("search/x.csv", "EAGAIN")
        here.write("y.sql", first(4))  # saving is never turned away
        here.server.clear_faults()
        assert {ended(program) for program in waiting} == {answer(3)}
        here.holds("x.sql", 3)
        here.holds("y.sql", 4)


# -- anew --------------------------------------------------------------------------------------------------------


def test_touch_runs_it_again_and_who_opens_then_waits_for_that(here: Shelf) -> None:
    here.write("x.sql", first(3))
    here.holds("x.sql", 3)
    before = os.stat(here.root / "x.csv").st_mtime_ns
    here.slow()
    run("touch", "x.sql", cwd=here.root)
    wait_until(lambda: here.searches() == 2)
    found = os.stat(here.root / "x.csv")  # as it was
    assert (found.st_size, found.st_mtime_ns) == (len(answer(3)), before)
    waiting = readers(here, *READERS)
    here.server.clear_faults()
    assert {ended(program) for program in waiting} == {answer(3)}
    assert os.stat(here.root / "x.csv").st_mtime_ns > before
    assert here.searches() == 2


def test_an_old_result_is_served_at_once_while_it_is_made_anew(tmp_path: Path) -> None:
    with shelf(tmp_path, save_wait="0", result_ttl="1") as here:
        here.write("x.sql", first(3))
        here.holds("x.sql", 3)
        here.settled()
        before = os.stat(here.root / "x.csv").st_mtime_ns
        asked = here.searches()
        here.slow()
        wait_until(lambda: time.time_ns() > before + 10**9)
        for _ in range(3):
            assert here.read("x.csv") == answer(3)
        wait_until(lambda: here.searches() == asked + 1)
        here.shows("searches", 1)
        assert here.read("x.csv") == answer(3)
        assert os.stat(here.root / "x.csv").st_mtime_ns == before
        here.server.clear_faults()
        wait_until(lambda: os.stat(here.root / "x.csv").st_mtime_ns > before)
        assert here.read("x.csv") == answer(3)


@pytest.mark.parametrize(
    "save", ["mv x.sql x.sql~; sleep 0.2; cat {new} > x.sql", ": > x.sql; sleep 0.2; cat {new} > x.sql"]
)
def test_who_waits_bears_a_query_that_is_away_for_a_moment(save: str, here: Shelf, tmp_path: Path) -> None:
    """Editors rename the old text away, or empty the file, before they write the new one."""
    here.server.fault(SEARCH, "delay", seconds=STALL, times=1)
    here.write("x.sql", first(3))
    wait_until(lambda: here.searches() == 1)
    waiting = readers(here, *READERS)
    (tmp_path / "new").write_text(first(4))
    run("bash", "-c", save.format(new=tmp_path / "new"), cwd=here.root)
    assert {ended(program) for program in waiting} == {answer(4)}
    assert here.searches() == 2
