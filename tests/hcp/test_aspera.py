"""The Aspera transport against the stand-in: its faults, hostile specs, secrets, and what it may not start."""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cdbfs.errors import (
    AccessRefused,
    CdbfsError,
    Interrupted,
    NoSpace,
    NotFound,
    ServerFault,
    TimedOut,
    Unreachable,
)
from cdbfs.hcp.aspera.port import Port
from cdbfs.hcp.aspera.progress import Progress
from cdbfs.hcp.aspera.transport import AsperaTransport
from cdbfs.hcp.transport import Again, Order
from tests.hcp.test_transports import Fetching, arrived, order, wait_held
from tests.hcp.watching import Noted
from tests.hcp.ways import ETA, HELD, PASSWORD, ZETA, ByAspera, by_aspera, expected, is_gone

TRANSFER = "POST /spring/download transfer"


@pytest.fixture
def by() -> Iterator[ByAspera]:
    with by_aspera() as found:
        yield found


@pytest.fixture
def into(tmp_path: Path) -> Path:
    directory = tmp_path / "into"
    directory.mkdir()
    return directory


def outcome(by: ByAspera, wanted: Order, watch: Noted | None = None, stall: float = 30.0) -> Exception | None:
    """How a fetch ends; nothing secret is in what it raises."""
    raised: Exception | None = None
    try:
        by.transport(stall).fetch(wanted, watch or Noted())
    except (Again, CdbfsError) as error:
        raised = error
    told = "" if raised is None else "".join(traceback.format_exception(None, raised, raised.__traceback__))
    for secret in (*by.server.tokens(), PASSWORD):
        assert secret not in told + repr(raised)
    return raised


def final(error: Exception | None) -> CdbfsError:
    assert isinstance(error, CdbfsError)
    return error


def again(error: Exception | None) -> CdbfsError:
    assert isinstance(error, Again)
    return error.meaning


# -- what goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "more", "kind_of_error", "says"),
    [
        ("no_login", {}, AccessRefused, "refused the login"),
        ("tcp_closed", {}, Unreachable, "TCP port"),
        ("udp_blocked", {}, Unreachable, "UDP port 33001 must be open in your firewall"),
        ("udp_blocked", {"code": 14}, Unreachable, "UDP port 33001"),
        ("cut", {"bytes": HELD}, Unreachable, "lost"),
        ("abort", {"code": 39, "text": "Server aborted session"}, Unreachable, "ended the transfer"),
        ("abort", {"code": 37, "text": "not now"}, AccessRefused, "token"),
        ("abort", {"code": 99, "text": "who knows"}, CdbfsError, "who knows"),
        ("exit", {"status": 3}, CdbfsError, ""),
    ],
)
def test_what_may_be_better_next_time(
    by: ByAspera, into: Path, kind: str, more: Mapping[str, Any], kind_of_error: type[CdbfsError], says: str
) -> None:
    by.server.ascp_fault(kind, times=1, **more)
    error = again(outcome(by, order(into, ZETA)))
    assert type(error) is kind_of_error
    assert says in str(error)
    assert outcome(by, order(into, ZETA)) is None
    assert arrived(into) == expected(ZETA)
    assert len(by.server.downloads()) == 2
    assert len(set(by.server.tokens())) == 2


@pytest.mark.parametrize(
    ("kind", "more", "kind_of_error", "says"),
    [
        ("wrong_token", {}, AccessRefused, "refused the token"),
        ("abort", {"code": 9, "text": "no license"}, CdbfsError, "licence"),
        ("abort", {"code": 5, "text": "Read access denied for user"}, AccessRefused, "does not let"),
        ("no_file", {"file": "*"}, NotFound, "does not have"),
        ("disk_full", {"file": "*", "bytes": 5}, NoSpace, "full"),
        ("disk_full", {"bytes": HELD, "code": 25}, NoSpace, "full"),
    ],
)
def test_what_will_not_be(
    by: ByAspera, into: Path, kind: str, more: Mapping[str, Any], kind_of_error: type[CdbfsError], says: str
) -> None:
    by.server.ascp_fault(kind, **more)
    error = final(outcome(by, order(into, ZETA)))
    assert type(error) is kind_of_error
    assert says in str(error)


def test_127_after_a_good_transfer_is_good(by: ByAspera, into: Path) -> None:
    by.server.ascp_fault("exit", status=127)
    assert outcome(by, order(into, ZETA)) is None
    assert arrived(into) == expected(ZETA)


