"""`cdbfs fetch`, `evict` and `status` as users type them, over a mount and without one."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cdbfs.demo import StandIn, connectomedb, tutorial
from cdbfs.mount import mounts
from tests.mount.packages.conftest import OPTIONS
from tests.store.packages.doubles import until
from tests.views import cdbfs, environment, mounted
from tests.worlds import World

SUBJECTS = 12
SIZE = 100_000
STRUCTURAL, DIFFUSION, UNPROC = "3T_Structural_preproc", "3T_Diffusion_preproc", "3T_tfMRI_WM_unproc"
FIRST, SECOND, THIRD = tutorial.LABELS[:3]
TRANSFER = "POST /spring/download transfer"


@pytest.fixture(scope="module")
def hcp() -> World:
    return World("packages", connectomedb(SUBJECTS, package_size=SIZE))


@dataclass
class Lab:
    """A server with packages, a mount of it, and what users do there."""

    server: StandIn
    world: World
    scratch: Path
    point: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """A command that needs a mount, and no login."""
        return cdbfs(*arguments, login=None, **extra)

    def alone(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command that uses no mount, and a cache of its own."""
        return cdbfs(*arguments, login=self.world.login, **self.extra)

    @property
    def extra(self) -> dict[str, str]:
        cache = str(self.scratch / "own cache")
        return {"CDBFS_SERVER": self.server.url, "ASCP": self.server.ascp, "CDBFS_CACHE_DIR": cache}

    def start(self, *arguments: str, login: bool = False) -> subprocess.Popen[str]:
        """A command that goes on."""
        known = environment(self.world.login, **self.extra) if login else environment()
        process = subprocess.Popen(
            [sys.executable, "-m", "cdbfs", *arguments],
            env=known,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Whatever is left of a test that failed."""
        for process in self.started:
            with process:
                process.kill()

    def zip(self, subject: str, package: str) -> str:
        return str(self.point / f"packages/HCP_Q2/{subject}/{subject}_{package}.zip")

    def asked(self) -> tuple[int, int]:
        """Transfer specifications and sessions of ascp so far."""
        return self.server.counts().get(TRANSFER, 0), self.server.ascp_sessions

    def here(self) -> list[str]:
        return os.listdir(self.point / "unpacked/HCP_Q2")

    def status(self) -> dict[str, Any]:
        done = self.run("status", "--json", str(self.point))
        (found,) = json.loads(done.stdout)["mounts"]
        return dict(found)


@contextmanager
def lab_of(world: World, scratch: Path, **options: str) -> Iterator[Lab]:
    with (
        world.server() as server,
        mounted(server, world.login, scratch / "m", scratch / "cache", None, **{**OPTIONS, **options}) as point,
    ):
        lab = Lab(server, world, scratch, point)
        try:
            yield lab
        finally:
            lab.end()


@pytest.fixture
def lab(hcp: World, tmp_path: Path) -> Iterator[Lab]:
    with lab_of(hcp, tmp_path) as found:
        yield found


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def names_of(*packages: str, subjects: tuple[str, ...] = (FIRST, SECOND, THIRD)) -> list[str]:
    return sorted(f"{subject}_{package}" for subject in subjects for package in packages)


# --- fetch


def test_a_zip_is_fetched(lab: Lab) -> None:
    done = lab.run("fetch", lab.zip(FIRST, STRUCTURAL))
    assert (done.returncode, done.stderr) == (0, "")
    first, second, last = done.stdout.splitlines()
    assert re.fullmatch(r"fetching 1 package, about \d+(\.\d+)? KiB", first)
    assert re.fullmatch(rf"{FIRST}_{STRUCTURAL} is here \(\d+(\.\d+)? KiB\)", second)
    assert re.fullmatch(r"fetched 1 package \(.*\), 1 here", last)
    assert lab.here() == [f"{FIRST}_{STRUCTURAL}"]
    assert lab.asked() == (1, 1)
    theirs = lab.server.package(FIRST, STRUCTURAL).read_bytes()
    assert Path(lab.zip(FIRST, STRUCTURAL)).read_bytes() == theirs
    again = lab.run("fetch", lab.zip(FIRST, STRUCTURAL))
    assert again.returncode == 0
    assert "is here already" in again.stdout
    assert lab.asked() == (1, 1)


def test_all_of_a_subject_in_batches(lab: Lab) -> None:
    done = lab.run("fetch", "--json", str(lab.point / "packages/HCP_Q2" / FIRST))
    assert (done.returncode, done.stderr) == (0, "")
    found = events(done)
    assert found[-1].items() >= {"event": "end", "here": 22, "fetched": 22, "failed": [], "missing": []}.items()
    assert len([event for event in found if event["event"] == "here"]) == 22
    assert len(lab.here()) == 22
    assert lab.asked() == (2, 2)
    assert len(lab.server.downloads()) == 2


def test_an_md5_and_what_is_unpacked_stand_for_their_packages(lab: Lab) -> None:
    unpacked = lab.point / "unpacked/HCP_Q2"
    done = lab.run(
        "fetch",
        lab.zip(FIRST, STRUCTURAL) + ".md5",
        str(unpacked / f"{SECOND}_{DIFFUSION}"),
        f"{unpacked}/{THIRD}_{UNPROC}/{THIRD}/unprocessed/3T",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(lab.here()) == [f"{FIRST}_{STRUCTURAL}", f"{SECOND}_{DIFFUSION}", f"{THIRD}_{UNPROC}"]
    assert lab.asked() == (1, 1)


def test_it_works_from_within_and_through_links(lab: Lab) -> None:
    (lab.scratch / "q2").symlink_to(lab.point / "packages/HCP_Q2")
    command = [sys.executable, "-m", "cdbfs", "fetch", f"../q2/{FIRST}/{FIRST}_{STRUCTURAL}.zip"]
    where = {"PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, cwd=lab.scratch / "cache", env=environment(None, **where), check=False)
    assert done.returncode == 0
    command[-1] = f"{SECOND}_{STRUCTURAL}.zip"
    inside = lab.point / "packages/HCP_Q2" / SECOND
    assert subprocess.run(command, cwd=inside, env=environment(None, **where), check=False).returncode == 0
    assert sorted(lab.here()) == names_of(STRUCTURAL, subjects=(FIRST, SECOND))


def test_without_a_server_a_mount_is_named_as_the_other_way(lab: Lab) -> None:
    names = lab.scratch / "names"
    names.write_text(f"{FIRST}\n")
    done = lab.run("fetch", "--project", "HCP_Q2", "--subjects", str(names), "--package", STRUCTURAL)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(r"cdbfs: which server\? .*--mount DIR$", done.stderr.strip())


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (["{m}/packages/HCP_Q2/{s}/{s}_{p}.zip", "/tmp"], "cdbfs: /tmp is not in a mount of cdbfs"),
        (
            ["{m}/packages/HCP_Q2/{s}/{s}_{p}.zip", "{m}/packages/HCP_Q2/{s}/{s}_x.zip"],
            "there is no packages/HCP_Q2/",
        ),
        (["{m}/packages/HCP_Q2/nobody"], "there is no packages/HCP_Q2/nobody in the mount"),
        (["{m}/unpacked/HCP_Q2/{s}_x"], "there is no unpacked/HCP_Q2/.*_x in the mount"),
        (["{m}/projects/HCP_Q2"], "projects/HCP_Q2 is no package"),
        (["{m}/packages/HCP_Q2/index.csv"], "packages/HCP_Q2/index.csv is no package"),
        (["{m}/packages/HCP_Q2/{s}/{s}_{p}.zip/x"], "there is no packages/HCP_Q2/"),
        (["{m}"], "is no package"),
        (["{m}/packages"], "say which project"),
        (["{m}/unpacked"], "say which package"),
        (["{m}/unpacked/HCP_Q2"], "say which package"),
        (["{m}/packages/HCP_Q2"], "these are 264 packages of about .*say --yes"),
    ],
)
def test_what_is_no_package_is_told_in_one_line(lab: Lab, paths: list[str], reason: str) -> None:
    named = [path.format(m=lab.point, s=FIRST, p=STRUCTURAL) for path in paths]
    done = lab.run("fetch", *named)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert re.search(reason, done.stderr)
    assert lab.asked() == (0, 0)


def test_paths_of_two_mounts_are_told(lab: Lab) -> None:
    with mounted(lab.server, lab.world.login, lab.scratch / "n", lab.scratch / "cache") as other:
        done = lab.run("fetch", lab.zip(FIRST, STRUCTURAL), str(other / "packages"))
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "in another mount" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--project", "HCP_Q2"],
        ["x", "--project", "HCP_Q2"],
        ["x", "-s", "http://127.0.0.1:9"],
        ["x", "--mount", "m"],
        ["--project", "P", "--subjects", "-", "--package", "x", "--mount", "m", "-o", "umask=022"],
    ],
)
def test_a_wrong_command_line_gets_usage(arguments: list[str]) -> None:
    done = cdbfs("fetch", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: cdbfs fetch" in done.stderr


def listed(lab: Lab, text: str) -> str:
    file = lab.scratch / "list.csv"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("by_mount", [True, False])
def test_many_subjects_by_name(lab: Lab, by_mount: bool) -> None:
    subjects = listed(lab, f"# mine\n{FIRST}\n\n{SECOND}\n{THIRD}\n{FIRST}\n")
    arguments = ["fetch", "--project", "HCP_Q2", "--subjects", subjects, "--package", STRUCTURAL]
    arguments += ["--package", DIFFUSION]
    run = lab.alone
    if by_mount:
        arguments, run = [*arguments, "--mount", str(lab.point)], lab.run
    done = run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    here = [event["package"] for event in events(done) if event["event"] == "here"]
    assert sorted(here) == names_of(STRUCTURAL, DIFFUSION)
    assert sorted(lab.here()) == (names_of(STRUCTURAL, DIFFUSION) if by_mount else [])
    assert lab.asked() == (1, 1)
    assert lab.server.counts()["POST /spring/download view=packages"] == 1
    assert run(*arguments).returncode == 0
    assert lab.asked() == (1, 1)


def test_a_csv_through_a_pipe_and_the_cache_shared_with_a_mount(lab: Lab) -> None:
    table = "\n".join((lab.point / "projects/HCP_Q2/subjects.csv").read_text().splitlines()[:3]) + "\n"
    done = subprocess.run(
        [sys.executable, "-m", "cdbfs", "fetch", "--project=HCP_Q2", "--subjects=-", f"--package={STRUCTURAL}"],
        input=table,
        env=environment(lab.world.login, **{**lab.extra, "CDBFS_CACHE_DIR": str(lab.scratch / "cache")}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(lab.here()) == 2  # the mount sees at once what was fetched beside it
    labels = [line.split(",")[0] for line in table.splitlines()[1:]]
    assert all(Path(lab.zip(label, STRUCTURAL)).read_bytes()[:2] == b"PK" for label in labels)
    assert lab.asked() == (1, 1)


@pytest.mark.parametrize("by_mount", [True, False])
@pytest.mark.parametrize(
    ("project", "text", "package", "reason"),
    [
        (
            "HCP_Q2",
            "10030\n100307\n",
            STRUCTURAL,
            r"1 subject is not in HCP_Q2.*: 10030 \(did you mean 100307",
        ),
        ("HCP_Q2", f"{FIRST}\n", "3T_Structual_preproc", r"did you mean 3T_Structural_preproc"),
        ("HCP_Q", f"{FIRST}\n", STRUCTURAL, r"no project HCP_Q \(did you mean HCP_Q"),
        ("HCP_Q2", f"{FIRST},1\n", STRUCTURAL, r"line 1: expected one label a line"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest_ones(
    lab: Lab, by_mount: bool, project: str, text: str, package: str, reason: str
) -> None:
    arguments = ["fetch", "--project", project, "--subjects", listed(lab, text), "--package", package]
    done = lab.run(*arguments, "--mount", str(lab.point)) if by_mount else lab.alone(*arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert re.search(reason, done.stderr)
    assert lab.asked() == (0, 0)


@pytest.mark.parametrize("by_mount", [True, False])
def test_the_others_come_where_one_cannot_be_had(lab: Lab, by_mount: bool) -> None:
    lab.server.ascp_fault("no_file", file=f"{SECOND}_{STRUCTURAL}.zip")
    subjects = listed(lab, f"{FIRST}\n{SECOND}\n{THIRD}\n")
    arguments = ["fetch", "--json", "--project=HCP_Q2", f"--subjects={subjects}", f"--package={STRUCTURAL}"]
    done = lab.run(*arguments, f"--mount={lab.point}") if by_mount else lab.alone(*arguments)
    assert done.returncode == 1
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == [f"{SECOND}_{STRUCTURAL}"]
    last = events(done)[-1]
    assert (last["here"], [each["package"] for each in last["failed"]]) == (2, [f"{SECOND}_{STRUCTURAL}"])


@pytest.mark.parametrize("by_mount", [True, False])
def test_ctrl_c_ends_it_and_the_same_again_goes_on(lab: Lab, by_mount: bool) -> None:
    lab.server.pause_ascp(SIZE // 2)
    subjects = listed(lab, f"{FIRST}\n{SECOND}\n{THIRD}\n")
    arguments = ["fetch", "--project=HCP_Q2", f"--subjects={subjects}", f"--package={STRUCTURAL}"]
    arguments += [f"--mount={lab.point}"] if by_mount else []
    fetching = lab.start(*arguments, login=not by_mount)
    lab.server.wait_held()
    began = time.monotonic()
    fetching.send_signal(signal.SIGINT)
    out, err = fetching.communicate(timeout=20)
    assert (fetching.returncode, err) == (130, "")
    assert time.monotonic() - began < 6
    assert "3 still to come: the same command again goes on with them" in out
    until(lambda: not lab.server.ascp_running)
    until(lambda: not os.listdir(lab.point / ".cdbfs/transfers"))
    lab.server.resume_ascp()
    done = lab.run(*arguments) if by_mount else lab.alone(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert lab.asked() == (2, 2)


def test_ctrl_c_takes_nothing_from_who_else_waits(lab: Lab) -> None:
    lab.server.pause_ascp(SIZE // 2)
    fetching = lab.start("fetch", lab.zip(FIRST, STRUCTURAL))
    lab.server.wait_held()
    reader = subprocess.Popen(["md5sum", lab.zip(FIRST, STRUCTURAL)], stdout=subprocess.PIPE, text=True)
    lab.started.append(reader)
    until(lambda: any(one["program"] == "md5sum" for one in waiting(lab)))
    fetching.send_signal(signal.SIGINT)
    fetching.communicate(timeout=20)
    lab.server.resume_ascp()
    out, _ = reader.communicate(timeout=20)
    assert reader.returncode == 0
    assert out.split()[0].encode() == lab.server.package_md5(FIRST, STRUCTURAL).split()[0]
    assert lab.asked() == (1, 1)


def waiting(lab: Lab) -> list[dict[str, Any]]:
    return [one for each in lab.status()["transfers"] for one in each["waiting"]]


def test_who_is_killed_leaves_a_transfer_that_goes_on(lab: Lab) -> None:
    lab.server.pause_ascp(SIZE // 2)
    fetching = lab.start("fetch", lab.zip(FIRST, STRUCTURAL))
    lab.server.wait_held()
    fetching.kill()
    fetching.communicate()
    until(lambda: waiting(lab) == [])
    lab.server.resume_ascp()
    until(lambda: lab.here() == [f"{FIRST}_{STRUCTURAL}"])
    assert lab.asked() == (1, 1)


def test_a_transfer_that_is_ended_by_rm_is_told(lab: Lab) -> None:
    lab.server.pause_ascp(SIZE // 2)
    fetching = lab.start("fetch", lab.zip(FIRST, STRUCTURAL))
    lab.server.wait_held()
    os.unlink(lab.point / f".cdbfs/transfers/{FIRST}_{STRUCTURAL}.zip")
    _, err = fetching.communicate(timeout=20)
    assert fetching.returncode == 1
    assert err.startswith(f"cdbfs: {FIRST}_{STRUCTURAL}: ")
    assert "ended" in err


def test_what_takes_more_than_there_is_room_for_is_refused(hcp: World, tmp_path: Path) -> None:
    with lab_of(hcp, tmp_path, packages_size=str(5 * SIZE)) as lab:
        subject = str(lab.point / "packages/HCP_Q2" / FIRST)
        done = lab.run("fetch", subject)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
        assert "raise packages_size, or say --yes" in done.stderr
        assert lab.asked() == (0, 0)
        done = lab.run("fetch", "--yes", "--json", subject)
        assert done.returncode == 1
        last = events(done)[-1]
        assert last["here"] == len(lab.here()) > 0
        assert last["here"] + len(last["failed"]) == 22
        assert "evicted again" in done.stderr


def test_bars_on_a_terminal(lab: Lab) -> None:
    lab.server.pause_ascp(SIZE // 2)
    command = [sys.executable, "-m", "cdbfs", "fetch", lab.zip(FIRST, STRUCTURAL), lab.zip(SECOND, STRUCTURAL)]
    with terminal(command) as (process, screen):
        first = f"{FIRST}_{STRUCTURAL}.zip"
        while not re.search(rf"{first} .*KiB of .*KiB", screen.text()):
            assert screen.more(), screen.text()
        assert "0 of 2 packages" in screen.text()
        lab.server.resume_ascp()
        screen.to_the_end()
        assert process.wait(20) == 0
    assert f"{FIRST}_{STRUCTURAL} is here (" in screen.text()
    assert "fetched 2 packages" in screen.text()
    assert "\x1b[?25h" in screen.raw()  # the cursor is back


class Screen:
    """What comes to a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = b""

    def more(self) -> bool:
        """Wait for some; False at the end."""
        assert select.select([self._descriptor], [], [], 20)[0], self.raw()
        with suppress(OSError):  # EIO: nobody has the terminal any more
            got = os.read(self._descriptor, 65536)
            self._seen += got
            return bool(got)
        return False

    def to_the_end(self) -> None:
        while self.more():
            pass

    def raw(self) -> str:
        return self._seen.decode("utf-8", "replace")

    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.raw())


