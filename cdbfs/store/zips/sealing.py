"""Tells an index file that was written whole from one that was not, or that was damaged since.

Used by `index`. Not fsync but a digest guards it, as in store/disk: a file that does not match is made anew. The
CRC of the file lies in the file, in the four bytes that SQLite leaves to applications, and counts as zeros there.

Threads: pure functions on descriptors.
"""

from __future__ import annotations

import os

from isal import isal_zlib

from cdbfs.store.zips.reading import piece

_PLACE = 68
_LENGTH = 4
_CHUNK = 1 << 20


def seal(descriptor: int) -> None:
    """Write the CRC into the file, which is whole."""
    os.pwrite(descriptor, _crc(descriptor).to_bytes(_LENGTH, "big"), _PLACE)


def is_sealed(descriptor: int) -> bool:
    """Whether the file is as it was sealed."""
    return piece(descriptor, _LENGTH, _PLACE) == _crc(descriptor).to_bytes(_LENGTH, "big")


def _crc(descriptor: int) -> int:
    crc, offset = 0, 0
    while chunk := piece(descriptor, _CHUNK, offset):
        if offset == 0:
            chunk = chunk[:_PLACE] + bytes(_LENGTH) + chunk[_PLACE + _LENGTH :]
        crc = isal_zlib.crc32(chunk, crc)
        offset += len(chunk)
    return crc
