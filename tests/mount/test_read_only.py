"""Nothing below a mount can be changed, and everybody is told so in the usual words."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

COMMANDS = [
    "touch projects/new",
    "touch projects/HCP_Q2/subjects.csv",
    "touch new",
    "rm -f projects/HCP_Q2/subjects.csv",
    "rm -rf projects/HCP_Q2/subjects/100307/xml",
    "rmdir projects/HCP_Q2/subjects",
    "mkdir projects/HCP_Q2/new",
    "mv projects/HCP_Q2/subjects.csv projects/HCP_Q2/renamed.csv",
    "mv projects/HCP_Q2 elsewhere",
    "echo x > projects/HCP_Q2/subjects.csv",
    "echo x > projects/new",
    "echo x >> projects/HCP_Q2/subjects.csv",
    "chmod 777 projects/HCP_Q2",
    "chmod u+w projects/HCP_Q2/subjects.csv",
    "chown 1:1 projects/HCP_Q2",
    "ln -s a projects/link",
    "ln README.txt projects/link",
    "truncate -s 0 projects/HCP_Q2/subjects.csv",
    "cp README.txt projects/copy",
    "mkfifo projects/pipe",
    "dd if=/dev/null of=projects/HCP_Q2/subjects.csv conv=notrunc status=none",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_a_read_only_file_system(command: str, mount_point: Path) -> None:
    before = (mount_point / "projects/HCP_Q2/subjects.csv").read_bytes()
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=mount_point,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr
    assert (mount_point / "projects/HCP_Q2/subjects.csv").read_bytes() == before


def test_access_says_no_beforehand(mount_point: Path) -> None:
    table = mount_point / "projects/HCP_Q2/subjects.csv"
    assert os.access(table, os.R_OK)
    assert not os.access(table, os.W_OK)
    assert not os.access(table, os.X_OK)
    assert os.access(table.parent, os.R_OK | os.X_OK)
    assert not os.access(table.parent, os.W_OK)


def test_refusals_are_no_failures(mount_point: Path) -> None:
    with pytest.raises(OSError, match="Read-only") as caught:
        os.mkdir(mount_point / "projects/new")
    assert caught.value.errno == errno.EROFS
    assert not os.path.exists(mount_point / "projects/.git")
    assert (mount_point / ".cdbfs/errors").read_text() == ""


def test_modes_and_owner_are_private(mount_point: Path) -> None:
    modes = {
        path: oct(os.lstat(mount_point / path).st_mode & 0o7777)
        for path in (".", "projects", "README.txt", "projects/HCP_Q2/subjects.csv", ".cdbfs/errors")
    }
    assert modes == {
        ".": "0o500",
        "projects": "0o500",
        "README.txt": "0o400",
        "projects/HCP_Q2/subjects.csv": "0o400",
        ".cdbfs/errors": "0o400",
    }
    assert os.stat(mount_point).st_uid == os.getuid()