@contextmanager
def terminal(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], Screen]]:
    ours, theirs = pty.openpty()
    known = {**environment(), "TERM": "xterm", "COLUMNS": "120", "LINES": "24"}
    with ExitStack() as stack:
        stack.callback(os.close, ours)
        process = subprocess.Popen(command, env=known, stdin=theirs, stdout=theirs, stderr=theirs)
        stack.callback(process.wait)
        stack.callback(process.kill)
        os.close(theirs)
        yield process, Screen(ours)


# --- evict


def test_packages_are_given_back(lab: Lab) -> None:
    folder = lab.point / "packages/HCP_Q2"
    lab.run("fetch", *(lab.zip(each, package) for each in (FIRST, SECOND) for package in (STRUCTURAL, DIFFUSION)))
    size = os.stat(lab.zip(FIRST, STRUCTURAL)).st_size
    done = lab.run("evict", "--json", lab.zip(FIRST, STRUCTURAL))
    assert (done.returncode, done.stderr) == (0, "")
    assert events(done) == [
        {"event": "evicted", "package": f"{FIRST}_{STRUCTURAL}", "bytes": size, "in_use": False},
        {"event": "end", "packages": 1, "bytes": size, "in_use": []},
    ]
    assert sorted(lab.here()) == sorted(
        [f"{FIRST}_{DIFFUSION}", *names_of(STRUCTURAL, DIFFUSION, subjects=(SECOND,))]
    )
    with open(lab.zip(SECOND, STRUCTURAL), "rb") as file:
        done = lab.run("evict", str(folder / SECOND))
        assert done.returncode == 1
        assert f"cdbfs: {SECOND}_{STRUCTURAL} is in use" in done.stderr
        assert f"{SECOND}_{DIFFUSION}: " in done.stdout
        assert file.read() == lab.server.package(SECOND, STRUCTURAL).read_bytes()
    done = lab.run("evict", "--all", str(lab.point / "packages/HCP_Q2" / FIRST))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"is in the mount on {lab.point}, which is the directory to name" in done.stderr
    assert len(lab.here()) == 2
    done = lab.run("evict", "--all", str(lab.point))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"KiB of 2 packages given back", done.stdout)
    assert lab.here() == []
    assert lab.status()["packages"]["bytes"] == 0
    assert lab.asked() == (1, 1)


