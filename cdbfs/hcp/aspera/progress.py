"""What ascp tells of a session while it runs: how far each file is, and what went wrong with which.

Used by transport. Where ascp tells nothing, the files' sizes on the disk say that something moves.

Threads: belongs to the thread that runs ascp.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cdbfs.hcp.aspera import frames
from cdbfs.hcp.aspera.frames import Frame
from cdbfs.hcp.transport import Watch

ON_DISK = ("", ".partial")
"""What ascp may append to the name of a file that it writes."""
DISK_SECONDS = 1.0
OF_SESSION = ("TransferBytes", "PreTransferBytes", "FileBytes", "Written")
STEPS = ("INIT", "SESSION", "START", "STOP", "SKIP", "FILEERROR")
"""Frames by which a session moves on; the others come while it stands still, too."""


@dataclass(frozen=True)
class Fault:
    """What ascp says went wrong: a code, where it gave one, and its words."""

    code: int | None
    text: str


@dataclass
class _File:
    done: int = 0
    size: int | None = None
    whole: bool = False
    fault: Fault | None = None


class Progress:
    """One session, for these files, which come into the directory `into`."""

    def __init__(self, files: Sequence[str], into: Path, watch: Watch) -> None:
        self.done = False
        """Whether ascp told that all went well."""
        self.fault: Fault | None = None
        """What ended the session."""
        self._files = {file: _File() for file in files}
        self._into = into
        self._watch = watch
        self._steps = 0
        self._session: dict[str, int] = {}
        self._told: frozenset[str] = frozenset()
        self._on_disk: tuple[tuple[int, int, int], ...] = ()
        self._looked = 0.0

    @property
    def faults(self) -> dict[str, Fault]:
        """Files that cannot be had, by ascp's own word."""
        return {name: file.fault for name, file in self._files.items() if file.fault is not None}

    @property
    def missing(self) -> int:
        """Bytes that have still to come, as far as that is known."""
        return sum(max(0, file.size - file.done) for file in self._files.values() if file.size is not None)

    def is_whole(self, name: str) -> bool:
        """Whether ascp told of a file that it is there, or, where it told nothing of any, one is."""
        if any(file.whole for file in self._files.values()):
            return self._files[name].whole
        return (self._into / name).is_file()

    def hear(self, frame: Frame) -> None:
        """Take a frame of ascp's."""
        kind = frame["Type"].upper()
        self._steps += kind in STEPS
        if kind == "DONE":
            self._end(frame)
        elif kind == "ERROR":
            self.fault = _fault(frame)
        else:
            self._take(kind, frame)

    def mark(self) -> object:
        """What changes for as long as the session moves on."""
        now = time.monotonic()
        if now - self._looked >= DISK_SECONDS:
            self._looked = now
            self._look_at_disk()
        return (
            self._steps,
            tuple(self._session.values()),
            tuple(file.done for file in self._files.values()),
            self._on_disk,
        )

    def _end(self, frame: Frame) -> None:
        if frames.code(frame) is None:
            self.done = True
            return
        before = self.fault
        told = _fault(frame)
        self.fault = told if told.text or before is None else Fault(told.code, before.text)

    def _take(self, kind: str, frame: Frame) -> None:
        for name in OF_SESSION:
            value = frames.number(frame, name)
            if value is not None:
                self._session[name] = value
        name = frames.file(frame)
        file = self._files.get(name)
        if file is None:
            return
        size = frames.number(frame, "Size")
        if size is not None:
            file.size = size
        if kind == "FILEERROR" or (kind == "STOP" and frames.code(frame) is not None):
            file.fault = _fault(frame)
            return
        if kind in ("STOP", "SKIP"):
            file.whole, file.fault = True, None
        self._move(name, file, kind, frame)

    def _move(self, name: str, file: _File, kind: str, frame: Frame) -> None:
        done = max(file.done, self._arrived(kind, frame))
        if file.whole and file.size is not None:
            done = file.size
        file.done = done if file.size is None else min(done, file.size)
        self._told |= {name}
        self._watch.moved(name, file.done, file.size)

    def _arrived(self, kind: str, frame: Frame) -> int:
        """The bytes of its file that a frame tells of; `Written` may be of all files together."""
        found = frames.number(frame, "StartByte" if kind == "START" else "Bytescont")
        if found is None and len(self._files) == 1:
            found = frames.number(frame, "Written")
        return found or 0

    def _look_at_disk(self) -> None:
        self._on_disk = tuple(self._stat(name) for name in self._files)
        for name, (size, _, _) in zip(self._files, self._on_disk):
            file = self._files[name]
            if name not in self._told and size > file.done:
                file.done = size
                self._watch.moved(name, size, file.size)

    def _stat(self, name: str) -> tuple[int, int, int]:
        for suffix in ON_DISK:
            try:
                found = os.stat(self._into / (name + suffix))
            except OSError:
                continue
            return found.st_size, found.st_blocks, found.st_mtime_ns
        return 0, 0, 0


def _fault(frame: Frame) -> Fault:
    return Fault(frames.code(frame), frame.get("Description", ""))
