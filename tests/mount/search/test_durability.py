"""Nothing that was saved in search/ is ever lost, no part of a result is shown: kills, full disks, two mounts."""

from __future__ import annotations

import errno as codes
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path
from random import Random
from typing import Callable

import pytest

from cdbfs.demo import StandIn, connectomedb
from cdbfs.mount import mounts
from tests.mount.failing import errno_name, failure, wait_until
from tests.mount.test_crash import GONE, clear_away
from tests.tables import table
from tests.views import environment, mounted
from tests.worlds import World

TABLE = table("search/ and kill -9", "case", "kills", "saved before", "lost", "in flight")

WORLD = World("twenty", connectomedb(20))
SEARCH = "POST /data/search"
MODEST = b"SELECT subject FROM nt:scores WHERE project = 'HCP_Q2' ORDER BY subject"
LARGE = b"SELECT * FROM nt:scores WHERE project = 'HCP_Q2'"
WRONG = b"SELECT nosuch FROM nt:scores"
KILLS = 12
PAGE = 4096
DISK = "size=256k,mode=700"
SUBJECTS = [label.encode() for label, _ in WORLD.subjects("HCP_Q2")]
MODEST_RESULT = b"".join(line + b"\n" for line in (b"subject", *SUBJECTS))


def limited(rows: int) -> bytes:
    """A query of its own for each number of rows."""
    return MODEST + b" LIMIT %d" % rows


def result_of(rows: int) -> bytes:
    return b"".join(line + b"\n" for line in (b"subject", *SUBJECTS[:rows]))


def searches(server: StandIn) -> int:
    return server.counts().get(SEARCH, 0)


def results(cache: Path) -> list[Path]:
    """What is kept of searches, and parts of what was to be kept."""
    return sorted(path for path in (cache / "results").rglob("*") if path.is_file())


def save_by_rename(path: Path, text: bytes, *, sync: bool = False) -> None:
    """As editors do: write beside, rename over."""
    beside = path.with_name(f".{path.name}-{threading.get_ident()}.new")
    with open(beside, "wb", buffering=0) as file:
        write_all(file, text)
        if sync:
            os.fsync(file.fileno())
    os.rename(beside, path)


def save_in_place(path: Path, text: bytes) -> None:
    """As `>` does."""
    with open(path, "wb", buffering=0) as file:
        write_all(file, text)


def append(path: Path, text: bytes) -> None:
    """As `>>` does."""
    with open(path, "ab", buffering=0) as file:
        write_all(file, text)


def write_all(file: FileIO, text: bytes) -> None:
    """A disk that gets full takes a part first, and says so the next time."""
    while text:
        text = text[file.write(text) :]


# -- killed ------------------------------------------------------------------------------------------------------


class Killable:
    """`cdbfs mount -f` in a process that can be killed at any moment."""

    def __init__(self, server: StandIn, scratch: Path) -> None:
        self.directory = scratch / "m"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cdbfs", "mount", "-f"),
                f"-ocache_dir={scratch / 'cache'},search_dir={scratch / 'cache-search'}",
                *(server.url, str(self.directory)),
            ],
            env=environment(WORLD.login),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert line.startswith("mounted on"), line
        self.search = self.directory / "search"

    def kill(self) -> None:
        self.process.kill()
        assert self.process.communicate(timeout=30)[1] == ""


@contextmanager
def killable(server: StandIn, scratch: Path) -> Iterator[Killable]:
    daemon = Killable(server, scratch)
    try:
        yield daemon
    finally:
        daemon.kill()


@pytest.fixture
def ground(tmp_path: Path, each_fuse: str) -> Iterator[Path]:
    """Where a killed mount is cleared away in the end; with each libfuse."""
    (tmp_path / "m").mkdir()
    yield tmp_path
    clear_away(tmp_path / "m")


