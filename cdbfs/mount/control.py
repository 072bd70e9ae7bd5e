"""The control socket of a mount: `cdbfs fetch`, `evict` and `status` ask the daemon through it.

Used by daemon. It is a stream socket below cache_dir, 0600 in a directory that is 0700, and takes questions of its
own user and of root only. A question is one line of JSON; the answer is lines of JSON, the last of which is an
event `end` or `error`. While nothing is to be told, an event `wait` is sent now and then, so that who asked knows
that somebody is there. He may send one line more, which ends what he asked for, and is gone when he closes.

Threads: one accepts; each question has one of its own, at most MOST_CLIENTS of them.
"""

from __future__ import annotations

import contextlib
import errno as codes
import hashlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from cdbfs.errors import CdbfsError, ours
from cdbfs.mount.answering import Answering
from cdbfs.mount.sockets import MOST_BYTES, bind, connect, peer
from cdbfs.runtime import Runtime
from cdbfs.store.disk import make_private
from cdbfs.store.packages.boards import here

log = logging.getLogger(__name__)

MOST_CLIENTS = 16
ASK_SECONDS = 10.0
"""How long who connected may take to ask."""
TELL_SECONDS = 30.0
"""How long he may take to read."""
SIGN_SECONDS = 5.0
DRAIN_SECONDS = 0.5
SUFFIX = ".sock"


class Gone(Exception):
    """Who asked does not listen any more."""


class Client:
    """Who asked, at the other end of a connection. Belongs to the thread that answers."""

    def __init__(self, connection: socket.socket, process: int) -> None:
        self.process = process
        self.cancelled = False
        """He asked for an end."""
        self._connection = connection
        self._told = time.monotonic()
        self._rest = b""

    def question(self) -> Mapping[str, Any]:
        """What he asks. Raises CdbfsError for what is no question, Gone."""
        ends = time.monotonic() + ASK_SECONDS
        while b"\n" not in self._rest:
            if len(self._rest) > MOST_BYTES:
                raise CdbfsError(f"a question has at most {MOST_BYTES} bytes")
            self._rest += self._received(ends - time.monotonic())
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            question = json.loads(line)
        except (ValueError, RecursionError):
            question = None
        if not isinstance(question, dict):
            raise CdbfsError("a question is a line of JSON, an object")
        return question

    def tell(self, event: Mapping[str, Any]) -> None:
        """Raises Gone."""
        self._told = time.monotonic()
        self._connection.settimeout(TELL_SECONDS)
        try:
            self._connection.sendall(json.dumps(event).encode("ascii") + b"\n")
        except OSError:
            raise Gone from None

    def ended(self) -> bool:
        """Whether he wants no more of what he asked for. Raises Gone. To be called often while he waits."""
        if time.monotonic() - self._told > SIGN_SECONDS:
            self.tell({"event": "wait"})
        if not self.cancelled:
            self._connection.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                self._rest = self._rest[-1:] + self._once()
            self.cancelled = b"\n" in self._rest
        return self.cancelled

    def _received(self, seconds: float) -> bytes:
        self._connection.settimeout(max(0.01, seconds))
        try:
            return self._once()
        except socket.timeout:
            raise CdbfsError(f"no question came within {ASK_SECONDS:g} s") from None

    def _once(self) -> bytes:
        try:
            received = self._connection.recv(2**16)
        except (BlockingIOError, socket.timeout):
            raise
        except OSError:
            raise Gone from None
        if not received:
            raise Gone
        return received


Answer = Callable[[Mapping[str, Any], Client], None]


class ControlSocket:
    """Listens in `directory`, once `start`ed."""

    def __init__(self, directory: Path, answer: Answer) -> None:
        self.path = ""
        """Where it listens; "" where it does not."""
        self._directory = directory
        self._answer = answer
        self._listener: socket.socket | None = None
        self._free = threading.BoundedSemaphore(MOST_CLIENTS)

    def start(self) -> None:
        """Raises OSError."""
        make_private(self._directory)
        os.chmod(self._directory, 0o700)
        _remove_stale(self._directory)
        path = self._directory / f"{_host()}-{os.getpid()}{SUFFIX}"
        self._listener = bind(path)
        self.path = str(path)
        threading.Thread(target=self._accept, args=(self._listener,), name="cdbfs-control", daemon=True).start()

    def close(self) -> None:
        """Take no more questions."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            self._listener.close()
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            self._listener, self.path = None, ""

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                if listener.fileno() < 0 or self._listener is None:
                    return
                time.sleep(SIGN_SECONDS / 10)  # out of descriptors
                continue
            if self._free.acquire(blocking=False):
                threading.Thread(target=self._serve, args=(connection,), name="cdbfs-asked", daemon=True).start()
            else:
                with connection, contextlib.suppress(Gone):
                    Client(connection, 0).tell(_error("too many ask this mount at once; try again later"))
                    _drain(connection)

    def _serve(self, connection: socket.socket) -> None:
        """In a thread of its own."""
        try:
            with connection, contextlib.suppress(Gone):
                process, is_trusted = peer(connection)
                client = Client(connection, process)
                if is_trusted:
                    self._reply(client)
                else:
                    client.tell(_error("this mount is somebody else's"))
                _drain(connection)
        finally:
            self._free.release()

    def _reply(self, client: Client) -> None:
        try:
            self._answer(client.question(), client)
        except (CdbfsError, OSError) as error:
            client.tell(_error(str(error)))
        except Gone:
            raise
        except Exception as error:
            log.exception("a fault in cdbfs itself in the control socket")
            client.tell(_error(str(ours(error))))


def serve(runtime: Runtime) -> ControlSocket:
    """The socket of a mount, started. Where there can be none it listens nowhere, and the mount goes on."""
    control = ControlSocket(runtime.settings.cache_dir / "run", Answering(runtime).answer)
    try:
        control.start()
    except OSError as error:
        runtime.journal.note(error.errno or codes.EIO, "the control socket", f"there is none: {error}")
    return control


def _error(reason: str) -> dict[str, str]:
    return {"event": "error", "reason": reason}


def _drain(connection: socket.socket) -> None:
    """Take what is still on its way: closing before that would take the answer from who asked."""
    ends = time.monotonic() + DRAIN_SECONDS
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(DRAIN_SECONDS)
        while connection.recv(2**16) and time.monotonic() < ends:
            pass


def _host() -> str:
    """What process ids are of, as part of a name: hosts may share cache_dir."""
    return hashlib.sha256(here().encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _remove_stale(directory: Path) -> None:
    """Sockets of daemons of this host that were killed: nobody answers there."""
    for path in directory.glob(f"{_host()}-*{SUFFIX}"):
        try:
            connect(path, 1.0).close()
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError:
            continue
