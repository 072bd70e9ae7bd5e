"""Programs: listened to, ended when they are to end, and nothing of them left."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from cdbfs.errors import CdbfsError, Interrupted, TimedOut
from cdbfs.hcp import child
from cdbfs.hcp.child import KEPT_BYTES, Ended, Program, environment
from cdbfs.hcp.transport import Again
from tests.hcp.watching import Noted
from tests.hcp.ways import is_gone

DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)


def program(directory: Path, code: str) -> Program:
    return Program((sys.executable, "-I", "-S", "-c", code), dict(os.environ), directory)


def run(directory: Path, code: str, watch: Noted | None = None, stall: float = 30.0) -> Ended:
    return child.run(program(directory, code), watch or Noted(), stall, lambda: None)


def stopped_when(path: Path, watch: Noted) -> threading.Thread:
    """Stops the watch once there is such a file."""

    def wait() -> None:
        while not path.exists():
            time.sleep(0.01)
        watch.stop.set()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def has_ended(pid: int) -> bool:
    """Whether a process that is not our child is gone, or waits for init to reap it."""
    try:
        return is_gone(pid) or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_status_and_words_are_told(tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    assert run(tmp_path, code) == Ended(7, "out\n", "err\n")
    assert run(tmp_path, "import os; os.kill(os.getpid(), 9)").status == -9


def test_it_runs_where_it_should_with_nothing_to_read(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), repr(sys.stdin.read()), oct(os.umask(0)))"
    assert run(tmp_path, code).output == f"{tmp_path} '' 0o77\n"


def test_of_much_that_is_said_the_last_is_kept(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.stdout.write('x' * {50 * KEPT_BYTES} + 'end'); sys.stderr.write('y' * {9 * KEPT_BYTES})"
    )
    ended = run(tmp_path, code)
    assert len(ended.output) == len(ended.errors) == KEPT_BYTES
    assert ended.output.endswith("xend")


def test_a_program_that_talks_without_end_can_be_stopped(tmp_path: Path) -> None:
    watch = Noted()
    thread = stopped_when(tmp_path / "talks", watch)
    with pytest.raises(Interrupted):
        run(tmp_path, "open('talks', 'w')\nwhile True: print('x' * 60000)", watch)
    thread.join()
    assert is_gone(watch.programs[0])


def test_a_program_ends_by_itself_although_our_threads_heed_no_signals(tmp_path: Path) -> None:
    """As in the daemon of a mount, which takes signals in one thread."""
    code = """
import signal, sys, time
def end(number, frame):
    open("ended", "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open("here", "w").close()
time.sleep(60)
"""
    watch = Noted()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    try:
        thread = stopped_when(tmp_path / "here", watch)
        with pytest.raises(Interrupted):
            run(tmp_path, code, watch)
        thread.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert (tmp_path / "ended").exists()


def test_signals_are_not_blocked_nor_ignored_in_a_program(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGUSR1))
    try:
        output = child.run(
            Program(("/bin/sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status"), dict(os.environ), tmp_path),
            Noted(),
            30.0,
            lambda: None,
        ).output
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert [int(line.split()[1], 16) for line in output.splitlines()] == [0, 0]


def test_a_deaf_program_is_killed(tmp_path: Path) -> None:
    watch = Noted()
    thread = stopped_when(tmp_path / "here", watch)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        run(tmp_path, DEAF.replace("print", "open('here', 'w'); print"), watch)
    thread.join()
    assert 3.0 <= time.monotonic() - began < 6.0
    assert is_gone(watch.programs[0])


@pytest.mark.parametrize("ends", ["time.sleep(60)", "sys.exit(0)"])
def test_what_a_program_starts_ends_with_it(tmp_path: Path, ends: str) -> None:
    """Also where it holds the pipes open, and heeds no signal."""
    code = f"""
import subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", {DEAF!r}], stdout=subprocess.PIPE)
other.stdout.readline()
also = subprocess.Popen(["sleep", "60"])
with open("pids.part", "w") as file:
    file.write(f"{{other.pid}} {{also.pid}}")
import os
os.rename("pids.part", "pids")
{ends}
"""
    watch = Noted()
    began = time.monotonic()
    if ends == "sys.exit(0)":
        assert run(tmp_path, code, watch).status == 0
    else:
        thread = stopped_when(tmp_path / "pids", watch)
        with pytest.raises(Interrupted):
            run(tmp_path, code, watch)
        thread.join()
    assert time.monotonic() - began < 10
    pids = list(map(int, (tmp_path / "pids").read_text().split()))
    assert len(pids) == 2
    assert all(map(has_ended, pids))


def test_a_program_that_does_nothing_is_ended(tmp_path: Path) -> None:
    watch = Noted()
    with pytest.raises(Again) as stalled:
        run(tmp_path, "import time; time.sleep(60)", watch, stall=0.5)
    assert isinstance(stalled.value.meaning, TimedOut)
    assert is_gone(watch.programs[0])


def test_a_program_that_moves_on_is_not(tmp_path: Path) -> None:
    ticks = iter(range(10**6))
    assert (
        child.run(program(tmp_path, "import time; time.sleep(1.5)"), Noted(), 0.5, lambda: next(ticks)).status == 0
    )


def test_a_mark_that_fails_leaves_no_program(tmp_path: Path) -> None:
    def mark() -> object:
        raise RuntimeError("of ours")

    watch = Noted()
    with pytest.raises(RuntimeError):
        child.run(program(tmp_path, "import time; time.sleep(60)"), watch, 30, mark)
    assert is_gone(watch.programs[0])


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    ended = child.run(Program((str(tmp_path / "none"),), dict(os.environ), tmp_path), Noted(), 30, lambda: None)
    assert ended.status == 1
    assert "none cannot be started: No such file or directory" in ended.errors
    for bad in (
        Program((sys.executable, "a\0b"), dict(os.environ), tmp_path),
        Program((sys.executable,), {}, tmp_path / "none"),
    ):
        with pytest.raises(CdbfsError, match="cannot be started"):
            child.run(bad, Noted(), 30, lambda: None)


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    run(tmp_path, "pass")
    before = os.listdir("/proc/self/fd")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child.run(program(tmp_path, "pass"), Noted(), 30, lambda: None, [(listener, lambda selector: None)])
    with pytest.raises(Again):
        run(tmp_path, "import time; time.sleep(9)", stall=0.2)
    assert os.listdir("/proc/self/fd") == before


def test_the_environment_is_passed_on_without_what_is_ours() -> None:
    ours = {"HOME": "/h", "CDBFS_USER": "u", "CDBFS_PASSWORD": "p", "CDBFS_CACHE_DIR": "/c", "LC_ALL": "C"}
    assert environment(ours) == {"HOME": "/h", "LC_ALL": "C"}


def test_the_repr_of_a_program_holds_no_environment(tmp_path: Path) -> None:
    assert "secret" not in repr(Program(("x",), {"ASPERA_SCP_TOKEN": "secret"}, tmp_path))
