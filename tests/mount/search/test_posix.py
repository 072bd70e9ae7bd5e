"""search/ is a directory as POSIX wants it: cases of pjdfstest, run on a plain directory and on mounts alike.

Each test names the file of pjdfstest that it ports; that it passes on the plain directory says that it is right.
Left out is what needs a second user (a mount is private: others do not get as far as search/), and what search/
refuses by intention: REFUSALS, at the end, with the reasons.

Of a file with several names the kernel remembers attributes by name, so what one name does is seen by another
within `attr_timeout`: `soon` waits for that.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Callable

import pytest

from tests.mount.failing import SMALL, failure, wait_until
from tests.views import mounted

PRESENT = b"SELECT subject FROM nt:scores WHERE project = 'HCP_Q2'"
WRONG = b"SELECT nosuch FROM nt:scores"
LONGEST = 255
"""Bytes of a name."""
EARLIER, LATER = 1_900_000_000, 1_950_000_000
TICK = 0.02
"""Seconds after which a file system's clock shows another time."""
TYPES = ("file", "directory", "link")
NOREPLACE, EXCHANGE = 1, 2
AT_FDCWD = -100
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2

_libc = ctypes.CDLL(None, use_errno=True)


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


@dataclass(frozen=True)
class Place:
    """Where cases are run: a plain directory, or search/ of a mount."""

    directory: Path
    umask: int
    """Permissions that this mount shows nobody."""
    is_mount: bool = True


PLACES = ("plain", "libfuse3", "libfuse3-umask0", "libfuse2", "libfuse2-umask0")


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    scratch = tmp_path_factory.mktemp(request.param)
    if request.param == "plain":
        yield Place(scratch, 0, is_mount=False)
        return
    library, _, open_to_all = request.param.partition("-")
    umask = 0o000 if open_to_all else 0o077
    options = {"fuse": library[-1], "umask": f"{umask:03o}"}
    with SMALL.server() as server, mounted(server, SMALL.login, scratch / "m", scratch / "cache", **options) as m:
        yield Place(m / "search", umask)


on_mounts = pytest.mark.parametrize("place", PLACES[1:], indirect=True, scope="module")
"""A plain directory refuses none of this."""


