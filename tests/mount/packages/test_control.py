"""The control socket: who may ask, what is no question, and who goes away."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cdbfs.errors import CdbfsError, NotFound
from cdbfs.mount import control, sockets
from cdbfs.mount.asking import ask_at
from cdbfs.mount.control import MOST_CLIENTS, Client, ControlSocket, Gone
from cdbfs.mount.sockets import MOST_BYTES, bind, connect
from tests.store.packages.doubles import in_threads, until


class Scripted:
    """Answers as a test says."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.ended: list[str] = []
        self.answering = 0

    def answer(self, question: Mapping[str, Any], client: Client) -> None:
        self.answering += 1
        try:
            getattr(self, f"_{question['do']}")(question, client)
        finally:
            self.answering -= 1

    def _echo(self, question: Mapping[str, Any], client: Client) -> None:
        client.tell({"event": "progress", "process": client.process})
        client.tell({"event": "end", "question": question})

    def _refuse(self, question: Mapping[str, Any], client: Client) -> None:
        raise NotFound("there is none")

    def _break(self, question: Mapping[str, Any], client: Client) -> None:
        raise KeyError("x")

    def _flood(self, question: Mapping[str, Any], client: Client) -> None:
        while True:
            client.tell({"event": "progress", "text": "x" * 10_000})

    def _wait(self, question: Mapping[str, Any], client: Client) -> None:
        try:
            while not self.gate.is_set():
                if client.ended():
                    self.ended.append("stopped")
                    break
                time.sleep(0.01)
        except Gone:
            self.ended.append("gone")
            raise
        client.tell({"event": "end"})


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    found = Scripted()
    yield found
    found.gate.set()


@pytest.fixture
def listening(scripted: Scripted, tmp_path: Path) -> Iterator[ControlSocket]:
    found = ControlSocket(tmp_path / "run", scripted.answer)
    found.start()
    yield found
    found.close()


