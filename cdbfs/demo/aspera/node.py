"""The node: what the stand-in ``ascp`` connects to, in place of an Aspera server.

Used by ``transfers``, to which the HTTP layer hands over connections. A session runs in its connection's thread;
one lock, held over no work.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from cdbfs.demo.aspera.faults import AscpFaults, Value
from cdbfs.demo.aspera.files import SentFile, sent_file
from cdbfs.demo.aspera.holds import Holds
from cdbfs.demo.aspera.talk import Talk
from cdbfs.demo.packages.desk import USER, Desk, Ticket

PATH = "/_aspera"
_PIECE = 4 << 20
_TURN_SECONDS = 0.02
"""A throttled session sends what is due so often."""
_REFUSALS: Mapping[str, tuple[int, str]] = {
    "no_login": (19, "failed to authenticate"),
    "wrong_token": (34, "failed to authenticate"),
}


@dataclass(frozen=True)
class AscpRun:
    """One start of ascp that reached the node.

    ``environment`` has names and the SHA-256 of values, ``token_in`` tells where its token stood: "arguments", or
    the names of variables. ``started`` is seconds of the monotonic clock.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    token_in: tuple[str, ...]
    token: str = field(repr=False)
    sources: tuple[str, ...]
    pid: int
    started: float


class _RefusedError(Exception):
    """The session is refused: code and text."""


class Node:
    """Everything that ascp does to a stand-in. ``rate`` bytes a second a session, None: as fast as it goes."""

    def __init__(self, desk: Desk) -> None:
        self.faults = AscpFaults()
        self.holds = Holds()
        self.rate: float | None = None
        self._desk = desk
        self._runs: list[AscpRun] = []
        self._running: dict[int, AscpRun] = {}
        self._keys = count(1)
        self._lock = threading.Lock()

    # --- what tests ask

    def runs(self) -> tuple[AscpRun, ...]:
        """Every session since the counts were reset."""
        with self._lock:
            return tuple(self._runs)

    def running(self) -> tuple[AscpRun, ...]:
        """The sessions that are open now."""
        with self._lock:
            return tuple(self._running.values())

    def reset(self) -> None:
        with self._lock:
            self._runs.clear()

    # --- sessions

    def serve(self, connection: socket.socket, body: bytes) -> None:
        """Serve one session to its end."""
        asked = json.loads(body)
        run, key = _run(asked), next(self._keys)
        with self._lock:
            self._runs.append(run)
            self._running[key] = run
        try:
            with contextlib.suppress(OSError):
                self._session(Talk(connection), key, run, asked)
        finally:
            with self._lock:
                del self._running[key]

    def _session(self, talk: Talk, key: int, run: AscpRun, asked: dict[str, Any]) -> None:
        faults = self.faults.of_session()
        try:
            ticket = self._admitted(run, asked["user"], faults)
        except _RefusedError as error:
            code, text = error.args
            talk.answer({"error": {"code": code, "text": text}, "faults": faults})
            return
        files = [self._file(ticket, source) for source in run.sources]
        talk.answer({"files": [file.described(asked["compare"]) for file in files], "faults": faults})
        while (command := talk.command()) is not None:
            index, offset = command
            with files[index].opened() as descriptor:
                self._send(talk, key, files[index], descriptor, offset)

    def _admitted(self, run: AscpRun, user: str, faults: list[dict[str, Value]]) -> Ticket:
        for fault in faults:
            if fault["kind"] in _REFUSALS:
                raise _RefusedError(*_REFUSALS[str(fault["kind"])])
        ticket = self._desk.ticket(run.token)
        if ticket is None or user != USER:
            raise _RefusedError(*_REFUSALS["no_login"])
        if not set(run.sources) <= set(ticket.sources):
            raise _RefusedError(*_REFUSALS["wrong_token"])
        return ticket

    def _file(self, ticket: Ticket, source: str) -> SentFile:
        return sent_file(ticket, source, self.faults.of_file(source.rpartition("/")[2]))

    # --- a file

    def _send(self, talk: Talk, key: int, file: SentFile, descriptor: int, offset: int) -> None:
        position = offset
        while position < file.size:
            position = self._stretch(talk, file, descriptor, position)
            if position < file.size:
                self._held(talk, key, file, position)

    def _stretch(self, talk: Talk, file: SentFile, descriptor: int, start: int) -> int:
        """Send up to the file's end or a hold; where that is."""
        began, position = time.monotonic(), start
        while position < file.size:
            limit = self.holds.limit(file.name, position)
            end = file.size if limit is None else min(limit, file.size)
            if end == position:
                break
            due = self._due(began, position - start)
            position += talk.send(descriptor, position, min(due, end - position))
        return position

    def _held(self, talk: Talk, key: int, file: SentFile, position: int) -> None:
        if not self.holds.wait(key, file.name, position, lambda: talk.has_written(position)):
            raise ConnectionAbortedError

    def _due(self, began: float, sent: int) -> int:
        """How many bytes may go now; waits until there are any."""
        while (rate := self.rate) is not None:
            due = int((time.monotonic() - began + _TURN_SECONDS) * rate) - sent
            if due > 0:
                return min(due, _PIECE)
            time.sleep(_TURN_SECONDS)
        return _PIECE


def _run(asked: dict[str, Any]) -> AscpRun:
    return AscpRun(
        tuple(asked["arguments"]),
        dict(asked["environment"]),
        tuple(asked["token_in"]),
        asked["token"],
        tuple(asked["sources"]),
        asked["pid"],
        time.monotonic(),
    )