def test_a_file_that_cannot_be_had_leaves_the_others_alone(by: ByAspera, into: Path) -> None:
    by.server.ascp_fault("no_file", file=ETA.zip)
    watch = Noted()
    assert outcome(by, order(into, ETA, ZETA), watch) is None
    assert watch.failures.keys() == {ETA.zip}
    assert isinstance(watch.failures[ETA.zip], NotFound)
    assert arrived(into) == {**expected(ZETA), ETA.md5: expected(ETA)[ETA.md5]}


@pytest.mark.parametrize("deaf", [False, True])
def test_a_stall_is_seen_and_ended(by: ByAspera, into: Path, deaf: bool) -> None:
    by.server.ascp_fault("stall", times=1, bytes=HELD, deaf=deaf)
    watch = Noted()
    assert isinstance(again(outcome(by, order(into, ZETA), watch, stall=1.0)), TimedOut)
    assert is_gone(watch.programs[0])
    assert outcome(by, order(into, ZETA)) is None
    assert arrived(into) == expected(ZETA)


def test_without_frames_the_disk_tells_how_far_it_is(by: ByAspera, into: Path) -> None:
    by.server.ascp_fault("mute")
    by.server.ascp_rate = 1.5 * 2**20
    watch = Noted()
    assert outcome(by, order(into, ZETA), watch, stall=1.9) is None
    done = watch.done(ZETA.zip)
    assert done == sorted(done)
    assert any(0 < each < len(expected(ZETA)[ZETA.zip]) for each in done)
    assert arrived(into) == expected(ZETA)


def test_without_frames_failures_are_understood_by_what_is_printed(by: ByAspera, into: Path) -> None:
    by.server.ascp_fault("mute")
    by.server.ascp_fault("no_file", file=ETA.zip)
    watch = Noted()
    assert outcome(by, order(into, ETA, ZETA), watch) is None
    assert watch.failures.keys() == {ETA.zip}
    assert isinstance(final(outcome(by, order(into, ETA, files=[ETA.zip]))), NotFound)


# -- what may not be started ------------------------------------------------------------------------------------


HOSTILE: list[Mapping[str, Any]] = [
    {"remote_host": "-oProxyCommand=touch${IFS}/tmp/owned"},
    {"remote_host": "evil.example.org"},
    {"remote_host": "--host=127.0.0.1"},
    {"remote_host": "root@127.0.0.1"},
    {"remote_user": "-oProxyCommand=id"},
    {"remote_user": "xfer@evil.example.org"},
    {"direction": "send"},
    {"ssh_port": "22 -oProxyCommand=id"},
    {"fasp_port": True},
    {"target_rate_kbps": "1;id"},
    {"rate_policy": "--mode=send"},
    {"token": "a b"},
    {"paths": [{"source": ".bashrc"}]},
    {"paths": [{"source": f"-oProxyCommand=id/{ZETA.zip}"}]},
    {"paths": [{"source": f"../{ZETA.zip}"}]},
    {"paths": [{"source": f"x/{ZETA.zip}"}, {"source": "x/.ssh/authorized_keys"}]},
]


@pytest.mark.parametrize("fields", HOSTILE, ids=repr)
def test_a_hostile_spec_starts_nothing(by: ByAspera, into: Path, fields: Mapping[str, Any]) -> None:
    by.server.next_spec = fields
    watch = Noted()
    error = final(outcome(by, order(into, ZETA), watch))
    assert type(error) is ServerFault
    assert next(iter(fields)) in str(error)
    assert watch.programs == []
    assert by.server.ascp_sessions == 0
    assert arrived(into) == {}


@pytest.mark.parametrize("answer", [{"packages": []}, [], None, "x", {"transfer_specs": []}])
def test_what_is_no_spec_starts_nothing(by: ByAspera, into: Path, answer: object) -> None:
    by.server.next_spec = lambda spec: answer
    watch = Noted()
    assert type(final(outcome(by, order(into, ZETA), watch))) is ServerFault
    assert watch.programs == []


def test_the_destination_is_ours(by: ByAspera, into: Path, tmp_path: Path) -> None:
    by.server.next_spec = {"destination_root": str(tmp_path / "elsewhere"), "destination": "/tmp"}
    assert outcome(by, order(into, ZETA)) is None
    assert arrived(into) == expected(ZETA)


def test_without_ascp_no_download_is_begun(by: ByAspera, into: Path, tmp_path: Path) -> None:
    by.environ = {**by.environ, "ASCP": str(tmp_path / "none")}
    assert "ASCP" in str(final(outcome(by, order(into, ZETA))))
    assert by.server.downloads() == []
    assert by.server.counts().get(TRANSFER, 0) == 0


