"""One file on its way in: asked for, written, resumed, and hit by what was scripted for it.

Used by ``session``. For one thread.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from cdbfs.demo.ascp import resume
from cdbfs.demo.ascp.errors import CONNECTION_LOST, DISK_WRITE, NO_FILE, NO_FILE_TEXT, Failure, FileFailure
from cdbfs.demo.ascp.resume import Sidecar

if TYPE_CHECKING:
    from cdbfs.demo.ascp.clock import Meter
    from cdbfs.demo.ascp.options import Options
    from cdbfs.demo.ascp.report import Report
    from cdbfs.demo.ascp.watch import Watch
    from cdbfs.demo.ascp.wire import Source, Wire

_PIECE = 1 << 20
_TOLD_SECONDS = 0.2
_IDLE_SECONDS = 0.03
"""After so long without a byte, the server is told how much is written."""
_LONGEST_SECONDS = 0.1
_DISK_FULL = {25: "No space left on device", DISK_WRITE: "Disk write failed (No space left on device)"}


class Receiver:
    """Receives the files of a session, one after the other."""

    def __init__(self, options: Options, wire: Wire, watch: Watch, meter: Meter, report: Report) -> None:
        self._options = options
        self._wire = wire
        self._watch = watch
        self._meter = meter
        self._report = report
        self._buffer = memoryview(bytearray(_PIECE))

    def receive(self, number: int, source: Source, target: str) -> None:
        """Receive a file, unless it is there."""
        self._check(source)
        options, partial = self._options, target + self._options.suffix
        if self._is_there(source, target):
            self._report.skipped_file(source, target)
            return
        sidecar = Sidecar(target, source) if options.resume else None
        start = resume.start(partial, sidecar) if sidecar is not None else 0
        arriving = _Arriving(source, partial, sidecar, start)
        try:
            self._fill(number, source, target, arriving)
        finally:
            arriving.close()
        self._finish(source, target, partial)
        self._report.arrived(source, target, start)

    def _check(self, source: Source) -> None:
        if "no_file" in source.faults:
            raise FileFailure(NO_FILE, NO_FILE_TEXT)
        fault = source.faults.get("fails")
        if fault is not None:
            raise FileFailure(_number(fault, "code", 5), str(fault.get("text", "Read access denied for user")))

    def _is_there(self, source: Source, target: str) -> bool:
        options = self._options
        if options.overwrite == "never" and os.path.exists(target):
            return True
        if options.overwrite == "always" or os.path.exists(f"{target}.aspx"):
            return False
        return resume.is_there(target, source, options.resume)

    def _finish(self, source: Source, target: str, partial: str) -> None:
        if self._options.keeps_times:
            os.utime(partial, (source.modified, source.modified))
        if partial != target:
            os.replace(partial, target)

    # --- bytes

    def _fill(self, number: int, source: Source, target: str, arriving: _Arriving) -> None:
        self._report.moved(source, target, arriving.start, arriving.position)
        if arriving.position < source.size:
            self._wire.get(number, arriving.position)
        if source.faults.get("stall", {}).get("deaf"):
            _hear_nothing()
        told, idle = time.monotonic(), False
        slow = self._slowed(source)
        while arriving.position < source.size:
            self._fail_at(source, arriving.position)
            due = max(self._meter.due_in(), slow(arriving.position - arriving.start))
            wait = min(due, _LONGEST_SECONDS) if due > 0 else _LONGEST_SECONDS if idle else _IDLE_SECONDS
            if self._watch.ready(self._wire.socket, wait, wanted=due <= 0):
                idle = False
                self._take(source, arriving)
            elif due <= 0 and not idle:
                idle = True
                self._wire.tell(arriving.position)
            if time.monotonic() - told >= _TOLD_SECONDS:
                told = time.monotonic()
                arriving.save()
                self._report.moved(source, target, arriving.start, arriving.position)
        self._report.moved(source, target, arriving.start, arriving.position)

    def _take(self, source: Source, arriving: _Arriving) -> None:
        most = _next_fault(source, arriving.position) - arriving.position
        received = self._wire.receive(self._buffer[: min(_PIECE, most)])
        self._damage(source, arriving.position, received)
        arriving.write(self._buffer[:received])
        self._meter.add(received)

    def _slowed(self, source: Source) -> _Slowed:
        fault = source.faults.get("slow")
        return _Slowed(float(str(fault["rate"])) if fault is not None else 0.0)

    # --- faults

    def _fail_at(self, source: Source, position: int) -> None:
        for kind, fault in source.faults.items():
            if kind not in _AT or position < min(_number(fault, "bytes", 0), source.size):
                continue
            if kind == "cut":
                raise Failure(CONNECTION_LOST, "Connection lost")
            if kind == "disk_full":
                code = _number(fault, "code", DISK_WRITE)
                raise Failure(code, _DISK_FULL.get(code, _DISK_FULL[DISK_WRITE]))
            _stand_still(self._watch, self._wire, deaf=bool(fault.get("deaf")))

    def _damage(self, source: Source, position: int, count: int) -> None:
        fault = source.faults.get("damage")
        if fault is not None:
            place = _number(fault, "bytes", source.size // 2) - position
            if 0 <= place < count:
                self._buffer[place] ^= 0x01


class _Arriving:
    """The incomplete file, and its sidecar if it has one."""

    def __init__(self, source: Source, path: str, sidecar: Sidecar | None, start: int) -> None:
        self.start = self.position = start
        self._size = source.size
        self._sidecar = sidecar
        flags = os.O_WRONLY | os.O_CREAT | (0 if start else os.O_TRUNC)
        try:
            self._file = os.open(path, flags, 0o644)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "EIO")
            raise FileFailure(5, f"Error {error.errno} ({name}) creating destination file") from None
        os.lseek(self._file, start, os.SEEK_SET)
        self.save()

    def write(self, data: memoryview) -> None:
        try:
            while data:
                written = os.write(self._file, data)
                self.position += written
                data = data[written:]
        except OSError as error:
            raise Failure(DISK_WRITE, f"Disk write failed ({error.strerror})") from None

    def save(self) -> None:
        if self._sidecar is not None:
            with suppress(OSError):  # a full disk: the session goes on without, and fails where it writes
                self._sidecar.save(self.position)

    def close(self) -> None:
        done = self.position == self._size
        if done:
            os.ftruncate(self._file, self._size)
        else:
            self.save()
        os.close(self._file)
        if self._sidecar is not None:
            self._sidecar.close(done=done)


_AT = ("cut", "disk_full", "stall")


def _next_fault(source: Source, position: int) -> int:
    """The next byte at which something goes wrong, or the file's end."""
    places = [_number(fault, "bytes", 0) for kind, fault in source.faults.items() if kind in _AT]
    return min([place for place in places if place > position] + [source.size])


def _number(fault: Mapping[str, object], name: str, default: int) -> int:
    return int(str(fault.get(name, default)).partition(".")[0])


def _hear_nothing() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _stand_still(watch: Watch, wire: Wire, *, deaf: bool) -> None:
    """Until somebody ends this process; the end of the server ends a deaf one."""
    if not deaf:
        while True:
            watch.ready(wire.socket, 60, wanted=False)
    poll = select.poll()
    poll.register(wire.socket, getattr(select, "POLLRDHUP", 0))
    poll.poll()
    raise Failure(CONNECTION_LOST, "Connection lost")


class _Slowed:
    """When the next byte of a slow file is due."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._began = time.monotonic()

    def __call__(self, count: int) -> float:
        return self._began + count / self._rate - time.monotonic() if self._rate else 0.0
