"""Where a member's bytes begin: its local header, read and held against what the zip's directory says.

Used by `members`.

Threads: pure functions, reading by position.
"""

from __future__ import annotations

import struct
import zlib

from cdbfs.errors import CdbfsError
from cdbfs.store.zips.index import Member
from cdbfs.store.zips.judging import ENCRYPTED, PATCH
from cdbfs.store.zips.reading import piece
from cdbfs.store.zips.refusals import Refusal

_HEADER = struct.Struct("<4sHHHHHLLLHH")
_MARK = b"PK\x03\x04"


def data_offset(descriptor: int, member: Member, end: int) -> int:
    """The offset in the zip of a member that has to end at `end`. Raises what its refusal raises.

    Sizes and CRC of the header are not looked at: they may be empty, and the bytes are held against the
    directory's.
    """
    head = piece(descriptor, _HEADER.size, member.start)
    if len(head) < _HEADER.size or not head.startswith(_MARK):
        raise _differs("begins otherwise")
    _, _, flags, method, _, _, _, _, _, name_length, extra_length = _HEADER.unpack(head)
    name = piece(descriptor, name_length, member.start + _HEADER.size)
    if len(name) < name_length or zlib.crc32(name) != member.raw:
        raise _differs("has another name")
    if flags & ENCRYPTED:
        raise Refusal.ENCRYPTED.error()
    if flags & PATCH or method != member.method:
        raise _differs("is packed by another method")
    offset: int = member.start + _HEADER.size + name_length + extra_length
    if offset + member.packed > end:
        raise Refusal.OVERLAP.error()
    return offset


def _differs(how: str) -> CdbfsError:
    return CdbfsError(f"the zip is damaged: where its directory says that this member lies, one {how}")
