"""Beginnings and ends of a mount."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cdbfs import config
from cdbfs.demo import StandIn
from cdbfs.errors import ConfigError
from cdbfs.mount import daemon, mounts
from tests.views import cdbfs, environment, mounted
from tests.worlds import World

pytestmark = pytest.mark.usefixtures("each_fuse")


def wait_until(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def in_foreground(server: StandIn, world: World, directory: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """`cdbfs mount -f`, mounted."""
    directory.mkdir(exist_ok=True)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "cdbfs", "mount", "-f", f"-ocache_dir={cache}", server.url, str(directory)],
        env=environment(world.login),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert daemon.stderr is not None
    lines = [daemon.stderr.readline()]
    while not lines[-1].startswith("mounted on"):
        assert lines[-1], lines
        lines.append(daemon.stderr.readline())
    try:
        yield daemon
    finally:
        daemon.kill()
        daemon.communicate()
        if mounts.is_mounted(str(directory)):
            mounts.unmount(str(directory), lazy=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(number: int, server: StandIn, tutorial: World, tmp_path: Path) -> None:
    with in_foreground(server, tutorial, tmp_path / "m", tmp_path / "cache") as daemon:
        assert os.listdir(tmp_path / "m/projects")
        daemon.send_signal(number)
        _, complaints = daemon.communicate(timeout=10)
        assert (daemon.returncode, complaints) == (0, "")
        assert os.listdir(tmp_path / "m") == []
        assert server.session_counts()["sessions"] == 0


@pytest.mark.parametrize("program", [name for name in mounts.UNMOUNTERS if shutil.which(name)])
def test_fusermount_ends_it(program: str, server: StandIn, tutorial: World, tmp_path: Path) -> None:
    with in_foreground(server, tutorial, tmp_path / "m", tmp_path / "cache") as daemon:
        subprocess.run([program, "-u", tmp_path / "m"], check=True, timeout=10)
        _, complaints = daemon.communicate(timeout=10)
        assert (daemon.returncode, complaints) == (0, "")
        assert server.session_counts()["sessions"] == 0


def test_it_ends_while_somebody_waits_for_the_server(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    server.fault("GET /data/projects/{project}/subjects", "delay", seconds=8)
    with in_foreground(server, tutorial, tmp_path / "m", tmp_path / "cache") as daemon:
        reader = subprocess.Popen(["ls", "projects/HCP_Q2/subjects"], cwd=tmp_path / "m", stderr=subprocess.PIPE)
        wait_until(lambda: "GET /data/projects/{project}/subjects" in server.counts())
        began = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=10)
        reader.communicate(timeout=10)
        assert reader.returncode != 0
        assert daemon.returncode == 0
        assert time.monotonic() - began < 6
        assert not mounts.is_mounted(str(tmp_path / "m"))


def test_it_ends_while_somebody_has_a_file_open(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    with in_foreground(server, tutorial, tmp_path / "m", tmp_path / "cache") as daemon:
        held = os.open(tmp_path / "m/README.txt", os.O_RDONLY)
        try:
            assert os.read(held, 4) == b"This"
            daemon.send_signal(signal.SIGTERM)
            daemon.communicate(timeout=10)
            assert daemon.returncode == 0
            assert not mounts.is_mounted(str(tmp_path / "m"))
            with pytest.raises(OSError, match=r"not connected|abort") as caught:
                os.pread(held, 4, 0)
            assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
        finally:
            with suppress(OSError):
                os.close(held)


def test_after_kill_9_mounting_again_works(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    with in_foreground(server, tutorial, tmp_path / "m", tmp_path / "cache") as daemon:
        truth = (tmp_path / "m/projects/HCP_Q2/subjects.csv").read_bytes()
        daemon.kill()
        daemon.communicate()
        with pytest.raises(OSError, match="not connected"):
            os.listdir(tmp_path / "m")
        with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache") as mount:
            assert (mount / "projects/HCP_Q2/subjects.csv").read_bytes() == truth


def test_umount_tells_who_is_in_the_way(server: StandIn, fresh_mount: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "60"], cwd=fresh_mount)
    try:
        wait_until(lambda: os.readlink(f"/proc/{sleeper.pid}/cwd") == str(fresh_mount))
        done = cdbfs("umount", str(fresh_mount))
        assert done.returncode == 1
        assert f"sleep ({sleeper.pid})" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert mounts.is_mounted(str(fresh_mount))
        assert cdbfs("umount", "--lazy", str(fresh_mount)).returncode == 0
        assert not mounts.is_mounted(str(fresh_mount))
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_mount_is_not_mounted_on_twice(server: StandIn, tutorial: World, fresh_mount: Path) -> None:
    done = cdbfs("mount", server.url, str(fresh_mount), login=tutorial.login)
    assert done.returncode == 1
    assert "already" in done.stderr


def test_a_directory_with_files_is_not_hidden(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/precious").touch()
    done = cdbfs("mount", server.url, str(tmp_path / "m"), login=tutorial.login)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "not empty" in done.stderr
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache", nonempty="yes") as mount:
        assert "projects" in os.listdir(mount)
    assert os.listdir(tmp_path / "m") == ["precious"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["http://127.0.0.1:9", "{m}"], "cannot be reached"),
        (["http://db.example.org", "{m}"], "not encrypted"),
        (["nosuchprofile", "{m}"], "no profile"),
        (["http://127.0.0.1:9", "{m}/missing"], "mkdir"),
        (["-o", "umsak=022", "http://127.0.0.1:9", "{m}"], "did you mean umask"),
        (["-o", "umask=999", "http://127.0.0.1:9", "{m}"], "octal"),
    ],
)
def test_what_cannot_be_mounted_is_told_in_one_line(
    arguments: list[str], words: str, tutorial: World, tmp_path: Path
) -> None:
    done = cdbfs(
        "mount", *(a.format(m=tmp_path) for a in arguments), login=tutorial.login, XDG_CONFIG_HOME="/nowhere"
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert done.stderr.startswith("cdbfs: ")
    assert words in done.stderr


def test_inode_numbers_are_the_same_in_every_mount(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache") as mount:
            paths = [
                *mount.glob("*"),
                *mount.glob("projects/HCP_Q2/*"),
                *mount.glob("projects/HCP_Q2/subjects/1*/*"),
            ]
            seen.append({str(path): os.lstat(path).st_ino for path in paths})
            listed = {entry.path: entry.inode() for entry in os.scandir(mount / "projects/HCP_Q2")}
            assert all(seen[-1][path] == number for path, number in listed.items())
    assert seen[0] == seen[1]
    assert len(set(seen[0].values())) == len(seen[0]) > 50


def test_umask_and_profile_are_heeded(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    (tmp_path / "config/cdbfs").mkdir(parents=True)
    (tmp_path / "m").mkdir()
    (tmp_path / "config/cdbfs/config.toml").write_text(
        f'[profiles.lab]\nurl = "{server.url}"\numask = "027"\ncache_dir = "{tmp_path}/cache"\n'
    )
    done = cdbfs(
        "mount", "lab", str(tmp_path / "m"), login=tutorial.login, XDG_CONFIG_HOME=str(tmp_path / "config")
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert oct(os.stat(tmp_path / "m/projects").st_mode & 0o777) == "0o550"
    assert oct(os.stat(tmp_path / "m/README.txt").st_mode & 0o777) == "0o440"
    line = next(x for x in Path("/proc/self/mountinfo").read_text().splitlines() if f"{tmp_path}/m " in x)
    assert {"nosuid", "nodev"} <= set(line.split()[5].split(","))
    assert " fuse.cdbfs " in line
    assert cdbfs("umount", str(tmp_path / "m")).returncode == 0


def test_many_waiters_leave_the_rest_of_the_mount_alone(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache", max_waiters="5") as mount:
        os.listdir(mount / "projects/HCP_Q2/subjects/100307/experiments")
        server.fault("GET /data/experiments/{experiment}", "delay", seconds=4)
        names = [
            f"projects/HCP_Q2/experiments/{label}_NonToolbox/scores"
            for label in os.listdir(mount / "projects/HCP_Q2/subjects")[:9]
        ]
        readers = [
            subprocess.Popen(
                ["ls", name + "/"], cwd=mount, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for name in names
        ]
        wait_until(lambda: json.loads((mount / ".cdbfs/status.json").read_text())["waiting"] == 5)
        began = time.monotonic()
        assert (mount / "projects/HCP_Q2/subjects.csv").read_bytes()
        assert os.listdir(mount / "projects") == ["HCP_Q1", "HCP_Q2"]
        assert time.monotonic() - began < 1
        complaints = [reader.communicate(timeout=20)[1] for reader in readers]
        assert sum("temporarily unavailable" in text for text in complaints) == 4
        assert sum(text == "" for text in complaints) == 5
        assert "EAGAIN" in (mount / ".cdbfs/errors").read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["cat", "experiment.xml"],
        ["ls", "scores"],
        [
            sys.executable,
            "-c",
            "\
import signal; signal.signal(signal.SIGINT, lambda *_: None); open('experiment.xml').read()",
        ],
    ],
)
def test_ctrl_c_ends_a_reader_at_once(command: list[str], server: StandIn, fresh_mount: Path) -> None:
    experiment = fresh_mount / "projects/HCP_Q2/subjects/100307/experiments/100307_NonToolbox"
    assert experiment.exists()
    server.fault("GET /data/experiments/{experiment}", "delay", seconds=6)
    reader = subprocess.Popen(command, cwd=experiment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: "GET /data/experiments/{experiment}" in server.counts())
    began = time.monotonic()
    reader.send_signal(signal.SIGINT)
    reader.communicate(timeout=10)
    took = time.monotonic() - began
    # A program with a handler of its own may retry the call, as Python does; the others are gone at once.
    assert took < 1 or command[0] == sys.executable


def test_a_server_that_is_gone_is_told_and_comes_back(tutorial: World, tmp_path: Path) -> None:
    with tutorial.server() as server:
        port = int(server.url.rpartition(":")[2])
        with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache", listing_ttl="0") as mount:
            listed = os.listdir(mount / "projects/HCP_Q2/subjects")
            server.stop()
            assert os.listdir(mount / "projects/HCP_Q2/subjects") == listed
            with pytest.raises(OSError, match="No route to host") as caught:
                os.listdir(mount / "projects/HCP_Q1/subjects")
            assert caught.value.errno == errno.EHOSTUNREACH
            wait_until(lambda: "EHOSTUNREACH" in (mount / ".cdbfs/errors").read_text())
            with StandIn(tutorial.data, port=port, dialect=tutorial.dialect):
                wait_until(lambda: _subjects(mount, "HCP_Q1") == 76)


def _subjects(mount: Path, project: str) -> int:
    """How many are listed; 0 while the server is known to be away."""
    try:
        return len(os.listdir(mount / "projects" / project / "subjects"))
    except OSError as error:
        if error.errno != errno.EHOSTUNREACH:
            raise
        return 0


def test_a_mount_that_ends_leaves_its_successor_alone(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    with in_foreground(server, tutorial, tmp_path / "m", tmp_path / "cache") as daemon:
        held = os.open(tmp_path / "m/README.txt", os.O_RDONLY)  # so that the old daemon stays for its grace
        try:
            daemon.send_signal(signal.SIGTERM)
            wait_until(lambda: not mounts.is_mounted(str(tmp_path / "m")))
            with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache"):
                daemon.communicate(timeout=10)
                assert len(os.listdir(tmp_path / "m/projects")) == 2
        finally:
            with suppress(OSError):
                os.close(held)


def test_a_stopped_daemon_holds_no_command_up(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    with in_foreground(server, tutorial, tmp_path / "m", tmp_path / "cache") as daemon:
        time.sleep(1.2)  # until the kernel has forgotten what it knew of the root
        daemon.send_signal(signal.SIGSTOP)
        try:
            done = cdbfs("mount", server.url, str(tmp_path / "m"), login=tutorial.login)
            assert done.returncode == 1
            assert "does not answer" in done.stderr
            assert cdbfs("umount", "--lazy", str(tmp_path / "m")).returncode == 0
            assert not mounts.is_mounted(str(tmp_path / "m"))
        finally:
            daemon.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("setting", ["cache_dir", "search_dir"])
def test_what_is_kept_must_not_lie_in_the_mount_itself(setting: str, tmp_path: Path) -> None:
    """The daemon would wait for itself."""
    place = tmp_path / "m"
    place.mkdir()
    (tmp_path / "link").symlink_to(place)
    for kept in (place, place / "a/b", tmp_path / "link/c"):
        options = {"cache_dir": str(tmp_path / "c"), "search_dir": str(tmp_path / "s"), setting: str(kept)}
        settings = config.load("https://db.example.invalid", options, {})
        with pytest.raises(ConfigError, match=f"{setting}=.* lies below the mount point"):
            daemon.prepare(str(place), settings)
