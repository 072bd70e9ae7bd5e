"""Opening members: what is kept for it on disk, who may take it away, and what crashes leave."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from pathlib import Path
from typing import Callable

import pytest

from cdbfs.errors import CdbfsError, GivenUp, NoSpace
from cdbfs.store.zips.inflated import kept, remove, sweep
from tests.store.zips.handmade import (
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
MEGABYTE = 2**20
REPOSITORY = Path(__file__).parents[3]


def large(size: int = 20 * MEGABYTE) -> bytes:
    """About 3:1."""
    source = random.Random(3)
    block = b"".join(source.randbytes(20) + b"and forty of text that does not change. " for _ in range(1000))
    return (block * (size // len(block) + 1))[:size]


def inflated(it: Opened) -> list[str]:
    return sorted(file.path.name for file in kept(it.directory))


def test_a_member_is_inflated_once(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", HELLO)), tmp_path) as it:
        assert it.read("a") == HELLO
        it.zip_path.unlink()
        assert it.read("a") == HELLO
        (name,) = inflated(it)
        assert name.endswith(f"-0.{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}")
        assert (it.directory / "members" / name).stat().st_mode & 0o777 == 0o600
        assert (it.directory / "members").stat().st_mode & 0o777 == 0o700


def test_a_stored_member_is_checked_once_and_read_in_place(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", HELLO, STORED), Part(b"b", HELLO, STORED)), tmp_path) as it:
        assert it.read("a") == HELLO
        with it.zip_path.open("r+b") as file:
            content = file.read()
            file.seek(content.index(HELLO))
            file.write(b"J")
            file.seek(content.rindex(HELLO))
            file.write(b"J")
        assert it.read("a") == b"J" + HELLO[1:]  # it was found right: not looked at again
        assert it.outcome("b") is CdbfsError
        assert inflated(it) == []
        for known in it.directory.glob("checked-*"):
            known.unlink()
        assert it.outcome("a") is CdbfsError


def test_what_was_kept_of_another_zip_is_not_taken(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", b"one", 8), Part(b"b", b"one", STORED)), tmp_path) as it:
        assert it.everything() == {"a": b"one", "b": b"one"}
    with opened(zipped(Part(b"a", b"two", 8), Part(b"b", b"two", STORED)), tmp_path) as it:
        assert it.everything() == {"a": b"two", "b": b"two"}


def test_a_large_member_is_brought_to_the_disk_in_the_background(tmp_path: Path) -> None:
    data = large()
    with opened(zipped(Part(b"a", data)), tmp_path) as it:
        jobs: list[Callable[[], None]] = []
        it.members = it.members_anew(boot="this-boot")
        it.members._later = jobs.append
        assert it.read("a") == data
        assert inflated(it)[0].endswith("-0.this-boot")
        jobs[0]()
        assert inflated(it)[0].endswith("-0")
        jobs[0]()  # it may have been done already
        it.zip_path.unlink()
        it.members = it.members_anew(boot="another")
        assert it.read("a") == data
        assert remove(it.directory / "members" / inflated(it)[0])
        jobs[0]()  # or it was taken away meanwhile
        assert inflated(it) == []


def test_a_file_of_another_process_that_was_not_synced_is_not_called_so(tmp_path: Path) -> None:
    """While one file is synced, another takes its place."""
    data = large()
    with opened(zipped(Part(b"a", data)), tmp_path) as it:
        files = it.members_anew(boot="now")._files
        it.members = it.members_anew(boot="now")
        with files.writing(0) as descriptor:
            os.write(descriptor, data)
        (name,) = inflated(it)
        path = it.directory / "members" / name
        first = os.open(path, os.O_RDONLY)
        with files.writing(0) as other:
            os.write(other, b"x" * len(data))
        with pytest.raises(OSError):  # noqa: PT011 - any
            files._link(first, 0)
        assert inflated(it) == [name]
        for each in (descriptor, first, other):
            os.close(each)


def test_files_of_another_boot_are_not_trusted(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", HELLO)), tmp_path) as it:
        it.members = it.members_anew(boot="before")
        assert it.read("a") == HELLO
        (name,) = inflated(it)
        (it.directory / "members" / name).write_bytes(b"\0" * len(HELLO))  # as a crash may leave it
        it.members = it.members_anew(boot="after")
        assert it.read("a") == HELLO
        assert len(inflated(it)) == 2
        sweep(it.directory)
        assert inflated(it) == []  # neither is of the real boot
        it.members = it.members_anew()
        assert it.read("a") == HELLO
        sweep(it.directory)
        assert len(inflated(it)) == 1


def test_where_the_boot_is_not_known_the_first_reader_waits_for_the_disk(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", HELLO)), tmp_path) as it:
        it.members = it.members_anew(boot="")
        assert it.read("a") == HELLO
        assert inflated(it)[0].endswith("-0")
        it.zip_path.unlink()
        assert it.read("a") == HELLO


def test_a_file_of_another_size_is_made_anew(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", HELLO)), tmp_path) as it:
        assert it.read("a") == HELLO
        path = it.directory / "members" / inflated(it)[0]
        for wrong in (b"", HELLO[1:], HELLO + b"x"):
            path.write_bytes(wrong)
            assert it.read("a") == HELLO
        path.unlink()
        path.symlink_to(it.zip_path)
        assert it.read("a") == HELLO
        path.unlink()
        os.mkfifo(path)
        assert it.read("a") == HELLO


def test_an_open_member_is_pinned_and_stays_readable(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", HELLO)), tmp_path) as it:
        member = it.members.open(it.member("a"))
        (file,) = kept(it.directory)
        assert file.size >= len(HELLO)
        assert time.time() - file.used < 60
        assert not remove(file.path)
        second = it.members.open(it.member("a"))
        member.close()
        assert not remove(file.path)
        file.path.unlink()
        assert second.read(5, 0) == b"hello"
        second.close()
        assert it.read("a") == HELLO
        assert remove(file.path)
        assert remove(file.path)
        assert it.read("a") == HELLO


def test_a_file_that_is_just_being_removed_is_not_taken(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", HELLO)), tmp_path) as it:
        assert it.read("a") == HELLO
        (file,) = kept(it.directory)
        with file.path.open("rb") as evictor:
            fcntl.flock(evictor, fcntl.LOCK_EX)
            inode = os.fstat(evictor.fileno()).st_ino
            found = it.members.open(it.member("a"))
            assert os.fstat(found.descriptor).st_ino != inode
            assert found.read(len(HELLO), 0) == HELLO
            found.close()


def test_it_is_given_up_when_it_is_not_wanted_any_more(tmp_path: Path) -> None:
    data = large()
    with opened(zipped(Part(b"a", data), Part(b"b", data, STORED)), tmp_path) as it:
        for name in ("a", "b"):
            calls = iter([False] * 7 + [True])
            with pytest.raises(GivenUp):
                it.members.open(it.member(name), calls.__next__)
        assert inflated(it) == []
        assert it.read("a") == it.read("b") == data


def test_no_room_is_told_as_such(tmp_path: Path) -> None:
    def refuse(size: int) -> None:
        raise NoSpace(f"no {size} bytes")

    with opened(zipped(Part(b"a", HELLO)), tmp_path) as it:
        it.members = it.members_anew(make_room=refuse)
        with pytest.raises(NoSpace, match="no 600 bytes"):
            it.read("a")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from typing import Callable
from cdbfs.errors import CdbfsError
from tests.store.zips.handmade import Opened
it = Opened(Path(sys.argv[1]), Path(sys.argv[2]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
for name in ("small", "large"):
    try:
        it.read(name)
        print("read", name)
    except CdbfsError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("size", [700_000, 3 * MEGABYTE])  # below, and above what is reserved before
def test_a_full_disk_leaves_nothing(tmp_path: Path, size: int) -> None:
    path = tmp_path / "it.zip"
    path.write_bytes(zipped(Part(b"small", HELLO), Part(b"large", large(size))))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path, tmp_path / "kept"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["read small", "NoSpace this member cannot be unpacked: File too large"], (
        done
    )
    assert len(list((tmp_path / "kept/members").iterdir())) == 1


def test_files_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", HELLO), Part(b"b", HELLO, STORED)), tmp_path) as it:
        (it.directory / "members").write_bytes(b"")
        with pytest.raises(CdbfsError, match="cannot be unpacked"):
            it.read("a")
        assert it.read("b") == HELLO
        assert list(kept(it.directory)) == []


def test_a_zip_that_is_gone_or_cut_is_told(tmp_path: Path) -> None:
    content = zipped(Part(b"a", HELLO), Part(b"b", HELLO, STORED))
    with opened(content, tmp_path) as it:
        for length in (0, 10, 33, 40, content.index(HELLO) + 5):
            os.truncate(it.zip_path, length)
            assert it.outcome("b") is CdbfsError
            assert length > 40 or it.outcome("a") is CdbfsError
        it.zip_path.unlink()
        with pytest.raises(FileNotFoundError):  # what open_zip says goes up as it is
            it.members.open(it.member("b"))


def test_eight_threads_open_the_same_member(tmp_path: Path) -> None:
    data = large()
    with opened(zipped(Part(b"a", data), Part(b"b", data, STORED)), tmp_path) as it:
        results: list[object] = []

        def read(name: str) -> None:
            results.append(it.outcome(name) == data)

        threads = [threading.Thread(target=read, args=("ab"[number % 2],)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True] * 16
        assert len(inflated(it)) == 1


def test_members_go_while_they_are_read(tmp_path: Path) -> None:
    """One thread removes whatever it may, others read; nobody sees anything but the right bytes."""
    names = [f"m{number}" for number in range(5)]
    parts = {name: (name * 1000).encode() for name in names}
    with opened(zipped(*[Part(name.encode(), data) for name, data in parts.items()]), tmp_path) as it:
        ended = threading.Event()
        wrong: list[object] = []

        def evict() -> None:
            while not ended.is_set():
                for file in kept(it.directory):
                    remove(file.path)

        def read(seed: int) -> None:
            source = random.Random(seed)
            for _ in range(200):
                name = source.choice(names)
                found = it.outcome(name)
                if found != parts[name]:
                    wrong.append((name, found))

        evictor = threading.Thread(target=evict)
        readers = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        evictor.start()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        ended.set()
        evictor.join()
        assert wrong == []


KILLED = """
import sys
from pathlib import Path
from typing import Callable
from tests.store.zips.handmade import Opened
it = Opened(Path(sys.argv[1]), Path(sys.argv[2]))
print("begins", flush=True)
while True:
    it.read("a")
    for path in (Path(sys.argv[2]) / "members").iterdir():
        path.unlink()
