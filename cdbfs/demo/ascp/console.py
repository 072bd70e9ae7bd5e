"""What ascp prints, in the form of recorded outputs: progress that is rewritten in place, and how it ended.

Used by ``main`` and ``session``. For one thread.
"""

from __future__ import annotations

import os
from contextlib import suppress

from cdbfs.demo.ascp.errors import Failure

_OUT, _ERR = 1, 2
_UNITS = ("  ", "KB", "MB", "GB", "TB")


class Console:
    """Standard output and error; a closed one raises BrokenPipeError from ``progress`` alone."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._open = False

    def progress(
        self, name: str, done: int, size: int, rate: float, seconds: float | None, *, ended: bool
    ) -> None:
        """One line, which the next one covers; ``rate`` is bits a second, ``seconds`` those left, or spent."""
        if self._quiet:
            return
        percent = 100 if size == 0 else done * 100 // size
        speed = f"{rate / 1e6:.0f}Mb/s" if rate >= 1e6 else f"{rate / 1e3:.0f}Kb/s" if rate else ""
        when = "--:--" if seconds is None else f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
        eta = "    " if ended else " ETA"
        line = f"{name:<46}{percent:>3}% {_amount(done):>6} {speed:>8}    {when:>5}{eta}"
        self._open = not ended
        _write(_OUT, line + ("\n" if ended else "\r"))

    def completed(self, done: int, seconds: float, files: int, failed: int = 0) -> None:
        """The last two lines of a transfer."""
        kilobits = done * 8 / 1000 / seconds if seconds > 0 else 0.0
        start = "Partial Completion" if failed else "Completed"
        lost = f", {failed} failed" if failed else ""
        self._last(f"{start}: {done // 1024}K bytes transferred in {seconds:.0f} seconds\n")
        self._last(f" ({kilobits:.0f}K bits/sec), in {files} {'file' if files == 1 else 'files'}{lost}.\n")

    def failed(self, failure: Failure, done: int, seconds: float) -> None:
        """How a session that fails is told on both streams."""
        if not failure.early:
            self._last("\n" if self._open else "")
            self._last(f"Completed: {done // 1024}K bytes transferred in {seconds:.0f} seconds\n")
        self.error(f"ascp: {failure.text}, exiting.\n")
        self._last(("\n" if failure.blank else "") + f"Session Stop  (Error: {failure.text})\n")

    def error(self, text: str) -> None:
        with suppress(OSError):
            _write(_ERR, text)

    def _last(self, text: str) -> None:
        with suppress(OSError):
            _write(_OUT, text)


def _amount(size: float) -> str:
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.0f}{_UNITS[unit]}"


def _write(descriptor: int, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    while data:
        data = data[os.write(descriptor, data) :]
