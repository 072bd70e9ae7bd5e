"""The member index on disk: it outlives its zip, and one that cannot be trusted counts as absent."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import threading
from datetime import timezone
from pathlib import Path

import pytest

from cdbfs.errors import CdbfsError, GivenUp, NoSuchName
from cdbfs.store.zips import building
from cdbfs.store.zips.index import DIRECTORY, Index, Member
from tests.store.zips.handmade import STORED, Part, opened, zipped

HELLO = b"hello\n" * 100


def some_zip() -> bytes:
    return zipped(*[Part(b"d%d/f%d" % (number % 7, number), b"%d" % number) for number in range(500)])


def build(content: bytes, scratch: Path, identity: str = "one") -> Path:
    path = scratch / "it.zip"
    path.write_bytes(content)
    with path.open("rb") as file:
        Index.build(file.fileno(), len(content), scratch / "index", identity, timezone.utc, 1000).close()
    return scratch / "index"


def test_it_outlives_its_zip(tmp_path: Path) -> None:
    path = build(some_zip(), tmp_path)
    (tmp_path / "it.zip").unlink()
    index = Index.load(path, "one")
    assert index is not None
    top = index.entries("")
    assert (sorted(top.directories), top.files) == ([f"d{number}" for number in range(7)], [])
    assert len(index.entries("d3").files) == 71
    member = index.find("d3/f3")
    assert isinstance(member, Member)
    assert (member.number, member.size) == (3, 1)
    assert index.find("d3") is DIRECTORY
    index.close()
    with pytest.raises(CdbfsError, match="not in use"):
        index.entries("")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_what_can_be_trusted_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Index.load(tmp_path / "index", "one") is None
    path = build(some_zip(), tmp_path)
    good = path.read_bytes()
    assert Index.load(path, "two") is None
    for wrong in (
        b"",
        b"x",
        b"SQLite format 3\0",
        good[:-1],
        good[: len(good) // 2],
        good + b"x",
        bytes(len(good)),
    ):
        path.write_bytes(wrong)
        assert Index.load(path, "one") is None, len(wrong)
    for place in range(0, len(good), 997):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert Index.load(path, "one") is None, place
    path.write_bytes(good)
    monkeypatch.setattr(building, "VERSION", building.VERSION + 1)
    assert Index.load(path, "one") is None
    path.unlink()
    path.symlink_to("elsewhere")
    assert Index.load(path, "one") is None
    path.unlink()
    os.mkfifo(path)
    assert Index.load(path, "one") is None
    path.unlink()
    path.mkdir()
    assert Index.load(path, "one") is None


def test_a_new_one_takes_the_place_of_the_old_which_stays_readable(tmp_path: Path) -> None:
    path = build(some_zip(), tmp_path)
    old = Index.load(path, "one")
    assert old is not None
    build(zipped(Part(b"a", HELLO)), tmp_path, "two")
    assert Index.load(path, "one") is None
    new = Index.load(path, "two")
    assert new is not None
    assert new.entries("") == ([], ["a"])
    path.unlink()
    assert len(old.entries("d1").files) == 72
    assert new.find("a") is not None
    old.close()
    new.close()


def test_a_build_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = build(some_zip(), tmp_path)
    before = path.read_bytes()
    with pytest.raises(CdbfsError):
        build(b"no zip", tmp_path, "two")
    with (tmp_path / "it.zip").open("wb") as file:
        file.write(some_zip())
    with (tmp_path / "it.zip").open("rb") as file, pytest.raises(GivenUp):
        Index.build(file.fileno(), len(some_zip()), path, "two", timezone.utc, 1000, lambda: True)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["index", "it.zip"]


FULL_DISK = """
import resource, signal, sys
from datetime import timezone
from pathlib import Path
from cdbfs.errors import CdbfsError
from cdbfs.store.zips.index import Index
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
zipped = Path(sys.argv[1])
try:
    with zipped.open("rb") as file:
        Index.build(file.fileno(), zipped.stat().st_size, zipped.parent / "index", "it", timezone.utc, 1000)
