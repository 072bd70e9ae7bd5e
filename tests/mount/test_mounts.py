"""What the kernel says of mounts, read byte for byte, and paths made real without looking into mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdbfs.errors import ConfigError
from cdbfs.mount import mounts
from cdbfs.mount.mounts import is_mounted, real_path, unmount


@pytest.fixture
def mountinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the place of /proc/self/mountinfo."""
    file = tmp_path / "mountinfo"
    file.touch()
    monkeypatch.setattr(mounts, "MOUNTINFO", file)
    return file


def line(
    point: str, kind: str = "fuse.cdbfs", optional: str = "shared:3 master:7", source: str = "cdbfs"
) -> bytes:
    """A line as proc(5) has it; the kernel escapes these four in names, and nothing else."""
    for character in "\\ \t\n":
        point = point.replace(character, f"\\{ord(character):03o}")
    fields = " ".join(["36 35 98:0 /", point, "rw,noatime", *optional.split()])
    return os.fsencode(f"{fields} - {kind} {source} rw,user_id=0\n")


ODD = [
    "/mnt/a b",
    "/mnt/a\tb",
    "/mnt/a\nb",
    "/mnt/a\\b",
    "/mnt/a\\040b",
    "/mnt/a - b",
    "/mnt/a\x0bb",
    "/mnt/a\x0cb",
    "/mnt/a\rb",
    "/mnt/a\x1c\x1d\x1eb",
    "/mnt/a\x85b",
    "/mnt/a\u2028b\u2029",
    "/mnt/a\xa0b",
    "/mnt/ü€\U0001f600",
    "/mnt/a\udcff\udc85b",
    "/mnt/-",
    "/mnt/ ",
    "/mnt/\n",
    "/mnt/#'\"$*",
    "/",
]


@pytest.mark.parametrize("point", ODD, ids=ascii)
def test_a_mount_of_an_odd_name_is_found_and_no_part_of_its_name(mountinfo: Path, point: str) -> None:
    mountinfo.write_bytes(line("/", "ext4") + line(point) + line("/mnt/other", "tmpfs"))
    assert is_mounted(point)
    for other in {"/mnt", "/mnt/a", "/mnt/b", "/mnt/other", point + "b", point[:-1]} - {point}:
        assert not is_mounted(other)


@pytest.mark.parametrize(
    ("escaped", "point"),
    [
        (rb"/a\040b", "/a b"),
        (rb"/a\011b", "/a\tb"),
        (rb"/a\012b", "/a\nb"),
        (rb"/a\134b", "/a\\b"),
        (rb"/a\134040b", "/a\\040b"),
        (rb"/a\043b", "/a#b"),
        (rb"/\040\040", "/  "),
    ],
)
def test_octal_escapes_are_undone_once(mountinfo: Path, escaped: bytes, point: str) -> None:
    mountinfo.write_bytes(b"36 35 98:0 / " + escaped + b" rw - fuse.cdbfs cdbfs rw\n")
    assert is_mounted(point)
    assert not is_mounted(os.fsdecode(escaped))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=8).map(lambda name: b"/" + name.replace(b"\0", b"")), max_size=4))
def test_any_names_side_by_side_are_found(mountinfo: Path, names: list[bytes]) -> None:
    points = [os.fsdecode(name) for name in names]
    mountinfo.write_bytes(b"".join(map(line, points)))
    assert all(map(is_mounted, points))
    assert not is_mounted("/never/there")


@pytest.mark.parametrize("optional", ["", "shared:3", "shared:3 master:7 propagate_from:2 unbindable"])
def test_any_number_of_optional_fields_is_skipped(mountinfo: Path, optional: str) -> None:
    mountinfo.write_bytes(line("/m", optional=optional))
    assert is_mounted("/m")


@pytest.mark.parametrize("source", ["https://db.example.org", "a\\040-\\040b", ""])
def test_any_source_is_skipped(mountinfo: Path, source: str) -> None:
    mountinfo.write_bytes(line("/m", source=source))
    assert is_mounted("/m")


@pytest.mark.parametrize("kind", ["fuse", "fuse.sshfs", "fuse.cdbfs2", "ext4", "cdbfs"])
def test_a_mount_of_another_kind_is_none_of_ours(mountinfo: Path, kind: str) -> None:
    mountinfo.write_bytes(line("/m", kind))
    assert not is_mounted("/m")
    with pytest.raises(ConfigError, match="no cdbfs is mounted on /m"):
        unmount("/m")


def test_the_topmost_of_several_mounts_counts(mountinfo: Path) -> None:
    mountinfo.write_bytes(line("/m") + line("/m", "tmpfs"))
    assert not is_mounted("/m")
    mountinfo.write_bytes(line("/m", "tmpfs") + line("/m"))
    assert is_mounted("/m")


@pytest.mark.parametrize("content", [b"", b"\n", b"garbage\n", b"36 35 98:0 / /m rw\n"])
def test_what_is_no_mount_is_none(mountinfo: Path, content: bytes) -> None:
    mountinfo.write_bytes(content)
    assert not is_mounted("/m")