def ask(listening: ControlSocket, question: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
    return list(ask_at(Path(listening.path), "/m", question, **more))


def reply(listening: ControlSocket, text: bytes) -> dict[str, Any]:
    """What comes of raw bytes."""
    with connect(Path(listening.path), 5) as connection, connection.makefile("rb") as answer:
        connection.sendall(text)
        return dict(json.loads(answer.readline()))


def test_a_question_is_answered_event_by_event(listening: ControlSocket) -> None:
    question = {"do": "echo", "paths": ["a b", "\udcff", "ü\n"]}
    assert ask(listening, question) == [
        {"event": "progress", "process": os.getpid()},
        {"event": "end", "question": question},
    ]


def test_only_its_owner_finds_it(listening: ControlSocket, tmp_path: Path) -> None:
    assert stat.S_IMODE(os.stat(tmp_path / "run").st_mode) == 0o700
    found = os.stat(listening.path)
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_nobody_else_is_answered(
    listening: ControlSocket, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "TRUSTED", ())
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert reply(listening, b'{"do": "echo"}\n')["reason"] == "this mount is somebody else's"


@pytest.mark.parametrize("text", [b"\n", b"x\n", b"[]\n", b"1\n", b'{"do": \n', b"[" * 100_000 + b"\n", b"\xff\n"])
def test_what_is_no_question_gets_an_error(listening: ControlSocket, text: bytes) -> None:
    assert reply(listening, text) == {"event": "error", "reason": "a question is a line of JSON, an object"}


def test_a_question_has_a_bound(listening: ControlSocket) -> None:
    assert "at most" in reply(listening, b"x" * (MOST_BYTES + 2**16))["reason"]
    with pytest.raises(CdbfsError, match="too much for one question"):
        ask(listening, {"do": "echo", "paths": ["x" * MOST_BYTES]})


def test_who_asks_nothing_is_sent_away(listening: ControlSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ASK_SECONDS", 0.2)
    assert reply(listening, b'{"do"')["reason"] == "no question came within 0.2 s"


def test_what_cannot_be_answered_is_told(listening: ControlSocket, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CdbfsError, match=r"^there is none$"):
        ask(listening, {"do": "refuse"})
    with pytest.raises(CdbfsError, match="a fault in cdbfs itself"):
        ask(listening, {"do": "break"})
    assert len(caplog.records) == 1
    assert len(ask(listening, {"do": "echo"})) == 2


def test_who_goes_away_ends_his_wait(listening: ControlSocket, scripted: Scripted) -> None:
    with connect(Path(listening.path), 5) as connection:
        connection.sendall(b'{"do": "wait"}\n')
        until(lambda: scripted.answering)
    until(lambda: scripted.ended == ["gone"] and not scripted.answering)


def test_who_wants_no_more_hears_how_far_it_came(listening: ControlSocket, scripted: Scripted) -> None:
    assert ask(listening, {"do": "wait"}, stopped=lambda: scripted.answering > 0) == [{"event": "end"}]
    assert scripted.ended == ["stopped"]


def test_who_sends_both_at_once_is_heard(listening: ControlSocket, scripted: Scripted) -> None:
    assert reply(listening, b'{"do": "wait"}\n{"do": "stop"}\n') == {"event": "end"}
    assert scripted.ended == ["stopped"]


def test_signs_of_life_keep_who_waits(
    listening: ControlSocket, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SIGN_SECONDS", 0.1)
    opening = threading.Timer(1.0, scripted.gate.set)
    opening.start()
    assert ask(listening, {"do": "wait"}, silence=0.5) == [{"event": "end"}]
    opening.join()


def test_a_daemon_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with bind(tmp_path / "s"), pytest.raises(CdbfsError, match="does not answer"):
        list(ask_at(tmp_path / "s", "/m", {"do": "echo"}, silence=0.3))


@pytest.mark.parametrize("answer", [b"", b"{", b"x\n", b"[1]\n", b'{"event": "progress"}\n'])
def test_a_daemon_that_ends_in_the_middle_is_told(answer: bytes, tmp_path: Path) -> None:
    with bind(tmp_path / "s") as listener:

        def half() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        (thread,) = in_threads([half])
        with pytest.raises(CdbfsError, match="ended before it had answered"):
            list(ask_at(tmp_path / "s", "/m", {"do": "echo"}))
        thread.join()


def test_who_does_not_read_is_left(
    listening: ControlSocket, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "TELL_SECONDS", 0.3)
    with connect(Path(listening.path), 5) as connection:
        connection.sendall(b'{"do": "flood"}\n')
        until(lambda: scripted.answering)
        until(lambda: not scripted.answering)


def test_only_so_many_ask_at_once(listening: ControlSocket, scripted: Scripted) -> None:
    connections = [connect(Path(listening.path), 5) for _ in range(MOST_CLIENTS)]
    for connection in connections:
        connection.sendall(b'{"do": "wait"}\n')
    until(lambda: scripted.answering == MOST_CLIENTS)
    with pytest.raises(CdbfsError, match="too many"):
        ask(listening, {"do": "echo"})
    for connection in connections:
        connection.close()
    until(lambda: not scripted.answering)
    assert len(ask(listening, {"do": "echo"})) == 2


def test_its_path_may_be_long(scripted: Scripted, tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 200) / ("e" * 200)
    listening = ControlSocket(directory, scripted.answer)
    listening.start()
    assert len(ask(listening, {"do": "echo"})) == 2
    listening.close()
    assert list(directory.iterdir()) == []


def test_sockets_of_the_dead_are_removed_and_no_others(scripted: Scripted, tmp_path: Path) -> None:
    first = ControlSocket(tmp_path, scripted.answer)
    first.start()
    dead = first.path.replace(str(os.getpid()), "99999999")
    bind(Path(dead)).close()
    foreign = tmp_path / "0badf00d-1.sock"  # of another host
    bind(foreign).close()
    live = tmp_path / os.path.basename(dead).replace("99999999", "88888888")
    with bind(live):
        second = ControlSocket(tmp_path, scripted.answer)
        second.start()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [foreign.name, live.name, os.path.basename(second.path)]
        )
        second.close()
    first.close()


def test_after_its_end_nobody_is_answered(listening: ControlSocket) -> None:
    path = Path(listening.path)
    listening.close()
    listening.close()
    assert not path.exists()
    with pytest.raises(CdbfsError, match="cannot be asked"):
        list(ask_at(path, "/m", {"do": "echo"}))


def test_it_leaves_no_threads(scripted: Scripted, tmp_path: Path) -> None:
    before = threading.active_count()
    listening = ControlSocket(tmp_path, scripted.answer)
    listening.start()
    ask(listening, {"do": "echo"})
    listening.close()
    until(lambda: threading.active_count() <= before)


def test_a_stranger_behind_a_mount_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []
    with bind(tmp_path / "s") as listener:

        def listen() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(1000))

        (thread,) = in_threads([listen])
        monkeypatch.setattr(sockets, "TRUSTED", ())
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(CdbfsError, match="somebody else's"):
            list(ask_at(tmp_path / "s", "/m", {"do": "echo"}))
        thread.join()
    assert heard == [b""]


def test_a_socket_that_cannot_be_had_is_no_end(tmp_path: Path, scripted: Scripted) -> None:
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(OSError, match=r"exists|directory"):
        ControlSocket(tmp_path / "run", scripted.answer).start()