except CdbfsError as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "it.zip"
    path.write_bytes(zipped(*[Part(b"d/%0200d" % number, b"", STORED) for number in range(2000)]))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout
    assert [entry.name for entry in tmp_path.iterdir()] == ["it.zip"]


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "it.zip").write_bytes(some_zip())
    (tmp_path / "file").write_bytes(b"")
    with (tmp_path / "it.zip").open("rb") as file, pytest.raises(CdbfsError, match="cannot be written"):
        Index.build(file.fileno(), len(some_zip()), tmp_path / "file/index", "it", timezone.utc, 1000)


@pytest.mark.parametrize("name", ["plain", "a b%20?mode=rw#x&y", "ü", "\udcff", "'\""])
def test_it_may_lie_anywhere(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    index = Index.load(build(zipped(Part(b"a", HELLO)), directory), "one")
    assert index is not None
    assert index.entries("") == ([], ["a"])
    index.close()


def test_many_threads_ask_at_once(tmp_path: Path) -> None:
    path = build(some_zip(), tmp_path)
    index = Index.load(path, "one")
    assert index is not None
    wrong: list[object] = []

    def ask(seed: int) -> None:
        for step in range(300):
            number = (seed * 61 + step * 7) % 500
            found = index.find(f"d{number % 7}/f{number}")
            if not isinstance(found, Member) or found.number != number:
                wrong.append((number, found))
            if len(index.entries(f"d{number % 7}").files) not in (71, 72):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    index.close()


def test_one_that_nobody_refers_to_closes(tmp_path: Path) -> None:
    path = build(some_zip(), tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        assert Index.load(path, "one") is not None
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_more_directories_than_are_remembered(tmp_path: Path) -> None:
    content = zipped(*[Part(b"a/%d/x" % number, b"", STORED) for number in range(2500)])
    with opened(content, tmp_path) as it:
        for _ in range(2):
            for number in range(2500):
                assert it.index.entries(f"a/{number}") == ([], ["x"])
        assert it.index.entries("a").directories
        with pytest.raises(NoSuchName):
            it.index.entries("a/2500")


def test_refused_ones_come_in_pages(tmp_path: Path) -> None:
    parts = [Part(b"d/%d" % number, b"x", STORED, flags=number % 2) for number in range(3000)]
    with opened(zipped(*parts), tmp_path) as it:
        refused = it.index.refused()
        assert next(refused)[0] == "d/1"
        assert it.index.find("d/2") is not None  # no connection is held meanwhile
        assert [name for name, _ in refused] == [f"d/{number}" for number in range(3, 3000, 2)]


MEMORY = """
import resource, sys, tracemalloc
from datetime import timezone
from pathlib import Path
from cdbfs.store.zips.index import Index
zipped, path = Path(sys.argv[1]), Path(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with zipped.open("rb") as file:
    index = Index.build(file.fileno(), zipped.stat().st_size, path, "it", timezone.utc, 1000)
built = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
tracemalloc.start()
assert len(index.entries("flat").files) == 50_000
for number in range(50_000):
    assert index.find(f"many/{number}/file") is not None
index.entries("many")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(built, tracemalloc.get_traced_memory()[0] // 1024, peak)
"""


def test_memory_is_bounded(tmp_path: Path) -> None:
    """100,000 members, half of them in one directory, half in as many; each is asked for."""
    path = tmp_path / "it.zip"
    parts = [Part(b"flat/%d" % number, b"", STORED) for number in range(50_000)]
    path.write_bytes(
        zipped(*parts, *[Part(b"many/%d/file" % number, b"", STORED) for number in range(50_000)], wide=True)
    )
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, path, tmp_path / "index"],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    built, held, all_together = map(int, done.stdout.split())
    assert built < 60_000
    assert held < 2_000
    assert all_together < 80_000


def test_it_is_the_same_after_it_is_loaded(tmp_path: Path) -> None:
    content = zipped(Part(b"a/b", HELLO), Part(b"a/c", HELLO, flags=1), Part(b"../d", HELLO))
    with opened(content, tmp_path) as it:
        loaded = Index.load(tmp_path / "kept/index", it.index.identity)
        assert loaded is not None
        assert dict(loaded.refused()) == it.refused()
        assert loaded.find("a/b") == it.index.find("a/b")
        assert it.refused().keys() == {"a/c", "../d"}
        loaded.close()
