"""A session of ascp from its start to its end.

Used by ``main``. For one thread.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from cdbfs.demo.ascp.clock import Meter
from cdbfs.demo.ascp.console import Console
from cdbfs.demo.ascp.errors import NO_LOGIN, SOME_FAILED, TCP_CLOSED, Failure, FileFailure, Refusal, Unconnected
from cdbfs.demo.ascp.management import Manager
from cdbfs.demo.ascp.options import Options
from cdbfs.demo.ascp.receiver import Receiver
from cdbfs.demo.ascp.report import Report
from cdbfs.demo.ascp.watch import Watch
from cdbfs.demo.ascp.wire import Source, Wire, by_kind

_UDP_BLOCKED = "Client unable to connect to server (check UDP port and firewall)"
_UDP_CODE = 15


class Session:
    """One run; ``run`` gives the exit status."""

    def __init__(self, options: Options, console: Console, environment: Mapping[str, str]) -> None:
        self._options = options
        self._environment = environment
        self._manager = Manager(options.manager)
        self._meter = Meter(options.rate)
        self._report = Report(options, self._manager, console, self._meter)
        self._faults: Mapping[str, Mapping[str, Any]] = {}

    def run(self) -> int:
        """Transfer everything."""
        self._report.began()
        try:
            self._transfer()
        except Failure as failure:
            self._report.failure(failure)
            return 1
        finally:
            self._manager.close()
        if self._report.failed:
            return 1
        return int(self._faults.get("exit", {}).get("status", 0))

    def _transfer(self) -> None:
        options = self._options
        if not os.path.isfile(options.key):
            raise Unconnected(NO_LOGIN, f"Private key file not found at path {options.key}")
        wire = Wire(options)
        answer: dict[str, Any] = wire.open(options, self._environment)
        self._faults = by_kind(answer["faults"])
        self._manager.muted = "mute" in self._faults
        watch = Watch(self._manager, self._meter)
        self._stumble(wire, watch)
        if "error" in answer:
            raise Refusal(answer["error"]["code"], answer["error"]["text"])
        sources = [Source(told) for told in answer["files"]]
        self._report.expected = sum(source.size for source in sources)
        self._report.admitted(len(sources))
        self._receive(sources, Receiver(options, wire, watch, self._meter, self._report))

    def _stumble(self, wire: Wire, watch: Watch) -> None:
        """The faults that end a session before it transfers anything."""
        if "tcp_closed" in self._faults:
            raise Unconnected(TCP_CLOSED, "Failed to open TCP connection for SSH")
        blocked = self._faults.get("udp_blocked")
        if blocked is not None:
            watch.ready(wire.socket, float(blocked.get("seconds", 0.0)), wanted=False)
            raise Refusal(int(blocked.get("code", _UDP_CODE)), _UDP_BLOCKED)
        abort = self._faults.get("abort")
        if abort is not None:
            raise Failure(int(abort.get("code", 5)), str(abort.get("text", "Connection abandoned.")))

    def _receive(self, sources: list[Source], receiver: Receiver) -> None:
        place = self._place(len(sources))
        last: FileFailure | None = None
        for number, source in enumerate(sources):
            target = os.path.join(place, source.name) if os.path.isdir(place) else place
            try:
                receiver.receive(number, source, target)
            except FileFailure as failure:
                last = failure
                self._report.failed_file(source, target, failure.code, failure.text)
        if last is None:
            self._report.done()
        elif self._report.failed == len(sources):
            raise Failure(last.code, last.text)
        else:
            self._report.partly_done(SOME_FAILED, "One or more files failed to transfer")

    def _place(self, files: int) -> str:
        """The destination: a directory, or for one file its name."""
        place = self._options.destination
        if self._options.makes_directory:
            os.makedirs(place, exist_ok=True)
        if files > 1 and not os.path.isdir(place):
            raise Failure(3, f"Error: multiple source files, but {place} is not a directory")
        return place
