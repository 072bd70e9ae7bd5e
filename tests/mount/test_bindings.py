"""Which libfuse a mount takes, what is told where it is missing, and that both show the same."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Callable

import pytest

from cdbfs import config
from cdbfs.config import AUTOMATIC
from cdbfs.demo import StandIn
from cdbfs.errors import ConfigError
from cdbfs.events import Journal
from cdbfs.mount import binding, mounts
from cdbfs.mount.binding import Library, load
from cdbfs.mount.operations import Operations
from tests.views import cdbfs, mounted
from tests.worlds import World

ONE_DIALECT = pytest.mark.parametrize("dialect", ["1.6"], indirect=True)
ABSENT = OSError("Unable to find libfuse")
"""What both bindings raise where their libfuse is missing, in these words."""


def provided(name: str, version: int) -> ModuleType:
    """A module as a binding is one, whose library says that it is `version`."""
    module = ModuleType(name)
    native = SimpleNamespace(_name=f"libfuse.so.{version}", fuse_version=lambda: version)
    vars(module).update(_libfuse=native, fuse_get_context=lambda: (0, 0, 0))
    return module


def machine(**modules: Any) -> Callable[[str], ModuleType]:
    """The import of a machine that has only these."""

    def importing(name: str) -> ModuleType:
        found: Any = modules.get(name, ModuleNotFoundError(f"No module named {name!r}"))
        if not isinstance(found, ModuleType):
            raise found
        return found

    return importing


BOTH = {"mfusepy": provided("mfusepy", 314), "fuse": provided("fuse", 29)}


@pytest.mark.parametrize(
    ("choice", "modules", "version"),
    [
        (AUTOMATIC, BOTH, (3, 14)),
        ("3", BOTH, (3, 14)),
        ("2", BOTH, (2, 9)),
        (AUTOMATIC, {**BOTH, "mfusepy": ABSENT}, (2, 9)),
        (AUTOMATIC, {**BOTH, "mfusepy": AttributeError("too old")}, (2, 9)),
        (AUTOMATIC, {"fuse": BOTH["fuse"]}, (2, 9)),
        (AUTOMATIC, {**BOTH, "mfusepy": provided("mfusepy", 29)}, (2, 9)),  # by FUSE_LIBRARY_PATH
        (AUTOMATIC, {**BOTH, "fuse": ABSENT}, (3, 14)),
        (AUTOMATIC, {**BOTH, "fuse": ModuleType("fuse")}, (3, 14)),
        ("3", {**BOTH, "mfusepy": provided("mfusepy", 39)}, (3, 9)),
        ("3", {**BOTH, "mfusepy": provided("mfusepy", 317)}, (3, 17)),
    ],
)
def test_the_libfuse_that_is_wanted_or_there_is_taken(
    choice: str, modules: dict[str, Any], version: tuple[int, int]
) -> None:
    found = load(choice, machine(**modules), lambda library: True)
    assert found.version == version
    assert found.module is modules[found.library.module]


@pytest.mark.parametrize(
    ("choice", "modules", "words"),
    [
        ("3", {**BOTH, "mfusepy": ABSENT}, ["libfuse 3 is not installed", "install fuse3"]),
        ("2", {**BOTH, "fuse": ABSENT}, ["libfuse 2 is not installed", "install libfuse2", "libfuse2t64"]),
        (AUTOMATIC, {"mfusepy": ABSENT, "fuse": ABSENT}, ["libfuse 3 is not", "libfuse 2 is not", "; or "]),
        ("2", {"mfusepy": BOTH["mfusepy"]}, ["Python package fusepy", "No module named 'fuse'"]),
        ("3", {"fuse": BOTH["fuse"]}, ["Python package mfusepy", "No module named 'mfusepy'"]),
        ("2", {"fuse": ModuleType("fuse")}, ["package fusepy, but another one", "python3-fuse"]),
        ("2", {"fuse": provided("fuse", 314)}, ["libfuse 2 is wanted", "3.14", "FUSE_LIBRARY_PATH"]),
        ("3", {"mfusepy": provided("mfusepy", 29)}, ["libfuse 3 is wanted", "2.9", "FUSE_LIBRARY_PATH"]),
        ("2", {"fuse": provided("fuse", 28)}, ["libfuse 2 is wanted", "2.8"]),
    ],
)
def test_what_is_missing_is_told_with_its_cure_in_one_line(
    choice: str, modules: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(choice, machine(**modules), lambda library: True)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_a_libfuse_that_this_user_cannot_mount_with_is_the_last_resort() -> None:
    def only_the_old_helper(library: Library) -> bool:
        return library.helper == "fusermount"

    assert load(AUTOMATIC, machine(**BOTH), only_the_old_helper).version == (2, 9)
    assert load(AUTOMATIC, machine(**{**BOTH, "fuse": ABSENT}), only_the_old_helper).version == (3, 14)
    assert load("3", machine(**BOTH), only_the_old_helper).version == (3, 14)
    assert load(AUTOMATIC, machine(**BOTH), lambda library: False).version == (3, 14)


def test_a_helper_that_is_missing_is_told_to_who_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def __init__(self, *arguments: object, **options: object) -> None:
            raise RuntimeError(1)

    module = provided("fuse", 29)
    vars(module).update(FUSE=Failing, c_stat=None)
    found = load("2", machine(fuse=module))
    with pytest.raises(ConfigError, match=r"^/m could not be mounted; libfuse 2's own message says why$"):
        binding.run(found, object(), "/m", {})
    monkeypatch.setenv("PATH", str(tmp_path))
    root = os.geteuid() == 0
    words = "own message says why" if root else r"libfuse 2 needs the program fusermount: apt-get install fuse3"
    with pytest.raises(ConfigError, match=words):
        binding.run(found, object(), "/m", {})


class Leaving:
    """A tree in which every question tries to end the program."""

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(3)


def test_no_call_ends_the_mount(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """fusepy cannot pass such an exception on, and mfusepy would unmount."""
    settings = config.load("https://db.example.invalid", {"cache_dir": str(tmp_path)}, {})
    journal = Journal()
    tree: Any = Leaving()
    search: Any = Leaving()
    operations = Operations(
        tree, search, journal, settings, lambda: False, lambda: (0, 0, 1), lambda: lambda path: None
    )
    for call in (operations.getattr, operations.readlink, operations.opendir):
        with pytest.raises(OSError, match="a fault in cdbfs itself") as caught:
            call("/projects")
        assert caught.value.errno == errno.EIO
    assert len(journal.failures()) > 0
    assert {record.levelname for record in caplog.records} == {"ERROR"}


def test_the_choice_is_a_setting_with_three_values() -> None:
    url = "https://db.example.invalid"
    assert config.load(url, {}, {}).fuse == AUTOMATIC
    assert config.load(url, {}, {"CDBFS_FUSE": "2"}).fuse == "2"
    assert config.load(url, {"fuse": "3"}, {"CDBFS_FUSE": "2"}).fuse == "3"
    with pytest.raises(ConfigError, match=r"fuse.*2, 3 or auto"):
        config.load(url, {"fuse": "4"}, {})


# -- real mounts ------------------------------------------------------------------------------------------------


def library_of(mount: Path) -> set[str]:
    """The libfuse that the daemon of `mount` has loaded."""
    pid = json.loads((mount / ".cdbfs/status.json").read_text())["pid"]
    loaded = Path(f"/proc/{pid}/maps").read_text().split()
    return {os.path.basename(word).split(".so")[0] for word in loaded if "/libfuse" in word}


def without(module: str, scratch: Path, content: str = "raise OSError('Unable to find libfuse')\n") -> str:
    """A PYTHONPATH that has `content` in the place of a binding."""
    shadow = scratch / "shadow"
    shadow.mkdir(exist_ok=True)
    (shadow / f"{module}.py").write_text(content)
    return os.pathsep.join([str(shadow), *filter(None, [os.environ.get("PYTHONPATH")])])


@ONE_DIALECT
@pytest.mark.parametrize(("choice", "library"), [("2", "libfuse"), ("3", "libfuse3"), (AUTOMATIC, "libfuse3")])
def test_the_daemon_loads_that_libfuse_only(
    choice: str, library: str, server: StandIn, tutorial: World, tmp_path: Path
) -> None:
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache", fuse=choice) as mount:
        assert library_of(mount) == {library}


@ONE_DIALECT
def test_where_libfuse_3_is_missing_libfuse_2_mounts(
    server: StandIn, tutorial: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", without("mfusepy", tmp_path))
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache", fuse=AUTOMATIC) as mount:
        assert library_of(mount) == {"libfuse"}
        assert len(os.listdir(mount / "projects/HCP_Q2/subjects")) == 144


@ONE_DIALECT
@pytest.mark.parametrize(
    ("choice", "absent", "words"),
    [
        ("3", ["mfusepy"], "libfuse 3 is not installed: apt-get install fuse3"),
        ("2", ["fuse"], "libfuse 2 is not installed: apt-get install libfuse2"),
        (AUTOMATIC, ["mfusepy", "fuse"], "; or libfuse 2 is not installed"),
    ],
)
def test_without_libfuse_nobody_logs_in(
    choice: str, absent: list[str], words: str, server: StandIn, tutorial: World, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    path = [without(module, tmp_path) for module in absent][-1]
    options = f"-ofuse={choice},cache_dir={tmp_path}/cache"
    done = cdbfs("mount", options, server.url, str(tmp_path / "m"), login=tutorial.login, PYTHONPATH=path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert words in done.stderr
    assert server.counts() == {}


@ONE_DIALECT
def test_another_module_of_that_name_is_told_apart(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    """python3-fuse has a module `fuse`, too."""
    path = without("fuse", tmp_path, "class Fuse: ...\nfuse_python_api = (0, 2)\n")
    (tmp_path / "m").mkdir()
    options = f"-ofuse=2,cache_dir={tmp_path}/cache"
    done = cdbfs("mount", options, server.url, str(tmp_path / "m"), login=tutorial.login, PYTHONPATH=path)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert f"python3-fuse?) provides the module fuse: {tmp_path}/shadow/fuse.py" in done.stderr


def described(path: Path, began: float) -> dict[str, Any]:
    """All that the kernel tells of a file, but for the mount that it is on and times that are the mount's own."""
    found = os.lstat(path)
    passed_over = ["st_dev", "st_rdev"]
    if found.st_mtime >= began:
        assert found.st_atime_ns == found.st_mtime_ns == found.st_ctime_ns
        assert found.st_mtime_ns % 10**9 != 0  # not cut to seconds
        passed_over += [name for name in dir(found) if "time" in name]
    return {
        name: getattr(found, name) for name in dir(found) if name.startswith("st_") and name not in passed_over
    }