@dataclass
class Writer:
    """Saves versions until the mount is gone, and knows what it saved."""

    search: Path
    random: Random
    saved: dict[str, bytes]
    """The last text of each name whose saving was over."""
    now: tuple[str, bytes] | None = None
    """What was being saved when the mount went."""
    count: int = 0
    errors: list[OSError] = field(default_factory=list)

    NAMES = ("notes.txt", "list", "wrong.sql", "deep/er/query.sql", "deep/er/page")

    def run(self) -> None:
        try:
            (self.search / "deep/er").mkdir(parents=True, exist_ok=True)
            while True:
                name = self.random.choice(self.NAMES)
                text = WRONG + b" -- %d " % self.random.randrange(10**9) + b"x" * self.random.choice([0, 10, 9000])
                for how in ("", "~"):  # the name with ~ is saved in place
                    self.now = (name + how, text)
                    path = self.search / (name + how)
                    if how:
                        save_in_place(path, text)
                    else:
                        save_by_rename(path, text, sync=self.random.random() < 0.5)
                    self.saved[name + how] = text
                    self.now = None
                    self.count += 1
        except OSError as error:
            self.errors.append(error)


def test_what_was_saved_outlives_any_kill(ground: Path) -> None:
    """The one that is being saved is old or new; in place it may be a part of the new, as in any directory."""
    random, count, in_flight = Random(1), 0, 0
    saved: dict[str, bytes] = {}
    with WORLD.server() as server:
        for _ in range(KILLS):
            with killable(server, ground) as daemon:
                assert check_saved(daemon.search, saved, None) == []
                before = dict(saved)
                writer = Writer(daemon.search, random, saved)
                thread = threading.Thread(target=writer.run)
                thread.start()
                time.sleep(random.uniform(0, 0.4))
                daemon.kill()
                thread.join(30)
                assert not thread.is_alive()
            (error,) = writer.errors
            assert error.errno in GONE, error
            count += writer.count
            in_flight += writer.now is not None
            with killable(server, ground) as daemon:
                lost = check_saved(daemon.search, saved, writer.now)
                assert lost == [], (writer.now, before)
                adopt(daemon.search, saved, writer.now)
                assert_no_more_than(daemon.search, saved)
    TABLE.add("saving", KILLS, count, 0, in_flight)
    assert count > KILLS


def check_saved(search: Path, saved: dict[str, bytes], now: tuple[str, bytes] | None) -> list[str]:
    """The names whose text is not the one that was saved last."""
    lost = []
    for name, text in saved.items():
        found = (search / name).read_bytes()
        allowed = found == text
        if now is not None and now[0] == name:
            allowed |= now[1].startswith(found) if name.endswith("~") else found == now[1]
        if not allowed:
            lost.append(name)
    return lost


def adopt(search: Path, saved: dict[str, bytes], now: tuple[str, bytes] | None) -> None:
    """What came of the save that was cut short counts from here on."""
    if now is not None and (search / now[0]).exists():
        saved[now[0]] = (search / now[0]).read_bytes()


def assert_no_more_than(search: Path, saved: dict[str, bytes]) -> None:
    """There are the names that were saved, what editors leave when they are killed, and results."""
    found = {str(path.relative_to(search)) for path in search.rglob("*") if path.is_file()}
    others = {name for name in found - set(saved) if not name.endswith((".csv", ".error", ".new"))}
    assert others == set()


