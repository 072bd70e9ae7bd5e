"""What goes wrong with the cache costs requests, never an answer: all bytes are right, `.cdbfs/errors` says why.

Printed as a table at the end of the run.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from tests.mount.failing import DOCUMENTS, KNOWN, SMALL, Scene, scene, wait_until
from tests.mount.test_crash import Laboratory, reading
from tests.ports import free_port
from tests.tables import table

TABLE = table("faults of the cache", "fault", "errno", "reason in .cdbfs/errors", "still served")
DOCUMENT_ROUTE = "GET /data/experiments/{experiment}"


def objects(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "documents").rglob("*") if path.is_file())


def read_all(found: Scene) -> bool:
    assert {path: found.read(path) for path in DOCUMENTS} == DOCUMENTS
    return True


def requests(found: Scene) -> int:
    return found.server.counts().get(DOCUMENT_ROUTE, 0)


# -- what lies in the cache is not what was put there ------------------------------------------------------------


def flip_a_bit(paths: list[Path]) -> None:
    for number, path in enumerate(paths):
        content = bytearray(path.read_bytes())
        content[number * 7919 % len(content)] ^= 1 << number % 8
        path.write_bytes(content)


def truncate(paths: list[Path]) -> None:
    for number, path in enumerate(paths):
        os.truncate(path, number * 7919 % path.stat().st_size)


def exchange(paths: list[Path]) -> None:
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, [*contents[1:], contents[0]]):
        path.write_bytes(content)


def close(paths: list[Path]) -> None:
    """Root reads them all the same."""
    for path in paths:
        path.chmod(0)


def close_directories(paths: list[Path]) -> None:
    for path in paths:
        path.parent.chmod(0)


def put_directories(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()
        path.mkdir()


def put_fifos(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()
        os.mkfifo(path)


def put_links(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()
        path.symlink_to(path.name)


DAMAGED = "is damaged, and is fetched again"
CASES = [
    ("a bit flipped", flip_a_bit, DAMAGED),
    ("cut off", truncate, DAMAGED),
    ("another's content", exchange, DAMAGED),
    ("unreadable files", close, "" if os.geteuid() == 0 else "cannot be read: Permission denied"),
    ("unreadable directories", close_directories, "" if os.geteuid() == 0 else "cannot be kept"),
    ("a directory in a file's place", put_directories, "cannot be read: Is a directory"),
    ("a FIFO in a file's place", put_fifos, DAMAGED),
    ("a link to itself in a file's place", put_links, ""),
]


@pytest.mark.parametrize(("name", "damage", "reason"), CASES, ids=[case[0].replace(" ", "-") for case in CASES])
def test_what_is_damaged_is_fetched_again(
    name: str, damage: Callable[[list[Path]], None], reason: str, tmp_path: Path
) -> None:
    port, cache = free_port(), tmp_path / "cache"
    with scene(tmp_path, port=port) as found:
        read_all(found)
    kept = objects(cache)
    assert len(kept) == len(DOCUMENTS)
    damage(kept)
    try:
        with scene(tmp_path, port=port) as found:
            read_all(found)
            told = [line for line in found.errors() if reason in line]
            assert bool(told) == bool(reason) == bool(found.errors())
            asked = requests(found)
            assert asked == (len(DOCUMENTS) if reason or damage is put_links else 0)
            errno, _, rest = told[-1].partition(" ")[2].partition(" ") if told else ("", "", "")
    finally:
        for path in kept:
            path.parent.chmod(0o700)
    TABLE.add(f"cached file: {name}", errno, rest, "every byte, from " + ("the server" if asked else "the cache"))


def test_a_cached_file_is_damaged_while_it_is_in_use(tmp_path: Path) -> None:
    """With no room in memory every look reads the disk, but for what was shown just now."""
    with scene(tmp_path, memory_size="1") as found:
        read_all(found)
        flip_a_bit(objects(tmp_path / "cache"))
        wait_until(lambda: read_all(found) and any(DAMAGED in line for line in found.errors()))


# -- the cache is taken away -------------------------------------------------------------------------------------


@pytest.mark.parametrize("successor", ["nothing", "a file", "a closed directory"])
def test_the_cache_directory_is_removed_while_it_is_in_use(successor: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk/cache"
    with scene(tmp_path, cache_dir=str(disk), memory_size="1") as found:
        shutil.rmtree(disk)
        if successor == "a file":
            disk.touch()
        elif successor == "a closed directory":
            disk.mkdir(mode=0o000)
        read_all(found)
        assert os.statvfs(found.mount).f_blocks > 0
        keeps = successor == "nothing" or (successor == "a closed directory" and os.geteuid() == 0)
        if keeps:
            wait_until(lambda: read_all(found) and len(objects(disk)) == len(DOCUMENTS))
            assert found.errors() == []
            row = ("", "")
        else:
            wait_until(lambda: any("cannot be kept on disk" in line for line in found.errors()))
            read_all(found)
            (said,) = found.errors()  # once, not for each document
            errno, _, rest = said.partition(" ")[2].partition(" ")
            row = (errno, rest.partition(": ")[2])
    TABLE.add(f"cache directory removed; {successor} in its place", *row, "every byte")


# -- the disk is full --------------------------------------------------------------------------------------------


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A disk that three documents fill."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", directory], check=True, timeout=30)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True, timeout=30)


def test_a_disk_that_is_full_costs_requests_only(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        return  # an ordinary user has no small disk; the next test is for him, too
    with small_disk(tmp_path / "disk") as disk, scene(tmp_path, cache_dir=str(disk)) as found:
        filler = disk / "filler"
        filler.write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        full(found, disk, "ENOSPC", "No space left on device")
        filler.unlink()
        has_room_again(found, disk)


def test_a_quota_that_is_used_up_costs_requests_only(tmp_path: Path) -> None:
    """Played by the limit of a file's size: a write fails, and nothing else does."""
    with scene(tmp_path, cache_dir=str(tmp_path / "disk")) as found:
        pid = int(str(found.status()["pid"]))
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, before[1]))
        full(found, tmp_path / "disk", "EFBIG", "File too large")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        has_room_again(found, tmp_path / "disk")