def test_a_project_and_nothing_are_given_back(lab: Lab) -> None:
    done = lab.run("evict", str(lab.point / "packages/HCP_Q2"))
    assert (done.returncode, done.stdout) == (0, "0 B of 0 packages given back\n")
    lab.run("fetch", lab.zip(FIRST, STRUCTURAL))
    assert lab.run("evict", str(lab.point / "unpacked/HCP_Q2")).returncode == 0
    assert lab.here() == []
    assert lab.run("evict", "/tmp").returncode == 1
    assert lab.run("evict").returncode == 2
    assert lab.run("evict", "--all", str(lab.point), "x").returncode == 2


# --- status


def test_status_tells_how_a_mount_is(lab: Lab) -> None:
    lab.run("fetch", lab.zip(FIRST, STRUCTURAL))
    lab.server.pause_ascp(SIZE // 2)
    fetching = lab.start("fetch", lab.zip(SECOND, STRUCTURAL))
    lab.server.wait_held()
    until(lambda: lab.status()["transfers"][0]["done"])
    found = lab.status()
    assert found["mount"] == str(lab.point)
    assert found["server"]["url"] == lab.server.url
    assert found["server"]["user"] == lab.world.login.user
    assert found["reachable"] is True
    assert found["packages"]["bytes"] == os.stat(lab.zip(FIRST, STRUCTURAL)).st_size
    assert found["packages"]["reserved"] > 0
    (transfer,) = found["transfers"]
    assert transfer["file"] == f"{SECOND}_{STRUCTURAL}.zip"
    assert transfer["waiting"][0]["pid"] == fetching.pid
    done = lab.run("status")  # of all mounts, of which some may be other tests'
    assert f"{lab.point}: {lab.server.url}\n" in done.stdout
    assert re.search(
        rf"transfer  {SECOND}_{STRUCTURAL}\.zip, fetching, \d+ %.*\({fetching.pid}\) waiting", done.stdout
    )
    for text in (done.stdout, json.dumps(found)):
        assert lab.world.login.password not in text
        assert not any(token in text for token in lab.server.tokens())
    lab.server.resume_ascp()
    fetching.communicate(timeout=20)


def test_without_a_mount_there_is_nothing_to_tell(tmp_path: Path) -> None:
    done = cdbfs("status", str(tmp_path))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "not in a mount of cdbfs" in done.stderr


def daemon_of(lab: Lab) -> int:
    return int(lab.status()["pid"])


def test_a_mount_that_hangs_or_is_dead_is_told_as_such(lab: Lab) -> None:
    process = daemon_of(lab)
    os.kill(process, signal.SIGSTOP)
    try:
        began = time.monotonic()
        done = lab.run("status", str(lab.point))
        assert time.monotonic() - began < 4.5  # Python starts in this, too
        assert done.returncode == 1
        assert "does not answer" in done.stdout
        assert "does not answer" in lab.run("fetch", lab.zip(FIRST, STRUCTURAL)).stderr
        assert "does not answer" in lab.run("evict", "--all", str(lab.point)).stderr
    finally:
        os.kill(process, signal.SIGCONT)
    assert lab.run("status", str(lab.point)).returncode == 0
    os.kill(process, signal.SIGKILL)
    until(lambda: "is dead" in lab.run("status", str(lab.point)).stdout)
    done = lab.run("fetch", lab.zip(FIRST, STRUCTURAL))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "is dead" in done.stderr


# --- the socket


def test_the_socket_is_private_and_goes_with_the_mount(hcp: World, tmp_path: Path) -> None:
    with lab_of(hcp, tmp_path) as lab:
        place = Path(json.loads((lab.point / ".cdbfs/status.json").read_text())["control"])
        assert place.parent == tmp_path / "cache/run"
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(place.stat().st_mode)
        lab.run("umount", str(lab.point))
        until(lambda: not place.exists())


def test_a_daemon_that_ends_in_the_middle_is_told(lab: Lab) -> None:
    lab.server.pause_ascp(SIZE // 2)
    fetching = lab.start("fetch", lab.zip(FIRST, STRUCTURAL))
    lab.server.wait_held()
    os.kill(daemon_of(lab), signal.SIGTERM)
    _, err = fetching.communicate(timeout=20)
    assert fetching.returncode == 1
    assert re.search(r"ended before|is ending", err)
    until(lambda: not mounts.is_mounted(str(lab.point)))
    lab.server.resume_ascp()