def listed(path: Path) -> list[tuple[str, int, bool, bool, bool]]:
    return [
        (entry.name, entry.inode(), entry.is_dir(follow_symlinks=False), entry.is_file(), entry.is_symlink())
        for entry in os.scandir(path)
    ]


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def mount_flags(path: Path) -> tuple[set[str], str, str, set[str]]:
    """(flags, type, source, options of the filesystem) of a mount, as /proc/self/mountinfo has them."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    left, _, right = next(line for line in lines if line.split()[4] == str(path)).partition(" - ")
    kind, source, options = right.split()
    return set(left.split()[5].split(",")), kind, source, set(options.split(","))


@ONE_DIALECT
@pytest.mark.parametrize("options", [{}, {"umask": "022"}, {"umask": "027", "allow_other": "yes"}], ids=str)
def test_both_tell_the_same_of_every_file(
    options: dict[str, str], server: StandIn, tutorial: World, tmp_path: Path
) -> None:
    if options.get("allow_other") and os.geteuid() != 0:
        return  # an ordinary user needs user_allow_other in /etc/fuse.conf; root runs this
    began = time.time()
    with ExitStack() as stack:
        cache = tmp_path / "cache"
        mounts = [
            stack.enter_context(mounted(server, tutorial.login, tmp_path / number, cache, fuse=number, **options))
            for number in "32"
        ]
        subject = "projects/HCP_Q2/subjects/100307"
        scores = f"{subject}/experiments/100307_NonToolbox/scores"
        for relative in ("projects", "projects/HCP_Q2", subject, scores, f"{scores}/ER40"):
            three, two = (listed(mount / relative) for mount in mounts)
            assert three == two
            for name, *_ in three:
                three_file, two_file = (mount / relative / name for mount in mounts)
                assert described(three_file, began) == described(two_file, began), name
                for mode in (os.R_OK, os.W_OK, os.X_OK):
                    assert os.access(three_file, mode) == os.access(two_file, mode)
                assert attempt(os.listxattr, three_file) == attempt(os.listxattr, two_file)
                assert attempt(os.getxattr, three_file, "user.x") == attempt(os.getxattr, two_file, "user.x")
        volumes = [os.statvfs(mount) for mount in mounts]
        for name in ("f_bsize", "f_frsize", "f_blocks", "f_files", "f_namemax", "f_flag"):
            assert len({getattr(volume, name) for volume in volumes}) == 1, name
        flags = [mount_flags(mount) for mount in mounts]
        assert flags[0][:3] == flags[1][:3]
        assert {"nosuid", "nodev"} <= flags[1][0]
        assert flags[1][1:3] == ("fuse.cdbfs", server.url)
        for flag in ("default_permissions", "allow_other"):
            assert [flag in found[3] for found in flags] == ["allow_other" in options] * 2


@ONE_DIALECT
@pytest.mark.parametrize(
    "name", [b"\xff", b"a\xe4\x80", b"\xed\xb3\xbf", b"%FF", "ü€\U0001f600".encode()], ids=ascii
)
def test_names_in_no_alphabet_are_just_not_there(name: bytes, mount_point: Path) -> None:
    for directory in (".", "projects", "projects/HCP_Q2/subjects/100307/experiments/100307_NonToolbox/scores"):
        path = os.path.join(os.fsencode(mount_point / directory), name)
        assert attempt(os.stat, path) == "ENOENT"
        assert attempt(os.open, path, os.O_RDONLY) == "ENOENT"
        assert attempt(os.readlink, path) == "ENOENT"
        assert attempt(os.mkdir, path) == "EROFS"
        assert attempt(os.symlink, b"\xff", path) == "EROFS"
        assert attempt(os.link, os.fsencode(mount_point / "README.txt"), path) == "EROFS"
    assert attempt(os.setxattr, mount_point / "README.txt", b"user.\xff", b"\xff") in ("ENOTSUP", "EOPNOTSUPP")
    assert (mount_point / ".cdbfs/errors").read_text() == ""


@ONE_DIALECT
def test_a_mount_point_in_no_alphabet_is_mounted_on(
    each_fuse: str, server: StandIn, tutorial: World, tmp_path: Path
) -> None:
    point = tmp_path / os.fsdecode(b"a \xff,b\\\n")
    with mounted(server, tutorial.login, point, tmp_path / "cache") as mount:
        assert os.listdir(mount / "projects") == ["HCP_Q1", "HCP_Q2"]


@ONE_DIALECT
def test_either_helper_unmounts(
    each_fuse: str, server: StandIn, tutorial: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no umount is in PATH root needs one of them, too."""
    for number, helper in enumerate(filter(shutil.which, mounts.UNMOUNTERS)):
        programs = tmp_path / f"bin{number}"
        programs.mkdir()
        (programs / helper).symlink_to(shutil.which(helper) or "")
        with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache") as mount:
            done = cdbfs("umount", str(mount), PATH=str(programs))
            assert (done.returncode, done.stderr) == (0, "")
            assert not mounts.is_mounted(str(mount))
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache") as mount:
        done = cdbfs("umount", str(mount), PATH=str(tmp_path))
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "fusermount3 or fusermount is needed: apt-get install fuse3" in done.stderr
