"""Zips as they come: every way a good zip may be laid out is read, as Python's zipfile and unzip read it."""

from __future__ import annotations

import io
import struct
import time
import zipfile
import zlib
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from cdbfs.errors import CdbfsError, NoSuchName
from cdbfs.store.zips.central import entries, find_directory
from cdbfs.store.zips.index import DIRECTORY, Index
from tests.store.zips.handmade import (
    DOS,
    FULL,
    STORED,
    Opened,
    Part,
    end_64,
    end_record,
    extra,
    numbers,
    opened,
    zipped,
)

HELLO = b"hello\n" * 100
UTF_8 = 0x0800


def unicode_path(name: bytes, path: str) -> bytes:
    """The Unicode path field for a member that is called `name`."""
    return extra(0x7075, b"\1" + struct.pack("<L", zlib.crc32(name)) + path.encode())


def refused_whole(content: bytes, scratch: Path) -> str:
    """The reason why a zip cannot be read at all."""
    with pytest.raises(CdbfsError) as raised, opened(content, scratch):
        pass
    assert raised.value.errno == CdbfsError.errno
    return str(raised.value)


@pytest.mark.parametrize("method", [STORED, 8])
@pytest.mark.parametrize("descriptor", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_members_are_read(tmp_path: Path, method: int, descriptor: bool, wide: bool) -> None:
    parts = [Part(name, data, method, descriptor=descriptor) for name, data in [(b"s/a", HELLO), (b"s/b", b"")]]
    with opened(zipped(*parts, wide=wide), tmp_path) as it:
        assert it.everything() == {"s/a": HELLO, "s/b": b""}
        assert it.everything() == {"s/a": HELLO, "s/b": b""}  # now from what is kept
        assert it.refused() == {}
        member = it.members.open(it.member("s/a"))
        assert (member.read(3, 2), member.read(10, 598), member.read(10, 10**6)) == (b"llo", b"o\n", b"")
        assert member.volatile is False
        member.close()


def test_an_empty_zip_has_an_empty_top(tmp_path: Path) -> None:
    with opened(zipped(), tmp_path) as it:
        assert it.tree() == {}
        assert it.index.find("") is DIRECTORY
    with opened(zipped(wide=True), tmp_path) as it:
        assert it.tree() == {}


def test_directories_are_there_with_or_without_an_entry(tmp_path: Path) -> None:
    parts = [Part(b"a/b/c/d.txt", HELLO), Part(b"a/b/"), Part(b"e/", mode=0o40755), Part(b"e/"), Part(b"f.txt")]
    with opened(zipped(*parts), tmp_path) as it:
        assert it.tree() == {
            "a": True,
            "a/b": True,
            "a/b/c": True,
            "a/b/c/d.txt": False,
            "e": True,
            "f.txt": False,
        }
        assert it.refused() == {}
        assert it.index.find("a/b/x") is None
        assert it.index.find("x/y") is None
        assert it.index.find("f.txt/y") is None
        assert it.index.find("a//b") is None
        assert it.index.find("/a") is None
        for wrong in ("x", "f.txt", "a/", "/"):
            with pytest.raises(NoSuchName):
                it.index.entries(wrong)


@pytest.mark.parametrize(
    "comment",
    [
        b"a comment",
        b"PK\x05\x06",
        b"x" * 0xFFFF,
        b"PK\x05\x06" * 0x3FFF,
        end_record(0, 0, 0) + b"!",
        end_record(7, 99, 12) + end_record(1, 46, 1, length=3) + b"...",
        b"PK\x05\x06" + bytes(18) + b"longer than it says",
    ],
    ids=range(7),
)
def test_a_comment_may_hold_anything(tmp_path: Path, comment: bytes) -> None:
    with opened(zipped(Part(b"a", HELLO), comment=comment), tmp_path) as it:
        assert it.everything() == {"a": HELLO}


@pytest.mark.parametrize("wide", [False, True])
def test_bytes_before_and_behind(tmp_path: Path, wide: bool) -> None:
    parts = [Part(b"a", HELLO), Part(b"b", HELLO, STORED)]
    script = b"#!/bin/sh\nexit 1\n" * 10
    for content in (zipped(*parts, before=script, wide=wide), zipped(*parts, wide=wide) + b"\n\n"):
        with opened(content, tmp_path) as it:
            assert it.everything() == {"a": HELLO, "b": HELLO}
    moved = zipped(Part(b"a", HELLO, start=len(script)))  # as `zip -A` does: offsets count what lies before
    at = moved.rindex(b"PK\x05\x06")
    size, offset = struct.unpack_from("<LL", moved, at + 12)
    with opened(script + moved[:at] + end_record(1, size, offset + len(script)), tmp_path) as it:
        assert it.everything() == {"a": HELLO}


def test_other_records_before_the_end(tmp_path: Path) -> None:
    made = zipped(Part(b"a", HELLO))
    at = made.rindex(b"PK\x05\x06")
    with opened(made[:at] + b"PK\x05\x05" + bytes(40) + made[at:], tmp_path) as it:
        assert it.everything() == {"a": HELLO}
    size, offset = struct.unpack_from("<LL", made, at + 12)
    wide = end_64(1, size, offset, at, more=b"proprietary")
    with opened(made[:at] + wide + end_record(0xFFFF, FULL, FULL), tmp_path) as it:
        assert it.everything() == {"a": HELLO}


def test_what_is_no_zip_is_refused_with_a_reason(tmp_path: Path) -> None:
    good = zipped(Part(b"a", HELLO), Part(b"b", HELLO))
    end = good.rindex(b"PK\x05\x06")
    size, offset = struct.unpack_from("<LL", good, end + 12)
    assert "no end record" in refused_whole(b"", tmp_path)
    assert "no end record" in refused_whole(b"<html>" * 1000, tmp_path)
    assert "no end record" in refused_whole(good[:-1], tmp_path)
    assert "several parts" in refused_whole(good[:end] + end_record(2, size, offset, disk=1), tmp_path)
    assert "out of bounds" in refused_whole(good[:end] + end_record(2, size, offset + 1), tmp_path)
    assert "out of bounds" in refused_whole(good[:end] + end_record(2, FULL - 1, 0), tmp_path)
    assert "out of bounds" in refused_whole(good[:end] + end_record(200, size, offset), tmp_path)
    assert "out of bounds" in refused_whole(good[:end] + end_record(0xFFFF, FULL, FULL), tmp_path)
    assert "not where" in refused_whole(good[:end] + end_record(1, size - 2, offset + 1), tmp_path)
    several = end_64(2, size, offset, end, disks=2) + end_record(0xFFFF, FULL, FULL)
    assert "several parts" in refused_whole(good[:end] + several, tmp_path)
    absurd = end_64(2**64 - 1, 2**64 - 1, 2**64 - 1, end) + end_record(0xFFFF, FULL, FULL)
    assert "out of bounds" in refused_whole(good[:end] + absurd, tmp_path)
    broken = bytearray(good)
    broken[good.rindex(b"PK\x01\x02")] = 0
    assert "damaged" in refused_whole(bytes(broken), tmp_path)


def test_the_count_of_entries_has_to_be_right(tmp_path: Path) -> None:
    parts = [Part(b"a", b"", extra=b"x" * 100), Part(b"b")]
    good = zipped(*parts)
    end = good.rindex(b"PK\x05\x06")
    size, offset = struct.unpack_from("<LL", good, end + 12)
    assert "2 entries" in refused_whole(good[:end] + end_record(1, size, offset), tmp_path)
    assert "2 entries" in refused_whole(good[:end] + end_record(3, size, offset), tmp_path)


def test_numbers_of_64_bits(tmp_path: Path) -> None:
    data, packed = HELLO, Part(b"x", HELLO).packed
    assert packed is not None
    parts = [
        Part(b"size", data, size=FULL, extra=extra(1, numbers(len(data)))),
        Part(b"packed", data, packed=FULL, extra=extra(9, b"other") + extra(1, numbers(packed))),
        Part(b"both", data, size=FULL, packed=FULL, extra=extra(1, numbers(len(data), packed))),
    ]
    whole = Part(b"all", data, size=FULL, packed=FULL, start=FULL, disk=0xFFFF)
    start = sum(len(part.local()) for part in parts)
    whole.extra = extra(1, numbers(len(data), packed, start) + struct.pack("<L", 0))
    with opened(zipped(*parts, whole), tmp_path) as it:
        assert it.everything() == {"size": data, "packed": data, "both": data, "all": data}


@pytest.mark.parametrize(
    ("part", "path"),
    [
        (Part("Müller,[BT-diff] x.txt".encode(), flags=UTF_8), "Müller,[BT-diff] x.txt"),
        (Part("Müller".encode(), flags=UTF_8, host=DOS), "Müller"),
        (Part("Müller".encode()), "Müller"),
        (Part("Müller".encode("latin-1")), "M\udcfcller"),
        (Part(b"\xff\xfe", flags=UTF_8), "\udcff\udcfe"),
        (Part("Müller".encode("cp437"), host=DOS), "Müller"),
        (Part("Müller".encode("cp437"), host=10), "Müller"),
        (Part(b"a\\b\\c", host=DOS), "a/b/c"),
        (Part(b"a\\b/c", host=DOS), "a\\b/c"),
        (Part(b"a\\b"), "a\\b"),
        (Part(b":Cx"), ":Cx"),
        (Part(b"e:x"), "e:x"),
        (Part(b"./a"), "a"),
        (Part(b"././a/b"), "a/b"),
        (Part(b"new\nline\ttab"), "new\nline\ttab"),
        (Part(b"x" * 255), "x" * 255),
        (Part(b"..."), "..."),
        (Part(b".git/config"), ".git/config"),
        (Part(b"~"), "~"),
        (Part(b"M?ller", extra=unicode_path(b"M?ller", "Müller")), "M?ller"),
        (Part(b"M\x81ller", extra=unicode_path(b"M\x81ller", "Möller")), "Möller"),
        (Part(b"M\x81ller", host=DOS, extra=unicode_path(b"another", "Möller")), "Müller"),
    ],
    ids=range(22),
)  # fmt: skip
def test_names(tmp_path: Path, part: Part, path: str) -> None:
    part.data, part.body, part.crc, part.size, part.packed, part.method = b"it", b"it", zlib.crc32(b"it"), 2, 2, 0
    with opened(zipped(part), tmp_path) as it:
        assert it.everything() == {path: b"it"}
        assert it.refused() == {}


def mtime_of(it: Opened, path: str) -> datetime:
    return datetime.fromtimestamp(it.member(path).mtime / 10**9, timezone.utc)


@pytest.mark.parametrize("zone", [timezone.utc, timezone(timedelta(hours=-6))])
def test_times(tmp_path: Path, zone: tzinfo) -> None:
    parts = [
        Part(b"dos"),
        Part(b"unix", extra=extra(0x5455, b"\3" + struct.pack("<l", 1_400_000_001))),
        Part(b"before", extra=extra(0x5455, b"\1" + struct.pack("<l", -5))),
        Part(b"access only", extra=extra(0x5455, b"\2" + struct.pack("<l", 5))),
        Part(b"none", dos=0),
        Part(b"odd", dos=FULL),
        Part(b"cut", extra=extra(0x5455, b"\1\1\1")),
    ]
    path = tmp_path / "it.zip"
    path.write_bytes(zipped(*parts))
    with path.open("rb") as file:
        index = Index.build(file.fileno(), path.stat().st_size, tmp_path / "index", "it", zone, 1000)
    noon = datetime(2025, 6, 7, 12, 30, 8, tzinfo=zone).timestamp()
    first = datetime(1980, 1, 1, tzinfo=zone).timestamp()
    expected = {"dos": noon, "unix": 1_400_000_001, "before": -5, "access only": noon, "none": first, "odd": first}
    for name, seconds in {**expected, "cut": noon}.items():
        member = index.find(name)
        assert member is not None
        assert member is not DIRECTORY
        assert member.mtime == int(seconds) * 10**9, name
    index.close()


def test_a_read_of_the_directory_in_small_pieces(tmp_path: Path) -> None:
    """Entries that are longer than what is read at once."""
    parts = [
        Part(b"%d" % number, b"x", extra=extra(9, bytes(0xFFF0)), comment=bytes(0xFFFF)) for number in range(40)
    ]
    with opened(zipped(*parts), tmp_path) as it:
        assert len(it.files()) == 40
        assert set(it.everything().values()) == {b"x"}


@pytest.mark.parametrize("cut_count", [False, True])
def test_more_members_than_16_bits_can_count(tmp_path: Path, cut_count: bool) -> None:
    """With zip64 records, and as makers that do not know them wrote it: the count cut to 16 bits."""
    path = tmp_path / "it.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(70_000):
            file.writestr(f"d{number % 7}/{number}", b"%d" % number)
    if cut_count:
        made = path.read_bytes()
        at = made.rindex(b"PK\x06\x06")
        size, offset = struct.unpack_from("<QQ", made, at + 40)
        path.write_bytes(made[:at] + end_record(70_000 & 0xFFFF, size, offset))
    it = Opened(path, tmp_path / "kept")
    assert len(it.index.entries("d3").files) == 10_000
    assert it.read("d3/66664") == b"66664"
    assert it.refused() == {}
    it.index.close()


names = some.text(
    some.characters(blacklist_characters="/\0\\:", blacklist_categories=["Cs"]), min_size=1, max_size=8
)
paths = some.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map("/".join)


class Unseekable(io.BytesIO):
    """Makes zipfile write data descriptors."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=some.dictionaries(
        paths,
        some.tuples(some.binary(max_size=300), some.booleans(), some.booleans(), some.integers(0, 2000)),
        max_size=8,
    ),
    streamed=some.booleans(),
    comment=some.binary(max_size=60),
    before=some.binary(max_size=40),
)
def test_random_zips_are_read_as_zipfile_reads_them(
    tmp_path: Path,
    members: dict[str, tuple[bytes, bool, bool, int]],
    streamed: bool,
    comment: bytes,
    before: bytes,
) -> None:
    buffer = Unseekable() if streamed else io.BytesIO()
    buffer.write(before if not streamed else b"")
    with zipfile.ZipFile(buffer, "w") as file:
        file.comment = comment
        for path, (data, stored, wide, times) in members.items():
            info = zipfile.ZipInfo(path)
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            with file.open(info, "w", force_zip64=wide) as out:
                out.write(data * times)
    true = {path: data * times for path, (data, _, _, times) in members.items()}
    above = {"/".join(path.split("/")[:depth]) for path in true for depth in range(1, path.count("/") + 1)}
    with opened(buffer.getvalue(), tmp_path) as it:
        assert it.everything() == {path: data for path, data in true.items() if path not in above}
        assert len(it.refused()) == len(above & set(true))


def test_a_hundred_thousand_entries_take_no_time_worth_waiting(tmp_path: Path) -> None:
    """Not a measurement: a bound that only a wrong order of growth would pass."""
    entry = Part(b"", b"x", STORED)
    made = bytearray(entry.local())
    directory = bytearray()
    for number in range(100_000):
        entry.name, entry.start = b"a/%d" % number, 0
        directory += entry.entry()
    path = tmp_path / "it.zip"
    end = end_64(100_000, len(directory), len(made), len(made) + len(directory)) + end_record(0xFFFF, FULL, FULL)
    path.write_bytes(made + directory + end)
    began = time.monotonic()
    with path.open("rb") as file:
        found = find_directory(file.fileno(), path.stat().st_size)
        assert sum(1 for _ in entries(file.fileno(), found)) == 100_000
    it = Opened(path, tmp_path / "kept")  # every member lies over every other
    assert sum(1 for _ in it.index.refused()) == 100_000
    it.index.close()
    assert time.monotonic() - began < 30
