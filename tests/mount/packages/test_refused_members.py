"""Packages whose zips are odd, through a mount: what cannot be served is refused alone, and the rest is right."""

from __future__ import annotations

import io
import mmap
import os
import random
import stat
import subprocess
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cdbfs.store.zips import inflated
from tests.mount.failing import errno_name, wait_until
from tests.mount.packages.lab import EACH_LIBRARY, SUBJECT, Lab, content, data, lab
from tests.store.zips.handmade import DEFLATED, DOS, STORED, Part, deflated, zipped
from tests.tables import table

TABLE = table("members that are refused", "member", "errno", "reason in .cdbfs/errors")

ZEROS = 300 * 2**20
TEXT = b"right\n" * 5000
NOISE = random.Random(7).randbytes(3_000_000)


def _zeros() -> bytes:
    """A deflated run of zeros, near to the most that deflate can."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(2**20)
    return b"".join(packer.compress(block) for _ in range(ZEROS // len(block))) + packer.flush()


def _zeros_crc() -> int:
    crc, block = 0, bytes(2**20)
    for _ in range(ZEROS // len(block)):
        crc = zlib.crc32(block, crc)
    return crc


def good(name: str, method: int = DEFLATED, **more: object) -> Part:
    return Part(f"s/{name}".encode(), TEXT + name.encode(), method, **more)  # type: ignore[arg-type]


GOOD_NAMES = [
    "plain.txt",
    "with a space.txt",
    "comma,rfDC.nii",
    "[BT-diff].mat",
    'quote\'s "name".txt',
    "star*query?.txt",
    "back\\slash",
    "-rf",
    "new\nline",
    "\u65e5\u672c\u8a9e.csv",
    "deep/er/and/deeper.txt",
    "#hash~tilde%41",
    "trailing dot.",
    " leading",
]


def odd_zip() -> bytes:
    """Everything that is refused, between members that are not."""
    parts = [good(name, STORED if number % 2 else DEFLATED) for number, name in enumerate(GOOD_NAMES)]
    utf_8, latin = "s/K\u00e4se.csv".encode(), b"s/K\xe4se.latin"
    body = bytes(1000)
    wrong = zlib.crc32(b"something else")
    return zipped(
        *parts[:4],
        good("encrypted.txt", flags=1),
        Part(b"s/link", b"plain.txt", STORED, mode=stat.S_IFLNK | 0o777),
        Part(b"s/device", b"", STORED, mode=stat.S_IFCHR | 0o600),
        Part(b"s/fifo", b"", STORED, mode=stat.S_IFIFO | 0o600),
        *parts[4:8],
        Part(b"s/two.txt", b"one"),
        Part(b"s/two.txt", b"another"),
        Part(b"s/same.txt", TEXT),
        Part(b"s/same.txt", TEXT),
        Part(b"/etc/absolute", b"x"),
        Part(b"s/../../outside", b"x"),
        Part(b"../outside", b"x"),
        Part(b"s/./dot", b"x"),
        Part(b"C:/drive", b"x", host=DOS),
        Part(b"s//empty", b"x"),
        Part(b"s/nul\0name", b"x"),
        Part(b"s/" + b"n" * 300, b"x"),
        *parts[8:],
        good("over.txt", STORED),
        Part(b"s/lying.txt", b"x", STORED, start=10, local_name=b"s/plain.txt"),
        Part(b"s/bomb", b"", body=_ZEROS, size=ZEROS, crc=_ZEROS_CRC),
        Part(b"s/absurd", b"x", size=2**31),
        Part(b"s/crc stored", body, STORED, crc=wrong),
        Part(b"s/crc deflated", body, crc=wrong),
        Part(b"s/short", body, size=2000, crc=zlib.crc32(body)),
        Part(b"s/long", body, size=500, crc=zlib.crc32(body[:500])),
        Part(b"s/garbled", body, body=b"\xff" * 40),
        Part(b"s/cut", body, body=deflated(body)[:-3]),
        Part(b"s/bzip2", body, 12, body=b"BZh9"),
        Part(b"s/other name", body, STORED, local_name=b"s/another na"),
        Part(utf_8, TEXT, flags=0x800),
        Part(latin, TEXT),
    )


_ZEROS, _ZEROS_CRC = _zeros(), _zeros_crc()

REFUSED: Mapping[str, tuple[str, str]] = {
    "encrypted.txt": ("EACCES", "it is encrypted"),
    "link": ("EACCES", "it is a symbolic link"),
    "device": ("EIO", "it is no regular file"),
    "fifo": ("EIO", "it is no regular file"),
    "two.txt": ("EIO", "several different members of this name"),
    "lying.txt": ("EIO", "lies over another member"),
    "plain.txt": ("EIO", "lies over another member"),
    "bomb": ("EFBIG", "very many times its packed size"),
    "absurd": ("EIO", "contradicts itself"),
    "crc stored": ("EIO", "CRC is wrong"),
    "crc deflated": ("EIO", "CRC is wrong"),
    "short": ("EIO", "there are 1000"),
    "long": ("EIO", "longer than the 500 bytes"),
    "garbled": ("EIO", "cannot be unpacked"),
    "cut": ("EIO", "zip is damaged"),
    "bzip2": ("EIO", "method that cdbfs does not read"),
    "other name": ("EIO", "has another name"),
}
"""Shown, and refused when they are opened."""
NOT_SHOWN = {
    "/etc/absolute": "at the root",
    "s/../../outside": "holds . or ..",
    "../outside": "holds . or ..",
    "s/./dot": "holds . or ..",
    "C:/drive": "with a drive",
    "s//empty": "is empty",
    r"s/nul\x00name": "holds a NUL",
    "s/" + "n" * 300: "longer than",
}
SERVED: Mapping[bytes, bytes] = {
    **{name.encode(): TEXT + name.encode() for name in GOOD_NAMES if name not in REFUSED},
    b"over.txt": TEXT + b"over.txt",
    b"same.txt": TEXT,
    "K\u00e4se.csv".encode(): TEXT,
    b"K\xe4se.latin": TEXT,
}


def packages() -> dict[str, bytes]:
    odd = odd_zip()
    return {
        "odd": odd,
        "copied": odd,
        "none": b"this is no zip at all\n" * 1000,
        "truncated": content("truncated")[: len(content("truncated")) // 2],
        "empty": zipped(),
        "outside": zipped(Part(b"README", b"top\n"), Part(b"elsewhere/x.txt", TEXT)),
        "wide": wide(),
        "read": zipped(Part(b"s/stored", NOISE, STORED), Part(b"s/deflated", NOISE[::-1])),
    }


WIDE = 70_000


def wide() -> bytes:
    return zipped(*(Part(f"s/d{n % 7}/f{n:05}".encode(), b"%d\n" % n, STORED) for n in range(WIDE)), wide=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("odd"), data(packages())) as found:
        yield found


@EACH_LIBRARY
def test_what_is_refused_is_refused_alone(tmp_path: Path, library: str) -> None:
    with lab(tmp_path, data({"odd": odd_zip()}), fuse=library) as here:
        check_refused(here, table=library == "3")


def check_refused(here: Lab, *, table: bool) -> None:
    top = here.unpacked("odd") / SUBJECT
    shown = {os.fsencode(path.relative_to(top)) for path in top.rglob("*") if not path.is_dir()}
    assert shown == {*SERVED, *(name.encode() for name in REFUSED)}
    assert os.listdir(here.unpacked("odd")) == [SUBJECT]
    for raw, expected in SERVED.items():
        path = top / os.fsdecode(raw)
        assert path.read_bytes() == expected, raw
        assert path.stat().st_size == len(expected)
    for name, (number, _) in REFUSED.items():
        with pytest.raises(OSError, match="Errno") as caught:
            (top / name).read_bytes()
        assert errno_name(caught.value) == number, name
    for name, (number, reason) in REFUSED.items():
        told, why = here.told(top / name, reason)
        assert told == number
        if table:
            TABLE.add(name, number, why)
    for name in ("link", "device", "fifo"):
        assert stat.S_ISREG((top / name).lstat().st_mode)
    assert here.server.ascp_sessions == 1


def test_what_has_no_place_is_told(shared: Lab) -> None:
    top = shared.unpacked("odd")
    assert len(os.listdir(top / SUBJECT)) > 20
    lines = (shared.point / ".cdbfs/errors").read_text().splitlines()
    for name, reason in NOT_SHOWN.items():
        (line,) = [line for line in lines if f" s_odd.zip: {name}: " in line]
        assert reason in line
        TABLE.add(name[:20], "not shown", line.rpartition(": ")[2])
    for path in ("etc", "outside", "../outside", "s/nul", "s/empty", "s/dot", "C:"):
        assert not os.path.lexists(top / path), path


def test_cp_and_tar_copy_the_rest(shared: Lab, tmp_path: Path) -> None:
    top = shared.unpacked("copied") / SUBJECT
    assert len(os.listdir(top)) > 20
    copied = subprocess.run(["cp", "-r", str(top), str(tmp_path / "copy")], capture_output=True, check=False)
    assert copied.returncode == 1
    assert len(copied.stderr.splitlines()) == len(REFUSED)
    check_copy(tmp_path / "copy")
    packed = subprocess.run(["tar", "-cf", "-", SUBJECT], cwd=top.parent, capture_output=True, check=False)
    assert packed.returncode == 2
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        found = {
            os.fsencode(member.name)[2:]: held.read()
            for member in archive
            if (held := archive.extractfile(member)) is not None
        }
    assert found == SERVED


def check_copy(top: Path) -> None:
    found = {os.fsencode(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
    assert {name: data for name, data in found.items() if name.decode("latin-1") not in REFUSED} == SERVED
    for name, held in found.items():
        assert name in SERVED or held == b"", name


@pytest.mark.parametrize("name", ["none", "truncated"])
def test_a_file_that_is_no_zip_is_served_as_it_is(name: str, shared: Lab) -> None:
    assert shared.zip(name).read_bytes() == packages_held(shared, name)
    top = shared.unpacked(name)
    for look in (top, top / SUBJECT, top / SUBJECT / "x.txt"):
        with pytest.raises(OSError, match="Errno 5"):
            os.listdir(look)
    _, reason = shared.told(
        top, "the zip cannot be read: it has no end record: it is no zip, or its end is missing"
    )
    TABLE.add(f"a zip that is none ({name})", "EIO", reason)
    assert shared.unpacked(name).name in os.listdir(top.parent)
    assert shared.zip(name).read_bytes() == packages_held(shared, name)


def packages_held(here: Lab, name: str) -> bytes:
    return here.server.package(SUBJECT, name).read_bytes()


def test_a_file_that_is_no_zip_and_is_not_here_yet(tmp_path: Path) -> None:
    with lab(tmp_path, data({"none": b"nothing\n"})) as here:
        with pytest.raises(OSError, match="Errno 5"):
            (here.unpacked("none") / SUBJECT / "x.txt").read_bytes()
        here.told(here.unpacked("none") / SUBJECT / "x.txt", "it is no zip")
        assert here.server.ascp_sessions == 1


def test_a_zip_without_members_and_one_without_the_subject(shared: Lab) -> None:
    assert shared.zip("empty").read_bytes() == zipped()
    assert os.listdir(shared.unpacked("empty")) == []
    top = shared.unpacked("outside")
    assert os.listdir(top) == [SUBJECT]
    with pytest.raises(FileNotFoundError):
        os.listdir(top / SUBJECT)
    assert sorted(os.listdir(top)) == ["README", "elsewhere"]
    assert (top / "README").read_bytes() == b"top\n"
    assert (top / "elsewhere/x.txt").read_bytes() == TEXT


def test_a_zip_of_seventy_thousand_members(shared: Lab) -> None:
    top = shared.unpacked("wide") / SUBJECT
    found = {entry.name: len(os.listdir(entry.path)) for entry in os.scandir(top)}
    assert found == {f"d{number}": WIDE // 7 for number in range(7)}
    for number in (0, 65_535, 65_536, WIDE - 1):
        assert (top / f"d{number % 7}/f{number:05}").read_bytes() == b"%d\n" % number
    listed = subprocess.run(["find", str(top), "-type", "f"], capture_output=True, check=True).stdout
    assert listed.count(b"\n") == WIDE
    assert not (top / "d0/f70000").exists()


@pytest.mark.parametrize(("name", "expected"), [("stored", NOISE), ("deflated", NOISE[::-1])])
def test_a_member_is_read_at_random_and_mapped(name: str, expected: bytes, shared: Lab) -> None:
    chance = random.Random(name)
    with (shared.unpacked("read") / SUBJECT / name).open("rb", buffering=0) as file:
        for _ in range(300):
            start, size = chance.randrange(len(expected) + 5000), chance.choice([1, 17, 4096, 70_000, 500_000])
            assert os.pread(file.fileno(), size, start) == expected[start : start + size]
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert len(mapped) == len(expected)
            for _ in range(300):
                start = chance.randrange(len(expected))
                assert mapped[start : start + 100] == expected[start : start + 100]
            assert mapped[:] == expected
        assert os.lseek(file.fileno(), 0, os.SEEK_END) == len(expected)
        assert os.pread(file.fileno(), 10, len(expected)) == b""


# -- after the zip has gone --------------------------------------------------------------------------------------


def evict(here: Lab, name: str, *, members: bool = False) -> None:
    """What the store does for space; nobody may have them open."""
    (zip_file,) = here.cache.glob(f"packages/*/objects/{SUBJECT},{name}/package.zip")
    kept = sorted(zip_file.parent.glob("members/*")) if members else []
    for path in (zip_file, *kept):
        wait_until(lambda path=path: inflated.remove(path))  # type: ignore[misc]


@EACH_LIBRARY
def test_what_is_known_of_members_outlives_the_zip(tmp_path: Path, library: str) -> None:
    parts = {"one": TEXT * 50, "two": TEXT * 60, "three": NOISE[:100_000]}
    held = zipped(*(Part(f"s/{n}".encode(), d, STORED if n == "three" else DEFLATED) for n, d in parts.items()))
    with lab(tmp_path, data({"x": held}), fuse=library) as here:
        top = here.unpacked("x") / SUBJECT
        assert (top / "one").read_bytes() == parts["one"]
        evict(here, "x")
        here.server.reset_counts()
        assert here.unpacked("x").name not in os.listdir(here.unpacked("x").parent)
        assert sorted(os.listdir(top)) == sorted(parts)
        assert {name: (top / name).stat().st_size for name in parts} == {n: len(d) for n, d in parts.items()}
        assert not (top / "four").exists()
        assert (top / "one").read_bytes() == parts["one"]
        assert here.zip("x").stat().st_size == len(held)
        assert here.server.ascp_sessions == here.server.counts().get("POST /spring/download transfer", 0) == 0
        assert (top / "three").read_bytes() == parts["three"]
        assert (top / "two").read_bytes() == parts["two"]
        assert here.server.ascp_sessions == 1


def _versions(size: int) -> list[dict[str, bytes]]:
    """Members of two versions of a package, of the same sizes and times, in another order, with other bytes."""
    made = [{n: random.Random(f"{n} {version}").randbytes(size) for n in ("a", "b")} for version in range(2)]
    return [made[0], {"b": made[1]["b"], "a": made[1]["a"]}]


def published(members: Mapping[str, bytes], method: int) -> bytes:
    return zipped(*(Part(f"s/{name}".encode(), held, method) for name, held in members.items()))


@pytest.mark.parametrize("method", [STORED, DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("pause", [0.0, 3.0], ids=["at once", "later"])
@EACH_LIBRARY
def test_a_package_published_anew_is_the_new_one(method: int, pause: float, tmp_path: Path, library: str) -> None:
    """Whatever the kernel and we remember of the one before; sizes and times are the same."""
    old, new = _versions(400_000)
    with lab(tmp_path, data({"x": published(old, method)}), fuse=library) as here:
        top = here.unpacked("x") / SUBJECT
        assert {name: (top / name).read_bytes() for name in old} == old
        assert here.zip("x").read_bytes() == published(old, method)
        evict(here, "x", members=True)
        here.server.replace(data({"x": published(new, method)}))
        time.sleep(pause)
        assert (top / "a").read_bytes() == new["a"]
        assert (top / "b").read_bytes() == new["b"]
        assert here.zip("x").read_bytes() == published(new, method)
        assert here.server.ascp_sessions == 2


@pytest.mark.parametrize("first", ["a", "zip"])
def test_a_package_published_anew_with_other_members(first: str, tmp_path: Path) -> None:
    old = {"a": TEXT, "gone": TEXT}
    new = {"c": NOISE[:5000], "a": TEXT * 3}
    with lab(tmp_path, data({"x": published(old, DEFLATED)})) as here:
        top = here.unpacked("x") / SUBJECT
        assert (top / "a").read_bytes() == TEXT
        assert (top / "gone").stat().st_size == len(TEXT)
        evict(here, "x", members=True)
        here.server.replace(data({"x": published(new, DEFLATED)}))
        if first == "zip":
            assert here.zip("x").read_bytes() == published(new, DEFLATED)
            wait_until(lambda: not (top / "gone").exists())  # the kernel knows a name for a second
        else:
            with pytest.raises(FileNotFoundError):
                (top / "gone").read_bytes()
        assert (top / "a").read_bytes() == TEXT * 3
        assert (top / "a").stat().st_size == 3 * len(TEXT)
        assert sorted(os.listdir(top)) == ["a", "c"]
        assert here.server.ascp_sessions == 2


@EACH_LIBRARY
def test_who_has_a_member_open_keeps_its_version(tmp_path: Path, library: str) -> None:
    old, new = _versions(400_000)
    with lab(tmp_path, data({"x": published(old, DEFLATED)}), fuse=library) as here:
        path = here.unpacked("x") / SUBJECT / "a"
        with path.open("rb", buffering=0) as file:
            assert os.pread(file.fileno(), 1000, 0) == old["a"][:1000]
            evict(here, "x")
            here.server.replace(data({"x": published(new, DEFLATED)}))
            assert here.zip("x").read_bytes() == published(new, DEFLATED)
            with path.open("rb", buffering=0) as another:
                assert os.pread(another.fileno(), 200_000, 0) == new["a"][:200_000]
                assert os.pread(file.fileno(), 400_000, 0) == old["a"]
                assert os.pread(another.fileno(), 400_000, 0) == new["a"]
        assert path.read_bytes() == new["a"]
        assert here.server.ascp_sessions == 2
