"""The directory of a zip, entry by entry, from the bytes.

Used by `building`. A parser of our own, since the standard library's zipfile raises for the whole archive where
one member is odd (an unknown version, a broken extra field, a name that does not decode), and makes an object of
every member before the first can be asked for. Here each entry is taken for itself, and no more than a few
megabytes of the directory are in memory at a time. What the entries say is not judged here, except that numbers of
a zip64 field that is cut or absurd are marked.

Layout: members, directory, [zip64 end record, zip64 locator], end record, comment. The directory is what counts;
local headers are looked at when a member is opened (`local`). Sizes that a data descriptor brings after a member
stand in the directory too.

Threads: pure functions, reading by position.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cdbfs.errors import CdbfsError
from cdbfs.store.zips.reading import Stop, look, never, piece

ENTRY = struct.Struct("<4sBBHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_END_64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR = struct.Struct("<4sLQL")
_FIELD = struct.Struct("<HH")
_ENTRY_MARK, _END_MARK, _LOCAL_MARK = b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"
_END_64_MARK, _LOCATOR_MARK = b"PK\x06\x06", b"PK\x06\x07"

_MOST_COMMENT = 0xFFFF
_LONGEST_ENTRY = ENTRY.size + 3 * 0xFFFF
_CHUNK = 1 << 20
_ZIP64, _TIMES, _UNICODE = 0x0001, 0x5455, 0x7075
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
_ABSURD = 1 << 62
"""No file is so large; a kernel and SQLite count to twice that."""


class Entry(NamedTuple):
    """What the directory says of one member, zip64 resolved, nothing judged."""

    number: int
    """Its place in the directory, from 0."""
    name: bytes
    unicode: bytes | None
    """The content of its Unicode path field, unchecked."""
    host: int
    """The system it was made on: 0 DOS, 3 Unix, 19 macOS, ..."""
    flags: int
    method: int
    dos: int
    """Date and time in DOS's bits, in the maker's zone."""
    modified: int | None
    """Seconds since the epoch, of the field "UT"."""
    crc: int
    packed: int
    size: int
    start: int
    """Of its local header, in the file."""
    mode: int
    """Unix mode, where the host has such."""
    disk: int
    sound: bool
    """Whether its numbers can be; the others are 0 then."""


@dataclass(frozen=True)
class Directory:
    """Where the directory lies in the file, and how many entries it has."""

    start: int
    size: int
    count: int
    prefix: int
    """Bytes before the archive, by which all its offsets are too small."""
    wide: bool
    """Whether the count is of 64 bits; else makers of large zips may have cut it to 16."""


class _End(NamedTuple):
    """The end records taken together, and where they begin."""

    place: int
    disk: int
    first_disk: int
    here: int
    entries: int
    size: int
    offset: int
    wide: bool


def find_directory(descriptor: int, size: int) -> Directory:
    """The directory of the zip of that many bytes. Raises CdbfsError where it has none that can be read."""
    reason = "it has no end record: it is no zip, or its end is missing"
    for place in _end_records(descriptor, size):
        try:
            return _directory(descriptor, _end(descriptor, place))
        except CdbfsError as error:
            reason = str(error)
    raise CdbfsError(f"the zip cannot be read: {reason}")


def entries(descriptor: int, directory: Directory, stop: Stop = never) -> Iterator[Entry]:
    """All entries in their order. Raises CdbfsError where the directory is damaged."""
    number = 0
    for fields, name, extra in _records(descriptor, directory, stop):
        yield _entry(number, fields, name, extra, directory.prefix)
        number += 1
    if number != directory.count and (directory.wide or (number ^ directory.count) & _FULL_16):
        raise CdbfsError(
            f"the zip cannot be read: its directory has {number} entries, and its end says {directory.count}"
        )


def _end_records(descriptor: int, size: int) -> list[int]:
    """Where end records may be: those that end with the file first, and the last first."""
    start = max(0, size - _END.size - _MOST_COMMENT)
    tail = piece(descriptor, size - start, start)
    exact: list[int] = []
    others: list[int] = []
    at = tail.rfind(_END_MARK)
    while at >= 0:
        if at + _END.size <= len(tail):
            left = len(tail) - at - _END.size - _END.unpack_from(tail, at)[-1]
            if left >= 0:
                (others if left else exact).append(start + at)
        at = tail.rfind(_END_MARK, 0, at + len(_END_MARK) - 1)
    return exact + others


def _end(descriptor: int, place: int) -> _End:
    """The end record at `place`, with the numbers of its zip64 brother where its own are full."""
    _, disk, first_disk, here, count, size, offset, _ = _END.unpack(piece(descriptor, _END.size, place))
    own = _End(place, disk, first_disk, here, count, size, offset, False)
    wide = _end_64(descriptor, place)
    if wide is None:
        return own
    return _End(
        wide.place,
        wide.disk if disk == _FULL_16 else disk,
        wide.first_disk if first_disk == _FULL_16 else first_disk,
        wide.here if here == _FULL_16 else here,
        wide.entries if count == _FULL_16 else count,
        wide.size if size == _FULL_32 else size,
        wide.offset if offset == _FULL_32 else offset,
        count == _FULL_16,
    )


def _end_64(descriptor: int, end: int) -> _End | None:
    """The zip64 end record whose locator lies before the end record."""
    found = end - _LOCATOR.size
    if found < _END_64.size:
        return None
    mark, _, offset, disks = _LOCATOR.unpack(piece(descriptor, _LOCATOR.size, found))
    if mark != _LOCATOR_MARK:
        return None
    if disks > 1:
        raise CdbfsError("it is one of several parts")
    for place in (offset, found - _END_64.size):  # the second: something was put before the archive
        if place + _END_64.size <= found:
            record = _END_64.unpack(piece(descriptor, _END_64.size, place))
            if record[0] == _END_64_MARK:
                _, _, _, _, disk, first_disk, here, count, size, offset = record
                return _End(place, disk, first_disk, here, count, size, offset, True)
    return None


def _directory(descriptor: int, end: _End) -> Directory:
    if end.disk or end.first_disk or end.here != end.entries:
        raise CdbfsError("it is one of several parts")
    prefix = end.place - end.size - end.offset
    if prefix < 0 or end.entries * ENTRY.size > end.size:
        raise CdbfsError("its directory lies out of bounds")
    if not end.size:
        return Directory(end.place, 0, 0, 0, end.wide)
    for start, before in ((end.place - end.size, prefix), (end.offset, 0)):
        if _begins(descriptor, start, before):
            return Directory(start, end.size, end.entries, before, end.wide)
    raise CdbfsError("its directory is not where its end says")


def _begins(descriptor: int, start: int, prefix: int) -> bool:
    """Whether a directory begins there, and where bytes lie before the archive, its first member as far behind."""
    head = piece(descriptor, ENTRY.size, start)
    if len(head) < ENTRY.size or not head.startswith(_ENTRY_MARK):
        return False
    offset = ENTRY.unpack(head)[-1]
    return not prefix or piece(descriptor, len(_LOCAL_MARK), offset + prefix) == _LOCAL_MARK


def _records(descriptor: int, directory: Directory, stop: Stop) -> Iterator[tuple[tuple[int, ...], bytes, bytes]]:
    """Of each entry its numbers, its name and its extra fields."""
    unpack, fixed = ENTRY.unpack_from, ENTRY.size
    place, end = directory.start, directory.start + directory.size
    buffer, at = b"", 0
    while True:
        if len(buffer) - at < _LONGEST_ENTRY and place < end:
            look(stop)
            chunk = piece(descriptor, min(_CHUNK, end - place), place)
            if not chunk:
                break
            buffer, at, place = buffer[at:] + chunk, 0, place + len(chunk)
        if at == len(buffer):
            return
        if len(buffer) - at < fixed or buffer[at : at + 4] != _ENTRY_MARK:
            break
        fields = unpack(buffer, at)
        name = at + fixed
        extra = name + fields[11]
        comment = extra + fields[12]
        at = comment + fields[13]
        if at > len(buffer):
            break
        yield fields, buffer[name:extra], buffer[extra:comment]
    raise CdbfsError("the zip cannot be read: its directory is damaged")


def _entry(number: int, fields: tuple[int, ...], name: bytes, extra: bytes, prefix: int) -> Entry:
    _, _, host, _, flags, method, time, date, crc, packed, size, _, _, _, disk, _, attributes, start = fields
    wide = modified = path = None
    for kind, content in _extras(extra):
        if kind == _TIMES:
            modified = _modified(content)
        elif kind == _ZIP64:
            wide = content
        elif kind == _UNICODE:
            path = content
    sound = True
    if wide is not None and _FULL_32 in (size, packed, start):
        size, packed, start, sound = _widened(size, packed, start, wide)
    if disk == _FULL_16:
        disk = 0  # its zip64 number would say no more than that of the end record, which is checked
    start += prefix
    mode = attributes >> 16
    dos = date << 16 | time
    return Entry(
        number, name, path, host, flags, method, dos, modified, crc, packed, size, start, mode, disk, sound
    )


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """The extra fields; what is left where one of them is cut is nothing."""
    at, end = 0, len(extra) - _FIELD.size
    while at <= end:
        kind, length = _FIELD.unpack_from(extra, at)
        at += _FIELD.size
        if at + length > len(extra):
            return
        yield kind, extra[at : at + length]
        at += length


def _modified(content: bytes) -> int | None:
    """Seconds since the epoch, of the field "UT"."""
    if len(content) < 5 or not content[0] & 1:
        return None
    return int.from_bytes(content[1:5], "little", signed=True)


def _widened(size: int, packed: int, start: int, wide: bytes) -> tuple[int, int, int, bool]:
    """The three numbers, those that are full from the zip64 field, which has these alone; and if they can be."""
    numbers = [number for (number,) in struct.iter_unpack("<Q", wide[: len(wide) & ~7])]
    found = []
    for number in (size, packed, start):
        if number == _FULL_32:
            number = numbers.pop(0) if numbers else _ABSURD
        found.append(number)
    if max(found) >= _ABSURD:
        return 0, 0, 0, False
    return found[0], found[1], found[2], True
