"""Logins: renewed unnoticed, never repeated when refused, never shown."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from cdbfs.credentials import Credentials
from cdbfs.demo import StandIn
from cdbfs.mount import mounts
from tests.views import FUSE, cdbfs, environment, mounted
from tests.worlds import World

pytestmark = pytest.mark.usefixtures("each_fuse")


def test_a_session_that_expires_during_a_grep_is_not_noticed(
    server: StandIn, fresh_mount: Path, tmp_path: Path
) -> None:
    server.fault("GET /data/experiments/{experiment}", "delay", seconds=0.01)  # so that it expires in the middle
    with open(tmp_path / "found", "w") as out, open(tmp_path / "complaints", "w") as err:
        command = ["grep", "-rc", "--exclude-dir=scores", "x", "projects/HCP_Q2"]
        grep = subprocess.Popen(command, cwd=fresh_mount, stdout=out, stderr=err)
    while server.counts().get("GET /data/experiments/{experiment}", 0) < 100:
        assert grep.poll() is None, "grep was done before its session could expire"
        time.sleep(0.01)
    server.expire_sessions()
    assert grep.wait(timeout=200) == 0
    assert (tmp_path / "complaints").read_text() == ""
    found = (tmp_path / "found").read_text().splitlines()
    assert sum(1 for line in found if "/experiment.xml:" in line) == 5 * 144 - 1
    assert server.session_counts()["logins"] == 2  # one at the mount, one renewal
    assert server.session_counts()["refused_logins"] == 0
    assert (fresh_mount / ".cdbfs/errors").read_text() == ""


def test_a_wrong_password_is_one_line_and_one_attempt(server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    done = cdbfs("mount", server.url, str(tmp_path / "m"), login=Credentials("mylogin", "wrong"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "refused the login of mylogin" in done.stderr
    assert "wrong password" in done.stderr
    assert server.session_counts() == {"logins": 0, "refused_logins": 1, "sessions": 0}
    assert not mounts.is_mounted(str(tmp_path / "m"))


def test_a_guest_is_told_how_to_log_in(server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    done = cdbfs("mount", "-f", server.url, str(tmp_path / "m"))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "CDBFS_USER" in done.stderr
    assert "netrc" in done.stderr


def test_netrc_logs_in(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {tutorial.login.user} password {tutorial.login.password}\n")
    netrc.chmod(0o600)
    (tmp_path / "m").mkdir()
    done = cdbfs("mount", "-ocache_dir=" + str(tmp_path / "c"), server.url, str(tmp_path / "m"), NETRC=str(netrc))
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(tmp_path / "m/projects") == ["HCP_Q1", "HCP_Q2"]
    assert cdbfs("umount", str(tmp_path / "m")).returncode == 0


def test_unmounting_ends_the_session(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache") as mount:
        assert server.session_counts()["sessions"] == 1
        assert cdbfs("umount", str(mount)).returncode == 0
        deadline = time.monotonic() + 5
        while server.session_counts()["sessions"] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.session_counts()["sessions"] == 0


def test_the_password_is_shown_nowhere(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    secret = tutorial.login.password.encode()
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache") as mount:
        daemon = (mount / ".cdbfs/status.json").read_text().partition('"pid": ')[2].partition(",")[0]
        for place in ("cmdline", "environ"):
            assert secret not in Path("/proc", daemon, place).read_bytes()
        for path in (tmp_path / "cache").rglob("*"):
            assert not path.is_file() or secret not in path.read_bytes()
        for path in (mount / ".cdbfs").rglob("*"):
            assert path.is_dir() or secret not in path.read_bytes()


@pytest.mark.parametrize("name", ["CDBFS_PASSWORD", "password"])
def test_a_password_on_the_command_line_is_no_option(name: str, server: StandIn, tmp_path: Path) -> None:
    done = cdbfs("mount", f"-o{name}=x", server.url, str(tmp_path))
    assert done.returncode == 1
    assert "is no setting" in done.stderr
    assert "x" not in done.stderr.split("is no setting")[0].replace(name, "")


def test_the_environment_of_tests_has_no_login_of_its_own() -> None:
    assert [key for key in environment() if key.startswith("CDBFS_")] == [FUSE]