@pytest.fixture
def here(place: Place, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A new directory, to make and break things in; this process takes no permissions away meanwhile."""
    number = len(os.listdir(place.directory))
    directory = place.directory / f"case{number}"
    before = os.umask(0)
    try:
        directory.mkdir(0o755)
        yield directory
    finally:
        os.umask(before)
        subprocess.run(["rm", "-rf", directory], check=True, timeout=30)
    assert not os.path.lexists(directory)


# -- words -------------------------------------------------------------------------------------------------------


def refused(work: Callable[[], object]) -> str:
    """The errno that something fails with."""
    return errno.errorcode[failure(work).errno or 0]


def make(path: Path, content: bytes = b"", mode: int = 0o644) -> Path:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    return path


def make_a(kind: str, path: Path) -> Path:
    """A file, directory or link."""
    if kind == "file":
        return make(path)
    if kind == "directory":
        path.mkdir(0o755)
    else:
        path.symlink_to("nowhere")
    return path


def remove_a(kind: str, path: Path) -> None:
    (os.rmdir if kind == "directory" else os.unlink)(path)


def permissions(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def open_(path: Path, flags: int, mode: int = 0o644) -> None:
    os.close(os.open(path, flags, mode))


@contextmanager
def opened(path: Path, flags: int, mode: int = 0o644) -> Iterator[int]:
    descriptor = os.open(path, flags, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def changes(path: Path, *names: str) -> Iterator[None]:
    """What is done has these times of a file (ctime, mtime, atime) grow."""
    before = _times(path, names)
    time.sleep(TICK)
    yield
    after = _times(path, names)
    assert [b < a for b, a in zip(before, after)] == [True] * len(names), (names, before, after)


@contextmanager
def leaves(path: Path, *names: str) -> Iterator[None]:
    before = _times(path, names)
    time.sleep(TICK)
    yield
    assert _times(path, names) == before


def _times(path: Path, names: tuple[str, ...]) -> list[int]:
    found = os.lstat(path)
    return [int(getattr(found, f"st_{name}_ns")) for name in names]


def soon(condition: Callable[[], bool]) -> None:
    """What was done under one name is seen under another as soon as the kernel asks again."""
    wait_until(condition, 10)


def renameat2(old: Path, new: Path, flags: int) -> None:
    if _libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def utimensat(path: Path, accessed: tuple[int, int], modified: tuple[int, int]) -> None:
    """With UTIME_NOW and UTIME_OMIT, which os.utime has not."""
    times = (_Time * 2)(_Time(*accessed), _Time(*modified))
    if _libc.utimensat(AT_FDCWD, os.fsencode(path), times, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# -- open --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "process_umask"), [(0o755, 0), (0o151, 0), (0o151, 0o077), (0o345, 0o070), (0o345, 0o501)]
)
def test_a_new_file_has_the_mode_asked_for(here: Path, place: Place, mode: int, process_umask: int) -> None:
    """open/00.t"""
    os.umask(process_umask)
    open_(here / "n0", os.O_CREAT | os.O_WRONLY, mode)
    os.umask(0)
    assert permissions(here / "n0") == mode & ~process_umask & ~place.umask
    assert os.lstat(here / "n0").st_uid == os.geteuid()


def test_a_new_file_changes_the_times_of_its_directory(here: Path) -> None:
    """open/00.t"""
    with changes(here, "mtime", "ctime"):
        make(here / "n0")
    with leaves(here, "mtime", "ctime"):
        open_(here / "n0", os.O_CREAT | os.O_RDONLY)


def test_truncating_at_open_empties_a_file_and_changes_its_times(here: Path) -> None:
    """open/00.t"""
    make(here / "n0", b"test\n")
    with changes(here / "n0", "mtime", "ctime"):
        open_(here / "n0", os.O_WRONLY | os.O_TRUNC)
    assert os.stat(here / "n0").st_size == 0


def test_opening_to_read_and_write_changes_no_times(here: Path) -> None:
    """open/00.t"""
    make(here / "n0", b"test\n")
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        with leaves(here / "n0", "mtime", "ctime"):
            open_(here / "n0", flags)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_CREAT, os.O_CREAT | os.O_WRONLY])
def test_a_file_is_no_directory_to_open_something_in(here: Path, flags: int) -> None:
    """open/01.t"""
    make(here / "n0")
    assert refused(lambda: open_(here / "n0/test", flags)) == "ENOTDIR"


def test_a_name_of_255_bytes_is_opened_and_one_of_256_is_not(here: Path) -> None:
    """open/02.t"""
    make(here / ("x" * LONGEST), b"long")
    assert (here / ("x" * LONGEST)).read_bytes() == b"long"
    assert os.listdir(here) == ["x" * LONGEST]
    os.unlink(here / ("x" * LONGEST))
    for flags in (os.O_RDONLY, os.O_CREAT | os.O_WRONLY):
        assert refused(partial(open_, here / ("x" * (LONGEST + 1)), flags)) == "ENAMETOOLONG"
    assert refused(lambda: open_(here / ("ä" * 127 + "xx"), os.O_CREAT)) == "ENAMETOOLONG"
    make(here / ("ä" * 127 + "x"))


def test_a_path_of_4096_bytes_is_too_long(here: Path) -> None:
    """open/03.t"""
    assert refused(lambda: os.close(os.open(f"{here}/{'./' * 2048}n0", os.O_CREAT))) == "ENAMETOOLONG"


def test_what_is_not_there_is_not_opened(here: Path) -> None:
    """open/04.t"""
    assert refused(lambda: open_(here / "n1/test", os.O_CREAT)) == "ENOENT"
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
        assert refused(partial(open_, here / "n1", flags)) == "ENOENT"


def test_links_that_lead_to_each_other_are_not_followed_for_ever(here: Path) -> None:
    """open/12.t"""
    os.symlink("n1", here / "n0")
    os.symlink("n0", here / "n1")
    for path in ("n0", "n1", "n0/test", "n1/test"):
        assert refused(partial(open_, here / path, os.O_RDONLY)) == "ELOOP"


@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_TRUNC]
)
def test_a_directory_is_not_opened_to_write(here: Path, flags: int) -> None:
    """open/13.t"""
    (here / "n0").mkdir()
    assert refused(lambda: open_(here / "n0", flags)) == "EISDIR"
    assert refused(lambda: open_(here / "n0", flags | os.O_CREAT)) == "EISDIR"


def test_a_link_is_not_opened_where_none_is_to_be_followed(here: Path) -> None:
    """open/16.t"""
    make(here / "n0")
    os.symlink("n0", here / "n1")
    assert refused(lambda: open_(here / "n1", os.O_RDONLY | os.O_NOFOLLOW)) == "ELOOP"
    assert refused(lambda: open_(here / "n1", os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW)) == "ELOOP"
    open_(here / "n0", os.O_RDONLY | os.O_NOFOLLOW)


@pytest.mark.parametrize("kind", TYPES)
def test_a_new_file_takes_nothings_place_where_it_is_to_be_new(here: Path, kind: str) -> None:
    """open/22.t"""
    make_a(kind, here / "n0")
    with leaves(here / "n0", "mtime", "ctime"):
        assert refused(lambda: open_(here / "n0", os.O_CREAT | os.O_EXCL)) == "EEXIST"
        assert refused(lambda: open_(here / "n0", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_TRUNC)) == "EEXIST"


def test_a_link_to_nothing_is_followed_by_who_creates(here: Path) -> None:
    """open/00.t"""
    os.symlink("n0", here / "n1")
    open_(here / "n1", os.O_CREAT | os.O_WRONLY)
    assert stat.S_ISREG(os.lstat(here / "n0").st_mode)
    assert os.readlink(here / "n1") == "n0"


def test_only_a_directory_is_opened_as_one(here: Path) -> None:
    """open/01.t"""
    make(here / "n0")
    (here / "n1").mkdir()
    os.symlink("n1", here / "n2")
    assert refused(lambda: open_(here / "n0", os.O_RDONLY | os.O_DIRECTORY)) == "ENOTDIR"
    open_(here / "n1", os.O_RDONLY | os.O_DIRECTORY)
    open_(here / "n2", os.O_RDONLY | os.O_DIRECTORY)
    assert refused(lambda: open_(here / "n2", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)) == "ENOTDIR"


def test_a_file_of_more_than_two_gigabytes_is_a_file_like_others(here: Path) -> None:
    """open/25.t"""
    far = 2 * 2**30 + 1
    with opened(here / "n0", os.O_CREAT | os.O_WRONLY) as file:
        assert os.pwrite(file, b"a", far) == 1
    assert os.lstat(here / "n0").st_size == far + 1
    with opened(here / "n0", os.O_RDONLY) as file:
        assert os.pread(file, 1, far) == b"a"
        assert os.pread(file, 10, far) == b"a"
        assert os.pread(file, 10, far + 1) == b""


def test_what_is_appended_goes_to_the_end(here: Path) -> None:
    """open/00.t, O_APPEND"""
    make(here / "n0", b"one")
    with (
        opened(here / "n0", os.O_WRONLY | os.O_APPEND) as first,
        opened(here / "n0", os.O_RDWR | os.O_APPEND) as second,
    ):
        os.write(first, b" two")
        os.write(second, b" three")
        os.lseek(first, 0, os.SEEK_SET)
        os.write(first, b" four")
        assert os.pread(second, 100, 0) == b"one two three four"
    assert os.stat(here / "n0").st_size == 18


def test_a_handle_does_what_it_was_opened_for_only(here: Path) -> None:
    """open/00.t"""
    make(here / "n0", b"one")
    with opened(here / "n0", os.O_WRONLY) as file:
        assert refused(lambda: os.read(file, 1)) == "EBADF"
    with opened(here / "n0", os.O_RDONLY) as file:
        assert refused(lambda: os.write(file, b"x")) == "EBADF"
    assert (here / "n0").read_bytes() == b"one"


def test_a_file_that_may_not_be_written_is_written_by_who_made_it(here: Path) -> None:
    """open/00.t: the mode is for those who open it later."""
    with opened(here / "n0", os.O_CREAT | os.O_RDWR, 0o400) as file:
        assert os.write(file, b"one") == 3
    assert permissions(here / "n0") == 0o400


# -- write -------------------------------------------------------------------------------------------------------


def test_a_write_changes_the_times_of_a_file(here: Path) -> None:
    """truncate/00.t, for write"""
    make(here / "n0", b"one")
    with opened(here / "n0", os.O_RDWR) as file:
        with changes(here / "n0", "mtime", "ctime"):
            os.write(file, b"two")
        with leaves(here / "n0", "mtime", "ctime"):
            os.pread(file, 3, 0)


def test_a_hole_reads_as_zeros(here: Path) -> None:
    """ftruncate/00.t, for write"""
    make(here / "n0")
    with opened(here / "n0", os.O_RDWR) as file:
        os.pwrite(file, b"end", 100_000)
        assert os.fstat(file).st_size == 100_003
        assert os.pread(file, 100, 99_950) == b"\0" * 50 + b"end"


def test_large_writes_and_reads_come_whole(here: Path) -> None:
    """open/25.t: more than the kernel hands over at once"""
    content = bytes(range(256)) * 4 * 5000 + b"rest"
    with opened(here / "n0", os.O_CREAT | os.O_RDWR) as file:
        assert os.write(file, content) == len(content)
        assert os.pread(file, len(content) + 10, 0) == content
    assert (here / "n0").read_bytes() == content


# -- unlink ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_removed_is_gone(here: Path, kind: str) -> None:
    """unlink/00.t"""
    make_a(kind, here / "n0")
    with changes(here, "mtime", "ctime"):
        os.unlink(here / "n0")
    assert refused(lambda: os.lstat(here / "n0")) == "ENOENT"
    assert os.listdir(here) == []


def test_removing_one_name_changes_the_ctime_of_the_other(here: Path) -> None:
    """unlink/00.t"""
    make(here / "n0")
    os.link(here / "n0", here / "n1")
    soon(lambda: os.stat(here / "n0").st_nlink == 2)
    before = os.stat(here / "n0").st_ctime_ns
    time.sleep(TICK)
    os.unlink(here / "n1")
    soon(lambda: os.stat(here / "n0").st_nlink == 1)
    assert os.stat(here / "n0").st_ctime_ns > before


def test_nothing_is_removed_from_a_file(here: Path) -> None:
    """unlink/01.t"""
    make(here / "n0")
    assert refused(lambda: os.unlink(here / "n0/test")) == "ENOTDIR"


def test_a_name_that_is_too_long_is_not_removed(here: Path) -> None:
    """unlink/02.t"""
    make(here / ("x" * LONGEST))
    os.unlink(here / ("x" * LONGEST))
    assert refused(lambda: os.unlink(here / ("x" * LONGEST))) == "ENOENT"
    assert refused(lambda: os.unlink(here / ("x" * (LONGEST + 1)))) == "ENAMETOOLONG"


def test_what_is_not_there_is_not_removed(here: Path) -> None:
    """unlink/04.t"""
    assert refused(lambda: os.unlink(here / "n0")) == "ENOENT"
    assert refused(lambda: os.unlink(here / "n0/test")) == "ENOENT"


def test_nothing_is_removed_behind_links_that_lead_to_each_other(here: Path) -> None:
    """unlink/07.t"""
    os.symlink("n1", here / "n0")
    os.symlink("n0", here / "n1")
    assert refused(lambda: os.unlink(here / "n0/test")) == "ELOOP"


def test_a_directory_is_not_unlinked(here: Path) -> None:
    """unlink/08.t"""
    (here / "n0").mkdir()
    assert refused(lambda: os.unlink(here / "n0")) == "EISDIR"


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_open_outlives_its_name(here: Path, replaced: bool) -> None:
    """unlink/14.t; and the same where another file takes its name. (Its links: DIFFERENCES.)"""
    make(here / "n0", b"Hello, World!")
    make(here / "n1", b"other")
    with opened(here / "n0", os.O_RDWR) as file:
        if replaced:
            os.rename(here / "n1", here / "n0")
        else:
            os.unlink(here / "n0")
        assert os.fstat(file).st_size == 13
        assert os.pread(file, 100, 0) == b"Hello, World!"
        os.pwrite(file, b"Howdy", 0)
        os.pwrite(file, b"!!", 12)
        assert os.fstat(file).st_size == 14
        os.fsync(file)
        assert os.pread(file, 100, 0) == b"Howdy, World!!"
        os.ftruncate(file, 5)
        assert os.fstat(file).st_size == 5
        os.fchmod(file, 0o600)
        assert stat.S_IMODE(os.fstat(file).st_mode) == 0o600
        assert sorted(os.listdir(here)) == (["n0"] if replaced else ["n1"])
    if replaced:
        assert (here / "n0").read_bytes() == b"other"


def test_a_new_file_takes_the_name_of_one_that_is_open(here: Path) -> None:
    """unlink/14.t"""
    make(here / "n0", b"old")
    with opened(here / "n0", os.O_RDONLY) as old:
        os.unlink(here / "n0")
        make(here / "n0", b"new one")
        with opened(here / "n0", os.O_RDONLY) as new:
            assert (os.read(old, 100), os.read(new, 100)) == (b"old", b"new one")
            assert (os.fstat(old).st_size, os.fstat(new).st_size) == (3, 7)
            assert os.fstat(old).st_ino != os.fstat(new).st_ino


# -- rename ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_renamed_is_the_same_under_another_name(here: Path, kind: str) -> None:
    """rename/00.t"""
    make_a(kind, here / "n0")
    before = os.lstat(here / "n0")
    os.rename(here / "n0", here / "n1")
    after = os.lstat(here / "n1")
    assert refused(lambda: os.lstat(here / "n0")) == "ENOENT"
    assert (after.st_ino, after.st_mode, after.st_nlink) == (before.st_ino, before.st_mode, before.st_nlink)
    assert os.listdir(here) == ["n1"]


def test_a_second_name_is_renamed_alone(here: Path) -> None:
    """rename/00.t"""
    make(here / "n0", b"one")
    os.link(here / "n0", here / "n1")
    os.rename(here / "n1", here / "n2")
    assert sorted(os.listdir(here)) == ["n0", "n2"]
    assert (here / "n0").samefile(here / "n2")
    soon(lambda: [os.stat(here / name).st_nlink for name in ("n0", "n2")] == [2, 2])


def test_a_link_is_renamed_and_not_what_it_leads_to(here: Path) -> None:
    """rename/00.t"""
    make(here / "n0", b"one")
    os.symlink("n0", here / "n1")
    os.rename(here / "n1", here / "n2")
    assert os.readlink(here / "n2") == "n0"
    assert (here / "n2").read_bytes() == b"one"


def test_a_name_that_is_too_long_is_not_renamed(here: Path) -> None:
    """rename/01.t"""
    longest, longer = here / ("x" * LONGEST), here / ("x" * (LONGEST + 1))
    make(longest)
    os.rename(longest, here / "n0")
    os.rename(here / "n0", longest)
    assert refused(lambda: os.rename(longest, longer)) == "ENAMETOOLONG"
    assert refused(lambda: os.rename(longer, longest)) == "ENAMETOOLONG"


def test_what_is_not_there_is_not_renamed(here: Path) -> None:
    """rename/03.t"""
    (here / "n0").mkdir()
    make(here / "n3")
    assert refused(lambda: os.rename(here / "n0/n1/test", here / "n2")) == "ENOENT"
    assert refused(lambda: os.rename(here / "n1", here / "n2")) == "ENOENT"
    assert refused(lambda: os.rename(here / "n3", here / "n0/n1/n2")) == "ENOENT"
    assert refused(lambda: os.rename(here / "n1", here / "n0")) == "ENOENT"


def test_nothing_is_renamed_behind_links_that_lead_to_each_other(here: Path) -> None:
    """rename/11.t"""
    os.symlink("n1", here / "n0")
    os.symlink("n0", here / "n1")
    make(here / "n2")
    assert refused(lambda: os.rename(here / "n0/test", here / "n3")) == "ELOOP"
    assert refused(lambda: os.rename(here / "n2", here / "n0/test")) == "ELOOP"


def test_nothing_is_renamed_in_a_file(here: Path) -> None:
    """rename/12.t"""
    make(here / "n0")
    make(here / "n2")
    assert refused(lambda: os.rename(here / "n0/test", here / "n1")) == "ENOTDIR"
    assert refused(lambda: os.rename(here / "n2", here / "n0/test")) == "ENOTDIR"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_directory_takes_the_place_of_directories_only(here: Path, kind: str) -> None:
    """rename/13.t"""
    (here / "n0").mkdir()
    make_a(kind, here / "n1")
    assert refused(lambda: os.rename(here / "n0", here / "n1")) == "ENOTDIR"
    assert sorted(os.listdir(here)) == ["n0", "n1"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_only_a_directory_takes_the_place_of_a_directory(here: Path, kind: str) -> None:
    """rename/14.t"""
    (here / "n0").mkdir()
    make_a(kind, here / "n1")
    assert refused(lambda: os.rename(here / "n1", here / "n0")) == "EISDIR"
    assert sorted(os.listdir(here)) == ["n0", "n1"]


def test_nothing_is_renamed_into_another_file_system(here: Path) -> None:
    """rename/15.t"""
    make(here / "n0")
    assert refused(lambda: os.rename(here / "n0", "/proc/n0")) == "EXDEV"
    (here / "n1").mkdir()
    assert refused(lambda: os.rename(here / "n1", "/proc/n1")) == "EXDEV"


def test_a_directory_does_not_move_into_itself(here: Path) -> None:
    """rename/18.t"""
    (here / "n0/n1/n2").mkdir(parents=True)
    assert refused(lambda: os.rename(here / "n0", here / "n0/n1")) == "EINVAL"
    assert refused(lambda: os.rename(here / "n0", here / "n0/n3")) == "EINVAL"
    assert refused(lambda: os.rename(here / "n0", here / "n0/n1/n2/n3")) == "EINVAL"
    assert refused(lambda: os.rename(here / "n0/n1", here / "n0")) == "ENOTEMPTY"


@pytest.mark.parametrize("last", [".", ".."])
def test_a_directory_is_not_renamed_by_its_dots(here: Path, last: str) -> None:
    """rename/19.t"""
    (here / "n0/n1").mkdir(parents=True)
    assert refused(lambda: os.rename(f"{here}/n0/n1/{last}", here / "n2")) == "EBUSY"
    assert refused(lambda: os.rename(here / "n0/n1", f"{here}/n0/{last}")) == "EBUSY"


@pytest.mark.parametrize("kind", TYPES)
def test_a_directory_takes_the_place_of_empty_ones_only(here: Path, kind: str) -> None:
    """rename/20.t"""
    (here / "n0").mkdir()
    (here / "n1").mkdir()
    make_a(kind, here / "n1/n2")
    assert refused(lambda: os.rename(here / "n0", here / "n1")) == "ENOTEMPTY"
    remove_a(kind, here / "n1/n2")
    make(here / "n0/n3")
    os.rename(here / "n0", here / "n1")
    assert (os.listdir(here), os.listdir(here / "n1")) == (["n1"], ["n3"])


@pytest.mark.parametrize("kind", TYPES)
def test_renaming_changes_the_ctime(here: Path, kind: str) -> None:
    """rename/22.t"""
    make_a(kind, here / "n0")
    before = os.lstat(here / "n0")
    time.sleep(TICK)
    with changes(here, "mtime", "ctime"):
        os.rename(here / "n0", here / "n1")
    after = os.lstat(here / "n1")
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns == before.st_mtime_ns


def test_a_file_takes_the_place_of_one_with_two_names(here: Path) -> None:
    """rename/23.t"""
    make(here / "n0", b"new")
    make(here / "n1", b"old")
    os.link(here / "n1", here / "n2")
    soon(lambda: os.stat(here / "n2").st_nlink == 2)
    before = os.lstat(here / "n2").st_ctime_ns
    time.sleep(TICK)
    os.rename(here / "n0", here / "n1")
    soon(lambda: os.lstat(here / "n2").st_nlink == 1)
    assert os.lstat(here / "n2").st_ctime_ns > before
    assert ((here / "n1").read_bytes(), (here / "n2").read_bytes()) == (b"new", b"old")


def test_a_directory_that_is_moved_has_another_parent(here: Path) -> None:
    """rename/24.t"""
    for name in ("n0", "n1", "n0/n2"):
        (here / name).mkdir()
    assert (os.lstat(here / "n0").st_nlink, os.lstat(here / "n1").st_nlink) == (3, 2)
    assert os.lstat(f"{here}/n0/n2/..").st_ino == os.lstat(here / "n0").st_ino
    os.rename(here / "n0/n2", here / "n1/n3")
    soon(lambda: (os.lstat(here / "n0").st_nlink, os.lstat(here / "n1").st_nlink) == (2, 3))
    assert os.lstat(f"{here}/n1/n3/..").st_ino == os.lstat(here / "n1").st_ino


def test_two_names_of_one_file_stay_when_one_is_renamed_to_the_other(here: Path) -> None:
    """rename/00.t: POSIX wants nothing to happen"""
    make(here / "n0", b"one")
    os.link(here / "n0", here / "n1")
    os.rename(here / "n0", here / "n1")
    soon(lambda: sorted(os.listdir(here)) == ["n0", "n1"])
    soon(lambda: os.path.exists(here / "n0") and os.path.exists(here / "n1"))


def test_a_file_that_is_open_is_renamed(here: Path) -> None:
    """rename/00.t"""
    make(here / "n0", b"one")
    with opened(here / "n0", os.O_RDWR) as file:
        os.rename(here / "n0", here / "n1")
        os.pwrite(file, b"two", 0)
        assert os.fstat(file).st_ino == os.stat(here / "n1").st_ino
        assert (here / "n1").read_bytes() == b"two"
        (here / "n2").mkdir()
        os.rename(here / "n1", here / "n2/n3")
        os.ftruncate(file, 1)
        assert os.fstat(file).st_size == 1
    assert (here / "n2/n3").read_bytes() == b"t"


def test_files_in_a_directory_that_is_renamed_are_open_still(here: Path) -> None:
    """rename/24.t"""
    (here / "n0").mkdir()
    make(here / "n0/n1", b"one")
    with opened(here / "n0/n1", os.O_RDWR) as file:
        os.rename(here / "n0", here / "n2")
        os.pwrite(file, b"two!", 0)
        assert os.fstat(file).st_size == 4
        assert (here / "n2/n1").read_bytes() == b"two!"


# renameat2 is Linux's own, and libfuse 2 does not know its flags: the kernel then says so itself.


def knows_flags(place: Place, request: pytest.FixtureRequest) -> bool:
    return "libfuse2" not in request.node.name


def test_a_file_is_renamed_only_where_nothing_has_the_name(
    here: Path, place: Place, request: pytest.FixtureRequest
) -> None:
    """rename/00.t, RENAME_NOREPLACE"""
    make(here / "n0", b"one")
    make(here / "n1", b"other")
    code = "EEXIST"  # seen by the kernel itself
    assert refused(lambda: renameat2(here / "n0", here / "n1", NOREPLACE)) == code
    assert ((here / "n0").read_bytes(), (here / "n1").read_bytes()) == (b"one", b"other")
    if knows_flags(place, request):
        renameat2(here / "n0", here / "n2", NOREPLACE)
        assert (here / "n2").read_bytes() == b"one"
    else:
        assert refused(lambda: renameat2(here / "n0", here / "n2", NOREPLACE)) == "EINVAL"


def test_mv_does_not_replace_where_it_is_told_not_to(here: Path) -> None:
    """rename/00.t"""
    make(here / "n0", b"one")
    make(here / "n1", b"other")
    subprocess.run(["mv", "-n", here / "n0", here / "n1"], check=False, timeout=30, capture_output=True)
    assert ((here / "n0").read_bytes(), (here / "n1").read_bytes()) == (b"one", b"other")
    subprocess.run(["mv", "-n", here / "n0", here / "n2"], check=True, timeout=30)
    assert (sorted(os.listdir(here)), (here / "n2").read_bytes()) == (["n1", "n2"], b"one")


def test_two_files_change_places(here: Path, place: Place, request: pytest.FixtureRequest) -> None:
    """rename/00.t, RENAME_EXCHANGE"""
    make(here / "n0", b"one")
    (here / "n1").mkdir()
    make(here / "n1/n2")
    if knows_flags(place, request):
        renameat2(here / "n0", here / "n1", EXCHANGE)
        assert (here / "n1").read_bytes() == b"one"
        assert os.listdir(here / "n0") == ["n2"]
        assert refused(lambda: renameat2(here / "n0", here / "n3", EXCHANGE)) == "ENOENT"
    else:
        assert refused(lambda: renameat2(here / "n0", here / "n1", EXCHANGE)) == "EINVAL"
        assert (here / "n0").read_bytes() == b"one"


# -- truncate and ftruncate --------------------------------------------------------------------------------------

TRUNCATIONS = ("truncate", "ftruncate")


def truncate(how: str, path: Path, length: int) -> None:
    if how == "truncate":
        os.truncate(path, length)
        return
    with opened(path, os.O_WRONLY) as file:
        os.ftruncate(file, length)


@pytest.mark.parametrize("how", TRUNCATIONS)
def test_a_file_grows_and_shrinks(here: Path, how: str) -> None:
    """truncate/00.t, ftruncate/00.t"""
    make(here / "n0")
    for length in (1_234_567, 567):
        truncate(how, here / "n0", length)
        assert os.lstat(here / "n0").st_size == length
    content = os.urandom(12345)
    make(here / "n1", content)
    truncate(how, here / "n1", 23456)
    assert (here / "n1").read_bytes() == content + b"\0" * (23456 - 12345)
    truncate(how, here / "n1", 1)
    assert (here / "n1").read_bytes() == content[:1]
    with changes(here / "n1", "mtime", "ctime"):
        truncate(how, here / "n1", 123)


@pytest.mark.parametrize("how", TRUNCATIONS)
def test_a_length_is_not_negative(here: Path, how: str) -> None:
    """truncate/13.t, ftruncate/13.t"""
    make(here / "n0", b"one")
    for length in (-1, -999_999):
        assert refused(partial(truncate, how, here / "n0", length)) == "EINVAL"
    assert (here / "n0").read_bytes() == b"one"


@pytest.mark.parametrize("how", TRUNCATIONS)
def test_a_length_of_exabytes_is_too_large(here: Path, how: str) -> None:
    """truncate/12.t, ftruncate/12.t"""
    make(here / "n0", b"one")
    assert refused(lambda: truncate(how, here / "n0", 2**63 - 1)) in ("EFBIG", "EINVAL")
    assert (here / "n0").read_bytes() == b"one"


def test_what_is_not_there_is_not_truncated(here: Path) -> None:
    """truncate/01.t, 02.t, 04.t and 07.t"""
    make(here / "n0")
    os.symlink("n2", here / "n2")
    assert refused(lambda: os.truncate(here / "n0/test", 1)) == "ENOTDIR"
    assert refused(lambda: os.truncate(here / ("x" * (LONGEST + 1)), 1)) == "ENAMETOOLONG"
    assert refused(lambda: os.truncate(here / "n1", 1)) == "ENOENT"
    assert refused(lambda: os.truncate(here / "n1/test", 1)) == "ENOENT"
    assert refused(lambda: os.truncate(here / "n2", 1)) == "ELOOP"


def test_a_directory_is_not_truncated(here: Path) -> None:
    """truncate/09.t"""
    (here / "n0").mkdir()
    assert refused(lambda: os.truncate(here / "n0", 123)) == "EISDIR"


def test_a_handle_to_read_does_not_truncate(here: Path) -> None:
    """ftruncate/13.t"""
    make(here / "n0", b"one")
    with opened(here / "n0", os.O_RDONLY) as file:
        assert refused(lambda: os.ftruncate(file, 1)) in ("EINVAL", "EBADF")
    assert (here / "n0").read_bytes() == b"one"


# -- mkdir and rmdir ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "process_umask"), [(0o755, 0), (0o151, 0), (0o151, 0o077), (0o345, 0o070), (0o345, 0o501)]
)
def test_a_new_directory_has_the_mode_asked_for(here: Path, place: Place, mode: int, process_umask: int) -> None:
    """mkdir/00.t"""
    os.umask(process_umask)
    with changes(here, "mtime", "ctime"):
        os.mkdir(here / "n0", mode)
    os.umask(0)
    found = os.lstat(here / "n0")
    assert stat.S_ISDIR(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == mode & ~process_umask & ~place.umask
    assert found.st_uid == os.geteuid()
    os.chmod(here / "n0", 0o700)
    assert os.listdir(here / "n0") == []


def test_no_directory_is_made_where_none_can_be(here: Path) -> None:
    """mkdir/01.t, 02.t, 04.t and 07.t"""
    make(here / "n0")
    os.symlink("n2", here / "n2")
    assert refused(lambda: os.mkdir(here / "n0/test")) == "ENOTDIR"
    assert refused(lambda: os.mkdir(here / "n1/test")) == "ENOENT"
    assert refused(lambda: os.mkdir(here / "n2/test")) == "ELOOP"
    os.mkdir(here / ("x" * LONGEST))
    assert refused(lambda: os.mkdir(here / ("x" * (LONGEST + 1)))) == "ENAMETOOLONG"


@pytest.mark.parametrize("kind", TYPES)
def test_a_directory_takes_nothings_place(here: Path, kind: str) -> None:
    """mkdir/10.t"""
    make_a(kind, here / "n0")
    assert refused(lambda: os.mkdir(here / "n0")) == "EEXIST"
    assert refused(lambda: os.mkdir(here)) == "EEXIST"


def test_a_directory_is_removed(here: Path) -> None:
    """rmdir/00.t"""
    (here / "n0").mkdir()
    with changes(here, "mtime", "ctime"):
        os.rmdir(here / "n0")
    assert refused(lambda: os.lstat(here / "n0")) == "ENOENT"


def test_what_is_no_directory_is_not_removed_as_one(here: Path) -> None:
    """rmdir/01.t, 02.t, 04.t and 05.t"""
    make(here / "n0")
    os.symlink("n2", here / "n2")
    (here / "n3").mkdir()
    os.symlink("n3", here / "n4")
    assert refused(lambda: os.rmdir(here / "n0/test")) == "ENOTDIR"
    assert refused(lambda: os.rmdir(here / "n0")) == "ENOTDIR"
    assert refused(lambda: os.rmdir(here / "n4")) == "ENOTDIR"
    assert refused(lambda: os.rmdir(here / "n1")) == "ENOENT"
    assert refused(lambda: os.rmdir(here / "n2/test")) == "ELOOP"
    os.mkdir(here / ("x" * LONGEST))
    os.rmdir(here / ("x" * LONGEST))
    assert refused(lambda: os.rmdir(here / ("x" * (LONGEST + 1)))) == "ENAMETOOLONG"


@pytest.mark.parametrize("kind", TYPES)
def test_a_directory_that_is_not_empty_is_not_removed(here: Path, kind: str) -> None:
    """rmdir/06.t"""
    (here / "n0").mkdir()
    make_a(kind, here / "n0/n1")
    assert refused(lambda: os.rmdir(here / "n0")) == "ENOTEMPTY"
    remove_a(kind, here / "n0/n1")
    os.rmdir(here / "n0")


def test_a_directory_is_not_removed_by_its_dots(here: Path) -> None:
    """rmdir/12.t"""
    (here / "n0/n1").mkdir(parents=True)
    assert refused(lambda: os.rmdir(f"{here}/n0/n1/.")) == "EINVAL"
    assert refused(lambda: os.rmdir(f"{here}/n0/n1/..")) == "ENOTEMPTY"


def test_a_directory_whose_last_file_is_open_is_removed(here: Path) -> None:
    """rmdir/00.t and unlink/14.t together. (What fstat says: DIFFERENCES.)"""
    (here / "n0").mkdir()
    make(here / "n0/n1", b"one")
    with opened(here / "n0/n1", os.O_RDWR) as file:
        os.unlink(here / "n0/n1")
        os.rmdir(here / "n0")
        assert os.pread(file, 10, 0) == b"one"
        assert os.pwrite(file, b"two", 0) == 3
        assert os.pread(file, 10, 0) == b"two"
        os.fsync(file)
    assert os.listdir(here) == []


# -- utimensat ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_times_are_set(here: Path, kind: str) -> None:
    """utimensat/00.t, 04.t and 09.t: one before the other, and beyond 2038"""
    make_a(kind, here / "n0")
    for accessed, modified in [(EARLIER, LATER), (LATER, EARLIER), (2**31, 2**32), (1, 0)]:
        with changes(here / "n0", "ctime"):
            os.utime(here / "n0", (accessed, modified))
        found = os.lstat(here / "n0")
        assert (found.st_atime, found.st_mtime) == (accessed, modified)


@pytest.mark.parametrize(("accessed", "modified"), [(EARLIER, None), (None, EARLIER), (None, None)])
def test_a_time_is_set_to_now(here: Path, accessed: int | None, modified: int | None) -> None:
    """utimensat/01.t"""
    make(here / "n0")
    os.utime(here / "n0", (LATER, LATER))
    before = time.time()
    times = [(0, UTIME_NOW) if given is None else (given, 0) for given in (accessed, modified)]
    utimensat(here / "n0", times[0], times[1])
    found = os.lstat(here / "n0")
    for given, shown in ((accessed, found.st_atime), (modified, found.st_mtime)):
        assert before - 1 < shown < time.time() + 1 if given is None else shown == given


def test_a_time_is_left_as_it_is(here: Path) -> None:
    """utimensat/02.t"""
    make(here / "n0")
    before = os.lstat(here / "n0").st_mtime_ns
    utimensat(here / "n0", (EARLIER, 0), (0, UTIME_OMIT))
    assert (os.lstat(here / "n0").st_atime, os.lstat(here / "n0").st_mtime_ns) == (EARLIER, before)
    utimensat(here / "n0", (0, UTIME_OMIT), (LATER, 0))
    assert (os.lstat(here / "n0").st_atime, os.lstat(here / "n0").st_mtime) == (EARLIER, LATER)
    utimensat(here / "n0", (0, UTIME_OMIT), (0, UTIME_NOW))
    assert os.lstat(here / "n0").st_atime == EARLIER
    assert abs(os.lstat(here / "n0").st_mtime - time.time()) < 5
    with leaves(here / "n0", "atime", "mtime", "ctime"):
        utimensat(here / "n0", (0, UTIME_OMIT), (0, UTIME_OMIT))


def test_the_times_of_a_link_are_its_own(here: Path) -> None:
    """utimensat/05.t"""
    make(here / "n0")
    os.symlink("n0", here / "n1")
    os.utime(here / "n0", (EARLIER, LATER))
    os.utime(here / "n1", (LATER, EARLIER), follow_symlinks=False)
    assert (os.lstat(here / "n0").st_atime, os.lstat(here / "n0").st_mtime) == (EARLIER, LATER)
    assert os.lstat(here / "n1").st_mtime == EARLIER
    os.utime(here / "n1", (1, 2))
    assert (os.lstat(here / "n0").st_atime, os.lstat(here / "n0").st_mtime) == (1, 2)
    assert os.lstat(here / "n1").st_mtime == EARLIER


def test_times_are_kept_to_the_nanosecond(here: Path) -> None:
    """utimensat/08.t"""
    make(here / "n0")
    os.utime(here / "n0", ns=(100_000_000_123_456_789, 200_000_000_987_654_321))
    found = os.lstat(here / "n0")
    assert (found.st_atime_ns, found.st_mtime_ns) == (100_000_000_123_456_789, 200_000_000_987_654_321)


def test_times_before_1970_are_kept(here: Path) -> None:
    """utimensat/09.t, the other way"""
    make(here / "n0")
    os.utime(here / "n0", (-EARLIER, -2))
    assert (os.lstat(here / "n0").st_atime, os.lstat(here / "n0").st_mtime) == (-EARLIER, -2)


def test_a_handle_sets_times(here: Path) -> None:
    """utimensat/00.t"""
    make(here / "n0")
    with opened(here / "n0", os.O_RDWR) as file:
        os.utime(file, (EARLIER, LATER))
        assert (os.fstat(file).st_atime, os.fstat(file).st_mtime) == (EARLIER, LATER)


def test_what_is_not_there_has_no_times(here: Path) -> None:
    """utimensat/00.t"""
    make(here / "n0")
    assert refused(lambda: os.utime(here / "n1")) == "ENOENT"
    assert refused(lambda: os.utime(here / "n0/test")) == "ENOTDIR"
    assert refused(lambda: os.utime(here / ("x" * (LONGEST + 1)))) == "ENAMETOOLONG"


# -- chmod -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mode"), [*product(("file", "directory"), (0o111, 0o600, 0o755, 0o777, 0o000))])
def test_modes_are_set(here: Path, place: Place, kind: str, mode: int) -> None:
    """chmod/00.t"""
    make_a(kind, here / "n0")
    with changes(here / "n0", "ctime"), leaves(here / "n0", "mtime"):
        os.chmod(here / "n0", mode)
    assert permissions(here / "n0") == mode & ~place.umask
    os.chmod(here / "n0", 0o700)


def test_chmod_follows_a_link(here: Path) -> None:
    """chmod/00.t"""
    make(here / "n0")
    os.symlink("n0", here / "n1")
    os.chmod(here / "n1", 0o400)
    assert permissions(here / "n0") == 0o400


def test_a_handle_sets_the_mode(here: Path) -> None:
    """chmod/00.t"""
    make(here / "n0")
    with opened(here / "n0", os.O_RDWR) as file:
        os.fchmod(file, 0o400)
        assert stat.S_IMODE(os.fstat(file).st_mode) == 0o400
        os.write(file, b"still")
    assert (here / "n0").read_bytes() == b"still"


def test_what_is_not_there_has_no_mode(here: Path) -> None:
    """chmod/01.t, 02.t, 04.t and 06.t"""
    make(here / "n0")
    os.symlink("n2", here / "n2")
    assert refused(lambda: os.chmod(here / "n0/test", 0o600)) == "ENOTDIR"
    assert refused(lambda: os.chmod(here / ("x" * (LONGEST + 1)), 0o600)) == "ENAMETOOLONG"
    assert refused(lambda: os.chmod(here / "n1", 0o600)) == "ENOENT"
    assert refused(lambda: os.chmod(here / "n2", 0o600)) == "ELOOP"


# -- link and symlink --------------------------------------------------------------------------------------------


def test_a_file_has_two_names(here: Path) -> None:
    """link/00.t"""
    make(here / "n0", b"one")
    before = os.lstat(here / "n0")
    with changes(here, "mtime", "ctime"), leaves(here / "n0", "mtime"):
        os.link(here / "n0", here / "n1")
    assert (os.lstat(here / "n1").st_nlink, os.lstat(here / "n1").st_ino) == (2, before.st_ino)
    soon(lambda: os.lstat(here / "n0").st_nlink == 2)
    assert os.lstat(here / "n0").st_ctime_ns > before.st_ctime_ns
    with opened(here / "n1", os.O_WRONLY) as file:
        os.write(file, b"two!")
    assert (here / "n0").read_bytes() == b"two!"
    soon(lambda: os.stat(here / "n0").st_size == 4)
    os.chmod(here / "n0", 0o400)
    soon(lambda: permissions(here / "n1") == 0o400)
    os.unlink(here / "n0")
    soon(lambda: os.lstat(here / "n1").st_nlink == 1)
    assert (here / "n1").read_bytes() == b"two!"


def test_no_second_name_is_given_where_none_can_be(here: Path) -> None:
    """link/01.t, 02.t, 04.t, 08.t and 09.t"""
    make(here / "n0")
    os.symlink("n2", here / "n2")
    assert refused(lambda: os.link(here / "n0/test", here / "n1")) == "ENOTDIR"
    assert refused(lambda: os.link(here / "n0", here / "n0/test")) == "ENOTDIR"
    assert refused(lambda: os.link(here / "n0", here / ("x" * (LONGEST + 1)))) == "ENAMETOOLONG"
    assert refused(lambda: os.link(here / "n0", here / "n1/test")) == "ENOENT"
    assert refused(lambda: os.link(here / "n1", here / "n3")) == "ENOENT"
    assert refused(lambda: os.link(here / "n0", here / "n2/test")) == "ELOOP"


@pytest.mark.parametrize("kind", TYPES)
def test_a_second_name_takes_nothings_place(here: Path, kind: str) -> None:
    """link/10.t"""
    make(here / "n0")
    make_a(kind, here / "n1")
    assert refused(lambda: os.link(here / "n0", here / "n1")) == "EEXIST"


def test_a_directory_has_no_second_name(here: Path) -> None:
    """link/11.t"""
    (here / "n0").mkdir()
    assert refused(lambda: os.link(here / "n0", here / "n1")) == "EPERM"


def test_a_second_name_is_not_given_in_another_file_system(here: Path) -> None:
    """link/14.t"""
    make(here / "n0")
    assert refused(lambda: os.link(here / "n0", "/dev/shm/cdbfs-n0")) == "EXDEV"


def test_a_link_has_a_second_name_itself(here: Path) -> None:
    """link/00.t"""
    os.symlink("nowhere", here / "n0")
    os.link(here / "n0", here / "n1", follow_symlinks=False)
    assert os.readlink(here / "n1") == "nowhere"


def test_a_link_leads_where_it_says(here: Path) -> None:
    """symlink/00.t"""
    make(here / "n0", b"one")
    with changes(here, "mtime", "ctime"):
        os.symlink("n0", here / "n1")
    assert os.readlink(here / "n1") == "n0"
    found = os.lstat(here / "n1")
    assert (stat.S_ISLNK(found.st_mode), found.st_size) == (True, 2)
    assert (here / "n1").read_bytes() == b"one"
    os.unlink(here / "n0")
    assert refused(lambda: os.stat(here / "n1")) == "ENOENT"
    os.symlink(str(here), here / "n2")
    assert sorted(os.listdir(here / "n2")) == ["n1", "n2"]


def test_no_link_is_made_where_none_can_be(here: Path) -> None:
    """symlink/01.t, 02.t, 04.t and 07.t"""
    make(here / "n0")
    os.symlink("n2", here / "n2")
    assert refused(lambda: os.symlink("x", here / "n0/test")) == "ENOTDIR"
    assert refused(lambda: os.symlink("x", here / ("x" * (LONGEST + 1)))) == "ENAMETOOLONG"
    assert refused(lambda: os.symlink("x", here / "n1/test")) == "ENOENT"
    assert refused(lambda: os.symlink("x", here / "n2/test")) == "ELOOP"
    os.symlink("y" * 4000, here / ("x" * LONGEST))
    assert os.readlink(here / ("x" * LONGEST)) == "y" * 4000


@pytest.mark.parametrize("kind", TYPES)
def test_a_link_takes_nothings_place(here: Path, kind: str) -> None:
    """symlink/08.t"""
    make_a(kind, here / "n0")
    assert refused(lambda: os.symlink("test", here / "n0")) == "EEXIST"


def test_what_is_no_link_is_not_read_as_one(here: Path) -> None:
    """symlink/00.t"""
    make(here / "n0")
    (here / "n1").mkdir()
    assert refused(lambda: os.readlink(here / "n0")) == "EINVAL"
    assert refused(lambda: os.readlink(here / "n1")) == "EINVAL"


def test_names_in_no_alphabet_are_names(here: Path) -> None:
    """open/00.t"""
    names = [b"a\xff\xfe", b"new\nline", "K\u00e4se \u4e2d".encode(), b"-rf", b" ", b"*"]
    for name in names:
        make(here / os.fsdecode(name), name)
    assert sorted(map(os.fsencode, os.listdir(here))) == sorted(names)
    assert [(here / os.fsdecode(name)).read_bytes() for name in names] == names


# -- what is refused ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def queries(place: Place) -> Path:
    """search/ with a query that has a result, one that has an error, a file, a directory and a link."""
    (place.directory / "present.sql").write_bytes(PRESENT)
    (place.directory / "wrong.sql").write_bytes(WRONG)
    (place.directory / "file").write_bytes(b"mine\n")
    (place.directory / "directory").mkdir()
    assert (place.directory / "present.csv").read_bytes().startswith(b"subject\n")
    wait_until(lambda: (place.directory / "wrong.error").exists())
    return place.directory


def bind(search: Path) -> None:
    with opened(search, os.O_RDONLY) as directory, socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind(f"/proc/self/fd/{directory}/socket")


def map_shared(path: Path) -> None:
    with opened(path, os.O_RDWR) as file:
        mmap.mmap(file, 5, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()


OUTSIDE = "what the server has is read-only"
VIRTUAL = "that name belongs to a query, and shows what it finds"
COPIED = "mv then copies a result, and leaves it where it is"
OWNER = "everything belongs to who mounted"
KINDS = "only files, directories and links are passed through"
PASSED = "they are not passed through"
SELF = "search/ is a part of the mount"

REFUSALS: list[tuple[str, Callable[[Path], object], str, str]] = [
    ("create beside search/", lambda s: make(s.parent / "new"), "EROFS", OUTSIDE),
    ("write README.txt", lambda s: open_(s.parent / "README.txt", os.O_WRONLY), "EROFS", OUTSIDE),
    ("truncate README.txt", lambda s: os.truncate(s.parent / "README.txt", 0), "EROFS", OUTSIDE),
    ("remove README.txt", lambda s: os.unlink(s.parent / "README.txt"), "EROFS", OUTSIDE),
    ("mkdir beside search/", lambda s: os.mkdir(s.parent / "new"), "EROFS", OUTSIDE),
    ("rmdir projects", lambda s: os.rmdir(s.parent / "projects"), "EROFS", OUTSIDE),
    ("move README.txt into search/", lambda s: os.rename(s.parent / "README.txt", s / "x"), "EROFS", OUTSIDE),
    ("move a file out", lambda s: os.rename(s / "file", s.parent / "file"), "EROFS", OUTSIDE),
    ("link README.txt into search/", lambda s: os.link(s.parent / "README.txt", s / "x"), "EROFS", OUTSIDE),
    ("link a file out of search/", lambda s: os.link(s / "file", s.parent / "file"), "EROFS", OUTSIDE),
    ("symlink beside search/", lambda s: os.symlink("x", s.parent / "new"), "EROFS", OUTSIDE),
    ("chmod README.txt", lambda s: os.chmod(s.parent / "README.txt", 0o600), "EROFS", OUTSIDE),
    ("touch README.txt", lambda s: os.utime(s.parent / "README.txt"), "EROFS", OUTSIDE),
    ("chown README.txt", lambda s: os.chown(s.parent / "README.txt", 1, 1), "EROFS", OUTSIDE),
    ("write a result", lambda s: open_(s / "present.csv", os.O_WRONLY), "EPERM", VIRTUAL),
    ("write over a result", lambda s: (s / "present.csv").write_bytes(b"x"), "EPERM", VIRTUAL),
    ("append to a result", lambda s: open_(s / "present.csv", os.O_WRONLY | os.O_APPEND), "EPERM", VIRTUAL),
    ("write an error", lambda s: open_(s / "wrong.error", os.O_WRONLY), "EPERM", VIRTUAL),
    ("truncate a result", lambda s: os.truncate(s / "present.csv", 0), "EPERM", VIRTUAL),
    ("chmod a result", lambda s: os.chmod(s / "present.csv", 0o600), "EPERM", VIRTUAL),
    ("touch a result", lambda s: os.utime(s / "present.csv"), "EPERM", VIRTUAL),
    ("rename to a result", lambda s: os.rename(s / "file", s / "present.csv"), "EPERM", VIRTUAL),
    ("rename to an error", lambda s: os.rename(s / "file", s / "present.error"), "EPERM", VIRTUAL),
    ("create an error", lambda s: make(s / "present.error"), "EPERM", VIRTUAL),
    ("mkdir of an error", lambda s: os.mkdir(s / "present.error"), "EPERM", VIRTUAL),
    ("symlink as an error", lambda s: os.symlink("x", s / "present.error"), "EPERM", VIRTUAL),
    ("link as an error", lambda s: os.link(s / "file", s / "present.error"), "EPERM", VIRTUAL),
    ("mknod as an error", lambda s: os.mknod(s / "present.error"), "EPERM", VIRTUAL),
    ("link a result", lambda s: os.link(s / "present.csv", s / "x"), "EPERM", VIRTUAL),
    ("rename a result", lambda s: os.rename(s / "present.csv", s / "kept.csv"), "EXDEV", COPIED),
    ("rename an error", lambda s: os.rename(s / "wrong.error", s / "kept.txt"), "EXDEV", COPIED),
    ("chown a file to another user", lambda s: os.chown(s / "file", os.geteuid() + 1, -1), "EPERM", OWNER),
    ("chown a file to another group", lambda s: os.chown(s / "file", -1, os.getegid() + 1), "EPERM", OWNER),
    ("mkfifo", lambda s: os.mkfifo(s / "fifo"), "EPERM", KINDS),
    ("bind a socket", bind, "EPERM", KINDS),
    ("mknod of a character device", lambda s: os.mknod(s / "c", stat.S_IFCHR, os.makedev(1, 3)), "EPERM", KINDS),
    ("mknod of a block device", lambda s: os.mknod(s / "b", stat.S_IFBLK, os.makedev(1, 3)), "EPERM", KINDS),
    (
        "map a file, shared",
        lambda s: map_shared(s / "file"),
        "ENODEV",
        "a handle reads one version",
    ),
    (
        "set an xattr",
        lambda s: os.setxattr(s / "file", "user.x", b"x"),
        "ENOTSUP",
        PASSED,
    ),
    ("get an xattr", lambda s: os.getxattr(s / "file", "user.x"), "ENOTSUP", PASSED),
    ("open a file without a name", lambda s: open_(s, os.O_TMPFILE | os.O_RDWR), "ENOTSUP", "libfuse has none"),
    ("remove search/", os.rmdir, "EBUSY", SELF),
    ("rename search/", lambda s: os.rename(s, s.parent / "other"), "EROFS", SELF),
    ("rename projects to search/", lambda s: os.rename(s.parent / "projects", s / "p"), "EROFS", OUTSIDE),
]
"""Operation, errno, why."""


@on_mounts
@pytest.mark.parametrize(("work", "code"), [pytest.param(row[1], row[2], id=row[0]) for row in REFUSALS])
def test_what_is_refused_is_refused_in_these_words_and_changes_nothing(
    queries: Path, work: Callable[[Path], object], code: str
) -> None:
    before = sorted(os.listdir(queries)), sorted(os.listdir(queries.parent))
    assert refused(lambda: work(queries)) == code
    assert (sorted(os.listdir(queries)), sorted(os.listdir(queries.parent))) == before
    assert (queries / "file").read_bytes() == b"mine\n"
    assert (queries / "present.csv").read_bytes().startswith(b"subject\n")


DIFFERENCES = """
- A file that was removed while it is open has one link until it is closed (a plain directory: none).
- Once its directory is removed, too, it is read and written as before, but fstat fails (ESTALE or ENOENT).
- A file's other names show what happened under one of them within `attr_timeout`; after link(2) the first as well.
- Renaming one name of a file to another of its names does nothing, unless the second is open: then the first goes.
- A rename to a name that is open is two for libfuse; a kill between them leaves the new text under its old name.
- renameat2's flags are for libfuse 3; with libfuse 2 the kernel says EINVAL, and mv -n looks first.
"""
"""What is neither refused nor as in a plain directory."""


@on_mounts
def test_a_chown_to_oneself_is_none(queries: Path) -> None:
    os.chown(queries / "file", os.geteuid(), os.getegid())
    os.chown(queries / "file", -1, -1)
    assert os.stat(queries / "file").st_uid == os.geteuid()


@on_mounts
@pytest.mark.parametrize("bits", [0o4000, 0o2000, 0o1000, 0o7000])
def test_bits_that_give_rights_are_dropped(queries: Path, place: Place, bits: int) -> None:
    """chmod/12.t and chmod/11.t, as they are here: such bits are never set."""
    for name in ("file", "directory"):
        os.chmod(queries / name, 0o755 | bits)
        assert permissions(queries / name) == 0o755 & ~place.umask
        os.chmod(queries / name, 0o700)
    make(queries / "new", mode=0o755 | bits)
    assert permissions(queries / "new") & 0o7000 == 0
    os.unlink(queries / "new")
    os.mkdir(queries / "new", 0o755 | bits)
    assert permissions(queries / "new") & 0o7000 == 0
    os.rmdir(queries / "new")


@on_mounts
def test_a_private_map_is_a_map(queries: Path) -> None:
    with opened(queries / "file", os.O_RDONLY) as file, mmap.mmap(file, 5, mmap.MAP_PRIVATE) as mapped:
        assert mapped[:] == b"mine\n"


@on_mounts
def test_a_result_is_removed_and_comes_again(queries: Path) -> None:
    """Removing is no refusal: it forgets."""
    os.unlink(queries / "present.csv")
    assert (queries / "present.csv").read_bytes().startswith(b"subject\n")


@on_mounts
def test_a_result_is_moved_by_copying(queries: Path) -> None:
    content = (queries / "present.csv").read_bytes()
    subprocess.run(["mv", queries / "present.csv", queries / "kept.csv"], check=True, timeout=30)
    assert (queries / "kept.csv").read_bytes() == content
    os.unlink(queries / "kept.csv")
    assert (queries / "present.csv").read_bytes() == content
