"""A deflated member's bytes, written out and held against what the zip says of them.

Used by `members`. isal inflates about seven times as fast as zlib, and lets other threads run meanwhile.

Threads: one call belongs to one thread; several run side by side.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from isal import igzip_lib, isal_zlib

from cdbfs.errors import CdbfsError
from cdbfs.store.zips.index import Member
from cdbfs.store.zips.reading import FULL, Stop, look, pieces

_BROKEN: type[Exception] = igzip_lib.error  # type: ignore[assignment]  # its stub has it an instance
_PACKED = 256 * 1024
_UNPACKED = 256 * 1024
"""Bytes inflated at a time. They stay in the processor's cache until they are summed and written: with 1 MiB at a
time all takes half as long again."""
_WORTH_RESERVING = 1 << 20


def inflate(zip_descriptor: int, offset: int, member: Member, target: int, stop: Stop) -> None:
    """Write the member, whose packed bytes lie at `offset`, to the empty file `target`.

    Never writes more than the member is to have. Raises CdbfsError where its bytes are not right, GivenUp,
    OSError.
    """
    _reserve(target, member.size)
    size = crc = 0
    packed = pieces(zip_descriptor, member.packed, offset, _PACKED, stop)
    for piece in _unpacked(packed, stop):
        size += len(piece)
        if size > member.size:
            raise CdbfsError(f"the zip is damaged: this member is longer than the {member.size} bytes it says")
        crc = isal_zlib.crc32(piece, crc)
        _write(target, piece)
    if size < member.size:
        raise CdbfsError(f"the zip is damaged: of this member's {member.size} bytes there are {size}")
    if crc != member.crc:
        raise wrong_sum()


def wrong_sum() -> CdbfsError:
    """Of a member whose bytes are not those that were put into the zip."""
    return CdbfsError("the zip is damaged: this member's CRC is wrong")


def _unpacked(packed: Iterator[bytes], stop: Stop) -> Iterator[bytes]:
    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
    while not inflater.eof:
        look(stop)
        fed = next(packed, b"") if inflater.needs_input else b""
        if inflater.needs_input and not fed:
            return
        try:
            piece = inflater.decompress(fed, _UNPACKED)
        except _BROKEN as error:
            raise CdbfsError(f"the zip is damaged: this member cannot be unpacked: {error}") from None
        if piece:
            yield piece


def _reserve(target: int, size: int) -> None:
    """Have the disk refuse at once what it has no room for, and lay the file out in one piece, where it can."""
    if size < _WORTH_RESERVING:
        return
    try:
        os.posix_fallocate(target, 0, size)
    except OSError as error:
        if error.errno in FULL:
            raise


def _write(target: int, piece: bytes) -> None:
    written = os.write(target, piece)
    while written < len(piece):
        written += os.write(target, piece[written:])
