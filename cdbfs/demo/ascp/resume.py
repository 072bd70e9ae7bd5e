"""Going on from where an earlier session ended: the incomplete file, and the sidecar that says how far it is.

Used by ``session``. For one thread.
"""

from __future__ import annotations

import os

from cdbfs.demo.ascp.wire import Source

ATTRIBUTES, SPARSE, FULL = 1, 2, 3
"""What ``-k`` compares; 0: nothing, every file is sent anew."""
_SAMPLE = 1 << 16
_PIECE = 1 << 20


class Sidecar:
    """``NAME.aspx``: the size and time of the source, and up to which byte the file is good."""

    def __init__(self, target: str, source: Source) -> None:
        self._path = f"{target}.aspx"
        self._source = f"{source.size} {source.modified}"
        self._file: int | None = None

    def offset(self) -> int | None:
        """Where an earlier session of the same source ended; None: there was none."""
        try:
            with open(self._path, encoding="ascii") as file:
                source, _, offset = file.read().strip().rpartition(" ")
            return int(offset) if source == self._source else 0
        except OSError:
            return None
        except ValueError:
            return 0

    def save(self, offset: int) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.pwrite(self._file, f"{self._source} {offset:020d}\n".encode(), 0)

    def close(self, *, done: bool) -> None:
        """It goes away with the end of its file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if done and os.path.exists(self._path):
            os.unlink(self._path)


def is_there(target: str, source: Source, compare: int) -> bool:
    """Whether the file needs no transfer: it is as the source, so far as that is compared."""
    try:
        size = os.stat(target).st_size
    except OSError:
        return False
    if compare == 0 or size != source.size:
        return False
    return compare == ATTRIBUTES or _checksum(target, size, full=compare == FULL) == source.checksum


def start(partial: str, sidecar: Sidecar) -> int:
    """The byte to go on from; 0: from the start."""
    offset = sidecar.offset()
    try:
        return min(offset or 0, os.stat(partial).st_size)
    except OSError:
        return 0


def _checksum(path: str, size: int, *, full: bool) -> str:
    """As the node makes it (``aspera.files``)."""
    from hashlib import md5

    step = _PIECE if full else _SAMPLE
    starts = range(0, size, step) if full else (0, size // 2, max(0, size - _SAMPLE))
    digest = md5(usedforsecurity=False)
    with open(path, "rb") as file:
        for first in starts:
            digest.update(os.pread(file.fileno(), step, first))
    return digest.hexdigest()