"""


def test_a_process_killed_in_the_middle_leaves_nothing_trusted(tmp_path: Path) -> None:
    data = large()
    path = tmp_path / "it.zip"
    path.write_bytes(zipped(Part(b"a", data)))
    source = random.Random(5)
    for _ in range(6):
        running = subprocess.Popen(
            [sys.executable, "-c", KILLED, path, tmp_path / "kept"],
            cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == "begins\n"
        time.sleep(source.random() * 0.1)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        it = Opened(path, tmp_path / "kept")
        assert it.read("a") == data
        it.index.close()
    for part in it.left_over():  # a minute later
        os.utime(it.directory / "members" / part, (0, 0))
    sweep(it.directory)
    assert it.left_over() == []
    assert len(inflated(it)) == 1


def test_a_part_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    with opened(zipped(Part(b"a", HELLO)), tmp_path) as it:
        with it.members._files.writing(0) as descriptor:
            os.utime(descriptor, (0, 0))
            sweep(it.directory)
            assert len(it.left_over()) == 1
            os.write(descriptor, HELLO)
        os.close(descriptor)
        assert it.read("a") == HELLO


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    parts = [
        Part(b"a", HELLO),
        Part(b"b", HELLO, STORED),
        Part(b"c", HELLO, crc=1),
        Part(b"d", HELLO, STORED, crc=1),
    ]
    with opened(zipped(*parts, Part(b"e", HELLO, local_name=b"f")), tmp_path) as it:
        it.everything()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            it.everything()
        assert len(os.listdir("/proc/self/fd")) == before


SPARSE = 4 * 2**30 + 12_345


def test_a_stored_member_of_over_4_gib(tmp_path: Path) -> None:
    """Sparse, so that it takes no room; the members behind it begin beyond 32 bits."""
    path = tmp_path / "it.zip"
    chunk = bytes(64 * MEGABYTE)
    crc = 0
    for _ in range(SPARSE // len(chunk)):
        crc = zlib.crc32(chunk, crc)
    crc = zlib.crc32(chunk[: SPARSE % len(chunk)], crc)
    head = Part(b"large", b"", STORED)
    first = head.local()
    with path.open("wb") as file:
        file.write(first)
        file.seek(SPARSE, os.SEEK_CUR)
        file.truncate()
        end = file.tell()
        after = Part(b"after", HELLO)
        file.write(after.local())
        wide = Part(
            b"large", b"", STORED, crc=crc, size=FULL, packed=FULL, extra=extra(1, numbers(SPARSE, SPARSE))
        )
        behind = Part(b"after", HELLO, start=FULL, extra=extra(1, numbers(end)))
        place = file.tell()
        directory = wide.entry() + behind.entry()
        file.write(
            directory + end_64(2, len(directory), place, place + len(directory)) + end_record(2, FULL, FULL)
        )
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("large").file_size == SPARSE
    it = Opened(path, tmp_path / "kept")
    assert it.read("after") == HELLO
    began = time.monotonic()
    member = it.members.open(it.member("large"))
    first_time = time.monotonic() - began
    assert member.size == SPARSE
    assert member.read(100, SPARSE - 50) == bytes(50)
    member.close()
    began = time.monotonic()
    it.members.open(it.member("large")).close()
    assert time.monotonic() - began < max(0.5, first_time)
    it.index.close()


@pytest.mark.full
def test_a_deflated_member_of_over_4_gib(tmp_path: Path) -> None:
    path = tmp_path / "it.zip"
    block = large(8 * MEGABYTE)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("a", "w", force_zip64=True) as out,
    ):
        for _ in range(520):
            out.write(block)
        out.write(b"end")
    it = Opened(path, tmp_path / "kept")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    member = it.members.open(it.member("a"))
    assert member.size == 520 * len(block) + 3
    assert member.read(10, 520 * len(block)) == b"end"
    assert member.read(len(block), 519 * len(block)) == block
    member.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    it.index.close()
