"""Comparing answers that are no text with what the recordings keep of them: a length and the first 64 bytes.

Used by ``test_recorded``. Archives are compared by what the recorded bytes say of their first member, and by
their rules.
"""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
import zlib

_NOTE = re.compile(r"^\[(?P<length>\d+) bytes of binary data; first 64 in hex: (?P<first>[0-9a-f]+)\]$")
_TAR_NAME = 100
"""A tar archive starts with so many bytes of its first member's name; what follows is the writer's taste."""
_GARBLED = "\N{REPLACEMENT CHARACTER}"


def is_binary(body: str) -> bool:
    """Whether the recorded body is a note about bytes, or bytes that were written down as if they were text."""
    return _NOTE.match(body.strip()) is not None or _GARBLED in body


def compare(body: str, kind: str, content: bytes) -> None:
    """Compare an answer's bytes with what was recorded of them."""
    note = _NOTE.match(body.strip())
    if note is None:
        assert content.decode("utf-8", errors="replace") == body.strip("\n")
        return
    first, length = bytes.fromhex(note["first"]), int(note["length"])
    if kind == "application/zip":
        assert len(content) == length
        _compare_zip(first, content)
    elif kind == "application/x-gtar":
        recorded, made = zlib.decompressobj(wbits=31).decompress(first), gzip.decompress(content)
        assert made[:_TAR_NAME] == recorded[:_TAR_NAME]
    else:
        assert len(content) == length
        assert content.startswith(first)


def _compare_zip(first: bytes, content: bytes) -> None:
    """The first member agrees (method, time, CRC, sizes, start of the name); all are stored, and whole."""
    fields = "<4s2xHHHHIIIHH"
    recorded, made = (struct.unpack_from(fields, data) for data in (first, content))
    utf8 = 1 << 11
    assert [value & ~utf8 if place == 1 else value for place, value in enumerate(recorded)] == list(made)
    start = struct.calcsize(fields)
    assert content.startswith(first[start:], start)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.testzip() is None