def test_without_a_key_no_download_is_begun(by: ByAspera, into: Path, tmp_path: Path) -> None:
    by.environ = {**by.environ, "ASPERA_ETCDIR": str(tmp_path)}
    assert "ASPERA_ETCDIR" in str(final(outcome(by, order(into, ZETA))))
    assert by.server.downloads() == []


def test_an_ascp_that_is_none_is_told_of(by: ByAspera, into: Path, tmp_path: Path) -> None:
    program = tmp_path / "ascp"
    program.write_bytes(b"\x7fELF for another machine")
    program.chmod(0o755)
    by.environ = {**by.environ, "ASCP": str(program), "ASPERA_ETCDIR": str(Path(by.server.ascp_key).parent)}
    assert "cannot be started" in str(again(outcome(by, order(into, ZETA))))


def test_what_no_package_is_called_is_not_asked_for(by: ByAspera, into: Path) -> None:
    for file in ("other.zip", "../x", ZETA.zip + "x"):
        assert isinstance(final(outcome(by, Order((ZETA,), (file,), into))), CdbfsError)
    assert by.server.ascp_sessions == 0


# -- when the server is away ------------------------------------------------------------------------------------


def test_a_server_that_is_away_is_told_at_once_where_nothing_has_come(
    by: ByAspera, into: Path, tmp_path: Path
) -> None:
    (tmp_path / "ascp").symlink_to("/bin/true")
    (tmp_path / "aspera_tokenauth_id_rsa").touch()
    by.environ = {"ASCP": str(tmp_path / "ascp")}
    by.service.index()
    by.server.stop()
    try:
        assert isinstance(final(outcome(by, order(into, ZETA))), Unreachable)
        (into / ZETA.zip).write_bytes(b"part")
        assert isinstance(again(outcome(by, order(into, ZETA))), Unreachable)
    finally:
        by.server.start()


def test_a_spec_that_does_not_come_whole_is_not_asked_for_again(by: ByAspera, into: Path) -> None:
    by.service.index()
    (into / ZETA.zip).write_bytes(b"part")
    for kind, more in (("cut", {"bytes": 20}), ("status", {"code": 503}), ("reset", {})):
        by.server.clear_faults()
        by.server.reset_counts()
        by.server.fault(TRANSFER, kind, **more)
        final(outcome(by, order(into, ZETA)))
        assert by.server.counts()[TRANSFER] == 1
    assert by.server.ascp_sessions == 0


def test_waiting_for_the_spec_can_be_stopped(by: ByAspera, into: Path) -> None:
    by.service.index()
    by.server.fault(TRANSFER, "delay", seconds=20)
    watch = Noted()
    fetching = Fetching(by.transport(), order(into, ZETA), watch)
    time.sleep(0.5)
    began = time.monotonic()
    watch.stop.set()
    assert isinstance(fetching.end(), Interrupted)
    assert time.monotonic() - began < 2
    by.server.clear_faults()


# -- secrets ----------------------------------------------------------------------------------------------------


def test_the_token_stands_in_the_environment_of_ascp_only(by: ByAspera, into: Path) -> None:
    by.hold()
    watch = Noted()
    fetching = Fetching(by.transport(), order(into, ZETA), watch)
    wait_held(watch)
    token = by.server.tokens()[-1].encode()
    holders = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            assert token not in (process / "cmdline").read_bytes()
            if token in (process / "environ").read_bytes():
                holders.append(int(process.name))
        except OSError:
            continue
    ascp = Path(f"/proc/{watch.programs[-1]}")
    variables = dict(each.split(b"=", 1) for each in (ascp / "environ").read_bytes().split(b"\0") if each)
    watch.stop.set()
    fetching.end()
    assert holders == watch.programs
    assert variables[b"ASPERA_SCP_TOKEN"] == token
    assert variables[b"ASPERA_SCP_COOKIE"].startswith(b"XDATUser=ana;User-Agent=cdbfs ")
    assert variables[b"HOME"] == os.environ["HOME"].encode()
    assert not any(name.startswith(b"CDBFS_") for name in variables)
    assert not any(PASSWORD.encode() in value for value in variables.values())
    (run,) = by.server.ascp_runs
    assert run.token_in == ("ASPERA_SCP_TOKEN",)
    assert "-W" not in run.arguments


