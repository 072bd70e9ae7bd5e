"""kill -9 at any moment: what is mounted next shows whole versions, and nothing else, out of the cache it left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from random import Random

import pytest

from cdbfs.demo import DataSet, DataSetBuilder, StandIn, document
from cdbfs.mount import mounts
from tests.mount.failing import wait_until
from tests.tables import table
from tests.views import environment, log_lines, mounted
from tests.worlds import World

TABLE = table("kill -9", "kills", "while mounting", "reads", "versions", "damaged objects", "seconds")
EXPERIMENTS = 12
VERSIONS = 40
KILLS = 50
GONE = (errno.ENOTCONN, errno.ECONNABORTED)
"""What a reader gets once the daemon was killed."""


class Laboratory:
    """A few experiments in many versions, each of another length."""

    def __init__(self) -> None:
        self.states = [_state(number) for number in range(VERSIONS)]
        self.login = World("laboratory", self.states[0]).login
        self.paths = {_path(number): f"Lab_E{number}" for number in range(EXPERIMENTS)}
        self.published = {
            path: {document(state, experiment) for state in self.states} for path, experiment in self.paths.items()
        }

    def server(self) -> StandIn:
        return StandIn(self.states[0])

    def mounted(
        self, server: StandIn, directory: Path, cache: Path, **options: str
    ) -> AbstractContextManager[Path]:
        return mounted(server, self.login, directory, cache, **options)

    @contextmanager
    def changing(self, server: StandIn, seconds: float) -> Iterator[None]:
        """Publish the versions one after the other, round and round."""
        ended = threading.Event()

        def publish() -> None:
            for turn in count(1):
                if ended.wait(seconds):
                    return
                server.replace(self.states[turn % VERSIONS])

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _path(number: int) -> str:
    return f"projects/ALPHA/subjects/s{number % 3}/experiments/e{number}/experiment.xml"


def _state(number: int) -> DataSet:
    make = DataSetBuilder(site_id="Lab")
    make.project("ALPHA")
    make.type("cog:battery", "cog:Battery", "http://example.org/cog")
    subjects = [make.subject(f"s{index}", "ALPHA", id=f"Lab_S{index}") for index in range(3)]
    for index in range(EXPERIMENTS):
        scores = {"recall": str(number), "remark": "x" * ((number * 37 + index * 11) % 900)}
        make.experiment(
            f"e{index}",
            subjects[index % 3],
            "cog:battery",
            id=f"Lab_E{index}",
            groups={"memory": scores},
            last_modified=f"2015-01-01 00:00:{number:02d}",
        )
    make.account("ana", "secret", ["ALPHA"])
    return make.build()


class Readers:
    """What threads saw that read a mount again and again."""

    def __init__(self) -> None:
        self.count = 0
        self.wrong: list[str] = []
        """Paths whose bytes were those of no version, or whose size was not that of the bytes."""
        self.errors: list[str] = []
        self.killed = threading.Event()
        """Set before the daemon is killed: from then on errors are no news."""


@contextmanager
def reading(laboratory: Laboratory, mount: Path, seed: int, threads: int = 4) -> Iterator[Readers]:
    readers, ended = Readers(), threading.Event()

    def read(random: Random) -> None:
        paths = list(laboratory.paths)
        while not ended.is_set():
            path = random.choice(paths)
            try:
                with open(mount / path, "rb", buffering=0) as file:
                    content = file.read()
                    size = os.fstat(file.fileno()).st_size
            except OSError as error:
                if readers.killed.is_set() and error.errno in GONE:
                    return
                readers.errors.append(f"{path}: {error}")
                continue
            readers.count += 1
            if content not in laboratory.published[path] or (size != len(content) and not readers.killed.is_set()):
                readers.wrong.append(path)

    started = [threading.Thread(target=read, args=(Random(seed * 100 + number),)) for number in range(threads)]
    for thread in started:
        thread.start()
    try:
        yield readers
    finally:
        ended.set()
        for thread in started:
            thread.join()


class Daemon:
    """`cdbfs mount -f` in a process that can be killed at any moment."""

    def __init__(self, laboratory: Laboratory, server: StandIn, directory: Path, cache: Path) -> None:
        self.directory = directory
        options = f"cache_dir={cache},listing_ttl=0.05,document_ttl=0.2,memory_size=1"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cdbfs", "mount", "-f", f"-o{options}", server.url, str(directory)],
            env=environment(laboratory.login),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_it_answers(self) -> None:
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert line.startswith("mounted on"), line

    def kill(self) -> str:
        """What it had to say besides."""
        self.process.kill()
        return self.process.communicate(timeout=30)[1]


def test_fifty_kills_leave_whole_versions_only(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    laboratory, random = Laboratory(), Random(0)
    directory, cache = tmp_path / "m", tmp_path / "cache"
    request.addfinalizer(lambda: clear_away(directory))
    directory.mkdir()
    read = while_mounting = 0
    began = time.monotonic()
    with laboratory.server() as server, laboratory.changing(server, seconds=0.01):
        for turn in range(KILLS):
            daemon = Daemon(laboratory, server, directory, cache)
            try:
                if turn % 5 == 4:
                    while_mounting += 1
                    time.sleep(random.uniform(0, 0.4))
                    continue
                daemon.wait_until_it_answers()
                with reading(laboratory, directory, turn) as readers:
                    time.sleep(random.uniform(0, 0.3))
                    readers.killed.set()
                    daemon.process.kill()
                assert (readers.wrong, readers.errors) == ([], [])
                read += readers.count
            finally:
                complaints = daemon.kill()
            assert complaints == ""
    seconds = time.monotonic() - began
    with laboratory.server() as server:
        server.replace(laboratory.states[-1])
        last(laboratory, server, directory, cache)
    TABLE.add(KILLS, while_mounting, read, VERSIONS, 0, f"{seconds:.0f}")
    assert read > KILLS


def clear_away(directory: Path) -> None:
    if mounts.is_mounted(str(directory)):
        mounts.unmount(str(directory), lazy=True)


def last(laboratory: Laboratory, server: StandIn, directory: Path, cache: Path) -> None:
    """A mount that is not killed shows the present version of everything, and has nothing to complain of."""
    with laboratory.mounted(server, directory, cache, listing_ttl="0.1") as mount:
        wait_until(
            lambda: all(
                (mount / path).read_bytes() == document(laboratory.states[-1], experiment)
                for path, experiment in laboratory.paths.items()
            )
        )
        assert (mount / ".cdbfs/errors").read_text() == ""
    assert not mounts.is_mounted(str(directory))
    assert log_lines(cache) == []