def test_a_kill_in_the_middle_of_a_search_leaves_the_old_result_or_none(ground: Path) -> None:
    cache = ground / "cache"
    with WORLD.server() as server:
        with killable(server, ground) as daemon:
            save_in_place(daemon.search / "old.sql", MODEST)
            assert (daemon.search / "old.csv").read_bytes() == MODEST_RESULT
        kept = results(cache)
        assert len(kept) == 1
        for turn in range(4):
            server.fault(SEARCH, "drip", bytes=50, seconds=0.05)
            with killable(server, ground) as daemon:
                before = searches(server)
                old, new, text = daemon.search / "old.sql", daemon.search / "new.sql", limited(3 + turn)
                touch = threading.Thread(target=swallow, args=(partial(os.utime, old),))
                save = threading.Thread(target=swallow, args=(partial(save_in_place, new, text),))
                for thread in (touch, save):
                    thread.start()
                wait_until(lambda: searches(server) == before + 2)  # noqa: B023
                wait_until(lambda: len(results(cache)) > len(kept))  # noqa: B023
                daemon.kill()
                for thread in (touch, save):
                    thread.join(30)
                    assert not thread.is_alive()
            server.clear_faults()
            before = searches(server)
            with killable(server, ground) as daemon:
                assert os.stat(daemon.search / "old.csv").st_size == len(MODEST_RESULT)
                assert (daemon.search / "old.csv").read_bytes() == MODEST_RESULT
                assert searches(server) == before
                assert os.stat(daemon.search / "new.csv").st_size == 0
                assert not (daemon.search / "new.error").exists()
                assert (daemon.search / "new.csv").read_bytes() == result_of(3 + turn)
                assert searches(server) == before + 1
            kept = [path for path in results(cache) if path.suffix == ".csv"]
        parts = [path for path in results(cache) if path not in kept]
        assert parts
        for part in parts:  # nobody's for more than an hour
            os.utime(part, (time.time() - 3700, time.time() - 3700))
        with killable(server, ground) as daemon:
            save_in_place(daemon.search / "last.sql", limited(1))
            assert (daemon.search / "last.csv").read_bytes() == result_of(1)
            wait_until(lambda: not any(part.exists() for part in parts))
        assert all(path.suffix == ".csv" for path in results(cache))
    TABLE.add("searching", 4, 1, 0, 8)


def swallow(work: Callable[[], object]) -> None:
    """Do something that the kill may interrupt."""
    error = outcome(work)
    assert error is None or error.errno in GONE, error


def outcome(work: Callable[[], object]) -> OSError | None:
    try:
        work()
    except OSError as error:
        return error
    return None


def test_a_file_that_was_open_without_a_name_is_not_in_the_way_after_a_kill(ground: Path) -> None:
    with WORLD.server() as server:
        with killable(server, ground) as daemon:
            (daemon.search / "d").mkdir()
            (daemon.search / "d/a").write_bytes(b"a")
            descriptor = os.open(daemon.search / "d/a", os.O_RDONLY)
            (daemon.search / "d/a").unlink()
            daemon.kill()
            outcome(lambda: os.close(descriptor))
        with killable(server, ground) as daemon:
            assert os.listdir(daemon.search / "d") == []
            (daemon.search / "d").rmdir()
            assert os.listdir(daemon.search) == []


# -- full disks --------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    directory.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", directory], check=True, timeout=30
    )
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True, timeout=30)


@contextmanager
def filled(disk: Path, left: int = 0) -> Iterator[None]:
    """A disk that has `left` bytes, in whole pages."""
    filler = disk / "filler"
    found = os.statvfs(disk)
    filler.write_bytes(b"x" * (found.f_bavail * found.f_frsize - left))
    try:
        yield
    finally:
        filler.unlink()


def wait_for_reason(path: Path, reason: str) -> None:
    """What the query's error says; the kernel may remember for a second that there was none."""
    wait_until(lambda: path.exists() and reason in path.read_text())


