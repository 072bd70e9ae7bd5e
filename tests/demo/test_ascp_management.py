"""The management port of the stand-in ascp: its frames have the shapes of recorded ones, and it obeys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdbfs.demo import StandIn

from .transfers import STRUCTURAL, SUBJECT, ZIP, Listener, of, order, run, started

RECORDED_INIT = ("Direction", "Operation", "SessionId", "UserStr")
RECORDED_STATS = (
    *("Adaptive", "Cipher", "ClientUser", "ClusterNodeId", "ClusterNumNodes", "CreatePolicy", "DSPipelineDepth"),
    *("DatagramSize", "Direction", "Encryption"),
)
RECORDED_ERROR = ("Code", "Description", "Loss", "SessionId", "UserStr")
IN_STATS = (
    *("Bytescont", "Elapsedusec", "File", "FileBytes", "PreTransferBytes", "Rate", "Size", "StartByte"),
    *("TransferBytes", "TransfersFailed", "TransfersPassed", "TransfersSkipped", "Written"),
)


def test_the_frames_of_a_transfer(standin: StandIn, tmp_path: Path) -> None:
    listener = Listener()
    standin.ascp_rate = 4e6
    assert run(standin, order(standin), tmp_path, "-q", "-M", listener.port).returncode == 0
    frames = listener.frames()
    kinds = [frame["Type"] for frame in frames]
    assert kinds[:3] == ["INIT", "SESSION", "NOTIFICATION"]
    assert kinds[-1] == "DONE"
    assert set(kinds) == {"INIT", "SESSION", "NOTIFICATION", "STATS", "STOP", "DONE"}
    assert tuple(frames[0])[1:] == RECORDED_INIT
    assert {frame["SessionId"] for frame in frames} == {frames[0]["SessionId"]}
    for frame in of(frames, "STATS"):
        assert {*RECORDED_STATS, *IN_STATS} <= set(frame)
    assert "Code" not in frames[-1]


def test_statistics_grow_to_the_size(standin: StandIn, tmp_path: Path) -> None:
    listener = Listener()
    standin.ascp_rate = 4e6
    run(standin, order(standin), tmp_path, "-M", listener.port)
    frames, size = listener.frames(), standin.package(SUBJECT, STRUCTURAL).stat().st_size
    of_zip = [frame for frame in of(frames, "STATS") if frame["File"] == str(tmp_path / ZIP)]
    got = [int(frame["Bytescont"]) for frame in of_zip]
    assert len(got) > 2
    assert got == sorted(got)
    assert (got[0], got[-1]) == (0, size)
    assert {frame["Size"] for frame in of_zip} == {str(size)}
    last = frames[-1]
    whole = size + len(standin.package_md5(SUBJECT, STRUCTURAL))
    assert (last["TransferBytes"], last["PreTransferBytes"]) == (str(whole), str(whole))
    assert (last["TransfersPassed"], last["TransfersFailed"]) == ("2", "0")
    stops = of(frames, "STOP")
    assert [stop["File"] for stop in stops] == [f"{tmp_path}/{ZIP}", f"{tmp_path}/{ZIP}.md5"]


def test_frames_come_though_no_bytes_do(standin: StandIn, tmp_path: Path) -> None:
    listener = Listener()
    standin.pause_ascp(500_000)
    with started(standin, order(standin), tmp_path, "-M", listener.port) as running:
        standin.wait_held()
        while listener.text.count("Bytescont: 500000\n") < 3:
            assert running.poll() is None
        running.kill()
    assert of(listener.frames(), "DONE") == []


def test_a_failure_is_told_with_its_code(standin: StandIn, tmp_path: Path) -> None:
    listener = Listener()
    standin.ascp_fault("abort", code=5, text="Server aborted session: Read access denied for user")
    assert run(standin, order(standin), tmp_path, "-M", listener.port).returncode == 1
    error, done = listener.frames()[-2:]
    assert (error["Type"], done["Type"]) == ("ERROR", "DONE")
    for frame in (error, done):
        assert tuple(frame)[1:] == RECORDED_ERROR
        assert frame["Code"] == "5"
        assert frame["Description"] == "Server aborted session: Read access denied for user"


@pytest.mark.parametrize("told", ["CANCEL", "DONE"])
def test_it_can_be_cancelled(told: str, standin: StandIn, tmp_path: Path) -> None:
    listener = Listener()
    standin.pause_ascp(500_000)
    with started(standin, order(standin), tmp_path, "-M", listener.port) as running:
        standin.wait_held()
        listener.send(f"Type: {told}")
        assert running.wait(10) == 1
    assert listener.frames()[-1]["Code"] == "28"
    assert sorted(os.listdir(tmp_path)) == [ZIP, f"{ZIP}.aspx"]


def test_its_rate_can_be_changed(standin: StandIn, tmp_path: Path) -> None:
    listener = Listener()
    with started(standin, order(standin), tmp_path, "-M", listener.port, "-l", "100") as running:
        while "Type: STATS" not in listener.text:
            assert running.poll() is None
        listener.send("Type: RATE\nRate: 1000000")
        assert running.wait(10) == 0
    listener.frames()


def test_it_ends_where_nobody_listens(standin: StandIn, tmp_path: Path) -> None:
    done = run(standin, order(standin), tmp_path, "-M", "1")
    assert done.returncode == 1
    assert "management port" in done.stderr
    assert standin.ascp_sessions == 0


def test_it_goes_on_when_the_listener_is_gone(standin: StandIn, tmp_path: Path) -> None:
    listener = Listener()
    standin.pause_ascp(500_000)
    with started(standin, order(standin), tmp_path, "-M", f"127.0.0.1:{listener.port}") as running:
        standin.wait_held()
        assert listener._connection is not None
        listener._connection.shutdown(2)
        standin.resume_ascp()
        assert running.wait(10) == 0
    listener.frames()


def test_a_line_break_in_a_name_is_escaped(standin: StandIn, tmp_path: Path) -> None:
    listener = Listener()
    into = tmp_path / "a\nb"
    run(standin, order(standin), into, "-M", listener.port)
    assert of(listener.frames(), "STOP")[0]["File"] == f"{tmp_path}/a\x1bnb/{ZIP}"
