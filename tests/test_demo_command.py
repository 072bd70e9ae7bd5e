"""`cdbfs demo` as a newcomer types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from cdbfs.demo import tutorial
from cdbfs.mount import mounts
from tests.views import environment


@contextmanager
def demo(
    *arguments: str, scratch: Path, until: str, cwd: Path | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`cdbfs demo`, and what it printed up to the line that holds `until`. Its temporary files go to `scratch`."""
    temporary = scratch / "tmp"
    temporary.mkdir()
    running = subprocess.Popen(
        [sys.executable, "-m", "cdbfs", "demo", *arguments],
        cwd=cwd,
        env=environment(TMPDIR=str(temporary)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    printed = ""
    try:
        while until not in printed:
            line = running.stdout.readline()
            assert line, printed + (running.stderr.read() if running.stderr else "")
            printed += line
        yield running, printed
    finally:
        running.kill()
        running.communicate()
        for _ in range(100):
            if not any(str(scratch) in line for line in Path("/proc/self/mountinfo").read_text().splitlines()):
                break
            time.sleep(0.05)


def ended(running: subprocess.Popen[str], number: int) -> tuple[int, str, str, float]:
    began = time.monotonic()
    running.send_signal(number)
    out, err = running.communicate(timeout=20)
    return running.returncode, out, err, time.monotonic() - began


@pytest.mark.usefixtures("each_fuse")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_mounts_shows_around_and_cleans_up(number: int, tmp_path: Path) -> None:
    point = tmp_path / "my data"
    with demo(str(point), scratch=tmp_path, until="To end it") as (running, printed):
        assert "\x1b" not in printed  # no terminal, no colours
        assert "synthetic" in printed
        assert "$ ls projects\nHCP_Q1\nHCP_Q2\n" in printed
        assert "\n144\n" in printed
        assert "\n39\n" in printed
        assert f"\n{tutorial.LABELS[0]}_3T_Diffusion_preproc.zip\n" in printed
        assert f"\n{tutorial.LABELS[0]}_3T_Structural_preproc.zip: OK\n" in printed
        assert "\nT1w_restore.nii.gz\n" in printed
        for subject in tutorial.AGREEABLE:
            assert f"subjects/{subject}/experiments/{subject}_NonToolbox" in printed
        assert len(os.listdir(point / "projects/HCP_Q2/subjects")) == 144
        status, out, err, seconds = ended(running, number)
        assert (status, out, err) == (0, "", "")
        assert seconds < 5
        assert not point.exists()  # the demo made it
        assert os.listdir(tmp_path / "tmp") == []


def test_it_removes_every_directory_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with demo(str(tmp_path / "mine/a/b/c"), "--subjects=3", scratch=tmp_path, until="To end it") as (running, _):
        assert ended(running, signal.SIGTERM)[0] == 0
        assert os.listdir(tmp_path / "mine") == []


def test_a_directory_of_the_users_stays(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with demo("here/", "--subjects=3", scratch=tmp_path, until="To end it", cwd=tmp_path) as (running, printed):
        assert len(os.listdir(tmp_path / "here/projects/HCP_Q2/subjects")) == 3
        assert "more agreeable" in printed
        assert ended(running, signal.SIGTERM)[0] == 0
        assert os.listdir(tmp_path / "here") == []


def test_its_last_words_give_another_terminal_what_the_commands_need(tmp_path: Path) -> None:
    (tmp_path / "other terminal").mkdir()
    with demo(str(tmp_path / "my data"), scratch=tmp_path / "other terminal", until="To end it") as (_, printed):
        assert "removes the queries that you wrote in search/, too" in printed
        (line,) = (line for line in printed.splitlines() if line.startswith("export CDBFS_SERVER="))
        commands = (
            "fields nt:scores | head -n 1",
            "search search/agreeable.sql",
            "save agreeable",
            "save --replace search/agreeable.sql",
            'save --replace "$PWD/search/agreeable.sql"',
        )
        typed = "\n".join(f"'{sys.executable}' -m cdbfs {command}" for command in commands)
        done = subprocess.run(
            ["bash", "-e", "-c", f"{line}\n{typed}\ncat saved/mylogin_agreeable/result.csv"],
            cwd=tmp_path / "my data",
            env={**environment(), "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = done.stdout.splitlines()
        assert done.stderr == ""
        assert lines[0] == "id,header,type,description,path"
        result = lines[1:7]
        assert (result[0], len(result)) == ("subject,NEO_NEOFAC_A", 1 + len(tutorial.AGREEABLE))
        assert lines[7:10] == ["saved/mylogin_agreeable"] * 3
        assert sorted(lines[10:]) == sorted(result)


def test_without_a_directory_it_makes_one(tmp_path: Path) -> None:
    with demo("--subjects=3", scratch=tmp_path, until="To end it") as (running, printed):
        point = Path(printed.partition("is mounted on ")[2].partition("\n")[0])
        assert point.parent == tmp_path / "tmp"
        assert "projects" in os.listdir(point)
        assert ended(running, signal.SIGINT)[0] == 0
        assert os.listdir(tmp_path / "tmp") == []


def test_unmounting_it_ends_it(tmp_path: Path) -> None:
    with demo(str(tmp_path / "m"), "--subjects=3", scratch=tmp_path, until="To end it") as (running, _):
        mounts.unmount(str(tmp_path / "m"))
        running.communicate(timeout=10)
        assert running.returncode == 0
        assert os.listdir(tmp_path / "tmp") == []


def test_its_mount_does_not_outlive_it(tmp_path: Path) -> None:
    with demo(str(tmp_path / "m"), "--subjects=3", scratch=tmp_path, until="To end it") as (running, _):
        running.kill()
        running.communicate(timeout=10)
        ends = time.monotonic() + 8
        while mounts.is_mounted(str(tmp_path / "m")):
            assert time.monotonic() < ends
            time.sleep(0.05)


def test_it_mounts_where_a_mount_died(tmp_path: Path) -> None:
    point = tmp_path / "m"
    point.mkdir()
    with demo(str(point), "--subjects=3", scratch=tmp_path, until="To end it"):
        status = json.loads((point / ".cdbfs/status.json").read_text())
        os.kill(status["pid"], signal.SIGKILL)
        time.sleep(0.2)
        (tmp_path / "again").mkdir()
        with demo(str(point), "--subjects=4", scratch=tmp_path / "again", until="To end it") as (running, _):
            assert len(os.listdir(point / "projects/HCP_Q2/subjects")) == 4
            assert ended(running, signal.SIGTERM)[0] == 0


def test_json_is_one_line_as_soon_as_it_listens(tmp_path: Path) -> None:
    with demo("--no-mount", "--json", "--subjects=5", scratch=tmp_path, until="\n") as (running, printed):
        told = json.loads(printed)
        assert set(told) == {"url", "user", "password", "control", "ascp"}
        answer = requests.get(
            f"{told['url']}/data/projects/HCP_Q2/subjects?format=json",
            auth=(told["user"], told["password"]),
            timeout=5,
        )
        assert answer.json()["ResultSet"]["totalRecords"] == "5"
        counts = requests.get(f"{told['control']}/counts", timeout=5).json()
        assert counts["counts"] == {"GET /data/projects/{project}/subjects": 1}
        status, out, err, seconds = ended(running, signal.SIGTERM)
        assert (status, out) == (0, "")
        assert "listens at" in err  # people are told on stderr
        assert seconds < 3


def test_json_with_a_mount_leaves_stdout_alone(tmp_path: Path) -> None:
    with demo(str(tmp_path / "m"), "--json", "--subjects=3", scratch=tmp_path, until="\n") as (running, printed):
        assert json.loads(printed)["user"] == "mylogin"
        ends = time.monotonic() + 20
        while not mounts.is_mounted(str(tmp_path / "m")):
            assert time.monotonic() < ends
            time.sleep(0.05)
        status, out, _, _ = ended(running, signal.SIGTERM)
        assert (status, out) == (0, "")


def test_packages_have_the_size_that_was_asked_for(tmp_path: Path) -> None:
    arguments = ("--no-mount", "--json", "--subjects=1", "--package-size=1G")
    with demo(*arguments, scratch=tmp_path, until="\n") as (running, printed):
        told = json.loads(printed)
        assert os.access(told["ascp"], os.X_OK)
        listing = requests.post(
            f"{told['url']}/spring/download?subjects={tutorial.LABELS[0]}&view=packages",
            auth=(told["user"], told["password"]),
            timeout=5,
        )
        assert all(15 / 16 <= package["size"] / 2**30 <= 17 / 16 for package in listing.json()["packages"])
        assert ended(running, signal.SIGTERM)[0] == 0
        assert not os.path.exists(told["ascp"])


def test_the_seed_changes_scores_and_latency_delays(tmp_path: Path) -> None:
    answers = []
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        with demo(
            "--no-mount", "--json", f"--seed={seed}", "--latency=300", scratch=tmp_path / seed, until="\n"
        ) as (
            _,
            printed,
        ):
            told = json.loads(printed)
            began = time.monotonic()
            answer = requests.get(
                f"{told['url']}/data/experiments/ConnectomeDB_E00305?format=xml",
                auth=(told["user"], told["password"]),
                timeout=5,
            )
            assert time.monotonic() - began >= 0.3
            answers.append(answer.content)
    assert answers[0] != answers[1]


RECORDED = Path(__file__).parent / "recorded/fixture.json"


@pytest.mark.parametrize(
    ("dialect", "said"), [("1.6", "User 'reader' is logged in."), ("1.8", "User 'reader' is logged in")]
)
def test_it_serves_the_data_of_a_file_in_a_dialect(dialect: str, said: str, tmp_path: Path) -> None:
    arguments = ("--no-mount", "--json", f"--data={RECORDED}", f"--dialect={dialect}")
    with demo(*arguments, scratch=tmp_path, until="\n") as (_, printed):
        told = json.loads(printed)
        assert (told["user"], told["password"]) == ("mylogin", "mypasswd")
        for login, projects in {
            ("mylogin", "mypasswd"): {"HCP_Subjects", "HCP_Q1", "HCP_Q2", "EmptyProj", "ProtDemo"},
            ("reader", "readpw"): {"HCP_Q1", "HCP_Q2", "ProtDemo"},
            ("other", "otherpw"): {"ProtDemo"},
        }.items():
            listing = requests.get(f"{told['url']}/data/projects?format=json", auth=login, timeout=5).json()
            assert {row["ID"] for row in listing["ResultSet"]["Result"]} == projects
        auth = requests.get(f"{told['url']}/data/auth", auth=("reader", "readpw"), timeout=5)
        assert auth.text == said


def test_it_mounts_the_data_of_a_file(tmp_path: Path) -> None:
    held = {
        "users": {"me": "all"},
        "projects": [{"ID": "P", "name": "Mine"}],
        "subjects": [{"ID": "X_S1", "label": "zoe", "project": "P"}],
    }
    (tmp_path / "mine.json").write_text(json.dumps(held))
    arguments = (str(tmp_path / "m"), f"--data={tmp_path / 'mine.json'}", "--dialect=1.8")
    with demo(*arguments, scratch=tmp_path, until="To end it") as (running, printed):
        assert "mine.json describes" in printed
        assert "zoe,X_S1,P" in printed
        assert os.listdir(tmp_path / "m/projects/P/subjects") == ["zoe"]
        assert ended(running, signal.SIGTERM)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no-mount", "--data={t}/nosuch"], "nosuch: No such file"),
        (["--no-mount", "--data={t}/file"], "file is not JSON"),
        (["--no-mount", "--data={t}/file", "--subjects=3"], "--data takes no"),
        (["--no-mount", "{t}"], "no DIR"),
        (["--no-mount", "--package-size=1"], "at least 250K"),
        (["--no-mount", "--package-size=manyG"], "at least 250K"),
        (["{t}/file"], "no directory"),
        (["{t}/file/below"], "cannot be made"),
        (["{t}"], "not empty"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "cdbfs", "demo", *(argument.format(t=tmp_path) for argument in arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert words in done.stderr
    assert os.listdir(tmp_path) == ["file"]