def test_nothing_that_can_be_printed_holds_a_secret(
    by: ByAspera, caplog: pytest.LogCaptureFixture, into: Path
) -> None:
    transport = by.transport()
    assert isinstance(transport, AsperaTransport)
    by.server.ascp_fault("abort", code=99, text="no token {token}")
    with caplog.at_level(0):
        outcome(by, order(into, ZETA))
    for secret in (*by.server.tokens(), PASSWORD):
        assert secret not in repr(transport)
        assert secret not in caplog.text


def test_words_of_ascps_that_hold_the_token_are_told_without_it(by: ByAspera, into: Path, tmp_path: Path) -> None:
    """Also where a bound cuts it in two."""
    program = tmp_path / "ascp"
    for before in ("", "x" * 150, "x" * 190):
        program.write_text(f'#!/bin/sh\necho "{before} $ASPERA_SCP_TOKEN" >&2\nenv\nexit 1\n')
        program.chmod(0o755)
        by.environ = {**by.environ, "ASCP": str(program), "ASPERA_ETCDIR": str(Path(by.server.ascp_key).parent)}
        error = outcome(by, order(into, ZETA))
        assert by.server.tokens()[-1][:12] not in str(error)


# -- the management port ----------------------------------------------------------------------------------------


def test_the_port_takes_one_connection_on_loopback() -> None:
    import selectors

    heard: list[str] = []
    with selectors.DefaultSelector() as selector, Port(lambda frame: heard.append(frame["Type"])) as port:
        selector.register(port.listener, selectors.EVENT_READ, port.accept)
        assert port.listener.getsockname()[0] == "127.0.0.1"
        with socket.create_connection(("127.0.0.1", port.number)) as first:
            _turn(selector)
            with socket.create_connection(("127.0.0.1", port.number)) as second:
                second.sendall(b"FASPMGR 2\nType: DONE\n\n")
                first.sendall(b"FASPMGR 2\nType: INIT\n\nFASPMGR 2\nType: ST")
                _turn(selector)
                first.sendall(b"ATS\n\n")
                _turn(selector)
        _turn(selector)
    assert heard == ["INIT", "STATS"]


def _turn(selector: Any) -> None:
    for key, _ in selector.select(2.0):
        key.data(selector)


def progress(into: Path, *files: str) -> tuple[Progress, Noted]:
    watch = Noted()
    return Progress(files, into, watch), watch


def test_progress_is_of_files_that_were_asked_for_and_never_goes_back(into: Path) -> None:
    told, watch = progress(into, "a", "b")
    for fields in (
        {"Type": "START", "File": "/x/a", "Size": "100", "StartByte": "40"},
        {"Type": "STATS", "File": "/x/a", "Size": "100", "Bytescont": "60", "Written": "9999"},
        {"Type": "STATS", "File": "/x/a", "Size": "100", "Bytescont": "50"},
        {"Type": "STATS", "File": "/x/c", "Size": "100", "Bytescont": "70"},
        {"Type": "STATS", "File": "/x/a", "Bytescont": "99999999"},
        {"Type": "STATS", "File": "/x/a", "Bytescont": "-5"},
        {"Type": "SKIP", "File": "b", "Size": "7"},
    ):
        told.hear(fields)
    assert watch.moves == [
        ("a", 40, 100),
        ("a", 60, 100),
        ("a", 60, 100),
        ("a", 100, 100),
        ("a", 100, 100),
        ("b", 7, 7),
    ]
    assert told.is_whole("b")
    assert not told.is_whole("a")


def test_frames_that_say_nothing_new_are_no_progress(into: Path) -> None:
    told, _ = progress(into, "a")
    stats = {"Type": "STATS", "File": "a", "Size": "9", "Bytescont": "3", "TransferBytes": "3"}
    told.hear({**stats, "Elapsedusec": "1", "Rate": "5"})
    before = told.mark()
    told.hear({**stats, "Elapsedusec": "2", "Rate": "0"})
    told.hear({"Type": "RATE", "Rate": "7"})
    told.hear({"Type": "NOP"})
    assert told.mark() == before
    told.hear({**stats, "TransferBytes": "4"})
    assert told.mark() != before


def test_two_orders_do_not_hinder_each_other(by: ByAspera, into: Path) -> None:
    transport = by.transport()
    both = [Fetching(transport, order(into, package), Noted()) for package in (ZETA, ETA)]
    assert [each.end() for each in both] == [None, None]
    assert arrived(into) == {**expected(ZETA), **expected(ETA)}
    assert not [each for each in threading.enumerate() if each.name.startswith("cdbfs-transfer")]
