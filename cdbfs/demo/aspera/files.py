"""One file of a session: a zip, or the file with its digest beside it.

Used by ``node``. For one thread.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cdbfs.demo.aspera.faults import Value
from cdbfs.demo.packages.desk import Ticket
from cdbfs.demo.packages.vault import Vault, Wanted
from cdbfs.demo.packages.zips import MADE_AT

_PIECE = 1 << 20
_SAMPLE = 1 << 16
_SPARSE, _FULL = 2, 3
"""What ``ascp -k`` calls the checksums of parts of a file, and of all of it."""


@dataclass(frozen=True)
class SentFile:
    """A file, its bytes if it is no zip, and what goes wrong with it."""

    name: str
    wanted: Wanted
    vault: Vault
    size: int
    digest_line: bytes | None
    faults: list[dict[str, Value]]

    def described(self, compare: int) -> dict[str, Any]:
        """As ascp is told of it, with the checksum that it compares files by."""
        told = {"name": self.name, "size": self.size, "modified": MADE_AT, "faults": self.faults}
        if compare < _SPARSE:
            return told
        with self.opened() as descriptor:
            return {**told, "checksum": _checksum(descriptor, self.size, full=compare == _FULL)}

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of its bytes."""
        if self.digest_line is None:
            with self.vault.zip(self.wanted).open("rb") as file:
                yield file.fileno()
        else:
            with tempfile.TemporaryFile(buffering=0) as made:
                made.write(self.digest_line)
                yield made.fileno()


def sent_file(ticket: Ticket, source: str, faults: list[dict[str, Value]]) -> SentFile:
    """The file that a source names, one of the ticket's."""
    wanted, is_digest = ticket.sources[source]
    name, vault = source.rpartition("/")[2], ticket.stock.vault
    if not is_digest:
        return SentFile(name, wanted, vault, vault.zip(wanted).stat().st_size, None, faults)
    line = vault.md5(wanted)
    if any(fault["kind"] == "wrong_md5" for fault in faults):
        line = (b"1" if line.startswith(b"0") else b"0") + line[1:]
    return SentFile(name, wanted, vault, len(line), line, faults)


def _checksum(descriptor: int, size: int, *, full: bool) -> str:
    """Of the whole, or of its start, middle and end; ``ascp.resume`` makes the same one."""
    step = _PIECE if full else _SAMPLE
    starts = range(0, size, step) if full else (0, size // 2, max(0, size - _SAMPLE))
    digest = hashlib.md5(usedforsecurity=False)
    for start in starts:
        digest.update(os.pread(descriptor, step, start))
    return digest.hexdigest()
