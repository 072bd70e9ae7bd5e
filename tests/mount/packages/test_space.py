"""The space that packages may take: never more, never of an open file, never lost; and ENOSPC with a reason."""

from __future__ import annotations

import errno as codes
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdbfs.demo import DataSetBuilder, StandIn
from tests.mount.failing import SOON, failure, wait_until
from tests.mount.packages.conftest import PROJECT, Site
from tests.mount.packages.stage import (
    MIB,
    PATIENT,
    cat,
    complaint,
    digest,
    held,
    here,
    left_over,
    site_of,
    status,
    told_md5s,
)
from tests.views import environment
from tests.worlds import World

PACKAGES = ("A", "B", "C", "D")
SIZE = 2 * MIB
MEMBER = 8 * MIB


def _zip(seed: str) -> bytes:
    """A package of SIZE bytes."""
    whole = io.BytesIO()
    block = hashlib.sha256(seed.encode()).digest()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("s/small.txt", f"{seed}\n")
        archive.writestr("s/data.bin", (block * (SIZE // len(block)))[: SIZE - 10_000])
    return whole.getvalue()


def _with_a_large_member() -> bytes:
    """A package whose member takes more than the package."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s/small.txt", "small\n" * 10)
        archive.writestr("s/large.bin", os.urandom(16) * (MEMBER // 16))
    return whole.getvalue()


@pytest.fixture(scope="module")
def tutorial() -> World:
    """Packages of 2 MiB, one that is announced as nearly nothing, and one that unpacks to 8 MiB."""
    make = DataSetBuilder(site_id="Lab")
    make.package_sizes = "exact"
    make.project(PROJECT)
    subject = make.subject("s", PROJECT)
    for package in PACKAGES:
        make.package(subject, package, _zip(package))
    make.package(subject, "understated", _zip("understated"), announced=1000)
    make.package(subject, "large", _with_a_large_member())
    make.account("ana", "secret", [PROJECT])
    return World("space", make.build())


@pytest.fixture
def scratch(tmp_path: Path, each_fuse: str) -> Path:
    """With each libfuse."""
    return tmp_path


def name(package: str) -> str:
    return f"s_{package}"


def path_of(site: Site, package: str) -> Path:
    return site.zip(package, "s")


def refused(site: Site, package: str) -> str:
    """The reason why there is no space for a package."""
    before = len(site.errors().splitlines())
    assert failure(lambda: path_of(site, package).read_bytes()).errno == codes.ENOSPC
    wait_until(lambda: len(site.errors().splitlines()) > before)
    return site.errors().splitlines()[-1].partition(": ")[2]


def reads(site: Site, package: str) -> bool:
    return path_of(site, package).read_bytes() == site.original(package, "s")


# -- the cap ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["A", "understated"])
def test_a_package_that_is_larger_than_the_cap(
    package: str, server: StandIn, tutorial: World, scratch: Path
) -> None:
    with site_of(server, tutorial, scratch, packages_size="1M") as site:
        assert "packages_size" in refused(site, package)
        assert here(site.cache) == []
        assert left_over(site.cache) == []
        assert status(site.point)["packages"] == {"bytes": 0, "reserved": 0, "cap": MIB}
        if package == "A":
            assert site.moved() == (0, 0)
    with site_of(server, tutorial, scratch, packages_size="3M") as site:
        assert reads(site, package)


def test_what_was_not_used_for_longest_makes_room_and_what_is_open_stays(
    server: StandIn, tutorial: World, scratch: Path
) -> None:
    with site_of(server, tutorial, scratch, packages_size="5M") as site:
        with path_of(site, "A").open("rb", buffering=0) as reader:
            start = reader.read(1000)
            assert reads(site, "B")
            assert reads(site, "C")
            assert here(site.cache) == [name("A"), name("C")]
            assert start + reader.read() == site.original("A", "s")
        assert reads(site, "D")
        assert here(site.cache) == [name("C"), name("D")]
        assert reads(site, "C")
        assert reads(site, "A")
        assert here(site.cache) == [name("A"), name("C")]
        assert path_of(site, "B").stat().st_size == len(site.original("B", "s"))  # known by now
        assert site.errors() == ""


def test_where_all_is_open_there_is_no_room_until_something_is_closed(
    server: StandIn, tutorial: World, scratch: Path
) -> None:
    with site_of(server, tutorial, scratch, packages_size="5M") as site:
        with path_of(site, "A").open("rb"), path_of(site, "B").open("rb") as second:
            assert "in use" in refused(site, "C")
            assert left_over(site.cache) == []
            assert second.read() == site.original("B", "s")
        assert reads(site, "C")


def test_nothing_is_evicted_in_vain(server: StandIn, tutorial: World, scratch: Path) -> None:
    """Where there would be no room all the same."""
    with site_of(server, tutorial, scratch) as site:
        assert reads(site, "A")
    with site_of(server, tutorial, scratch, packages_free="1000T") as site:
        assert "packages_free" in refused(site, "B")
        assert here(site.cache) == [name("A")]
        assert reads(site, "A")


def test_two_at_once_never_take_more_than_the_cap(server: StandIn, tutorial: World, scratch: Path) -> None:
    """What is on its way counts, though it is not here yet."""
    server.pause_ascp(MIB)
    with site_of(server, tutorial, scratch, packages_size="3M") as site:
        program = cat(path_of(site, "A"))
        held(site, package="A", subject="s")
        assert "in use" in refused(site, "B")
        server.resume_ascp()
        assert told_md5s(program) == [digest(site, "A", "s")]
        assert reads(site, "B")
        assert here(site.cache) == [name("B")]


def test_a_member_that_is_larger_than_the_room(server: StandIn, tutorial: World, scratch: Path) -> None:
    with site_of(server, tutorial, scratch, packages_size="4M") as site:
        top = site.unpacked("large", "s") / "s"
        assert (top / "small.txt").read_text() == "small\n" * 10
        assert (top / "large.bin").stat().st_size == MEMBER
        assert failure(lambda: (top / "large.bin").read_bytes()).errno == codes.ENOSPC
        wait_until(lambda: "packages_size" in site.errors())
        assert reads(site, "large")
        assert (top / "small.txt").read_text() == "small\n" * 10
        assert _unpacked(site.cache) <= 1000
    with site_of(server, tutorial, scratch, packages_size="20M") as site:
        assert len((top / "large.bin").read_bytes()) == MEMBER


def _unpacked(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.glob("packages/*/objects/*/members/*"))


# -- the disk --------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(directory: Path, size: int) -> Iterator[Path]:
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True, timeout=30)


@contextmanager
def small_site(server: StandIn, world: World, scratch: Path, size: int) -> Iterator[Site]:
    """A mount whose cache is a disk of its own; packages may take all of it."""
    options = {"cache_dir": str(scratch / "disk"), "packages_size": "1G"}
    with small_disk(scratch / "disk", size), site_of(server, world, scratch, **options) as site:
        yield site


def free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def fill(disk: Path, leave: int) -> Path:
    """Somebody else takes all that is free of the disk, but for so many bytes."""
    filler = disk / "filler"
    filler.write_bytes(b"x" * (free(disk) - leave))
    return filler


def test_a_disk_that_is_full_in_the_middle(server: StandIn, tutorial: World, scratch: Path) -> None:
    if os.geteuid() != 0:
        return  # an ordinary user has no small disk
    server.pause_ascp(MIB)
    with small_site(server, tutorial, scratch, 6 * MIB) as site:
        before = free(site.cache)
        program = cat(path_of(site, "A"))
        held(site, package="A", subject="s")
        filler = fill(site.cache, 64 * 1024)
        server.resume_ascp()
        assert "No space left on device" in complaint(program)
        assert here(site.cache) == []
        assert left_over(site.cache) == []
        assert "is full" in site.errors()
        assert "too little" in refused(site, "B")  # before anything is asked for
        assert site.specs() <= 2
        filler.unlink()
        assert before - free(site.cache) < 128 * 1024  # what is remembered of failures
        assert reads(site, "A")
        assert left_over(site.cache) == []


def test_a_disk_that_is_full_in_the_middle_is_cleared_of_what_nobody_uses(
    server: StandIn, tutorial: World, scratch: Path
) -> None:
    if os.geteuid() != 0:
        return
    with small_site(server, tutorial, scratch, 6 * MIB) as site:
        assert reads(site, "A")
        server.pause_ascp(MIB)
        program = cat(path_of(site, "B"))
        held(site, package="B", subject="s")
        fill(site.cache, 64 * 1024)
        server.resume_ascp()
        assert told_md5s(program) == [digest(site, "B", "s")]
        assert here(site.cache) == [name("B")]
        assert left_over(site.cache) == []
        assert site.errors() == ""


def test_a_disk_that_others_fill_below_the_floor_gets_no_more(
    server: StandIn, tutorial: World, scratch: Path
) -> None:
    if os.geteuid() != 0:
        return
    with (
        small_disk(scratch / "disk", 8 * MIB) as disk,
        site_of(
            server, tutorial, scratch, cache_dir=str(disk), packages_size="1G", packages_free=str(9 * MIB // 2)
        ) as site,
    ):
        assert reads(site, "A")
        assert reads(site, "B")  # in A's place
        assert here(site.cache) == [name("B")]
        filler = fill(disk, 3 * MIB)
        assert "packages_free" in refused(site, "C")
        assert site.moved() == (2, 2)
        filler.unlink()
        assert reads(site, "C")


def test_a_member_fills_the_disk(server: StandIn, tutorial: World, scratch: Path) -> None:
    if os.geteuid() != 0:
        return
    with small_site(server, tutorial, scratch, 6 * MIB) as site:
        top = site.unpacked("large", "s") / "s"
        assert failure(lambda: (top / "large.bin").read_bytes()).errno == codes.ENOSPC
        assert _unpacked(site.cache) == 0
        assert free(site.cache) > 5 * MIB
        assert (top / "small.txt").read_text() == "small\n" * 10


# -- two hosts -------------------------------------------------------------------------------------------------

HOST = """
hostname another
python=$1 flags=$2 url=$3 point=$4 file=$5
"$python" -m cdbfs mount -o "$flags" -- "$url" "$point" || exit
echo mounted
md5sum "$point/$file"
"$python" -m cdbfs umount "$point"
"""
"""Mounts, reads a file, and unmounts."""


def another_host(site: Site, scratch: Path, file: Path) -> subprocess.Popen[str]:
    """A host with a name, processes and mounts of its own, over the same cache directory."""
    point = scratch / "another"
    point.mkdir()
    options = {**PATIENT, "cache_dir": str(site.cache), "search_dir": str(scratch / "search")}
    flags = ",".join(f"{key}={value}" for key, value in options.items())
    return subprocess.Popen(
        [
            *("unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"),
            *("bash", "-c", HOST, "host", sys.executable, flags, site.server.url, str(point)),
            str(file.relative_to(site.point)),
        ],
        env=environment(site.world.login, ASCP=site.server.ascp),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("fuse", ["3"], indirect=True)
def test_two_hosts_over_one_cache_directory_share_a_transfer(
    server: StandIn, tutorial: World, scratch: Path
) -> None:
    if os.geteuid() != 0:
        return
    server.pause_ascp(MIB)
    with site_of(server, tutorial, scratch) as site:
        file = path_of(site, "A")
        program = cat(file)
        held(site, package="A", subject="s")
        host = another_host(site, scratch, file)
        assert host.stdout is not None
        assert host.stdout.readline() == "mounted\n"
        wait_until(lambda: list(site.cache.glob("packages/*/active/*.wanted")) != [], SOON)
        server.resume_ascp()
        out, complaints = host.communicate(timeout=SOON * 2)
        assert complaints == ""
        assert out.split()[0] == digest(site, "A", "s")
        assert told_md5s(program) == [digest(site, "A", "s")]
        assert site.moved() == (1, 1)
        assert left_over(site.cache) == []
