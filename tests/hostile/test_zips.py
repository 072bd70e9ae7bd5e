"""Zips that were made to hurt: what is wrong in them is refused alone, with a reason, and the rest is read.

Each lies between two good members, before and behind, stored and deflated.
"""

from __future__ import annotations

import errno
import resource
import stat
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from cdbfs.errors import CdbfsError, TooLarge
from cdbfs.store.zips.index import Member
from tests.store.zips.handmade import DOS, FULL, STORED, Opened, Part, deflated, extra, numbers, opened, zipped

MEGABYTE = 2**20
GOOD = b"good\n" * 50
EVIL = b"evil\n" * 50
UTF_8 = 0x0800


def among_good(*parts: Part) -> bytes:
    return zipped(Part(b"good/first", GOOD), *parts, Part(b"good/last", GOOD, STORED))


def check_good(it: Opened) -> None:
    assert it.read("good/first") == GOOD
    assert it.read("good/last") == GOOD


NOWHERE = {
    "absolute": (Part(b"/etc/passwd", EVIL), "root"),
    "absolute twice": (Part(b"//etc/passwd", EVIL), "root"),
    "only a slash": (Part(b"/", EVIL), "root"),
    "drive": (Part(b"C:/windows/x", EVIL), "drive"),
    "drive alone": (Part(b"C:", EVIL), "drive"),
    "drive of DOS": (Part(b"C:x", EVIL, host=DOS), "drive"),
    "backslashes of DOS": (Part(b"\\etc\\passwd", EVIL, host=DOS), "root"),
    "outside of DOS": (Part(b"..\\x", EVIL, host=DOS), ".."),
    "outside": (Part(b"../x", EVIL), ".."),
    "outside further down": (Part(b"good/../../x", EVIL), ".."),
    "outside as name": (Part(b"good/..", EVIL), ".."),
    "outside as directory": (Part(b"../evil/"), ".."),
    "here": (Part(b"good/./first", EVIL), ".."),
    "here as name": (Part(b"good/.", EVIL), ".."),
    "empty": (Part(b"", EVIL), "empty"),
    "empty between": (Part(b"good//first", EVIL), "empty"),
    "empty directory": (Part(b"good//"), "empty"),
    "NUL": (Part(b"good/first\0.txt", EVIL), "NUL"),
    "NUL in a directory": (Part(b"go\0od/first", EVIL), "NUL"),
    "long": (Part(b"x" * 256, EVIL), "longer"),
    "long as directory": (Part(b"x" * 256 + b"/y", EVIL), "longer"),
    "long in bytes": (Part("ü".encode() * 128, EVIL, flags=UTF_8), "longer"),
    "long in all": (Part(b"x/" * 2000 + b"y", EVIL), "longer"),
    "deep": (Part(b"x/" * 900 + b"y", EVIL), "too many directories"),
    "directory of the name": (Part(b"good", EVIL), "directory of the same name"),
    "by its Unicode name": (
        Part(b"\xff", EVIL, extra=extra(0x7075, b"\1" + struct.pack("<L", zlib.crc32(b"\xff")) + b"../x")),
        "..",
    ),
}


@pytest.mark.parametrize("case", NOWHERE)
def test_what_has_no_safe_place_is_not_in_the_tree(case: str, tmp_path: Path) -> None:
    part, reason = NOWHERE[case]
    with opened(among_good(part), tmp_path) as it:
        check_good(it)
        assert it.tree() == {"good": True, "good/first": False, "good/last": False}
        ((name, why),) = it.refused().items()
        assert name.isprintable()
        assert reason in why
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it.zip", "kept"]


