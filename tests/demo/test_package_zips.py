"""The zips of packages: as Info-ZIP makes them, with the members that HCP's have."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import re
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import pytest

from cdbfs.demo import DataSet, DataSetBuilder, StandIn, connectomedb

from .test_packages import Q2
from .transfers import OTHER, STRUCTURAL, SUBJECT, WM, ask

SIZE = 300_000


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn(connectomedb(2)) as running:
        yield running


@pytest.mark.parametrize("package", Q2)
def test_a_zip_is_whole_and_its_md5_file_is_md5sums(package: str, server: StandIn, tmp_path: Path) -> None:
    path = server.package(SUBJECT, package)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {SUBJECT}
    assert f"{SUBJECT}/release-notes/{package.partition('_')[2]}.txt" in names
    content = path.read_bytes()
    line = f"{hashlib.md5(content).hexdigest()}  {SUBJECT}_{package}.zip\n"
    assert server.package_md5(SUBJECT, package) == line.encode()
    (tmp_path / path.name).write_bytes(content)
    (tmp_path / f"{path.name}.md5").write_text(line)
    subprocess.run(["md5sum", "--quiet", "-c", f"{path.name}.md5"], cwd=tmp_path, check=True)


def test_entries_are_info_zips(server: StandIn) -> None:
    with zipfile.ZipFile(server.package(SUBJECT, STRUCTURAL)) as archive:
        entries = archive.infolist()
    folders = [entry for entry in entries if entry.is_dir()]
    assert {f"{SUBJECT}/", f"{SUBJECT}/MNINonLinear/", f"{SUBJECT}/T1w/Native/"} <= {f.filename for f in folders}
    assert {(entry.create_system, entry.create_version) for entry in entries} == {(3, 30)}
    assert {entry.external_attr for entry in folders} == {0o40775 << 16 | 0x10}
    assert {entry.external_attr for entry in entries if not entry.is_dir()} == {0o100664 << 16}
    for entry in entries:
        assert entry.extra == b"UT\5\0\3" + struct.pack("<I", 1363520981) + b"ux\x0b\0\1\4\xe8\3\0\0\4\xe8\3\0\0"
        assert entry.flag_bits & ~0x800 == 0
        stored = entry.compress_type == zipfile.ZIP_STORED
        assert entry.extract_version == (10 if stored else 20)
        assert stored == (entry.compress_size == entry.file_size)
    kinds = {entry.filename.rpartition(".")[2]: entry.compress_type for entry in entries}
    assert kinds["nii"] == zipfile.ZIP_DEFLATED
    assert zipfile.ZIP_STORED in {entry.compress_type for entry in entries if not entry.is_dir()}


def test_unzip_finds_no_fault(server: StandIn) -> None:
    path = server.package(SUBJECT, WM)
    subprocess.run(["unzip", "-tqq", path], check=True, capture_output=True)
    listed = subprocess.run(["zipinfo", "-v", path], check=True, capture_output=True, text=True).stdout
    assert listed.count("version of encoding software:                   3.0") == len(
        zipfile.ZipFile(path).infolist()
    )
    assert "The local extra field has UTC/GMT modification/access times." in listed


def test_nibabel_loads_the_images(server: StandIn, tmp_path: Path) -> None:
    with zipfile.ZipFile(server.package(SUBJECT, "3T_Diffusion_preproc")) as archive:
        images = [name for name in archive.namelist() if name.endswith((".nii", ".nii.gz"))]
        archive.extractall(tmp_path)
    assert {name.rpartition("/")[2] for name in images} >= {"data.nii.gz", "nodif.nii", "grad_dev.nii.gz"}
    for name in images:
        image = nibabel.load(tmp_path / name)
        assert isinstance(image, nibabel.Nifti1Image)
        assert image.get_fdata().shape == image.shape
        if name.endswith(".gz"):
            assert (tmp_path / name).read_bytes()[4:8] == bytes(4)  # no time
            assert gzip.decompress((tmp_path / name).read_bytes())[:4] == struct.pack("<i", 348)


def test_the_layout_is_hcps(server: StandIn) -> None:
    def names(package: str) -> set[str]:
        with zipfile.ZipFile(server.package(SUBJECT, package)) as archive:
            return set(archive.namelist())

    unprocessed = f"{SUBJECT}/unprocessed/3T"
    assert {f"{unprocessed}/{SUBJECT}_3T.csv", f"{unprocessed}/T1w_MPR1/{SUBJECT}_3T_T1w_MPR1.nii.gz"} <= names(
        "3T_Structural_unproc"
    )
    run = f"{unprocessed}/tfMRI_WM_RL"
    assert {
        f"{run}/LINKED_DATA/EPRIME/EVs/cue.txt",
        f"{run}/{SUBJECT}_3T_tfMRI_WM_RL_SBRef.nii.gz",
        f"{run}/{SUBJECT}_3T_BIAS_BC.nii.gz",
    } <= names(WM)
    assert f"{SUBJECT}/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii.gz" in names(
        "3T_rfMRI_REST1_preproc"
    )
    assert f"{SUBJECT}/T1w/Diffusion/bvals" in names("3T_Diffusion_preproc")


def test_packages_of_a_subject_share_what_is_the_same(server: StandIn) -> None:
    shared = f"{SUBJECT}/unprocessed/3T/{SUBJECT}_3T.csv"
    contents = set()
    for package in (WM, "3T_Diffusion_unproc"):
        with zipfile.ZipFile(server.package(SUBJECT, package)) as archive:
            contents.add(archive.read(shared))
    assert len(contents) == 1
    assert len(server.package(SUBJECT, WM).read_bytes()) != len(server.package(OTHER, WM).read_bytes())


def test_zips_are_the_same_whenever_they_are_made(server: StandIn) -> None:
    with StandIn(connectomedb(2)) as again:
        for package in (STRUCTURAL, WM):
            assert again.package_md5(OTHER, package) == server.package_md5(OTHER, package)


def test_one_zip_is_made_once_for_all_who_ask(small: DataSet) -> None:
    made: list[int] = []
    make = DataSetBuilder()
    make.project("P")

    def content() -> bytes:
        made.append(1)
        return bytes([len(made)])

    make.package(make.subject("s", "P"), "x", content)
    with StandIn(make.build()) as server, ThreadPoolExecutor(8) as threads:
        paths = list(threads.map(lambda _: server.package("s", "x").read_bytes(), range(16)))
    assert (made, set(paths)) == ([1], {b"\1"})


def test_zips_go_with_the_server() -> None:
    with StandIn(connectomedb(1, package_size=SIZE)) as server:
        path = server.package(SUBJECT, WM)
        ascp = Path(server.ascp)
        assert path.exists()
        assert ascp.exists()
    assert not path.exists()
    assert not ascp.parent.parent.exists()


# --- names and sizes


def own(package: str, **settings: object) -> StandIn:
    make = DataSetBuilder(site_id="Lab")
    make.project("P")
    make.package(make.subject("s1", "P"), package)
    make.account("mylogin", "mypasswd")
    for name, value in settings.items():
        setattr(make, name, value)
    return StandIn(make.build())


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("MEG_Restin_preproc", "s1_MEG_3-Restin_icablpenv_[BT-diff]_[MODE-mag].mat"),
        ("MEG_Wrkmem_unproc", "c,rfDC"),
        ("7T_REST_1.6mm_fix", "REST_1.6mm_fix_LR.nii.gz"),
    ],
)
def test_names_that_are_awkward(package: str, name: str) -> None:
    with own(package, package_size=SIZE) as server, zipfile.ZipFile(server.package("s1", package)) as archive:
        assert name in {member.rpartition("/")[2] for member in archive.namelist()}
        assert archive.testzip() is None


@pytest.mark.parametrize("package", [*Q2, "MEG_Restin_preproc", "7T_REST_1.6mm_fix"])
@pytest.mark.parametrize("size", [250_000, 1_234_567])
def test_the_announced_size_is_the_sum_of_the_members(package: str, size: int) -> None:
    with own(package, package_size=size) as server:
        (told,) = ask(server, "subjects=s1&view=packages").json()["packages"]
        path = server.package("s1", package)
        with zipfile.ZipFile(path) as archive:
            sizes = [member.file_size for member in archive.infolist() if not member.is_dir()]
        assert (told["size"], told["count"]) == (sum(sizes), len(sizes))
        assert told["size"] != path.stat().st_size
        assert abs(told["size"] - size) <= size // 16


@pytest.mark.parametrize(("sizes", "sign"), [("exact", 0), ("larger", 1), ("smaller", -1)])
@pytest.mark.parametrize("package", [STRUCTURAL, WM])
def test_the_announced_size_can_be_right_or_wrong(sizes: str, sign: int, package: str) -> None:
    with own(package, package_size=SIZE, package_sizes=sizes) as server:
        over = server.announced("s1", package) - server.package("s1", package).stat().st_size
        assert (over > 0) - (over < 0) == sign


def test_a_zip_of_the_tests_own_is_announced_by_its_members() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s/a.txt", b"a" * 5000)
        archive.writestr("s/b.txt", b"b" * 3000)
    make = DataSetBuilder()
    make.project("P")
    make.package(make.subject("s", "P"), "x", made.getvalue())
    with StandIn(make.build()) as server:
        assert server.announced("s", "x") == 8000
        assert server.package("s", "x").read_bytes() == made.getvalue()


def test_a_file_of_the_tests_own_is_served_and_stays(tmp_path: Path) -> None:
    held = tmp_path / "mine.zip"
    held.write_bytes(b"mine")
    make = DataSetBuilder()
    make.project("P")
    make.package(make.subject("s", "P"), "x", held)
    with StandIn(make.build()) as server:
        assert server.package("s", "x") == held
        assert re.fullmatch(rb"[0-9a-f]{32}  s_x\.zip\n", server.package_md5("s", "x"))
    assert held.read_bytes() == b"mine"


@pytest.mark.full
def test_a_zip_over_4_gib_has_64_bit_records() -> None:
    package = "3T_Diffusion_preproc"
    data = connectomedb(1)
    assert data.packages is not None
    large = dataclasses.replace(data, packages=dataclasses.replace(data.packages, size=5 * 2**30))
    with StandIn(large) as server:
        path = server.package(SUBJECT, package)
        subprocess.run(["unzip", "-tqq", path], check=True, capture_output=True)
        with zipfile.ZipFile(path) as archive:
            largest = max(archive.infolist(), key=lambda member: member.file_size)
            assert largest.file_size > 2**32
            assert archive.infolist()[-1].header_offset > 2**32
        assert _has_zip64_end(path)


def _has_zip64_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-200, 2)
        return b"PK\x06\x06" in file.read()
