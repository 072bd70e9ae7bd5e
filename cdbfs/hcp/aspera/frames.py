"""ascp's management frames: `FASPMGR 2`, lines of `Name: value`, an empty line.

Used by port. What comes is not trusted: it may be cut anywhere, hold anything, and be of any length.

Threads: a Frames belongs to one thread.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

Frame = Mapping[str, str]

HEAD = re.compile(r"FASPMGR [0-9]{1,3}\Z")
MOST_LINE = 8 * 1024
MOST_FIELDS = 256
LARGEST = 2**63 - 1
DIGITS = len(str(LARGEST))
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\x1b": "\x1b"}


class Frames:
    """Takes bytes as they come, and gives the frames that are whole."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._too_long = False
        self._fields: dict[str, str] | None = None

    def feed(self, block: bytes) -> Iterator[Frame]:
        """The frames that end in this block."""
        *ended, rest = block.split(b"\n")
        for part in ended:
            self._add(part)
            frame = self._end_of_line()
            if frame is not None:
                yield frame
        self._add(rest)

    def _add(self, part: bytes) -> None:
        if len(self._line) + len(part) > MOST_LINE:
            self._too_long = True
            self._line.clear()
        if not self._too_long:
            self._line += part

    def _end_of_line(self) -> Frame | None:
        """Take the line; the frame, if that was its last."""
        line = self._line.decode("utf-8", "replace").rstrip("\r")
        skipped, self._too_long = self._too_long, False
        self._line.clear()
        if skipped:
            return None
        if HEAD.match(line):
            self._fields = {}  # whatever came before was no whole frame
            return None
        if self._fields is None:
            return None
        if line:
            self._field(self._fields, line)
            return None
        frame, self._fields = self._fields, None
        return frame if "Type" in frame else None

    @staticmethod
    def _field(fields: dict[str, str], line: str) -> None:
        name, colon, value = line.partition(":")
        if colon and len(fields) < MOST_FIELDS:
            fields.setdefault(name.strip(), value.strip())


def number(frame: Frame, name: str) -> int | None:
    """A field's whole number, from 0 to 2**63 - 1."""
    text = frame.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        return None
    return min(int(text), LARGEST)


def code(frame: Frame) -> int | None:
    """The error code that a frame tells; 0 is none."""
    return number(frame, "Code") or None


def file(frame: Frame) -> str:
    """The name of the file that a frame is about, without its path; empty where it is about none."""
    path = re.sub("\x1b(.)", lambda found: ESCAPES.get(found[1], found[0]), frame.get("File", ""), flags=re.DOTALL)
    return posixpath.basename(path)