LISTED = {
    "encrypted": (Part(b"evil", EVIL, flags=1), errno.EACCES, "encrypted"),
    "strongly encrypted": (Part(b"evil", EVIL, flags=0x41), errno.EACCES, "encrypted"),
    "AES": (Part(b"evil", EVIL, 99, flags=1), errno.EACCES, "encrypted"),
    "encrypted headers": (Part(b"evil", EVIL, flags=0x2000), errno.EACCES, "encrypted"),
    "encrypted by its own header": (Part(b"evil", EVIL, local_flags=1), errno.EACCES, "encrypted"),
    "bzip2": (Part(b"evil", EVIL, 12), errno.EIO, "method"),
    "deflate64": (Part(b"evil", EVIL, 9), errno.EIO, "method"),
    "patch": (Part(b"evil", EVIL, flags=0x20), errno.EIO, "method"),
    "other method in its own header": (Part(b"evil", EVIL, local_method=0), errno.EIO, "method"),
    "link": (Part(b"evil", b"/etc/passwd", mode=stat.S_IFLNK | 0o777), errno.EACCES, "link"),
    "stored link": (Part(b"evil", b"../..", STORED, mode=stat.S_IFLNK), errno.EACCES, "link"),
    "device": (Part(b"evil", mode=stat.S_IFBLK | 0o666), errno.EIO, "no regular file"),
    "pipe": (Part(b"evil", mode=stat.S_IFIFO), errno.EIO, "no regular file"),
    "directory by mode": (Part(b"evil", mode=stat.S_IFDIR), errno.EIO, "no regular file"),
    "on another disk": (Part(b"evil", EVIL, disk=1), errno.EIO, "part"),
    "wrong CRC": (Part(b"evil", EVIL, crc=1), errno.EIO, "CRC"),
    "stored, wrong CRC": (Part(b"evil", EVIL, STORED, crc=1), errno.EIO, "CRC"),
    "empty, wrong CRC": (Part(b"evil", b"", STORED, crc=1), errno.EIO, "CRC"),
    "longer than it says": (Part(b"evil", EVIL, size=249), errno.EIO, "longer"),
    "longer than nothing": (Part(b"evil", EVIL, size=0, crc=0), errno.EIO, "longer"),
    "shorter than it says": (Part(b"evil", EVIL, size=251), errno.EIO, "there are 250"),
    "stored, other size": (Part(b"evil", EVIL, STORED, size=249), errno.EIO, "contradicts"),
    "no deflate stream": (Part(b"evil", EVIL, body=b"\xff" * 100), errno.EIO, "unpacked"),
    "cut stream": (Part(b"evil", EVIL, body=deflated(EVIL)[:5]), errno.EIO, "there are"),
    "no stream": (Part(b"evil", EVIL, body=b""), errno.EIO, "there are 0"),
    "impossible size": (Part(b"evil", EVIL, size=2**31), errno.EIO, "contradicts"),
    "impossible size, 64 bits": (
        Part(b"evil", EVIL, size=FULL, extra=extra(1, numbers(2**63))), errno.EIO, "contradicts",
    ),
    "cut zip64 field": (Part(b"evil", EVIL, size=FULL, extra=extra(1, b"1234")), errno.EIO, "contradicts"),
    "zip64 field beyond the extra fields": (Part(b"evil", EVIL, size=FULL, extra=b"\1\0\xff\xff"), errno.EIO, ""),
    "begins nowhere": (Part(b"evil", EVIL, start=FULL, extra=extra(1, numbers(2**62))), errno.EIO, "contradicts"),
    "begins behind the end": (Part(b"evil", EVIL, absent=True, start=10**6), errno.EIO, "lies over"),
    "reaches into the directory": (Part(b"evil", EVIL, STORED, packed=10**5, size=10**5), errno.EIO, "lies over"),
    "other name in its own header": (Part(b"evil", EVIL, local_name=b"good"), errno.EIO, "name"),
    "no header of its own": (Part(b"evil", EVIL, mark=b"PK\x03\x05"), errno.EIO, "begins otherwise"),
    "begins at a directory's entry": (Part(b"evil", EVIL, absent=True), errno.EIO, ""),
    "extra fields as long as all that follows": (
        Part(b"evil", b"", local_extra=b"", body=b"", crc=0, local_name=b"evil" * 100), errno.EIO, "name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LISTED)
def test_a_member_that_is_wrong_is_refused_alone(case: str, tmp_path: Path) -> None:
    part, code, reason = LISTED[case]
    over = case in ("reaches into the directory", "begins at a directory's entry")
    with opened(zipped(Part(b"good/first", GOOD), Part(b"good/last", GOOD, STORED), part), tmp_path) as it:
        check_good(it)
        for _ in range(2):
            with pytest.raises(CdbfsError) as raised:
                it.read("evil")
            assert raised.value.errno == code
            assert reason in str(raised.value)
        assert it.left_over() == []
    if not over:
        with opened(among_good(part), tmp_path / "among") as it:
            check_good(it)
            assert isinstance(it.outcome("evil"), type)


def test_twice_the_same_is_one_and_twice_another_is_none(tmp_path: Path) -> None:
    parts = [
        Part(b"same", GOOD), Part(b"other", GOOD), Part(b"same", GOOD), Part(b"other", EVIL), Part(b"same", GOOD),
        Part(b"dir/file", GOOD), Part(b"dir", EVIL), Part(b"packed otherwise", GOOD),
        Part(b"packed otherwise", GOOD, STORED), Part(b"x/y", EVIL), Part(b"x/y/", b""),
    ]  # fmt: skip
    with opened(among_good(*parts), tmp_path) as it:
        check_good(it)
        assert it.read("same") == it.read("dir/file") == GOOD
        for name in ("other", "packed otherwise"):
            with pytest.raises(CdbfsError, match="several different members"):
                it.read(name)
        assert it.tree()["x/y"]
        refused = {"other", "packed otherwise", "dir", "x/y"}
        assert set(it.refused()) == refused
        assert it.files() == ["dir/file", "good/first", "good/last", "other", "packed otherwise", "same"]


def test_a_member_listed_twice_lies_over_nothing(tmp_path: Path) -> None:
    again = Part(b"good/first", GOOD, absent=True, start=0)
    with opened(among_good(again), tmp_path) as it:
        check_good(it)
        assert it.refused() == {}


def test_members_over_each_other_are_refused_both(tmp_path: Path) -> None:
    """The second lies within the first; a third good one behind them is read."""
    inner = Part(b"inner", EVIL, STORED)
    hull = Part(b"hull", b"....", STORED, body=b"...." + inner.local())
    hull.data = hull.body or b""
    hull.crc, hull.size, hull.packed = zlib.crc32(hull.data), len(hull.data), len(hull.data)
    first = Part(b"good/first", GOOD)
    inside = Part(b"inner", EVIL, STORED, absent=True, start=len(first.local()) + 30 + len(b"hull") + 4)
    with opened(zipped(first, inside, hull, Part(b"good/last", GOOD, STORED)), tmp_path) as it:
        check_good(it)
        for name in ("hull", "inner"):
            with pytest.raises(CdbfsError, match="lies over"):
                it.read(name)
        assert set(it.refused()) == {"hull", "inner"}


def test_a_member_whose_own_header_reaches_over_the_next_is_refused(tmp_path: Path) -> None:
    """The directory does not tell: the extra fields of the local header put its bytes into the next member."""
    kernel = Part(b"kernel", EVIL, STORED)
    quoting = Part(b"quoting", EVIL, STORED, body=b"", local_extra=b"")
    quoting.size = quoting.packed = 10
    quoting.crc = zlib.crc32(EVIL[:10])
    head = 30 + len(b"kernel")
    made = bytearray(zipped(quoting, Part(b"gap" * 30, b"", STORED), kernel, Part(b"good", GOOD)))
    struct.pack_into("<H", made, 28, 30 + 90 + head)  # its bytes are the first ten of the kernel
    with opened(bytes(made), tmp_path) as it:
        with pytest.raises(CdbfsError, match="lies over"):
            it.read("quoting")
        assert it.read("kernel") == EVIL
        assert it.read("good") == GOOD


@pytest.mark.parametrize("number", [250, 3000])
def test_a_zip_bomb_of_overlaps_is_refused_whole_and_soon(tmp_path: Path, number: int) -> None:
    """As Fifield's: one kernel, which every member's local header comes before, quoted by the one before it."""
    kernel = Part(b"good", deflated(bytes(10**6)), STORED)
    heads = [Part(b"%05d" % index, b"", STORED) for index in range(number)]
    length = len(heads[0].local())
    for index, head in enumerate(heads):
        head.packed = head.size = (number - index - 1) * length + len(kernel.local())
    made = zipped(*heads, kernel)
    began = time.monotonic()
    with opened(made, tmp_path) as it:
        assert len(it.refused()) == number + 1
        assert all("lies over" in reason for reason in it.refused().values())
    assert time.monotonic() - began < 20


def test_bombs_are_too_large_whatever_they_hold(tmp_path: Path) -> None:
    """Zeros deflate to a thousandth; where that is more than 256 MiB, they are not inflated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(16 * MEGABYTE)
    body = b"".join(packer.compress(zeros) for _ in range(20)) + packer.flush()
    size = 320 * MEGABYTE
    assert size > 1000 * len(body)
    small = Part(b"small", bytes(8 * MEGABYTE))
    with opened(among_good(Part(b"bomb", b"", body=body, size=size), small), tmp_path) as it:
        check_good(it)
        with pytest.raises(TooLarge, match="max_member_ratio"):
            it.read("bomb")
        assert it.read("small") == bytes(8 * MEGABYTE)
        assert not list((tmp_path / "kept/members").glob("*-1.*"))


def test_a_member_that_goes_on_for_ever_is_stopped_at_its_size(tmp_path: Path) -> None:
    body = deflated(bytes(200 * MEGABYTE))
    with opened(among_good(Part(b"evil", b"", body=body, size=100)), tmp_path) as it:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_oublock
        with pytest.raises(CdbfsError, match="longer than the 100 bytes"):
            it.read("evil")
        check_good(it)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_oublock - before < 10_000
        assert it.left_over() == []


def test_names_of_refused_members_can_be_shown(tmp_path: Path) -> None:
    with opened(among_good(Part(b"../\x1b[31m\nroot\xff\xe2\x80\xae", EVIL)), tmp_path) as it:
        ((name, _),) = it.refused().items()
        assert name == "../\\x1b[31m\\nroot\\xff\\u202e"


def test_many_deep_directories_are_bounded(tmp_path: Path) -> None:
    """Each name makes 60 directories; a small zip may not take all memory for them."""
    parts = [Part(b"%05d/" % number + b"d/" * 60 + b"x", absent=True) for number in range(7000)]
    path = tmp_path / "it.zip"
    path.write_bytes(zipped(*parts))
    with pytest.raises(TooLarge, match="too many directories"):
        Opened(path, tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


def test_a_hundred_thousand_members_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "it.zip"
    part = Part(b"a", b"x", STORED, absent=True)
    entries = []
    for number in range(60_000):
        part.crc = number
        entries.append(part.entry())
    made = zipped(Part(b"a", b"x", STORED))
    at = made.index(b"PK\x01\x02")
    directory = b"".join(entries)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), at, 0)
    path.write_bytes(made[:at] + directory + end)
    began = time.monotonic()
    it = Opened(path, tmp_path / "kept")
    assert it.refused() == {"a": "the zip has several different members of this name"}
    member = it.index.find("a")
    assert isinstance(member, Member)
    it.index.close()
    assert time.monotonic() - began < 20


SCRIPT = """
import resource, sys
from pathlib import Path
from tests.store.zips.handmade import Opened
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
it = Opened(Path(sys.argv[1]), Path(sys.argv[2]))
for directory in it.index.entries("x").directories:
    it.index.entries(f"x/{directory}")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, sum(1 for _ in it.index.refused()))
"""


def test_memory_stays_bounded_whatever_is_refused(tmp_path: Path) -> None:
    """100,000 members, of which all are wrong, in directories of their own."""
    path = tmp_path / "it.zip"
    part = Part(b"x", b"x", STORED, absent=True)
    entries = []
    for number in range(100_000):
        part.name, part.start = b"x/%05d/name-of-a-file-%d" % (number % 20_000, number), number % 100
        entries.append(part.entry())
    directory = b"".join(entries)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 34464, 34464, len(directory), 0, 0)
    path.write_bytes(directory + end)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, path, tmp_path / "kept"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kilobytes, refused = map(int, done.stdout.split())
    assert refused == 100_000
    assert kilobytes < 80_000
