"""Asks the daemon of a mount through its control socket.

Used by the commands fetch, evict and status. The mount itself tells where the socket is; that is asked in a thread
with a deadline, since a daemon that is stopped would hold us for ever.

Threads: a Connection belongs to the thread that made it; the rest are plain functions.
"""

from __future__ import annotations

import errno as codes
import json
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from cdbfs.errors import CdbfsError, ConfigError
from cdbfs.mount import mounts
from cdbfs.mount.mounts import Mount
from cdbfs.mount.sockets import MOST_BYTES, connect, peer
from cdbfs.tree.control import CONTROL

ANSWER_SECONDS = 2.5
"""How long a mount may take to say where its socket is, and how it is."""
SILENCE_SECONDS = 30.0
"""How long a daemon may say nothing while it works: it gives a sign of life every few seconds."""
END_SECONDS = 10.0
"""How long it may take to end what is not wanted any more."""
POLL_SECONDS = 0.1
LONGEST = 2**26
"""Bytes in a line of an answer."""
LAST = ("end", "error")


def never() -> bool:
    return False


def one_mount(paths: Sequence[str]) -> tuple[Mount, list[str]]:
    """The mount that all paths lead into, and the paths in it. Raises ConfigError, naming the path."""
    found: list[tuple[Mount, str]] = []
    for path in paths:
        led = mounts.leading_to(path)
        if led is None:
            raise ConfigError(f"{path} is not in a mount of cdbfs")
        if found and led[0].device != found[0][0].device:
            raise ConfigError(f"{path} is in another mount than {paths[0]}: one command asks one mount")
        found.append(led)
    return found[0][0], [inside for _, inside in found]


def mount_on(directory: str) -> Mount:
    """The mount on a directory itself. Raises ConfigError, also for a place further down in it."""
    mount, (inside,) = one_mount([directory])
    if inside.strip("/"):
        raise ConfigError(f"{directory} is in the mount on {mount.point}, which is the directory to name")
    return mount


def status_file(mount: Mount, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """What a mount says of itself in .cdbfs/status.json. Raises CdbfsError where it is dead, or hangs."""
    answer: queue.Queue[dict[str, Any] | Exception] = queue.Queue()

    def ask() -> None:
        try:
            answer.put(dict(json.loads(Path(mount.point, CONTROL, "status.json").read_bytes())))
        except (OSError, ValueError, TypeError) as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        found = answer.get(timeout=max(0.0, seconds))
    except queue.Empty:
        raise CdbfsError(f"{mount.point} does not answer; cdbfs umount --lazy takes it away") from None
    if isinstance(found, Exception):
        raise CdbfsError(f"{mount.point} {_meaning(found)}")
    return found


def _meaning(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in (codes.ENOTCONN, codes.ECONNABORTED):
        return "is dead: its daemon was killed; cdbfs umount takes it away"
    if number in (codes.EACCES, codes.EPERM):
        return "is somebody else's"
    return f"does not tell how it is: {error}"


def ask(
    mount: Mount,
    question: Mapping[str, Any],
    stopped: Callable[[], bool] = never,
    silence: float = SILENCE_SECONDS,
) -> Iterator[dict[str, Any]]:
    """The events that a mount answers with, the last an `end`. Raises CdbfsError, for an `error` with its reason.

    Once `stopped` says so, the daemon is told to end what was asked for; it tells then how far it came.
    """
    place = status_file(mount).get("control")
    if not isinstance(place, str) or not place:
        raise CdbfsError(f"{mount.point} has no control socket; .cdbfs/errors there may tell why")
    yield from ask_at(Path(place), mount.point, question, stopped, silence)


def ask_at(
    place: Path,
    name: str,
    question: Mapping[str, Any],
    stopped: Callable[[], bool] = never,
    silence: float = SILENCE_SECONDS,
) -> Iterator[dict[str, Any]]:
    """As `ask`, where the socket is known; `name` is the mount's."""
    try:
        connection = connect(place, silence)
    except OSError as error:
        raise CdbfsError(f"the daemon of {name} cannot be asked: {error.strerror or error}") from None
    with connection:
        if not peer(connection)[1]:  # the mount itself says where its socket is
            raise CdbfsError(f"{name} is somebody else's")
        asked = _Connection(connection, name, silence)
        asked.send(question)
        yield from asked.events(stopped)


class _Connection:
    """A connection to the daemon of the mount `name`."""

    def __init__(self, connection: socket.socket, name: str, silence: float) -> None:
        self._connection = connection
        self._name = name
        self._silence = silence
        self._rest = bytearray()

    def send(self, question: Mapping[str, Any]) -> None:
        line = json.dumps(question).encode("ascii") + b"\n"
        if len(line) > MOST_BYTES:
            raise CdbfsError("that is too much for one question: name directories, or fewer at a time")
        try:
            self._connection.settimeout(self._silence)
            self._connection.sendall(line)
        except OSError:
            raise self._lost() from None

    def events(self, stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        ends, told = time.monotonic() + self._silence, False
        while True:
            if stopped() and not told:
                self.send({"do": "stop"})
                told, ends = True, time.monotonic() + END_SECONDS
            event = self._event()
            if event is None:
                if time.monotonic() > ends:
                    raise CdbfsError(f"the daemon of {self._name} does not answer any more")
                continue
            ends = ends if told else time.monotonic() + self._silence
            if event.get("event") == "error":
                raise CdbfsError(str(event.get("reason")))
            if event.get("event") != "wait":
                yield event
            if event.get("event") in LAST:
                return

    def _event(self) -> dict[str, Any] | None:
        """The next one; None where there is none for a moment."""
        if b"\n" not in self._rest:
            self._receive()
        line, newline, rest = self._rest.partition(b"\n")
        if not newline:
            return None
        self._rest = rest
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            raise self._lost() from None

    def _receive(self) -> None:
        self._connection.settimeout(POLL_SECONDS)
        try:
            received = self._connection.recv(2**16)
        except socket.timeout:
            return
        except OSError:
            raise self._lost() from None
        if not received or len(self._rest) > LONGEST:
            raise self._lost()
        self._rest += received

    def _lost(self) -> CdbfsError:
        return CdbfsError(f"the daemon of {self._name} ended before it had answered")
