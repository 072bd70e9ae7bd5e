"""What real tools get of packages at the first touch: the bytes that the server has."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import mmap
import os
import shutil
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nibabel
import pytest

from cdbfs.demo import DataSetBuilder, StandIn
from tests.mount.packages.conftest import IDS, OPTIONS, STRUCTURAL, SUBJECT, Site
from tests.views import mounted
from tests.worlds import World


def output(*command: str, at: Path) -> bytes:
    at.stat()  # so that starting there waits for nothing: Popen holds this process's lock, which the server needs
    return subprocess.run(command, cwd=at, capture_output=True, timeout=120, check=True).stdout


def _escaped(name: str) -> str:
    """A name as unzip takes it, for which brackets are a pattern."""
    return name.replace("[", "[[]")


def test_md5sum_checks_every_package_of_a_subject(site: Site) -> None:
    told = output("bash", "-c", "md5sum -c *.md5", at=site.zip().parent).decode()
    assert told.count(": OK\n") == IDS == len(told.splitlines())


def test_reading_an_md5_moves_nothing_else(site: Site) -> None:
    beside = Path(f"{site.zip()}.md5")
    assert beside.read_bytes() == site.server.package_md5(SUBJECT, STRUCTURAL)
    assert site.moved() == (1, 1)
    assert sorted(path.name for path in site.cache.glob("packages/*/objects/*/*")) == ["package.md5"]


def by_cat(path: Path) -> bytes:
    return output("cat", str(path), at=path.parent)


def by_cp(path: Path) -> bytes:
    copy = path.parents[4] / "copy.zip"
    output("cp", str(path), str(copy), at=copy.parent)
    return copy.read_bytes()


def by_tar(path: Path) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(output("tar", "-cf", "-", path.name, at=path.parent))) as archive:
        found = archive.extractfile(path.name)
        assert found is not None
        return found.read()


def by_rsync(path: Path) -> bytes:
    copy = path.parents[4] / "rsynced"
    output("rsync", "-t", str(path), f"{copy}/", at=copy.parent)
    return (copy / path.name).read_bytes()


def by_unzip(path: Path) -> bytes:
    """The members, which are compared here; then the bytes."""
    with zipfile.ZipFile(path) as archive:
        listed = output("unzip", "-l", str(path), at=path.parent).decode()
        assert all(member.filename in listed for member in archive.infolist())
        for member in archive.infolist()[:5]:
            if not member.is_dir():
                assert output("unzip", "-p", str(path), _escaped(member.filename), at=path.parent) == archive.read(
                    member
                )
    return path.read_bytes()


def by_unzip_first(path: Path) -> bytes:
    """unzip seeks from the end of what it takes for the size."""
    assert b"No errors detected" in output("unzip", "-t", str(path), at=path.parent)
    return path.read_bytes()


def by_mmap(path: Path) -> bytes:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped[:]


def by_sendfile(path: Path) -> bytes:
    copy = path.parents[4] / "sent"
    shutil.copyfile(path, copy)
    return copy.read_bytes()


def by_wc(path: Path) -> bytes:
    size = int(output("wc", "-c", str(path), at=path.parent).split()[0])
    found = path.read_bytes()
    assert size == len(found)
    return found


TOOLS = (by_cat, by_cp, by_tar, by_rsync, by_unzip, by_unzip_first, by_mmap, by_sendfile, by_wc)


@pytest.fixture(params=["larger", "smaller", "exact"])
def announcing(request: pytest.FixtureRequest, tmp_path: Path, each_fuse: str) -> Iterator[Site]:
    """A server that announces other sizes than its zips have, with a package for each tool."""
    make = DataSetBuilder(site_id="Lab")
    make.project("P")
    make.package_sizes = request.param
    subject = make.subject("s", "P")
    for tool in TOOLS:
        make.package(subject, tool.__name__, _zip(tool.__name__))
    make.account("ana", "secret", ["P"])
    world = World("lab", make.build())
    with (
        world.server() as server,
        mounted(server, world.login, tmp_path / "m", tmp_path / "cache", **OPTIONS) as point,
    ):
        yield Site(server, world, point, tmp_path / "cache")


@functools.cache
def _zip(seed: str) -> bytes:
    """Names with spaces, commas, brackets and letters of other alphabets; stored and deflated."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, name in enumerate(["a b.txt", "c,rfDC", "[BT-diff].mat", "K\u00e4se.csv", "x/y/z.bin"]):
            kind = zipfile.ZIP_STORED if number % 2 else zipfile.ZIP_DEFLATED
            archive.writestr(f"s/{name}", f"{seed} {number}\n".encode() * 20_000, compress_type=kind)
    return whole.getvalue()