def full(found: Scene, disk: Path, errno: str, reason: str) -> None:
    kept = objects(disk)
    read_all(found)
    wait_until(lambda: len(found.errors()) == 1)
    (said,) = found.errors()
    assert f" {errno} " in said
    assert said.endswith(f"documents cannot be kept on disk: {reason}")
    assert objects(disk) == kept  # above all, no parts
    found.look()
    TABLE.add(f"disk full ({errno})", errno, f"documents cannot be kept on disk: {reason}", "every byte")


def has_room_again(found: Scene, disk: Path) -> None:
    """What is fetched from now on is kept."""
    kept = len(objects(disk))
    later = "2030-01-01 00:00:00"
    edited = tuple(replace(experiment, last_modified=later) for experiment in SMALL.data.experiments)
    found.server.replace(replace(SMALL.data, experiments=edited))
    wait_until(lambda: found.read(KNOWN) != b"" and len(objects(disk)) == kept + 1)


# -- two mounts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache_size", ["1G", "20K"])
def test_two_mounts_over_one_cache_agree_while_all_changes(cache_size: str, tmp_path: Path) -> None:
    laboratory = Laboratory()
    options = {"cache_size": cache_size, "memory_size": "1", "listing_ttl": "0.1", "document_ttl": "0.1"}
    with laboratory.server() as server, laboratory.changing(server, seconds=0.02):
        with (
            laboratory.mounted(server, tmp_path / "a", tmp_path / "cache", **options) as first,
            laboratory.mounted(server, tmp_path / "b", tmp_path / "cache", **options) as second,
            reading(laboratory, first, seed=1) as one,
            reading(laboratory, second, seed=2) as other,
        ):
            wait_until(lambda: min(one.count, other.count) > 300, 60)
        for mount in (one, other):
            assert mount.wrong == []
            assert mount.errors == []
    TABLE.add(f"two mounts over one cache of {cache_size}", "", "", "every byte")
