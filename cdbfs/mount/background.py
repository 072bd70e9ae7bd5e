"""A mount in the background: a child that runs `cdbfs mount -f`, and the handshake between it and its parent.

Used by cli, on both sides. No fork with threads, and no secret in arguments or environment: the parent sends the
login as a line of JSON through a pipe, the child answers with one (ready, or what is wrong). The child ends when
that pipe is closed before the parent has said that the mount is to stay: a parent that dies leaves nothing behind.

Threads: parent and child each from their main thread; the child watches its parent in a thread of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from cdbfs.config import LOGIN_VARIABLES, Settings
from cdbfs.credentials import Credentials
from cdbfs.errors import CdbfsError, ConfigError
from cdbfs.mount import mounts
from cdbfs.mount.daemon import ENDING_SIGNALS
from cdbfs.store.disk import make_private

LOG_BYTES = 2**20
STAY = b"stay"
END_SECONDS = 10.0


@dataclass(frozen=True)
class Child:
    """A daemon, and the pipe that leads to it."""

    process: subprocess.Popen[bytes]
    pipe: IO[bytes]

    def leave(self) -> None:
        """Let it run on without this process."""
        self.pipe.write(STAY)
        self.pipe.close()
        self.process.returncode = 0  # nobody waits for it: spares Popen's warning that it still runs

    def end(self, seconds: float) -> None:
        """End a tied one, by force after `seconds`."""
        self.pipe.close()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(
    arguments: Sequence[str],
    credentials: Credentials | None,
    log_file: Path,
    seconds: float,
    variables: Mapping[str, str] | None = None,
) -> Child:
    """Start `cdbfs mount -f ARGUMENTS` and return when it has answered, within `seconds`; `variables` are further
    ones of its environment.

    The mount ends when this process dies, or closes the Child's pipe without `leave`. Raises CdbfsError with the
    child's reason.
    """
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    command = [sys.executable, "-m", "cdbfs", "mount", "-f", f"--handshake={down_read},{up_write}", *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in LOGIN_VARIABLES}
    environment.update(variables or {})
    with _open_log(log_file) as log, os.fdopen(up_read, "rb") as answer:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=(down_read, up_write),
                start_new_session=True,
            )
        finally:
            os.close(down_read)
            os.close(up_write)
        pipe = os.fdopen(down_write, "wb", buffering=0)
        started = Child(child, pipe)
        try:
            pipe.write(json.dumps(asdict(credentials) if credentials else None).encode() + b"\n")
            reason = _reason(answer, seconds, log_file)
        except BaseException:
            started.end(END_SECONDS)
            raise
    if reason:
        started.end(END_SECONDS)
        raise CdbfsError(reason)
    return started


def _reason(answer: IO[bytes], seconds: float, log_file: Path) -> str:
    """What is wrong with the mount; "" when it is ready. One short line through a pipe comes whole."""
    if not select.select([answer], [], [], seconds)[0]:
        return f"the mount did not answer within {seconds:g} s; see {log_file}"
    reply = answer.readline()
    return str(json.loads(reply)["error"]) if reply else f"the mount ended at once; see {log_file}"


def log_file(settings: Settings, directory: str) -> Path:
    """Where the daemon of a mount on `directory` writes what it has to say."""
    name = mounts.real_path(directory).strip("/").replace("/", "-")[-100:] or "root"
    return settings.cache_dir / "log" / f"{name}.log"


def _open_log(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        make_private(path.parent)
        file = os.fdopen(os.open(path, flags, 0o600), "ab")
    except OSError as error:
        raise ConfigError(f"the log {path} cannot be written: {error.strerror}") from None
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
        file.close()
        raise ConfigError(f"the log {path} is not a file of yours alone")
    if found.st_size > LOG_BYTES:
        file.truncate(0)
    return file


@dataclass(frozen=True)
class Parent:
    """The child's side of the handshake."""

    credentials: Credentials | None
    _down: IO[bytes]
    _up: IO[bytes]

    def answer(self, error: str = "") -> None:
        """Tell the parent that the mount is ready, or what is wrong; once."""
        if not self._up.closed:
            with contextlib.suppress(BrokenPipeError), self._up:
                self._up.write(json.dumps({"error": error}).encode() + b"\n")

    def watch(self) -> None:
        """End this process, as SIGTERM does, when the parent is gone without saying that the mount is to stay."""
        threading.Thread(target=self._wait_for_the_end, daemon=True).start()

    def _wait_for_the_end(self) -> None:
        # Blocked here, signals go to the thread that waits for them, or end the process if none does yet.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        if self._down.read() != STAY:
            os.kill(os.getpid(), signal.SIGTERM)


def parent(handshake: str) -> Parent:
    """The parent at the other end of `--handshake=FD,FD`."""
    down, up = (int(number) for number in handshake.split(","))
    os.set_inheritable(down, False)
    os.set_inheritable(up, False)
    reader = os.fdopen(down, "rb", buffering=0)
    found: dict[str, str] | None = json.loads(reader.readline())
    return Parent(Credentials(**found) if found else None, reader, os.fdopen(up, "wb"))