def test_tools_get_the_bytes_on_the_first_touch_whatever_size_was_announced(announcing: Site) -> None:
    for tool in TOOLS:
        path = announcing.point / "packages/P/s" / f"s_{tool.__name__}.zip"
        original = _zip(tool.__name__)
        announced = path.stat().st_size
        assert announced == announcing.server.announced("s", tool.__name__)
        time.sleep(0.05)  # until the kernel has forgotten it: unzip asks stat, and nothing else
        assert tool(path) == original, tool.__name__
        assert path.stat().st_size == len(original)
    assert announcing.moved() == (len(TOOLS), len(TOOLS))


def test_a_descriptor_that_is_open_knows_its_size_at_once(site: Site) -> None:
    assert site.zip().stat().st_size != len(site.original())
    descriptor = os.open(site.zip(), os.O_RDONLY)
    try:
        assert os.fstat(descriptor).st_size == len(site.original())
        assert os.lseek(descriptor, 0, os.SEEK_END) == len(site.original())
    finally:
        os.close(descriptor)


def test_every_member_is_that_of_unzip(site: Site) -> None:
    names = []
    for name in output("unzip", "-Z1", str(site.zip()), at=site.point).decode().splitlines():
        path = site.unpacked() / name
        if name.endswith("/"):
            assert path.is_dir()
            continue
        names.append(name)
        content = output("unzip", "-p", str(site.zip()), _escaped(name), at=site.point)
        assert path.stat().st_size == len(content)
        assert path.read_bytes() == content
    found = [path for path in site.unpacked().rglob("*") if path.is_file()]
    assert len(found) == len(names) > 5
    assert site.moved() == (1, 1)


def test_nibabel_loads_a_member_by_its_path(site: Site) -> None:
    images = sorted(path for path in site.unpacked().rglob("*.nii*"))
    zip_of_server = zipfile.ZipFile(site.server.package(SUBJECT, STRUCTURAL))
    assert {path.suffix for path in images} == {".gz", ".nii"}
    for path in images[:4]:
        loaded = nibabel.Nifti1Image.from_filename(path)
        with zip_of_server.open(str(path.relative_to(site.unpacked()))) as member:
            raw = member.read()
            expected = nibabel.Nifti1Image.from_bytes(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        assert (loaded.get_fdata() == expected.get_fdata()).all()


def test_looking_below_the_subject_fetches_it(site: Site) -> None:
    top = site.unpacked() / SUBJECT
    assert len(os.listdir(top)) > 1
    assert site.moved() == (1, 1)
    assert os.listdir(site.unpacked().parent) == [site.unpacked().name]


def test_naming_a_member_fetches_its_package(site: Site, server: StandIn) -> None:
    with zipfile.ZipFile(server.package(SUBJECT, STRUCTURAL)) as archive:
        name = next(member.filename for member in archive.infolist() if not member.is_dir())
        assert (site.unpacked() / name).read_bytes() == archive.read(name)
    assert site.moved() == (1, 1)


def test_a_package_stays_over_a_remount(site: Site, tmp_path: Path) -> None:
    digest = hashlib.md5(site.zip().read_bytes()).hexdigest()
    with site.another(tmp_path / "again", **OPTIONS) as point:
        again = point / site.zip().relative_to(site.point)
        assert again.stat().st_size == len(site.original())
        assert hashlib.md5(again.read_bytes()).hexdigest() == digest
    assert site.moved() == (1, 1)
