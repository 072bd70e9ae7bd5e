"""The stand-in ascp: its command line, what it leaves, and what it prints, in the form of recorded outputs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests

from cdbfs.demo import StandIn

from .transfers import OTHER, STRUCTURAL, SUBJECT, WM, ZIP, command, order, run, started, variables

PROGRESS = re.compile(r"^\S+ +(\d+)% +\d+(  |KB|MB|GB) +(\d+[KM]b/s)? +(\d\d:\d\d|--:--)(    | ETA)$")
RECORDED = (
    "SRR576938.fastq.gz                                      100%  244MB  112Mb/s    00:20    ",
    "02054141.001.52628.fcs                        100%  236KB             --:--    ",
    "testfile_10GB                                 100%   10GB  576Mb/s    01:56    ",
)
COMPLETED = re.compile(r"(Partial Completion|Completed): (\d+)K bytes transferred in (\d+) seconds")
SPEED = re.compile(r" \((\d+)K bits/sec\), in (\d+) files?(, 1 failed)?\.")


@pytest.mark.parametrize("line", RECORDED)
def test_the_form_of_progress_is_that_of_recorded_lines(line: str) -> None:
    assert PROGRESS.match(line)


def test_a_transfer(standin: StandIn, tmp_path: Path) -> None:
    done = run(standin, order(standin), tmp_path / "into")
    assert (done.returncode, done.stderr) == (0, "")
    *progress, completed, speed = done.stdout.splitlines()
    assert all(PROGRESS.match(line) for line in progress)
    assert {line.partition(" ")[0] for line in progress} == {ZIP, f"{ZIP}.md5"}
    assert COMPLETED.fullmatch(completed)
    assert SPEED.fullmatch(speed)
    assert speed.endswith("in 2 files.")
    assert sorted(os.listdir(tmp_path / "into")) == [ZIP, f"{ZIP}.md5"]
    arrived = tmp_path / "into" / ZIP
    assert arrived.read_bytes() == standin.package(SUBJECT, STRUCTURAL).read_bytes()
    assert arrived.with_name(f"{ZIP}.md5").read_bytes() == standin.package_md5(SUBJECT, STRUCTURAL)
    assert arrived.stat().st_mtime == 1363520981


def test_progress_is_rewritten_in_place(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_rate = 4e6
    done = subprocess.run(
        command(standin, spec := order(standin), tmp_path), env=variables(spec), capture_output=True, check=True
    )
    lines = done.stdout.decode().split("\n")[0].split("\r")
    percents = [int(found[1]) for line in lines if (found := PROGRESS.match(line))]
    assert len(percents) == len(lines) > 2
    assert percents == sorted(percents)
    assert percents[0] == 0
    assert percents[-1] == 100


def test_a_quiet_one_shows_no_progress(standin: StandIn, tmp_path: Path) -> None:
    done = run(standin, order(standin), tmp_path, "-q")
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.startswith("Completed: ")


def test_some_files_of_an_order_only(standin: StandIn, tmp_path: Path) -> None:
    spec = order(standin, f"{SUBJECT},{OTHER}", f"{STRUCTURAL},{WM}")
    some = {**spec, "paths": [path for path in spec["paths"] if path["source"].endswith(".md5")][1:3]}
    assert run(standin, some, tmp_path).returncode == 0
    assert sorted(os.listdir(tmp_path)) == [f"{SUBJECT}_{WM}.zip.md5", f"{OTHER}_{STRUCTURAL}.zip.md5"]


def test_sources_may_stand_in_a_file_list(standin: StandIn, tmp_path: Path) -> None:
    spec = order(standin)
    listed = tmp_path / "list"
    listed.write_text("".join(f"{path['source']}\n" for path in spec["paths"]))
    into = tmp_path / "into"
    assert run(standin, {**spec, "paths": []}, into, f"--file-list={listed}").returncode == 0
    assert sorted(os.listdir(into)) == [ZIP, f"{ZIP}.md5"]


def test_one_source_to_no_directory_is_that_file(standin: StandIn, tmp_path: Path) -> None:
    spec = order(standin)
    one = {**spec, "paths": spec["paths"][:1]}
    done = subprocess.run(
        command(standin, one, tmp_path / "x"), env=variables(spec), capture_output=True, check=True
    )
    assert done.returncode == 0
    assert (tmp_path / "x").read_bytes() == standin.package(SUBJECT, STRUCTURAL).read_bytes()


def test_several_sources_need_a_directory(standin: StandIn, tmp_path: Path) -> None:
    spec = order(standin)
    done = subprocess.run(
        command(standin, spec, tmp_path / "x"), env=variables(spec), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "is not a directory" in done.stderr
    made = subprocess.run(
        command(standin, spec, tmp_path / "x", "-d"), env=variables(spec), capture_output=True, check=False
    )
    assert made.returncode == 0
    assert len(os.listdir(tmp_path / "x")) == 2


@pytest.mark.parametrize(
    "options",
    [("--nosuch",), ("-!",), ("--policy=nosuch",), ("-k", "9"), ("-l", "fast"), ("-O", "x"), ("--mode=send",)],
)
def test_options_that_ascp_does_not_know(options: tuple[str, ...], standin: StandIn, tmp_path: Path) -> None:
    done = run(standin, order(standin), tmp_path, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Usage: ascp" in done.stderr
    assert standin.ascp_sessions == 0


@pytest.mark.parametrize(
    "options",
    [
        ("-QTd",),
        ("-v", "-L", ".", "-R", "."),
        ("-m", "100", "-l", "2G", "-Z", "1400"),
        ("--overwrite=always", "--file-manifest=none", "--no-mgmt-port-files", "--policy=fixed"),
        ("--check-sshfp=abc", "--symbolic-links=skip"),
    ],
)
def test_options_that_ascp_knows(options: tuple[str, ...], standin: StandIn, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    moved = [option if option != "." else str(tmp_path / "here") for option in options]
    assert run(standin, order(standin), tmp_path / "into", *moved).returncode == 0


def test_the_clients_log_tells_no_token(standin: StandIn, tmp_path: Path) -> None:
    spec = order(standin)
    run(standin, spec, tmp_path / "into", "-L", str(tmp_path))
    log = (tmp_path / "aspera-scp-transfer.log").read_text()
    assert "session start" in log
    assert spec["token"] not in log


def test_the_rate_is_kept(standin: StandIn, tmp_path: Path) -> None:
    size = standin.package(SUBJECT, STRUCTURAL).stat().st_size
    began = time.monotonic()
    assert run(standin, order(standin), tmp_path, "-l", f"{size * 8 * 2 // 1000}").returncode == 0
    assert time.monotonic() - began > 0.4


def test_a_key_that_is_not_there(standin: StandIn, tmp_path: Path) -> None:
    spec = order(standin)
    key = f"{tmp_path}/nosuch"
    done = subprocess.run(
        command(standin, spec, tmp_path, key=key), env=variables(spec), capture_output=True, text=True, check=False
    )
    text = f"Private key file not found at path {key}"
    assert (done.returncode, done.stderr) == (1, f"ascp: {text}, exiting.\n")
    assert done.stdout == f"\nSession Stop  (Error: {text})\n"


def test_a_port_where_nobody_listens(standin: StandIn, tmp_path: Path) -> None:
    done = run(standin, {**order(standin), "ssh_port": 1}, tmp_path)
    text = "Failed to open TCP connection for SSH"
    assert (done.returncode, done.stderr) == (1, f"ascp: {text}, exiting.\n")
    assert done.stdout == f"\nSession Stop  (Error: {text})\n"


def test_only_a_token_for_these_sources_opens_them(standin: StandIn, tmp_path: Path) -> None:
    spec, of_other = order(standin), order(standin, OTHER)
    for wrong in (
        {**spec, "token": "ATB3_guessed"},
        {**spec, "token": ""},
        {**spec, "token": of_other["token"]},
        {**spec, "remote_user": "root"},
    ):
        done = run(standin, wrong, tmp_path)
        assert done.returncode == 1
        assert done.stdout == "Session Stop  (Error: failed to authenticate)\n"
        assert done.stderr == "ascp: failed to authenticate, exiting.\n"
    assert os.listdir(tmp_path) == []
    assert run(standin, spec, tmp_path, "-W", spec["token"]).returncode == 0


def test_starts_are_recorded(standin: StandIn, tmp_path: Path) -> None:
    spec = order(standin)
    for options in ((), ("-W", spec["token"])):
        run(standin, spec, tmp_path, *options)
    assert standin.ascp_sessions == 2
    right, wrong = standin.ascp_runs
    assert right.token_in == ("ASPERA_SCP_TOKEN",)
    assert wrong.token_in == ("arguments", "ASPERA_SCP_TOKEN")
    assert {"PATH", "ASPERA_SCP_TOKEN"} <= set(right.environment)
    assert right.arguments[:3] == ("-p", "-i", standin.ascp_key)
    assert right.sources == tuple(path["source"] for path in spec["paths"])
    assert standin.ascp_running == ()
    shown = requests.get(standin.control + "/ascp", timeout=10)
    assert (shown.json()["sessions"], shown.json()["ascp"]) == (2, standin.ascp)
    assert spec["token"] not in shown.text.replace(spec["token"], "", 1)  # one stands among the arguments: -W
    assert "POST /_aspera" not in standin.counts()
    standin.reset_counts()
    assert standin.ascp_sessions == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_so_that_it_can_go_on(number: int, standin: StandIn, tmp_path: Path) -> None:
    standin.pause_ascp(500_000)
    with started(standin, order(standin), tmp_path) as running:
        assert standin.wait_held() == [ZIP]
        running.send_signal(number)
        assert running.wait(10) == 1
    assert sorted(os.listdir(tmp_path)) == [ZIP, f"{ZIP}.aspx"]
    assert (tmp_path / ZIP).stat().st_size == 500_000


@pytest.mark.parametrize("options", [(), ("-q",)])
def test_it_ends_when_nobody_reads_its_output(options: tuple[str, ...], standin: StandIn, tmp_path: Path) -> None:
    standin.pause_ascp(500_000)
    with started(standin, order(standin), tmp_path, *options) as running:
        standin.wait_held()
        assert running.stdout is not None
        running.stdout.close()
        assert running.wait(10) == 1
        running.stdout = None
    assert (tmp_path / f"{ZIP}.aspx").exists()


def test_the_servers_end_is_a_lost_connection(standin: StandIn, tmp_path: Path) -> None:
    standin.pause_ascp(500_000)
    with started(standin, order(standin), tmp_path) as running:
        standin.wait_held()
        standin.stop()
        out, err = running.communicate(timeout=10)
    assert running.returncode == 1
    assert out.endswith(b"Session Stop  (Error: Connection lost)\n")
    assert err == b"ascp: Connection lost, exiting.\n"


def test_many_at_once(standin: StandIn, tmp_path: Path) -> None:
    specs = [order(standin, SUBJECT, package) for package in (STRUCTURAL, WM)]
    standin.pause_ascp(1000)
    with started(standin, specs[0], tmp_path) as one, started(standin, specs[1], tmp_path) as other:
        assert standin.wait_held(2) == [ZIP, f"{SUBJECT}_{WM}.zip"]
        assert len(standin.ascp_running) == 2
        standin.resume_ascp()
        assert (one.wait(10), other.wait(10)) == (0, 0)
    assert len(os.listdir(tmp_path)) == 4


def test_its_directory_is_laid_out_as_aspera_connects(standin: StandIn) -> None:
    home = Path(standin.ascp).parent.parent
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()) == [
        *("bin/ascp", "etc/aspera-license", "etc/aspera_tokenauth_id_rsa", "etc/asperaweb_id_dsa.openssh"),
    ]
    assert os.access(standin.ascp, os.X_OK)
    version = subprocess.run([standin.ascp, "-A"], capture_output=True, text=True, check=True)
    assert "ascp" in version.stdout
