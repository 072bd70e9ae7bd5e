"""Runs a program that transfers files: listens to it, ends it when it is stopped or stands still, leaves nothing.

Used by the transports that start programs. The program has a process group of its own, and when it has ended, or
is to end, the rest of its group ends too: nothing writes on. It is started by way of `_LAUNCH`, because the
mount's threads block the signals that end programs, and ignore others, and a program inherits that.

Threads: `run` works in the thread that calls it; several may run at once.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import IO, Callable

from cdbfs.errors import CdbfsError, TimedOut
from cdbfs.hcp.transport import Again, Watch, check_wanted

LOOK_SECONDS = 0.1
"""How soon it is seen that a transfer was stopped."""
TERM_SECONDS = 3.0
"""What a program may take to end by itself."""
KILL_SECONDS = 5.0
"""What the kernel may take to end one; it may hang in a filesystem that does not answer."""
DRAIN_TURNS = 200
KEPT_BYTES = 16 * 1024
BLOCK = 64 * 1024
OUR_OWN = "CDBFS_"
"""How the variables begin that are for cdbfs alone: the login stands in them."""

_LAUNCH = """
import os, signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
try:
    os.execv(sys.argv[1], sys.argv[1:])
except OSError as error:
    sys.exit(f"{sys.argv[1]} cannot be started: {error.strerror}")
"""

Reader = Callable[[selectors.BaseSelector], None]
"""Reads what has come on a socket, without waiting."""


@dataclass(frozen=True)
class Program:
    """What to run; the first argument is the path of the program."""

    arguments: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    directory: Path
    """Where it runs."""
    hold: tuple[int, ...] = ()
    """Descriptors that it inherits."""


@dataclass(frozen=True)
class Ended:
    """How it ended: its status (below 0: the signal), and the last of what it said."""

    status: int
    output: str
    errors: str


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a program gets of our environment: all but what is ours alone."""
    return {name: value for name, value in environ.items() if not name.startswith(OUR_OWN)}


def run(
    program: Program,
    watch: Watch,
    stall: float,
    mark: Callable[[], object],
    sources: Sequence[tuple[socket, Reader]] = (),
) -> Ended:
    """Run it to its end.

    `mark` is asked several times a second; while what it answers changes, the transfer moves on. `sources` are
    listened to meanwhile. Raises Interrupted where the watch says stopped, Again after `stall` seconds without a
    change, CdbfsError where the program cannot be started.
    """
    check_wanted(watch)
    with _Running(program, sources) as running:
        watch.started(running.pid)
        running.attend(watch, stall, mark)
    mark()
    return running.ended


class _Running:
    """A program under way; however the block is left, it is over then."""

    def __init__(self, program: Program, sources: Sequence[tuple[socket, Reader]]) -> None:
        self.ended = Ended(0, "", "")
        self._output, self._errors = bytearray(), bytearray()
        self._selector = selectors.DefaultSelector()
        self._exit = -1
        """A descriptor that tells of the program's end, where the kernel has such."""
        try:
            self._process = _start(program)
        except BaseException:
            self._selector.close()
            raise
        try:
            self._listen(self._process.stdout, self._output)
            self._listen(self._process.stderr, self._errors)
            for source, reader in sources:
                self._selector.register(source, selectors.EVENT_READ, reader)
            self._await_end()
        except BaseException:
            self._end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def attend(self, watch: Watch, stall: float, mark: Callable[[], object]) -> None:
        """Until it ends."""
        last, changed, looked = mark(), time.monotonic(), 0.0
        while not self._is_over():
            self._turn(LOOK_SECONDS)
            now = time.monotonic()
            if now - looked < LOOK_SECONDS:
                continue
            looked = now
            check_wanted(watch)
            found = mark()
            if found != last:
                last, changed = found, now
            elif now - changed > stall:
                raise Again(TimedOut(f"the transfer stood still for {stall:g} s"))

    def __enter__(self) -> _Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._is_over():
                self._ask_to_end()
            self._drain()
        finally:
            status = self._end()
            self.ended = Ended(status, _text(self._output), _text(self._errors))

    def _listen(self, pipe: IO[bytes] | None, kept: bytearray) -> None:
        if pipe is None:
            return
        descriptor = pipe.fileno()
        os.set_blocking(descriptor, False)

        def read(selector: selectors.BaseSelector) -> None:
            with contextlib.suppress(BlockingIOError):
                block = os.read(descriptor, BLOCK)
                if not block:
                    selector.unregister(descriptor)
                kept.extend(block)
                del kept[:-KEPT_BYTES]

        self._selector.register(descriptor, selectors.EVENT_READ, read)

    def _await_end(self) -> None:
        """Have the selector wake when the program ends."""
        with contextlib.suppress(AttributeError, OSError):
            self._exit = os.pidfd_open(self.pid)
            self._selector.register(
                self._exit, selectors.EVENT_READ, lambda selector: _forget(selector, self._exit)
            )

    def _turn(self, seconds: float) -> bool:
        """Read what has come, at most `seconds` from now; whether anything has."""
        found = self._selector.select(seconds)
        for key, _ in found:
            key.data(self._selector)
        return bool(found)

    def _drain(self) -> None:
        """What it said at last; somebody that it started may hold the pipes open, and is not waited for."""
        for _ in range(DRAIN_TURNS):
            if not self._turn(0):
                return

    def _is_over(self) -> bool:
        """Whether it has ended, though its process id stays its own until `_end`."""
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _ask_to_end(self) -> None:
        self._signal(signal.SIGTERM)
        ends = time.monotonic() + TERM_SECONDS
        while not self._is_over() and time.monotonic() < ends:
            self._turn(LOOK_SECONDS / 2)

    def _end(self) -> int:
        """End it and all that it started; its status."""
        self._signal(signal.SIGKILL)
        try:
            status = self._process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        self._selector.close()
        if self._exit >= 0:
            os.close(self._exit)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return status

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _forget(selector: selectors.BaseSelector, descriptor: int) -> None:
    selector.unregister(descriptor)


def _start(program: Program) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, *program.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=program.directory,
            env=dict(program.environ),
            pass_fds=program.hold,
            start_new_session=True,
            umask=0o077,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "an argument holds a NUL"
        raise CdbfsError(f"{program.arguments[0]} cannot be started: {reason}") from None


def _text(kept: bytearray) -> str:
    return kept.decode("utf-8", "replace")
