"""Scripted failures of transfers: how the stand-in ascp plays each of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from cdbfs.demo import StandIn

from .test_ascp import COMPLETED
from .transfers import OTHER, STRUCTURAL, SUBJECT, WM, ZIP, Listener, command, of, order, run, started, variables

DISK_WRITE = "Disk write failed (No space left on device)"


@pytest.mark.parametrize(
    ("kind", "parameters", "code", "text"),
    [
        ("no_login", {}, "19", "failed to authenticate"),
        ("wrong_token", {}, "34", "failed to authenticate"),
        ("tcp_closed", {}, "44", "Failed to open TCP connection for SSH"),
        ("udp_blocked", {}, "15", "Client unable to connect to server (check UDP port and firewall)"),
        ("udp_blocked", {"code": 14}, "14", "Client unable to connect to server (check UDP port and firewall)"),
        ("abort", {"code": 41, "text": "Server aborted session: no"}, "41", "Server aborted session: no"),
        ("cut", {"bytes": 70_000}, "16", "Connection lost"),
        ("disk_full", {"bytes": 70_000}, "36", DISK_WRITE),
        ("disk_full", {"bytes": 70_000, "code": 25}, "25", "No space left on device"),
    ],
)
def test_a_session_that_fails(
    kind: str, parameters: dict[str, Any], code: str, text: str, standin: StandIn, tmp_path: Path
) -> None:
    standin.ascp_fault(kind, **parameters)
    listener = Listener()
    done = run(standin, order(standin), tmp_path, "-M", listener.port)
    assert done.returncode == 1
    assert done.stderr == f"ascp: {text}, exiting.\n"
    assert done.stdout.splitlines()[-1] == f"Session Stop  (Error: {text})"
    told = listener.frames()[-1]
    assert (told["Type"], told["Code"], told["Description"]) == ("DONE", code, text)
    if "bytes" in parameters:
        assert (tmp_path / ZIP).stat().st_size == parameters["bytes"]


def test_no_such_file_is_told_as_recorded(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("no_file", file="*")
    done = run(standin, order(standin), tmp_path, "-q")
    assert done.stdout == (
        "Completed: 0K bytes transferred in 0 seconds\n"
        "Session Stop  (Error: Server aborted session: No such file or directory)\n"
    )
    assert (done.returncode, os.listdir(tmp_path)) == (1, [])


def test_a_blocked_udp_port_takes_its_time(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("udp_blocked", seconds=0.5)
    began = time.monotonic()
    assert run(standin, order(standin), tmp_path).returncode == 1
    assert time.monotonic() - began > 0.5


def test_a_fault_is_used_up(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("cut", bytes=1000, times=2)
    assert [run(standin, order(standin), tmp_path).returncode for _ in range(3)] == [1, 1, 0]
    standin.ascp_fault("no_login", times=1)
    assert [run(standin, order(standin), tmp_path).returncode for _ in range(2)] == [1, 0]


def test_some_of_several_files_fail(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("no_file", file=f"{OTHER}_{STRUCTURAL}.zip")
    listener = Listener()
    spec = order(standin, f"{SUBJECT},{OTHER}")
    done = run(standin, spec, tmp_path, "-q", "-M", listener.port)
    assert done.returncode == 1
    start, end = done.stdout.splitlines()
    found = COMPLETED.fullmatch(start)
    assert found is not None
    assert found[1] == "Partial Completion"
    assert "in 3 files, 1 failed" in end
    frames = listener.frames()
    (failed,) = of(frames, "FILEERROR")
    assert (failed["File"], failed["Code"]) == (f"{tmp_path}/{OTHER}_{STRUCTURAL}.zip", "4")
    assert (frames[-1]["Type"], frames[-1]["Code"]) == ("DONE", "27")
    assert (frames[-1]["TransfersPassed"], frames[-1]["TransfersFailed"]) == ("3", "1")
    assert len(os.listdir(tmp_path)) == 3


def test_a_file_that_may_not_be_read(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("fails", file=ZIP, code=5, text="Read access denied")
    listener = Listener()
    run(standin, order(standin), tmp_path, "-M", listener.port)
    (failed,) = of(listener.frames(), "FILEERROR")
    assert (failed["Code"], failed["Description"]) == ("5", "Read access denied")


@pytest.mark.parametrize("at", [{}, {"bytes": 3}])
def test_damaged_bytes(at: dict[str, Any], standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("damage", times=1, **at)
    assert run(standin, order(standin), tmp_path).returncode == 0
    true, made = standin.package(SUBJECT, STRUCTURAL).read_bytes(), (tmp_path / ZIP).read_bytes()
    place = at.get("bytes", len(true) // 2)
    assert [n for n, (a, b) in enumerate(zip(true, made)) if a != b] == [place]
    (tmp_path / ZIP).unlink()
    run(standin, order(standin), tmp_path)
    assert (tmp_path / ZIP).read_bytes() == true


def test_a_wrong_md5_file(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("wrong_md5", times=1)
    run(standin, order(standin), tmp_path)
    true, made = standin.package_md5(SUBJECT, STRUCTURAL), (tmp_path / f"{ZIP}.md5").read_bytes()
    assert made != true
    assert made[1:] == true[1:]
    assert (tmp_path / ZIP).read_bytes() == standin.package(SUBJECT, STRUCTURAL).read_bytes()
    run(standin, order(standin), tmp_path, "-k", "0")
    assert (tmp_path / f"{ZIP}.md5").read_bytes() == true


def test_an_exit_status_that_says_nothing(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("exit", status=127, times=1)
    listener = Listener()
    assert run(standin, order(standin), tmp_path, "-M", listener.port).returncode == 127
    assert "Code" not in listener.frames()[-1]
    assert (tmp_path / ZIP).read_bytes() == standin.package(SUBJECT, STRUCTURAL).read_bytes()


def test_a_manager_that_is_told_nothing(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("mute", times=1)
    listener = Listener()
    assert run(standin, order(standin), tmp_path, "-M", listener.port).returncode == 0
    assert [frame["Type"] for frame in listener.frames()] == ["INIT"]


def test_a_slow_file(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("slow", rate=4e6)
    began = time.monotonic()
    assert run(standin, order(standin), tmp_path).returncode == 0
    assert time.monotonic() - began > 0.3


def test_a_silent_stall(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("stall", bytes=70_000)
    listener = Listener()
    with started(standin, order(standin), tmp_path, "-M", listener.port) as running:
        while not (tmp_path / ZIP).exists() or (tmp_path / ZIP).stat().st_size < 70_000:
            time.sleep(0.01)
        time.sleep(0.3)
        before = listener.text
        time.sleep(0.5)
        assert running.poll() is None
        assert listener.text == before
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 1
    assert (tmp_path / ZIP).stat().st_size == 70_000
    assert (tmp_path / f"{ZIP}.aspx").exists()
    listener.frames()


def test_a_deaf_one_ends_by_force_or_with_the_server(standin: StandIn, tmp_path: Path) -> None:
    standin.ascp_fault("stall", bytes=10, deaf=True)
    with started(standin, order(standin), tmp_path) as running:
        while not (tmp_path / ZIP).exists() or (tmp_path / ZIP).stat().st_size < 10:
            time.sleep(0.01)
        time.sleep(0.2)
        running.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.5)
        standin.stop()
        assert running.wait(10) == 1


def test_a_disk_that_is_really_full(standin: StandIn, tmp_path: Path) -> None:
    spec = order(standin, SUBJECT, WM)
    limited = ["bash", "-c", 'ulimit -f 500; exec "$@"', "-", *command(standin, spec, tmp_path)]
    done = subprocess.run(limited, env=variables(spec), capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr == "ascp: Disk write failed (File too large), exiting.\n"


def test_faults_over_http(standin: StandIn, tmp_path: Path) -> None:
    rule = {"route": "ascp", "kind": "cut", "times": None, "file": "*.zip", "bytes": 5}
    requests.post(standin.control + "/faults", json=rule, timeout=10).raise_for_status()
    assert requests.get(standin.control + "/faults", timeout=10).json() == {"faults": [rule]}
    assert standin.ascp_faults() == [rule]
    assert run(standin, order(standin), tmp_path).returncode == 1
    requests.delete(standin.control + "/faults", timeout=10).raise_for_status()
    assert run(standin, order(standin), tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"kind": "nosuch"}, "unknown kind"),
        ({"kind": "cut", "seconds": 3}, "has no seconds"),
        ({"kind": "no_login", "file": "*"}, "of no file"),
        ({"kind": "cut", "bytes": "many"}, "must be a number"),
    ],
)
def test_mistaken_faults(rule: dict[str, Any], words: str, standin: StandIn) -> None:
    answer = requests.post(standin.control + "/faults", json={"route": "ascp", **rule}, timeout=10)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_throttle_over_http(standin: StandIn, tmp_path: Path) -> None:
    requests.post(standin.control + "/rate", json={"rate": 4e6}, timeout=10).raise_for_status()
    began = time.monotonic()
    assert run(standin, order(standin), tmp_path).returncode == 0
    assert time.monotonic() - began > 0.3
    requests.post(standin.control + "/rate", json={}, timeout=10).raise_for_status()
    assert standin.ascp_rate is None