@pytest.mark.usefixtures("each_fuse")
def test_a_full_shelf_is_told_to_who_writes_and_changes_nothing_else(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        return  # an ordinary user has no small disk; the next test is for him, too
    disk = tmp_path / "disk"
    options = {"search_dir": str(disk)}
    with (
        WORLD.server() as server,
        small_disk(disk),
        mounted(server, WORLD.login, tmp_path / "m", tmp_path / "cache", **options) as mount,
    ):
        search = mount / "search"
        wanted = {"old.sql": MODEST, "notes": b"n" * 5000, "log": b"first\n"}
        for name, text in wanted.items():
            save_in_place(search / name, text)
        with filled(disk):
            assert os.statvfs(search).f_bavail == 0
            for name in ("old.sql", "notes"):
                assert errno_name(failure(lambda: save_by_rename(search / name, b"y" * 9000))) == "ENOSPC"  # noqa: B023
            assert errno_name(failure(lambda: save_in_place(search / "new", b"y" * 9000))) == "ENOSPC"
            assert errno_name(failure(lambda: append(search / "log", b"y" * 9000))) == "ENOSPC"
            echo = subprocess.run(["bash", "-c", f"echo more > {search}/new2"], capture_output=True, timeout=30)
            assert b"No space left on device" in echo.stderr
            assert (search / "old.csv").read_bytes() == MODEST_RESULT
            for name, text in wanted.items():
                found = (search / name).read_bytes()
                assert found == text or name == "log"
            assert (search / "log").read_bytes().startswith(b"first\n")
            assert os.listdir(mount / "projects") == ["HCP_Q1", "HCP_Q2"]
        works_again(search)
        assert (search / "old.sql").read_bytes() == MODEST


def works_again(search: Path) -> None:
    save_by_rename(search / "later.sql", limited(2))
    assert (search / "later.csv").read_bytes() == result_of(2)
    save_in_place(search / "notes", b"y" * 9000)
    assert (search / "notes").read_bytes() == b"y" * 9000
    append(search / "log", b"last\n")
    assert (search / "log").read_bytes().endswith(b"last\n")


@pytest.mark.usefixtures("each_fuse")
def test_a_quota_that_is_used_up_is_told_to_who_writes(tmp_path: Path) -> None:
    """Played by the limit of a file's size, as an ordinary user can."""
    with (
        WORLD.server() as server,
        mounted(server, WORLD.login, tmp_path / "m", tmp_path / "cache") as mount,
    ):
        search = mount / "search"
        save_in_place(search / "notes", b"n" * 50)
        with limit_of_size(mount, 100):
            for name in ("notes", "new"):
                assert errno_name(failure(lambda: save_by_rename(search / name, b"y" * 9000))) == "EFBIG"  # noqa: B023
            assert (search / "notes").read_bytes() == b"n" * 50
            assert not (search / "new").exists()
            save_in_place(search / "a.sql", LARGE)
            assert errno_name(failure((search / "a.csv").read_bytes)) == "EIO"
            wait_for_reason(search / "a.error", "the result cannot be kept: File too large")
        works_again(search)
        assert (search / "a.csv").read_bytes().count(b"\n") == 1 + len(SUBJECTS)
        wait_until(lambda: not (search / "a.error").exists())


@contextmanager
def limit_of_size(mount: Path, size: int) -> Iterator[None]:
    pid = next(int(line.split(":")[1].strip(" ,")) for line in status_lines(mount) if '"pid"' in line)
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def status_lines(mount: Path) -> list[str]:
    return (mount / ".cdbfs/status.json").read_text().splitlines()


@pytest.mark.parametrize("left", [0, PAGE, 5 * PAGE])
@pytest.mark.usefixtures("each_fuse")
def test_a_full_cache_leaves_no_result_and_says_why(left: int, tmp_path: Path) -> None:
    """Whether the answer finds no place, or the result, or only the last of it."""
    if os.geteuid() != 0:
        return  # see the test before
    cache = tmp_path / "cache"
    disk = cache / "results"
    cache.mkdir()
    with WORLD.server() as server, small_disk(disk), mounted(server, WORLD.login, tmp_path / "m", cache) as mount:
        search = mount / "search"
        save_in_place(search / "old.sql", MODEST)
        assert (search / "old.csv").read_bytes() == MODEST_RESULT
        kept = results(cache)
        with filled(disk, left):
            save_in_place(search / "large.sql", LARGE)
            for _ in range(2):
                assert errno_name(failure((search / "large.csv").read_bytes)) == "ENOSPC"
            wait_for_reason(search / "large.error", "the disk that results are kept on is full")
            assert os.stat(search / "large.csv").st_size == 0
            assert (search / "old.csv").read_bytes() == MODEST_RESULT
            assert [path for path in results(cache) if path.name != "filler"] == kept
            os.utime(search / "old.sql")  # a search that fails leaves the old result
            if not left:
                wait_for_reason(search / "old.error", "the disk that results are kept on is full")
            assert (search / "old.csv").read_bytes() == MODEST_RESULT
            save_by_rename(search / "wrong.sql", WRONG)  # queries are kept elsewhere
            assert (search / "wrong.sql").read_bytes() == WRONG
        assert (search / "large.csv").read_bytes().count(b"\n") == 1 + len(SUBJECTS)
        os.utime(search / "old.sql")
        wait_until(lambda: not (search / "large.error").exists() and not (search / "old.error").exists())
        assert (search / "old.csv").read_bytes() == MODEST_RESULT
        assert len(results(cache)) == len(kept) + 1


# -- two mounts --------------------------------------------------------------------------------------------------


@contextmanager
def two_mounts(server: StandIn, scratch: Path) -> Iterator[tuple[Path, Path]]:
    """search/ of two mounts of one user."""
    cache = scratch / "cache"
    with (
        mounted(server, WORLD.login, scratch / "a", cache) as first,
        mounted(server, WORLD.login, scratch / "b", cache) as second,
    ):
        yield first / "search", second / "search"


@pytest.mark.usefixtures("each_fuse")
def test_of_lines_that_many_append_none_is_lost(tmp_path: Path) -> None:
    with WORLD.server() as server, two_mounts(server, tmp_path) as both:
        script = 'for i in $(seq 100); do echo "$1 $i" >> "$0/log"; done'
        writers = [
            subprocess.Popen(["bash", "-c", script, str(both[number % 2]), f"w{number}"]) for number in range(6)
        ]
        assert [writer.wait(120) for writer in writers] == [0] * 6
        expected = sorted(f"w{number} {i}" for number in range(6) for i in range(1, 101))
        for search in both:
            lines = (search / "log").read_text().splitlines()
            assert sorted(lines) == expected
            for number in range(6):  # and each one's are in order
                assert [line for line in lines if line.startswith(f"w{number} ")] == [
                    f"w{number} {i}" for i in range(1, 101)
                ]


@pytest.mark.usefixtures("each_fuse")
def test_of_long_lines_that_one_handle_each_appends_none_is_lost_or_torn(tmp_path: Path) -> None:
    with WORLD.server() as server, two_mounts(server, tmp_path) as both:

        def write(number: int) -> None:
            with open(both[number % 2] / "log", "ab", buffering=0) as file:
                for _ in range(20):
                    assert file.write(b"%d" % number * 3000 + b"\n") == 3001

        in_threads([lambda number=number: write(number) for number in range(4)])  # type: ignore[misc]
        for search in both:
            lines = (search / "log").read_bytes().splitlines()
            assert sorted(lines) == sorted([b"%d" % number * 3000 for number in range(4)] * 20)


@pytest.mark.usefixtures("each_fuse")
def test_two_mounts_save_and_open_one_query(tmp_path: Path) -> None:
    """Whoever opens the result gets that of a text that stood there meanwhile; in the end both have the last."""
    with WORLD.server() as server, two_mounts(server, tmp_path) as both:
        save_by_rename(both[0] / "q.sql", limited(1))
        whole = {result_of(rows) for rows in range(1, 13)}
        wrong: list[bytes] = []

        def save(number: int) -> None:
            for turn in range(6):
                save_by_rename(both[number] / "q.sql", limited(1 + 2 * turn + number))

        def read(number: int) -> None:
            for _ in range(30):
                found = (both[number] / "q.csv").read_bytes()
                if found not in whole:
                    wrong.append(found)

        in_threads([lambda work=work, number=number: work(number) for work in (save, read) for number in (0, 1)])  # type: ignore[misc]
        assert wrong == []
        text = (both[0] / "q.sql").read_bytes()
        assert text in (limited(11), limited(12))
        rows = int(text.rpartition(b" ")[2])
        for search in both:
            wait_until(lambda: (search / "q.sql").read_bytes() == text)  # noqa: B023
            assert (search / "q.csv").read_bytes() == result_of(rows)


@pytest.mark.usefixtures("each_fuse")
def test_each_mount_sees_what_the_other_does(tmp_path: Path) -> None:
    with WORLD.server() as server, two_mounts(server, tmp_path) as (first, second):
        for here, there in ((first, second), (second, first)):
            save_in_place(here / "q.sql", limited(4))  # and wait for the result, as closing does
            wait_until(lambda: "q.csv" in os.listdir(there), 10)  # noqa: B023
            before = searches(server)
            assert (there / "q.csv").read_bytes() == result_of(4)
            assert searches(server) == before  # results are shared, too
            save_in_place(here / "q.sql", limited(5))
            wait_until(lambda: (there / "q.csv").read_bytes() == result_of(5), 10)  # noqa: B023
            wait_until(lambda: os.stat(there / "q.csv").st_size == len(result_of(5)), 10)  # noqa: B023
            with open(there / "q.sql", "ab") as file:
                file.write(b" -- seen")
            wait_until(lambda: os.stat(here / "q.sql").st_size == len(limited(5)) + 8, 10)  # noqa: B023
            os.rename(here / "q.sql", here / "r.sql")
            assert sorted(os.listdir(there)) == ["r.csv", "r.sql"]
            save_in_place(there / "q.sql", b"")  # where the kernel may think that it is still
            os.unlink(there / "q.sql")
            wait_until(lambda: not (there / "q.csv").exists(), 10)  # noqa: B023
            assert (there / "r.csv").read_bytes() == result_of(5)
            os.unlink(there / "r.sql")
            wait_until(lambda: os.listdir(here) == [] and not (here / "r.csv").exists(), 10)  # noqa: B023


def in_threads(works: list[Callable[[], object]]) -> None:
    """Do all at once. Raises what the first of them raises."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


# -- unmounted ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_fuse")
def test_queries_and_results_outlive_the_mount(tmp_path: Path) -> None:
    with WORLD.server() as server:
        for turn in range(3):
            with mounted(server, WORLD.login, tmp_path / "m", tmp_path / "cache") as mount:
                search = mount / "search"
                if turn == 0:
                    (search / "deep").mkdir(0o700)
                    save_in_place(search / "q.sql", MODEST)
                    save_by_rename(search / "deep/r.sql", limited(7))
                    assert (search / "deep/r.csv").read_bytes() == result_of(7)  # renaming does not wait for it
                    os.symlink("q.sql", search / "link")
                    os.utime(search / "q.sql", ns=(10**18 + 1, 10**18 + 2))
                    first = shape(search)
                assert shape(search) == first
                assert os.stat(search / "q.csv").st_size == len(MODEST_RESULT)
                assert (search / "q.csv").read_bytes() == MODEST_RESULT
                assert (search / "deep/r.csv").read_bytes() == result_of(7)
            assert not mounts.is_mounted(str(tmp_path / "m"))
            assert searches(server) == 2


def shape(search: Path) -> dict[str, tuple[int, int, int, int]]:
    """What stat shows of everything, results' times among it."""
    found = {}
    for path in sorted(search.rglob("*")):
        state = path.lstat()
        found[str(path.relative_to(search))] = (state.st_ino, state.st_mode, state.st_size, state.st_mtime_ns)
    return found


def test_no_errno_of_a_dead_mount_is_an_answer() -> None:
    """What counts as gone above is what a dead mount says, and nothing that a living one does."""
    assert set(GONE).isdisjoint({codes.ENOENT, codes.EIO, codes.ENOSPC, codes.EINTR})