def test_the_mounts_of_this_machine_can_be_read() -> None:
    assert not is_mounted("/")
    assert not is_mounted("/proc")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory without links above it, to be in."""
    found = Path(os.path.realpath(tmp_path))
    monkeypatch.chdir(found)
    return found


def link(path: Path, target: str | Path) -> Path:
    path.symlink_to(target)
    return path


@pytest.mark.parametrize("given_as", ["m", "m/", "m//", "./m", "./m/.", "../{name}/m", "{place}/m", "{place}//m/"])
def test_a_directory_is_named_the_same_however_it_is_given(place: Path, given_as: str) -> None:
    (place / "m").mkdir()
    assert real_path(given_as.format(place=place, name=place.name)) == str(place / "m")


@pytest.mark.parametrize("ending", ["", "/", "//"])
def test_a_link_leads_to_its_directory_also_with_a_slash(place: Path, ending: str) -> None:
    (place / "m").mkdir()
    link(place / "l", "m")
    assert real_path(f"l{ending}") == str(place / "m")


def test_links_above_and_to_links_are_followed(place: Path) -> None:
    (place / "a" / "b" / "m").mkdir(parents=True)
    link(place / "above", "a/b")
    link(place / "first", place / "second")
    link(place / "second", "above/m")
    link(place / "a" / "b" / "up", "../b/m")
    for given_as in ("above/m", "first", "second/", "above/up", "a/b/up"):
        assert real_path(given_as) == str(place / "a" / "b" / "m") == os.path.realpath(given_as)


def test_a_step_up_from_a_link_is_where_the_kernel_goes(place: Path) -> None:
    (place / "other" / "sub").mkdir(parents=True)
    link(place / "l", "other/sub")
    link(place / "to", "l/../m")
    for given_as in ("l/../m", "to", "l/../m/.", "l/../../other/m", "l/../m/x/.."):
        assert real_path(given_as) == str(place / "other" / "m"), given_as
    assert real_path("l/..") == real_path("l/../") == str(place / "other")
    assert real_path("//") == real_path("/..") == "/"
    assert real_path(f"/{place}/l") == str(place / "other" / "sub")


def test_here_is_a_directory_too(place: Path) -> None:
    assert real_path(".") == real_path("./") == str(place)
    assert real_path("..") == str(place.parent)
    assert real_path("/") == "/"


def test_what_is_not_there_yet_is_named_all_the_same(place: Path) -> None:
    (place / "m").mkdir()
    link(place / "l", "m/later")
    assert real_path("l") == real_path("m/later") == str(place / "m" / "later")
    assert real_path("no/such") == str(place / "no" / "such")


def test_a_name_that_no_alphabet_has_is_kept(place: Path) -> None:
    name = os.fsdecode(b"a\xff b\n\x85")
    (place / name).mkdir()
    assert real_path(name) == str(place / name)


@pytest.mark.parametrize("targets", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "./b", "b": "c/", "c": "a"}], ids=str)
def test_links_in_a_circle_are_refused_by_name(place: Path, targets: dict[str, str]) -> None:
    for name, target in targets.items():
        link(place / name, target)
    with pytest.raises(ConfigError, match=r"^a is a link that leads to itself"):
        real_path("a")


def test_a_chain_of_many_links_is_followed(place: Path) -> None:
    (place / "0").mkdir()
    for number in range(1, 30):
        link(place / str(number), str(number - 1))
    assert real_path("29") == str(place / "0")


# --- the mount that a path leads into


@pytest.fixture
def home(mountinfo: Path, tmp_path: Path) -> Path:
    """A directory with a cdbfs "mounted" on m, another on other, and links to them."""
    home = Path(os.path.realpath(tmp_path))
    for name in ("m", "other", "plain"):
        (home / name).mkdir()
    (home / "link").symlink_to("m")
    (home / "deep").symlink_to(home / "link/packages/P")
    (home / "loop").symlink_to("loop")
    info = line("/", "ext4") + line(f"{home}/m") + line(f"{home}/other")
    mountinfo.write_bytes(info + line(f"{home}/hidden") + line(f"{home}/hidden", "tmpfs"))
    return home


@pytest.mark.parametrize(
    ("path", "point", "inside"),
    [
        ("m", "m", ""),
        ("m/", "m", ""),
        ("m/packages/P/1/1_x.zip", "m", "packages/P/1/1_x.zip"),
        ("./link//packages/./P/../Q", "m", "packages/Q"),
        ("deep/1", "m", "packages/P/1"),
        ("m/../other/x", "other", "x"),
        ("m/a/../../m/b", "m", "b"),
        ("plain/../m/x", "m", "x"),
        ("missing/../m/x", "m", "x"),
    ],
)
def test_a_path_leads_into_a_mount(
    home: Path, monkeypatch: pytest.MonkeyPatch, path: str, point: str, inside: str
) -> None:
    monkeypatch.chdir(home)
    for each in (path, f"{home}/{path}"):
        found = mounts.leading_to(each)
        assert found is not None
        assert (found[0].point, found[1]) == (f"{home}/{point}", inside)


@pytest.mark.parametrize("path", ["", "plain", "mm/x", "m/..", "m/../x", "hidden/x", "/"])
def test_a_path_leads_into_no_mount(home: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(home)
    assert mounts.leading_to(path) is None


def test_a_path_that_leads_to_itself_is_told(home: Path) -> None:
    with pytest.raises(ConfigError, match="itself"):
        mounts.leading_to(f"{home}/loop/x")


def test_the_mounts_of_a_user_are_found(mountinfo: Path) -> None:
    theirs = line("/theirs").replace(b"user_id=0", b"user_id=12,group_id=12")
    mountinfo.write_bytes(line("/b", source="https://db.example.org") + line("/a") + theirs + line("/c", "tmpfs"))
    assert [mount.point for mount in mounts.all_of(0)] == ["/a", "/b"]
    assert [mount.source for mount in mounts.all_of(0)] == ["cdbfs", "https://db.example.org"]
    assert [mount.point for mount in mounts.all_of(12)] == ["/theirs"]


def test_a_part_of_a_mount_that_is_mounted_elsewhere_is_understood(mountinfo: Path) -> None:
    mountinfo.write_bytes(line("/p").replace(b"98:0 / ", b"98:0 /packages/P "))
    found = mounts.leading_to("/p/1/x")
    assert found is not None
    assert found[1] == "packages/P/1/x"
