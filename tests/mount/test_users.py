"""Mounting as an ordinary user and as root.

The suite runs as whoever calls it. As root it runs part of itself once more as an ordinary user, in a mount
namespace of its own: there /dev/fuse gets mode 0666 where it is closed to users, and what that user must read to
run (Python, the environment, the checkout) is made reachable where it lies in a private directory such as /root.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from cdbfs.config import parse_options
from tests.views import mounted
from tests.worlds import World

NOBODY = 65534
CHECKOUT = Path(__file__).resolve().parents[2]
PART = [
    "tests/mount/test_tools.py::test_the_tutorials_answers",
    "tests/mount/test_tools.py::test_a_whole_subject_copies",
    "tests/mount/test_read_only.py",
    "tests/mount/test_sessions.py::test_unmounting_ends_the_session",
    "tests/mount/test_sessions.py::test_a_wrong_password_is_one_line_and_one_attempt",
    "tests/mount/test_lifecycle.py::test_a_signal_ends_it_cleanly",
    "tests/mount/test_lifecycle.py::test_fusermount_ends_it",
    "tests/mount/test_lifecycle.py::test_after_kill_9_mounting_again_works",
    "tests/mount/test_faults_of_the_cache.py::test_what_is_damaged_is_fetched_again",
    "tests/mount/test_lifecycle.py::test_umount_tells_who_is_in_the_way",
    "tests/mount/test_lifecycle.py::test_a_directory_with_files_is_not_hidden",
    "tests/mount/test_bindings.py::test_a_helper_that_is_missing_is_told_to_who_needs_it",
    "tests/mount/test_bindings.py::test_where_libfuse_3_is_missing_libfuse_2_mounts",
    "tests/mount/test_bindings.py::test_both_tell_the_same_of_every_file",
    "tests/mount/test_bindings.py::test_a_mount_point_in_no_alphabet_is_mounted_on",
    "tests/mount/test_bindings.py::test_either_helper_unmounts",
    "tests/mount/search/test_failures.py::test_an_unreadable_query",
    "tests/mount/search/test_tutorial.py::test_agreeableness_over_40",
    "tests/mount/test_users.py",
]


def test_the_mount_belongs_to_who_mounted_it(mount_point: Path) -> None:
    found = os.stat(mount_point / "projects/HCP_Q2/subjects.csv")
    assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())


def test_an_ordinary_user_mounts_too(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if os.geteuid() != 0:
        return  # the whole suite is this test
    script = "\n".join(
        ["set -e", *opened_fuse(tmp_path), *reachable(needed(), tmp_path), *part_as_nobody(tmp_path)]
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", script],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout.splitlines()[-1]


def needed() -> list[Path]:
    """What an ordinary user must read to run the suite."""
    return [CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)]


def opened_fuse(scratch: Path) -> list[str]:
    """Commands that make /dev/fuse open to all, in this mount namespace."""
    if os.stat("/dev/fuse").st_mode & 0o006 == 0o006:
        return []
    dev = shlex.quote(str(scratch / "dev"))
    return [
        f"mkdir {dev}; mount -t tmpfs -o mode=755,dev tmpfs {dev}",
        f"mknod -m 666 {dev}/fuse c 10 229; mount --bind {dev}/fuse /dev/fuse",
    ]


def reachable(paths: Iterable[Path], scratch: Path) -> list[str]:
    """Commands that open the way to `paths`: each private directory on the way is replaced by an open one."""
    hidden = {path: closed for path in paths for closed in [first_closed(path)] if closed is not None}
    stage, show = [], []
    for number, path in enumerate(hidden):
        kept = shlex.quote(str(scratch / f"kept{number}"))
        stage.append(f"mkdir {kept}; mount --bind {shlex.quote(str(path))} {kept}")
        show.append(f"mkdir -p {shlex.quote(str(path))}; mount --bind {kept} {shlex.quote(str(path))}")
    opened = [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(closed))}" for closed in set(hidden.values())]
    return [*stage, *opened, *show]


def first_closed(path: Path) -> Path | None:
    """The topmost directory on the way to `path` that others may not pass."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o001), None)


def part_as_nobody(scratch: Path) -> list[str]:
    """Commands that run PART as an ordinary user, with a home of its own; of the server's dialects one will do."""
    home = Path(f"/tmp/cdbfs-nobody-{os.getpid()}")
    return [
        f"mkdir {home}; mount -t tmpfs -o mode=700,uid={NOBODY} tmpfs {home}; cd {shlex.quote(str(CHECKOUT))}",
        f"export HOME={home} TMPDIR={home} PYTHONDONTWRITEBYTECODE=1",
        "unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_STATE_HOME; status=0",
        f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "
        f"{shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider --basetemp={home}/t {' '.join(PART)} "
        "-k 'not 1.8' || status=$?",
        f"cd /; umount -R {home} || umount -l {home}; rmdir {home}; exit $status",
    ]


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return subprocess.run([*drop, *command], cwd="/", capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.usefixtures("each_fuse")
def test_others_get_in_only_where_they_are_let(tutorial: World, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        return  # an ordinary user cannot become another one to try
    with tempfile.TemporaryDirectory() as open_directory, tutorial.server() as server:
        os.chmod(open_directory, 0o755)
        point = Path(open_directory, "m")
        table = str(point / "projects/HCP_Q2/subjects.csv")
        cases = {"allow_other=no": False, "allow_other": False, "allow_other,umask=022": True}
        for number, (options, let_in) in enumerate(cases.items()):
            with mounted(server, tutorial.login, point, tmp_path / f"cache{number}", **parse_options((options,))):
                done = as_nobody("head", "-n", "1", table)
                assert (done.returncode == 0) is let_in, options
                assert let_in or "Permission denied" in done.stderr
                assert as_nobody("touch", f"{point}/x").returncode != 0
