"""Which stored members were read once and had the right CRC: a file with a byte for each member of a zip.

Used by `members`. It may be lost or removed at any time, which costs another look. Only what was found right is
remembered.

Threads and processes: any; a byte is written whole.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from isal import isal_zlib

from cdbfs.store.disk import make_private
from cdbfs.store.zips.index import Member
from cdbfs.store.zips.inflate import wrong_sum
from cdbfs.store.zips.reading import Stop, pieces

_RIGHT = b"\x01"
_CHUNK = 1 << 20
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Checked:
    """What is known of the stored members of one zip, in the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, zip_descriptor: int, offset: int, member: Member, stop: Stop) -> None:
        """Raises CdbfsError where the member's bytes, which lie at `offset`, are not right; GivenUp."""
        if self.is_right(member.number):
            return
        crc = 0
        for piece in pieces(zip_descriptor, member.size, offset, _CHUNK, stop):
            crc = isal_zlib.crc32(piece, crc)
        if crc != member.crc:
            raise wrong_sum()
        self._remember(member.number)

    def is_right(self, number: int) -> bool:
        """Whether a member was found right before."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | _FLAGS)
        except OSError:
            return False
        try:
            return os.pread(descriptor, 1, number) == _RIGHT
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _remember(self, number: int) -> None:
        with contextlib.suppress(OSError):
            make_private(self._path.parent)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | _FLAGS, 0o600)
            try:
                os.pwrite(descriptor, _RIGHT, number)
            finally:
                os.close(descriptor)
