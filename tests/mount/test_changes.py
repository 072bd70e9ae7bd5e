"""What readers see while the server's data change: whole versions, and sizes that are those of the bytes."""

from __future__ import annotations

import mmap
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from cdbfs.demo import DataSet, DataSetBuilder, StandIn, document
from tests.views import mounted
from tests.worlds import World

pytestmark = pytest.mark.usefixtures("each_fuse")

EXPERIMENT = "projects/ALPHA/subjects/zeta/experiments/zeta_bat"


def version(number: int, *, dated: bool = True) -> DataSet:
    """A data set whose documents have another length in each version."""
    make = DataSetBuilder(site_id="Lab")
    make.project("ALPHA")
    make.type("cog:battery", "cog:Battery", "http://example.org/cog")
    subject = make.subject("zeta", "ALPHA", id="Lab_S1")
    scores = {"recall": str(10 + number), "remark": "x" * (number * 37 % 400)}
    stamp = f"2015-01-01 00:00:{number:02d}" if dated else ""
    make.experiment(
        "zeta_bat", subject, "cog:battery", id="Lab_E1", groups={"memory": scores}, last_modified=stamp
    )
    make.account("ana", "secret", ["ALPHA"])
    return make.build()


def by_reading(file: int) -> bytes:
    before = os.fstat(file).st_size
    data = os.read(file, 2**20)
    assert before == len(data) == os.fstat(file).st_size
    return data


def by_seeking(file: int) -> bytes:
    size = os.lseek(file, 0, os.SEEK_END)
    data = os.pread(file, 2**20, 0)
    assert size == len(data)
    return data


def by_mapping(file: int) -> bytes:
    with mmap.mmap(file, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as mapped:
        return mapped[:]


def test_every_reader_sees_one_whole_version_of_the_size_that_is_shown(tmp_path: Path) -> None:
    states = [version(number) for number in range(60)]
    published = {document(state, "Lab_E1") for state in states}
    login = World("changing", states[0]).login
    ended = threading.Event()

    def read(path: Path, way: Callable[[int], bytes]) -> int:
        count = 0
        while not ended.is_set():
            file = os.open(path, os.O_RDONLY)
            try:
                assert way(file) in published
            finally:
                os.close(file)
            count += 1
        return count

    with (
        StandIn(states[0]) as server,
        mounted(server, login, tmp_path / "m", tmp_path / "c", listing_ttl="0.3", attr_timeout="0.3") as mount,
        ThreadPoolExecutor(6) as pool,
    ):
        ways = (by_reading, by_reading, by_seeking, by_seeking, by_mapping, by_mapping)
        readers = [pool.submit(read, mount / EXPERIMENT / "experiment.xml", way) for way in ways]
        for state in states:
            if server.counts().get("GET /data/experiments/{experiment}", 0) > 4:
                break  # it has changed under them often enough
            server.replace(state)
            time.sleep(0.6)
        else:
            ended.set()
            raise AssertionError("the readers saw too few changes")
        ended.set()
        assert sum(reader.result() for reader in readers) > 100


def test_copies_follow_a_change_that_has_no_date(tmp_path: Path) -> None:
    """rsync and make compare size and time: other bytes have another time, in every file made of the document."""
    old, new = version(1, dated=False), version(2, dated=False)
    new = replace(new, experiments=tuple(replace(e, insert_date="") for e in new.experiments))
    old = replace(old, experiments=tuple(replace(e, insert_date="") for e in old.experiments))
    login = World("undated", old).login
    copy = ["rsync", "-rt", f"{tmp_path}/m/{EXPERIMENT}/", f"{tmp_path}/copy/"]
    with (
        StandIn(old) as server,
        mounted(server, login, tmp_path / "m", tmp_path / "c", listing_ttl="0.2", attr_timeout="0") as mount,
    ):
        subprocess.run(copy, check=True, timeout=30)
        assert (tmp_path / "copy/scores/memory/recall").read_text() == "11\n"
        server.replace(new)
        ends = time.monotonic() + 10
        while (mount / EXPERIMENT / "scores/memory/recall").read_text() != "12\n":
            assert time.monotonic() < ends
            time.sleep(0.1)
        subprocess.run(copy, check=True, timeout=30)
        assert (tmp_path / "copy/scores/memory/recall").read_text() == "12\n"
        assert (tmp_path / "copy/experiment.xml").read_bytes() == document(new, "Lab_E1")
        subprocess.run(["chmod", "-R", "u+w", tmp_path / "copy"], check=True, timeout=30)


def test_a_subject_that_leaves_the_project_leaves_the_mount(tmp_path: Path) -> None:
    full = version(1)
    empty = replace(full, subjects=(), experiments=())
    with (
        StandIn(full) as server,
        mounted(
            server,
            World("leaving", full).login,
            tmp_path / "m",
            tmp_path / "c",
            listing_ttl="0.2",
            attr_timeout="0",
        ) as mount,
    ):
        assert (mount / EXPERIMENT / "scores/memory/recall").read_text() == "11\n"
        before = os.stat(mount / "projects/ALPHA/subjects.csv").st_mtime_ns
        server.replace(empty)
        ends = time.monotonic() + 10
        while os.listdir(mount / "projects/ALPHA/subjects"):
            assert time.monotonic() < ends
            time.sleep(0.1)
        assert not (mount / EXPERIMENT).exists()
        assert os.stat(mount / "projects/ALPHA/subjects.csv").st_mtime_ns > before
        assert len((mount / "projects/ALPHA/subjects.csv").read_text().splitlines()) == 1


def test_an_open_directory_lists_what_it_held_though_it_is_gone_meanwhile(tmp_path: Path) -> None:
    """The C library takes an error of getdents for the end: `ls` would show nothing, and say nothing."""
    world = World("one", version(1))
    make = DataSetBuilder(site_id="Lab")
    make.project("ALPHA")
    make.account("ana", "secret", ["ALPHA"])
    with (
        world.server() as server,
        mounted(server, world.login, tmp_path / "m", tmp_path / "cache", listing_ttl="0") as mount,
    ):
        directory = mount / Path(EXPERIMENT).parent
        with os.scandir(directory) as opened:  # reads nothing yet
            server.replace(make.build())
            ends = time.monotonic() + 20
            while directory.exists():
                assert time.monotonic() < ends, "the subject stays"
                time.sleep(0.1)
            assert [entry.name for entry in opened] == ["zeta_bat"]
        with pytest.raises(FileNotFoundError):
            os.listdir(directory)
