"""A program that opens package after package is stopped before it has moved terabytes; others are not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdbfs.config import Settings
from cdbfs.demo import StandIn, connectomedb
from tests.mount.packages.conftest import DIFFUSION, PROJECT, STRUCTURAL, SUBJECT, Site
from tests.mount.packages.stage import here, site_of
from tests.worlds import World

SMALL = World("small packages", connectomedb(2, package_size=100_000))
OTHER = "3T_rfMRI_REST1_preproc"
FORTH = "3T_tfMRI_WM_preproc"
PACKAGES = (STRUCTURAL, DIFFUSION, OTHER, FORTH)
THREADS = """
import sys, threading
failed = []
def read(path):
    try:
        open(path, "rb").close()
    except OSError as error:
        failed.append(error.strerror)
threads = [threading.Thread(target=read, args=(path,)) for path in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*failed, sep="\\n")
"""


@pytest.fixture(scope="module")
def tutorial() -> World:
    """Of one dialect: nothing here depends on it. Two subjects with 22 packages each."""
    return SMALL


@pytest.fixture
def limited(server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str) -> Iterator[Site]:
    """A mount where a program may have two packages fetched."""
    with site_of(server, tutorial, tmp_path, bulk_limit="2") as site:
        yield site


def run(*command: str | Path, at: Path) -> subprocess.CompletedProcess[str]:
    at.stat()  # so that starting there waits for nothing: Popen holds this process's lock, which the server needs
    return subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=240, check=False)


def refused(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The files that a program was refused."""
    assert all(line.endswith(": Disk quota exceeded") for line in done.stderr.splitlines()), done.stderr
    return re.findall(r"([^/\n]*): Disk quota exceeded\n", done.stderr)


def test_grep_over_all_packages_is_stopped_after_25(
    server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str
) -> None:
    limit = Settings().bulk_limit
    assert limit == 25
    with site_of(server, tutorial, tmp_path) as site:
        done = run("grep", "-r", "nothing like it", "packages", at=site.point)
        assert len(set(refused(done))) == 2 * 22 - limit
        assert all(name.endswith(".zip") for name in refused(done))  # never an md5
        assert len(here(site.cache)) == limit
        assert site.specs() == 2 * 22  # 25 zips with their md5, and 19 md5s
        (said,) = {line.partition(": ")[2] for line in site.errors().splitlines()}
        assert re.search(rf"process \d+ \(grep\) has had {limit} packages fetched by opening them", said)
        assert "cdbfs fetch" in said
        assert "bulk_limit" in said
        missing = refused(done)[0]
        subject, _, package = missing.removesuffix(".zip").partition("_")
        assert run("md5sum", site.zip(package, subject), at=site.point).returncode == 0  # another program is free


def test_without_a_limit_it_reads_all(server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str) -> None:
    with site_of(server, tutorial, tmp_path, bulk_limit="0") as site:
        done = run("grep", "-r", "nothing like it", f"packages/{PROJECT}/{SUBJECT}", at=site.point)
        assert (done.returncode, done.stderr) == (1, "")
        assert len(here(site.cache)) == 22


def test_what_is_here_does_not_count(limited: Site) -> None:
    first, second, third, fourth = map(limited.zip, PACKAGES)
    assert refused(run("md5sum", first, at=limited.point)) == []
    assert refused(run("md5sum", first, second, first, third, second, fourth, third, at=limited.point)) == [
        fourth.name
    ]
    assert refused(run("md5sum", first, second, third, at=limited.point)) == []


def test_members_of_packages_count_as_their_packages_do(limited: Site) -> None:
    tops = [limited.unpacked(package) / SUBJECT for package in PACKAGES]
    done = run("ls", *tops, at=limited.point)
    assert done.stderr.count("Disk quota exceeded") == 2
    assert len(here(limited.cache)) == 2


def test_the_threads_of_a_program_count_as_one(limited: Site) -> None:
    done = run(sys.executable, "-c", THREADS, *map(limited.zip, PACKAGES), at=limited.point)
    assert done.stdout == "Disk quota exceeded\n" * 2
    assert len(here(limited.cache)) == 2


def test_md5s_do_not_count(limited: Site) -> None:
    done = run("bash", "-c", "cat *.md5", at=limited.zip().parent)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 22)
    assert here(limited.cache) == []


def test_grep_over_projects_moves_no_package(limited: Site) -> None:
    assert run("grep", "-r", "nothing like it", "projects", at=limited.point).returncode == 1
    assert limited.moved() == (0, 0)
    assert here(limited.cache) == []
