"""Objects on disk: right or absent, private, and bounded over all mounts."""

from __future__ import annotations

import errno as codes
import os
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdbfs.errors import ConfigError
from cdbfs.events import Journal
from cdbfs.store.disk import PART, PART_SECONDS, SWEEP_AFTER, SWEEP_TO, DiskCache, Found, make_private, own

CAP = 10**6
NOW = 1_700_000_000.25
"""When these objects are written."""


def body_of(found: Found | None) -> bytes | None:
    return found.body if found else None


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def used(directory: Path) -> int:
    return sum(path.stat().st_size for path in files(directory))


@settings(deadline=None, max_examples=50)
@given(name=st.text(), version=st.text(), body=st.binary())
def test_what_was_written_is_read_by_another_mount(
    tmp_path_factory: pytest.TempPathFactory, name: str, version: str, body: bytes
) -> None:
    directory = tmp_path_factory.getbasetemp() / "disk"
    DiskCache(directory, CAP).write(name, version, body, NOW)
    assert DiskCache(directory, CAP).read(name, version) == Found(body, NOW)


def test_names_that_no_file_could_have_are_kept(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    for name in ("../../etc/passwd", "\udcff\0", "x" * 10_000):
        cache.write(name, "v\n", name.encode("utf-8", "replace"), NOW)
        assert body_of(cache.read(name, "v\n")) == name.encode("utf-8", "replace")
    assert all(tmp_path in path.parents for path in files(tmp_path))


def test_what_was_never_written_is_absent(tmp_path: Path) -> None:
    assert DiskCache(tmp_path, CAP).read("name", "v") is None
    assert DiskCache(tmp_path / "nowhere", CAP).read("name", "v") is None


def test_name_and_version_are_kept_apart(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    cache.write("a", "bc", b"1", NOW)
    assert [body_of(cache.read(*key)) for key in (("a", "bc"), ("ab", "c"), ("a", "b"), ("abc", ""))] == [
        b"1",
        None,
        None,
        None,
    ]


def test_an_object_written_again_is_the_last_one(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    for body in (b"long body", b"b"):
        cache.write("name", "v", body, NOW)
    assert cache.read("name", "v") == Found(b"b", NOW)
    assert len(files(tmp_path)) == 1


def test_an_object_cut_or_changed_anywhere_is_dropped_and_told(
    tmp_path: Path,
) -> None:
    journal = Journal()
    cache = DiskCache(tmp_path, CAP, journal)
    cache.write("name", "v", b"body", NOW)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    damaged = [whole[:end] for end in range(len(whole))]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for content in [*damaged, whole + b"x"]:
        path.write_bytes(content)
        assert cache.read("name", "v") is None
        assert not path.exists()
    (told,) = journal.failures()
    assert (told.errno, told.what, told.times) == (codes.EIO, "name", 2 * len(whole) + 1)
    assert "damaged" in told.reason
    cache.write("name", "v", b"body", NOW)
    assert cache.read("name", "v") == Found(b"body", NOW)


def test_the_object_of_another_name_in_its_place_is_dropped(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    cache.write("a", "v", b"of a", NOW)
    (place,) = files(tmp_path)
    cache.write("b", "v", b"of b", NOW)
    (other,) = (path for path in files(tmp_path) if path != place)
    os.replace(other, place)
    assert cache.read("a", "v") is None


def test_everything_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        DiskCache(tmp_path / "a" / "b" / "c", CAP).write("name", "v", b"body", NOW)
    finally:
        os.umask(before)
    made = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}


def test_make_private_leaves_a_directory_that_is_there_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path / "a")
    make_private(tmp_path / "a")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, tmp_path / "a")] == [0o755, 0o700]


def test_a_cache_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").touch(mode=0o600)
    for place in (tmp_path / "cache" / "below", tmp_path / "cache"):
        with pytest.raises(ConfigError, match=rf"^cache_dir={place} cannot be used"):
            own(place, "cache_dir")


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_cache_that_others_can_put_things_into_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(ConfigError, match="must be yours alone to write to"):
        own(tmp_path, "cache_dir")


