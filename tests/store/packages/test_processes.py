"""What a process that was killed leaves, and what becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from cdbfs.errors import CdbfsError, TimedOut, Unreachable
from cdbfs.store.packages import boards
from cdbfs.store.packages.boards import Board, Told
from cdbfs.store.packages.layout import whole
from cdbfs.store.packages.locks import take
from tests.store.packages.doubles import MIB, PACKAGE, Scripted, content, files_of, opened, until


@contextmanager
def holder(root: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that transfers PACKAGE, and the program that it started."""
    command = [sys.executable, "-m", "tests.store.packages.holder", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        program = int(process.stdout.readline())
        try:
            yield process, program
        finally:
            process.kill()
            with suppress(ProcessLookupError):
                os.kill(program, signal.SIGKILL)


def test_a_program_that_outlives_its_process_is_ended_and_its_work_gone_on_with(tmp_path: Path) -> None:
    transport = Scripted(files_of(PACKAGE))
    with holder(tmp_path) as (process, program), opened(tmp_path, transport) as store:
        assert [told.program for told in store.transfers.told()] == [program]
        process.kill()
        process.wait()
        assert boards.began(program) > 0, "the program goes on"
        assert store.transfers.told() == [], "who was killed transfers nothing"
        store.fetch(PACKAGE)
        assert boards.began(program) == 0 or _is_zombie(program)
        # The program wrote bytes that do not belong there: md5 told, and it was fetched anew.
        assert store.read(PACKAGE) == content(PACKAGE)
        assert store.rest() == []


def test_a_live_process_is_waited_for_while_it_moves_on_and_no_longer(tmp_path: Path) -> None:
    transport = Scripted(files_of(PACKAGE))
    with holder(tmp_path), opened(tmp_path, transport, silence=1.0) as store:
        with pytest.raises(TimedOut, match="another process"):
            store.fetch(PACKAGE)
        assert transport.orders == []


def test_a_program_of_another_host_or_with_another_beginning_is_let_alone() -> None:
    own = Told("x", program=os.getpid(), program_began=boards.began(os.getpid()), boot=boards.here())
    for other in (replace(own, boot="another host"), replace(own, program_began=1), replace(own, program=0)):
        assert not boards.end_orphan(other)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'{"file": 1}', b'{"file": "x", "waiting": 3}', b'{"file":"x","done":"y","waiting":[]}'],
)
def test_a_board_that_is_half_written_or_damaged_tells_nothing(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "board"
    path.write_bytes(text)
    assert boards.read(path) is None


def test_a_board_is_live_while_its_process_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "board"
    assert not boards.is_live(path)
    lock = take(path)
    assert lock is not None
    board = Board(path, lock)
    board.tell(Told("x", done=3, waiting=(1, 2)))
    assert boards.is_live(path)
    assert boards.read(path) == Told("x", done=3, waiting=(1, 2))
    board.close()
    assert not boards.is_live(path)
    assert boards.read(path) is None


def test_a_failure_is_told_to_others_by_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    boards.note_failure(path, Unreachable("the network is gone"), 1000.0)
    found = boards.failure(path, 1000.0)
    assert isinstance(found, Unreachable)
    assert str(found) == "the network is gone"
    assert boards.failure(path, 1000.5) is None


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "annotations", "reason": "x", "when": 9e9}', "\0"])
def test_a_failure_that_cannot_be_read_is_none_or_plain(tmp_path: Path, text: str) -> None:
    path = tmp_path / "failed"
    path.write_text(text)
    assert type(boards.failure(path, 0)) in (type(None), CdbfsError)


def test_what_lies_about_in_the_cache_does_no_harm(tmp_path: Path) -> None:
    transport = Scripted(files_of(PACKAGE))
    with opened(tmp_path, transport) as store:
        for path in (store.layout.objects / "odd", store.layout.object(PACKAGE)):
            path.mkdir()
            (path / "state.json").write_text("{")
            (path / "package.zip").mkdir() if path.name == "odd" else None
        (store.layout.objects / "file").write_text("")
        assert store.kept.here() == []
        store.fetch(PACKAGE)
        assert store.kept.here() == [PACKAGE]
        assert store.kept.find(whole(PACKAGE)) is not None
        assert store.space.usage().kept >= MIB


def _is_zombie(process: int) -> bool:
    until(lambda: _state(process) in ("Z", ""))
    return True


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
