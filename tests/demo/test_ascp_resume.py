"""How the stand-in ascp goes on from what an earlier session left, and where a test can stop it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import requests

from cdbfs.demo import StandIn

from .transfers import STRUCTURAL, SUBJECT, ZIP, Listener, Spec, of, order, run, started

HALF = 1_000_000


@pytest.fixture
def spec(standin: StandIn) -> Spec:
    """An order of one zip alone."""
    found = order(standin)
    return {**found, "paths": found["paths"][:1]}


def is_right(standin: StandIn, path: Path) -> bool:
    return path.read_bytes() == standin.package(SUBJECT, STRUCTURAL).read_bytes()


def cut(standin: StandIn, spec: Spec, into: Path, *options: str) -> None:
    standin.ascp_fault("cut", bytes=HALF, times=1)
    assert run(standin, spec, into, *options).returncode == 1


def first_byte(standin: StandIn, spec: Spec, into: Path, *options: str) -> str:
    """Where the next session begins."""
    listener = Listener()
    assert run(standin, spec, into, "-M", listener.port, *options).returncode == 0
    frames = listener.frames()
    return (of(frames, "STOP") or [{"StartByte": "none"}])[0]["StartByte"]


def test_it_goes_on_from_the_sidecar(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    cut(standin, spec, tmp_path)
    assert sorted(os.listdir(tmp_path)) == [ZIP, f"{ZIP}.aspx"]
    assert (tmp_path / ZIP).stat().st_size == HALF
    assert first_byte(standin, spec, tmp_path) == str(HALF)
    assert os.listdir(tmp_path) == [ZIP]
    assert is_right(standin, tmp_path / ZIP)


def test_another_order_of_the_same_goes_on_too(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    cut(standin, spec, tmp_path)
    again = order(standin)
    assert first_byte(standin, {**again, "paths": spec["paths"]}, tmp_path) == str(HALF)
    assert is_right(standin, tmp_path / ZIP)


def test_the_incomplete_file_may_have_a_suffix(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    suffix = "--partial-file-suffix=.partial"
    cut(standin, spec, tmp_path, suffix)
    assert sorted(os.listdir(tmp_path)) == [f"{ZIP}.aspx", f"{ZIP}.partial"]
    assert first_byte(standin, spec, tmp_path, suffix) == str(HALF)
    assert os.listdir(tmp_path) == [ZIP]
    assert is_right(standin, tmp_path / ZIP)


def test_without_k_it_starts_over(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    cut(standin, spec, tmp_path, "-k", "0")
    assert os.listdir(tmp_path) == [ZIP]  # no sidecar
    assert first_byte(standin, spec, tmp_path) == "0"
    assert is_right(standin, tmp_path / ZIP)


def test_a_killed_one_goes_on_from_what_it_wrote_down(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    standin.pause_ascp(HALF)
    with started(standin, spec, tmp_path) as running:
        standin.wait_held()
        running.send_signal(signal.SIGKILL)
        running.wait(10)
    standin.resume_ascp()
    assert int(first_byte(standin, spec, tmp_path)) <= HALF
    assert is_right(standin, tmp_path / ZIP)


def test_a_sidecar_of_another_file_does_not_count(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    cut(standin, spec, tmp_path)
    (tmp_path / f"{ZIP}.aspx").write_text("12 34 00000000000000001000\n")
    assert first_byte(standin, spec, tmp_path) == "0"
    assert is_right(standin, tmp_path / ZIP)


def test_a_file_shorter_than_its_sidecar_says(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    cut(standin, spec, tmp_path)
    os.truncate(tmp_path / ZIP, 1000)
    assert first_byte(standin, spec, tmp_path) == "1000"
    assert is_right(standin, tmp_path / ZIP)


@pytest.mark.parametrize("compare", ["1", "2", "3"])
def test_what_is_there_is_skipped(compare: str, standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    run(standin, spec, tmp_path)
    listener = Listener()
    done = run(standin, spec, tmp_path, "-M", listener.port, "-k", compare)
    frames = listener.frames()
    assert (done.returncode, len(of(frames, "SKIP")), len(of(frames, "STOP"))) == (0, 1, 0)
    assert of(frames, "DONE")[0]["TransferBytes"] == "0"


@pytest.mark.parametrize(("compare", "mended"), [("0", True), ("1", False), ("2", False), ("3", True)])
def test_damage_in_the_middle_escapes_all_but_a_full_checksum(
    compare: str, mended: bool, standin: StandIn, spec: Spec, tmp_path: Path
) -> None:
    run(standin, spec, tmp_path)
    with (tmp_path / ZIP).open("r+b") as file:
        file.seek(300_000)
        file.write(b"damage")
    assert run(standin, spec, tmp_path, "-k", compare).returncode == 0
    assert is_right(standin, tmp_path / ZIP) == mended


def test_overwriting(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    (tmp_path / ZIP).write_text("mine")
    assert run(standin, spec, tmp_path, "--overwrite=never").returncode == 0
    assert (tmp_path / ZIP).read_text() == "mine"
    assert run(standin, spec, tmp_path).returncode == 0
    assert is_right(standin, tmp_path / ZIP)


# --- holds


def test_a_hold_stops_at_the_very_byte_and_moves_on(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    assert standin.held() == []
    standin.pause_ascp(1234)
    with started(standin, spec, tmp_path) as running:
        assert standin.wait_held() == standin.held() == [ZIP]
        assert (tmp_path / ZIP).stat().st_size == 1234
        standin.pause_ascp(HALF)
        while (tmp_path / ZIP).stat().st_size < HALF:
            assert running.poll() is None
        assert standin.wait_held() == [ZIP]
        assert (tmp_path / ZIP).stat().st_size == HALF
        standin.resume_ascp()
        assert running.wait(10) == 0
    assert is_right(standin, tmp_path / ZIP)


def test_a_hold_at_the_start_and_one_of_other_files(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    standin.pause_ascp(file="*.md5")
    assert run(standin, spec, tmp_path).returncode == 0
    standin.pause_ascp()
    with started(standin, spec, tmp_path, "-k", "0"):
        standin.wait_held()
        assert (tmp_path / ZIP).stat().st_size == 0
    while standin.ascp_running:
        time.sleep(0.01)
    with pytest.raises(TimeoutError):
        standin.wait_held(seconds=0.1)


def test_holds_over_http(standin: StandIn, spec: Spec, tmp_path: Path) -> None:
    requests.post(standin.control + "/hold", json={"at": HALF}, timeout=10).raise_for_status()
    with started(standin, spec, tmp_path) as running:
        standin.wait_held()
        shown = requests.get(standin.control + "/ascp", timeout=10).json()
        assert (shown["held"], shown["running"]) == ([ZIP], 1)
        requests.post(standin.control + "/hold", json={}, timeout=10).raise_for_status()
        assert running.wait(10) == 0
