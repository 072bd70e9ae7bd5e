"""Where a member lies in the tree: its name in the zip -> the bytes of a path, or why it has no place.

Used by `building`. Names are bytes here, as on a Linux filesystem: UTF-8 where the zip says so, and as they are
where it was made on Unix, which is what unzip does with both; else they are in DOS's code page 437.

Threads: pure functions.
"""

from __future__ import annotations

import zlib

from cdbfs.store.zips.central import Entry
from cdbfs.store.zips.refusals import Refusal

UNIX_HOSTS = frozenset({3, 19})
"""Unix and macOS: names are bytes, and the attributes hold a Unix mode."""
_DOS_HOSTS = frozenset({0, 6, 10, 11, 14})
"""DOS, OS/2, NTFS (two numbers are about) and VFAT: a colon after the first letter is a drive."""
_UTF_8 = 0x0800
_LONGEST_NAME = 255
_LONGEST_PATH = 2048
_DEEPEST = 64


def path_of(entry: Entry) -> bytes:
    """The path as the zip means it, not checked; that of a directory ends in a slash."""
    name = entry.name
    if not entry.flags & _UTF_8 and not name.isascii():
        name = _unicode_path(entry) or (name if entry.host in UNIX_HOSTS else name.decode("cp437").encode())
    if entry.host == 0 and b"\\" in name and b"/" not in name:  # as unzip does: made on DOS, and no slash in it
        name = name.replace(b"\\", b"/")
    while name.startswith(b"./") and len(name) > 2:  # some archivers put it before every name
        name = name[2:]
    return name


def fault(path: bytes, host: int) -> Refusal:
    """Why the beginning of the path, or the whole of it, has no safe place."""
    if path[:1] == b"/":
        return Refusal.ABSOLUTE
    if path[1:2] == b":" and path[:1].isalpha() and (host in _DOS_HOSTS or path[2:3] in (b"", b"/")):
        return Refusal.ABSOLUTE
    if b"\0" in path:
        return Refusal.NUL
    if len(path) > _LONGEST_PATH:
        return Refusal.LONG
    return Refusal.NONE


def fault_of_part(part: bytes) -> Refusal:
    """Why a path with this part between slashes has no safe place."""
    if not part:
        return Refusal.EMPTY
    if part in (b".", b".."):
        return Refusal.OUTSIDE
    if len(part) > _LONGEST_NAME:
        return Refusal.LONG
    return Refusal.NONE


def fault_of_depth(directory: bytes) -> Refusal:
    """Why nothing may lie in the directory, as far as its depth goes."""
    return Refusal.DEEP if directory.count(b"/") >= _DEEPEST else Refusal.NONE


def shown(path: bytes) -> str:
    """The path as it may stand in a line of text: what does not print is escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _unicode_path(entry: Entry) -> bytes | None:
    """The name in the Unicode path field, where that was made for this name: it bears its CRC."""
    field = entry.unicode
    if field is None or len(field) < 6 or field[0] != 1:
        return None
    return field[5:] if int.from_bytes(field[1:5], "little") == zlib.crc32(entry.name) else None
