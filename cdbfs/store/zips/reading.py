"""Reading exact pieces of a zip, and what an OSError means to a reader of members.

Used by all of zips/.

Threads: any; reads are by position, so a descriptor may be shared.
"""

from __future__ import annotations

import errno as codes
import os
from collections.abc import Iterator
from typing import Callable

from cdbfs.errors import CdbfsError, GivenUp, NoSpace

Stop = Callable[[], bool]
"""Says whether the work is not wanted any more; asked between two pieces of it."""

FULL = (codes.ENOSPC, codes.EDQUOT, codes.EFBIG)
"""What a disk says that has no room, or gives this user no more, or has no place for so large a file."""


def never() -> bool:
    """A Stop that lets the work come to its end."""
    return False


def look(stop: Stop) -> None:
    """Raises GivenUp where the work is not wanted any more."""
    if stop():
        raise GivenUp("reading the package was given up")


def piece(descriptor: int, length: int, offset: int) -> bytes:
    """`length` bytes at `offset`; fewer only where the file ends. Raises CdbfsError."""
    try:
        data = os.pread(descriptor, length, offset)
        while 0 < len(data) < length:
            more = os.pread(descriptor, length - len(data), offset + len(data))
            if not more:
                break
            data += more
    except (OSError, OverflowError) as error:
        raise CdbfsError(f"the file cannot be read: {error}") from None
    return data


def pieces(descriptor: int, length: int, offset: int, most: int, stop: Stop) -> Iterator[bytes]:
    """The `length` bytes from `offset`, `most` at a time. Raises CdbfsError where the file ends before that."""
    end = offset + length
    while offset < end:
        look(stop)
        data = piece(descriptor, min(most, end - offset), offset)
        if not data:
            raise CdbfsError("the zip ends within it")
        offset += len(data)
        yield data


def disk_error(error: OSError, doing: str) -> CdbfsError:
    """What went wrong with the disk while `doing`."""
    kind = NoSpace if error.errno in FULL else CdbfsError
    return kind(f"{doing}: {error.strerror or error}")
