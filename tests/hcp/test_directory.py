"""Packages from a directory: where they are looked for, and what a copy goes on with."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from cdbfs.errors import CdbfsError, NoSpace, NotFound, TooLarge, Unreachable
from cdbfs.hcp.directory import BLOCK, DirectoryTransport, copy_some
from cdbfs.hcp.models import Package
from cdbfs.hcp.transport import Again, Order
from tests.hcp.watching import Noted

PACKAGE = Package("100307", "3T_x")
CONTENT = os.urandom(2 * BLOCK + 5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "box"
    directory.mkdir()
    return directory


@pytest.fixture
def into(tmp_path: Path) -> Path:
    directory = tmp_path / "into"
    directory.mkdir()
    return directory


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def fetch(root: Path, into: Path, *files: str, package: Package = PACKAGE, watch: Noted | None = None) -> None:
    order = Order((package,), files or (package.zip,), into)
    DirectoryTransport(root, 30.0).fetch(order, watch or Noted())


@pytest.mark.parametrize("place", [".", "100307", "100307/preproc", "HCP_Q2/100307", "HCP_Q2/100307/preproc"])
def test_a_few_places_are_looked_at(root: Path, into: Path, place: str) -> None:
    source = put(root / place / PACKAGE.zip)
    os.utime(source, ns=(1, 12345678901234567))
    fetch(root, into)
    assert (into / PACKAGE.zip).read_bytes() == CONTENT
    assert (into / PACKAGE.zip).stat().st_mtime_ns == 12345678901234567
    assert os.listdir(into) == [PACKAGE.zip]


@pytest.mark.parametrize("place", ["other", "HCP_Q2/100408", "a/b/100307/preproc", "100307/a/b"])
def test_no_others_are(root: Path, into: Path, place: str) -> None:
    put(root / place / PACKAGE.zip)
    with pytest.raises(NotFound, match=PACKAGE.zip) as missing:
        fetch(root, into)
    assert str(root) in str(missing.value)
    assert "100307/*/" in str(missing.value)


def test_the_nearest_place_goes_first(root: Path, into: Path) -> None:
    put(root / "HCP_Q2/100307/preproc" / PACKAGE.zip, b"far")
    put(root / "100307" / PACKAGE.zip, b"near")
    fetch(root, into)
    assert (into / PACKAGE.zip).read_bytes() == b"near"


def test_signs_of_a_glob_are_signs_of_a_name(root: Path, into: Path) -> None:
    put(root / "100307" / PACKAGE.zip)
    with pytest.raises(NotFound):
        fetch(root, into, package=Package("1003*", "3T_x"))
    odd = Package("[a]?*", "x[1]")
    put(root / "P" / odd.subject / "preproc" / odd.zip)
    fetch(root, into, package=odd)
    assert (into / odd.zip).read_bytes() == CONTENT


@pytest.mark.parametrize("label", ["..", "../x", "-x", "a/b", ""])
def test_a_label_leads_nowhere_else(root: Path, into: Path, label: str) -> None:
    package = Package(label, "x")
    put(root.parent / f"{label.replace('/', '_')}_x.zip")
    with pytest.raises(NotFound):
        fetch(root, into, package=package)
    assert os.listdir(into) == []


def test_links_are_followed(root: Path, into: Path, tmp_path: Path) -> None:
    """A mirror by git-annex consists of them."""
    put(tmp_path / "annex/object")
    (root / "100307").mkdir()
    (root / "100307" / PACKAGE.zip).symlink_to(tmp_path / "annex/object")
    (root / "100307" / PACKAGE.md5).symlink_to("nowhere")
    watch = Noted()
    fetch(root, into, PACKAGE.zip, PACKAGE.md5, watch=watch)
    assert (into / PACKAGE.zip).read_bytes() == CONTENT
    assert not (into / PACKAGE.zip).is_symlink()
    assert watch.failures.keys() == {PACKAGE.md5}


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory"])
def test_what_is_no_file_is_not_there(root: Path, into: Path, kind: str) -> None:
    path = root / PACKAGE.zip
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    else:
        path.mkdir()
    with pytest.raises(NotFound):
        fetch(root, into)


def test_a_part_is_gone_on_with(root: Path, into: Path) -> None:
    put(root / PACKAGE.zip)
    (into / f"{PACKAGE.zip}.part").write_bytes(CONTENT[:BLOCK])
    watch = Noted()
    fetch(root, into, watch=watch)
    assert (into / PACKAGE.zip).read_bytes() == CONTENT
    assert watch.done(PACKAGE.zip)[0] >= BLOCK


@pytest.mark.parametrize("why", ["longer", "older"])
def test_a_part_that_cannot_be_of_the_file_is_not(root: Path, into: Path, why: str) -> None:
    part = into / f"{PACKAGE.zip}.part"
    part.write_bytes(b"x" * (len(CONTENT) + 1 if why == "longer" else BLOCK))
    put(root / PACKAGE.zip)
    if why == "older":
        os.utime(part, (1, 1))
    fetch(root, into)
    assert (into / PACKAGE.zip).read_bytes() == CONTENT


def test_what_another_way_left_is_replaced(root: Path, into: Path) -> None:
    put(root / PACKAGE.zip)
    (into / PACKAGE.zip).write_bytes(b"by ascp, with a hole")
    fetch(root, into)
    assert (into / PACKAGE.zip).read_bytes() == CONTENT


def test_a_directory_that_is_gone_may_come_back(root: Path, into: Path) -> None:
    root.rmdir()
    with pytest.raises(Again, match="is it mounted") as gone:
        fetch(root, into)
    assert isinstance(gone.value.meaning, Unreachable)


@pytest.mark.parametrize(
    ("number", "kind", "may_be_better"),
    [
        (errno.ENOSPC, NoSpace, False),
        (errno.EDQUOT, NoSpace, False),
        (errno.EFBIG, TooLarge, False),
        (errno.EACCES, CdbfsError, False),
        (errno.EIO, Unreachable, True),
        (errno.ESTALE, Unreachable, True),
        (errno.ENOTCONN, Unreachable, True),
    ],
)
def test_what_a_disk_says(
    root: Path, into: Path, number: int, kind: type[CdbfsError], may_be_better: bool
) -> None:
    put(root / PACKAGE.zip)

    def step(source: int, target: int, offset: int, count: int) -> int:
        raise OSError(number, os.strerror(number))

    raised: Exception | None = None
    try:
        DirectoryTransport(root, 30.0, step).fetch(Order((PACKAGE,), (PACKAGE.zip,), into), Noted())
    except (Again, CdbfsError) as error:
        raised = error
    assert isinstance(raised, Again) is may_be_better
    assert type(raised.meaning if isinstance(raised, Again) else raised) is kind


def test_a_source_that_becomes_shorter_is_tried_again(root: Path, into: Path) -> None:
    path = put(root / PACKAGE.zip)

    def step(source: int, target: int, offset: int, count: int) -> int:
        os.truncate(path, BLOCK)
        return copy_some(source, target, offset, count)

    with pytest.raises(Again, match="shorter"):
        DirectoryTransport(root, 30.0, step).fetch(Order((PACKAGE,), (PACKAGE.zip,), into), Noted())


def test_a_fault_of_ours_is_told(root: Path, into: Path) -> None:
    put(root / PACKAGE.zip)

    def step(source: int, target: int, offset: int, count: int) -> int:
        raise ZeroDivisionError

    with pytest.raises(CdbfsError, match="a fault in cdbfs itself"):
        DirectoryTransport(root, 30.0, step).fetch(Order((PACKAGE,), (PACKAGE.zip,), into), Noted())


@pytest.mark.parametrize("fails", [(), ("copy_file_range",), ("copy_file_range", "sendfile")])
def test_bytes_are_copied_whatever_the_kernel_can(
    root: Path, into: Path, monkeypatch: pytest.MonkeyPatch, fails: tuple[str, ...]
) -> None:
    def cannot(*args: object) -> int:
        raise OSError(errno.EXDEV, "no")

    for name in fails:
        monkeypatch.setattr(os, name, cannot)
    put(root / PACKAGE.zip)
    fetch(root, into)
    assert (into / PACKAGE.zip).read_bytes() == CONTENT


def test_a_kernel_that_copies_nothing_is_not_believed(
    root: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some filesystems of the kernel's own do that."""
    monkeypatch.setattr(os, "copy_file_range", lambda *args: 0)
    put(root / PACKAGE.zip)
    fetch(root, into)
    assert (into / PACKAGE.zip).read_bytes() == CONTENT


def test_an_empty_file_is_one(root: Path, into: Path) -> None:
    put(root / PACKAGE.zip, b"")
    watch = Noted()
    fetch(root, into, watch=watch)
    assert (into / PACKAGE.zip).read_bytes() == b""
    assert watch.moves == [(PACKAGE.zip, 0, 0)]
