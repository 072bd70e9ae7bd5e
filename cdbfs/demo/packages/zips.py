"""Zip archives as Info-ZIP's ``zip -r X.zip SUBJECT`` makes them on Unix.

Made by 3.0, directories as entries, times in UTC and owners in extra fields (UT, ux), modes among the external
attributes, deflate where it shrinks a file and else stored, zip64 records from 4 GiB on. Used by ``vault``. Pure
functions, any thread.
"""

from __future__ import annotations

import datetime
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from cdbfs.demo.packages import contents
from cdbfs.demo.packages.layout import Member

MADE_AT = 1363520981
"""When the files of all packages were last changed: 2013-03-17 11:49:41 UTC."""

_UNIX = 3
_BY_ZIP_3_0 = 30
_VERSION_STORED, _VERSION_DEFLATED = 10, 20
_DIRECTORY = 0x10
_TRIED = 1 << 18
"""Bytes at a file's start that tell whether deflate shrinks it."""
_TEXTS = ("csv", "numbers", "text", "xml")
_OWNER = 1000
_MAKES_ZIP64 = 2**31
"""Bytes from which on a member gets 64-bit sizes: what is planned for one is known beforehand."""


def write(path: Path, members: Sequence[Member], seed: str) -> None:
    """Write the zip of these files."""
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        known: set[str] = set()
        for member in members:
            for folder in _folders(member.path):
                if folder not in known:
                    known.add(folder)
                    archive.writestr(_folder_info(folder), b"")
            _add(archive, member, contents.pieces(member, f"{seed}:{member.path}"))
        _shorten_extras(archive.infolist())


def _folders(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    yield from ("/".join(parts[: depth + 1]) + "/" for depth in range(len(parts)))


def _add(archive: zipfile.ZipFile, member: Member, pieces: Iterator[bytes]) -> None:
    start = _first(pieces, _TRIED)
    info = _info(member.path, stat.S_IFREG | 0o664)
    info.internal_attr = int(member.kind in _TEXTS)
    if len(zlib.compress(start, 6)) < len(start):
        info.compress_type, info.extract_version = zipfile.ZIP_DEFLATED, _VERSION_DEFLATED
    with archive.open(info, "w", force_zip64=member.size >= _MAKES_ZIP64) as file:
        for piece in chain((start,), pieces):
            file.write(piece)


def _first(pieces: Iterable[bytes], size: int) -> bytes:
    taken = b""
    for piece in pieces:
        taken += piece
        if len(taken) >= size:
            break
    return taken


def _folder_info(path: str) -> zipfile.ZipInfo:
    info = _info(path, stat.S_IFDIR | 0o775)
    info.external_attr |= _DIRECTORY
    return info


def _info(path: str, mode: int) -> zipfile.ZipInfo:
    when = datetime.datetime.fromtimestamp(MADE_AT, datetime.timezone.utc)
    info = zipfile.ZipInfo(path, when.timetuple()[:6])
    info.create_system, info.create_version, info.extract_version = _UNIX, _BY_ZIP_3_0, _VERSION_STORED
    info.external_attr = mode << 16
    info.extra = _extra(struct.pack("<BII", 3, MADE_AT, MADE_AT))
    return info


def _shorten_extras(entries: Iterable[zipfile.ZipInfo]) -> None:
    """The directory at the zip's end tells of one time only, as Info-ZIP has it; the local headers of two."""
    for info in entries:
        info.extra = _extra(struct.pack("<BI", 3, MADE_AT))


def _extra(times: bytes) -> bytes:
    ux = struct.pack("<BBIBI", 1, 4, _OWNER, 4, _OWNER)
    return b"UT" + struct.pack("<H", len(times)) + times + b"ux" + struct.pack("<H", len(ux)) + ux