def test_a_cache_of_somebody_else_is_refused(tmp_path: Path) -> None:
    theirs = Path("/usr")
    if os.geteuid() == 0:  # whose /usr is
        theirs = tmp_path
        theirs.chmod(0o700)
        os.chown(theirs, 12345, 12345)
    with pytest.raises(ConfigError, match="must be yours alone to write to"):
        own(theirs, "cache_dir")


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_cache_of_ones_own_is_taken_as_it_is(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    own(tmp_path, "cache_dir")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == mode


def test_a_cache_that_is_not_there_is_made_for_nobody_else(tmp_path: Path) -> None:
    own(tmp_path / "a" / "b", "cache_dir")
    assert [stat.S_IMODE((tmp_path / made).stat().st_mode) for made in ("a", "a/b")] == [0o700, 0o700]


def test_what_there_seems_to_be_is_told_without_reading_it(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    assert not cache.has("name", "v")
    cache.write("name", "v", b"body", NOW)
    assert [cache.has("name", "v"), cache.has("name", "w")] == [True, False]
    cache.drop("name", "v")
    assert not cache.has("name", "v")
    assert not DiskCache(tmp_path / "nowhere", CAP).has("name", "v")


def test_a_disk_that_takes_nothing_is_told_once_until_it_takes_something(tmp_path: Path) -> None:
    journal = Journal()
    cache = DiskCache(tmp_path / "place", CAP, journal)
    for turn in (1, 2):
        (tmp_path / "place").touch()
        for _ in range(3):
            cache.write("name", "v", b"body", NOW)
        assert cache.read("name", "v") is None
        (told,) = journal.failures()
        assert (told.errno, told.times) == (codes.EEXIST, turn)
        (tmp_path / "place").unlink()
        cache.write("name", "v", b"body", NOW)
        assert cache.read("name", "v") == Found(b"body", NOW)
        shutil.rmtree(tmp_path / "place")


def test_what_is_no_file_is_no_object_and_holds_nobody_up(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    cache.write("name", "v", b"body", NOW)
    (path,) = files(tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert cache.read("name", "v") is None
    path.mkdir()
    opened = len(os.listdir("/proc/self/fd"))
    assert cache.read("name", "v") is None
    assert len(os.listdir("/proc/self/fd")) == opened


def test_a_cache_that_may_not_be_looked_into_is_empty(tmp_path: Path) -> None:
    """As root in a process of another user: root may look into everything."""
    DiskCache(tmp_path, CAP).write("name", "v", b"body", NOW)
    (path,) = files(tmp_path)
    path.parent.chmod(0)
    try:
        if os.geteuid() == 0:
            os.seteuid(12345)
        cache = DiskCache(tmp_path, CAP)
        assert not cache.has("name", "v")
        assert cache.read("name", "v") is None
        cache.write("name", "v", b"body", NOW)
        cache.drop("name", "v")
    finally:
        if os.geteuid() != os.getuid():
            os.seteuid(os.getuid())
        path.parent.chmod(0o700)


def test_parts_of_writers_that_were_killed_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "00").mkdir()
    old, new = (tmp_path / "00" / f"{PART}{name}" for name in ("old", "new"))
    for part in (old, new):
        part.touch()
    os.utime(old, (time.time() - PART_SECONDS - 60,) * 2)
    DiskCache(tmp_path, CAP).write("name", "v", b"body", NOW)
    assert [old.exists(), new.exists()] == [False, True]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    cache.write("name", "v", b"body", NOW)
    (path,) = files(tmp_path)
    path.unlink()
    path.mkdir()
    (path / "in the way").touch()
    cache.write("name", "v", b"body", NOW)
    assert [found.name for found in files(tmp_path)] == ["in the way"]


def test_the_time_of_writing_is_kept_and_a_later_writing_has_a_later_one(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    for now in (0.0, NOW, NOW + 1e-3, -5.5):
        cache.write("name", "v", b"body", now)
        assert cache.read("name", "v") == Found(b"body", now)


def test_a_time_that_was_changed_by_hand_is_no_time(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    for written in (
        "0",
        '"1700000000.25"',
        "null",
        "NaN",
        "1e999",
        "[]",
        "1" * 400,
        "1700000001.25",
        "[" * 100_000,
    ):
        cache.write("name", "v", b"body", NOW)
        (path,) = files(tmp_path)
        path.write_bytes(path.read_bytes().replace(b"1700000000.25", written.encode()))
        assert cache.read("name", "v") is None, written


def test_what_was_dropped_is_absent_and_the_rest_stays(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, CAP)
    for version in ("1", "2"):
        cache.write("name", version, b"body", NOW)
    cache.drop("name", "1")
    assert cache.read("name", "1") is None
    assert cache.read("name", "2") == Found(b"body", NOW)
    cache.drop("name", "1")
    DiskCache(tmp_path / "nowhere", CAP).drop("name", "1")


def test_a_sweep_keeps_to_the_cap_and_takes_the_least_recently_used(tmp_path: Path) -> None:
    cap, size, before, after = 20_000, 500, 10, 40
    cache = DiskCache(tmp_path, cap)
    for number in range(before):
        cache.write(f"early {number}", "v", b"x" * size, NOW)
    cache.write("first", "v", b"x" * size, NOW)
    for path in files(tmp_path):
        os.utime(path, (0, 0))
    for number in range(after):
        cache.read("first", "v")
        cache.write(f"late {number}", "v", b"x" * size, NOW)
        # Heads count as well when a sweep looks, but not when it is decided whether to look.
        assert used(tmp_path) <= cap * (1 + 2 * SWEEP_AFTER)
    kept = [number for number in range(after) if cache.read(f"late {number}", "v")]
    assert used(tmp_path) > cap * SWEEP_TO - 2 * size
    assert cache.read("first", "v") is not None
    assert kept == list(range(kept[0], after))
    assert not any(cache.read(f"early {number}", "v") for number in range(before))


def test_a_sweep_is_due_by_what_was_written_and_not_by_how_often(tmp_path: Path) -> None:
    cap = 100_000
    cache = DiskCache(tmp_path, cap)
    cache.write("first", "v", b"", NOW)  # the first writing of a mount looks
    stray = tmp_path / "00" / "stray"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x" * cap)
    os.utime(stray, (0, 0))
    for number in range(20):
        cache.write(f"small {number}", "v", b"x" * 200, NOW)
    assert stray.exists()
    cache.write("large", "v", b"x" * 1000, NOW)
    assert not stray.exists()


def test_a_directory_under_its_cap_is_left_alone(tmp_path: Path) -> None:
    cap = 50_000
    for number in range(20):
        DiskCache(tmp_path, cap).write(str(number), "v", b"x" * 1000, NOW)
    assert len(files(tmp_path)) == 20


def test_an_object_larger_than_the_cap_costs_no_more_than_itself(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1000)
    cache.write("large", "v", b"x" * 5000, NOW)
    assert files(tmp_path) == []
    cache.write("small", "v", b"x", NOW)
    assert cache.read("small", "v") == Found(b"x", NOW)


def test_parts_that_nobody_finished_are_swept(tmp_path: Path) -> None:
    (tmp_path / "00").mkdir()
    part = tmp_path / "00" / ".part-abandoned"
    part.write_bytes(b"x" * 5000)
    os.utime(part, (0, 0))
    cache = DiskCache(tmp_path, 4000)
    cache.write("name", "v", b"x", NOW)
    assert not part.exists()
    assert cache.read("name", "v") == Found(b"x", NOW)


def test_many_short_mounts_keep_to_the_cap(tmp_path: Path) -> None:
    for mount in range(20):
        cache = DiskCache(tmp_path, 10_000)
        for number in range(10):
            cache.write(f"{mount} {number}", "v", b"x" * 1000, NOW)
    assert used(tmp_path) <= 10_000 * (1 + 2 * SWEEP_AFTER) + 1000


def test_readers_and_writers_at_once_never_see_half_an_object(tmp_path: Path) -> None:
    caches = [DiskCache(tmp_path, CAP) for _ in range(4)]
    bodies = [bytes([number]) * 50_000 for number in range(4)]
    seen: set[bytes | None] = set()

    def work(number: int) -> None:
        for _ in range(20):
            caches[number].write("name", "v", bodies[number], NOW)
            seen.add(body_of(caches[number].read("name", "v")))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= set(bodies)
