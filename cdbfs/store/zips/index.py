"""The members of one zip, as the tree asks for them: kept on disk, so that they are known without the zip.

Used by store/packages and the tree. `building` makes the file; here it is made under a temporary name, renamed and
read. An index of another version or another zip, or one that is damaged, counts as absent.

Threads: any (`pool`); the numbers of directories that were asked for lately lie in a dict whose single steps are
atomic, and which may be emptied at any time. Nothing else is kept in memory, however many members there are.
"""

from __future__ import annotations

import contextlib
import enum
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Literal, NamedTuple

from cdbfs.errors import CdbfsError, NoSpace, NoSuchName
from cdbfs.store.disk import PART, make_private
from cdbfs.store.zips import building, names, sealing
from cdbfs.store.zips.central import find_directory
from cdbfs.store.zips.pool import Pool
from cdbfs.store.zips.reading import Stop, disk_error, never
from cdbfs.store.zips.refusals import Refusal

_MOST_KNOWN = 1000
"""Directories whose numbers are remembered."""
_AT_ONCE = 500
_NO_END = 1 << 62
_LISTED = "SELECT CAST(group_concat(CAST(name AS TEXT), '/') AS BLOB) FROM {} WHERE parent = ?"
_MEMBER = """
SELECT id, size, packed, crc, method, start, mtime, raw, refusal FROM member WHERE parent = ? AND name = ?
"""
_REFUSED = """
SELECT id, parent, name, refusal FROM member WHERE refusal > 0 AND id > ? ORDER BY id LIMIT ?
"""


class Found(enum.Enum):
    """What a path may lead to, beside a member."""

    DIRECTORY = "directory"


DIRECTORY = Found.DIRECTORY


@dataclass(frozen=True)
class Member:
    """One file of a zip, as the zip's directory has it."""

    number: int
    """Its place in the zip's directory."""
    size: int
    packed: int
    crc: int
    method: int
    start: int
    """Of its local header, in the file."""
    mtime: int
    """Nanoseconds since the epoch."""
    raw: int
    """The CRC of its name in the zip, by which its local header is known."""
    refusal: Refusal
    """Why it cannot be opened; Refusal.NONE where it can be tried."""


class Names(NamedTuple):
    """What a directory of a zip has."""

    directories: list[str]
    files: list[str]


class Index:
    """The index in the file `path`, open: whoever has it closes it."""

    def __init__(self, path: Path, identity: str) -> None:
        """For `load` and `build`. Raises sqlite3.Error, and CdbfsError where it is not that of `identity`."""
        self.identity = identity
        """Of which zip, and by what rules: the caller's words."""
        self._pool = Pool(path)
        self._known: dict[bytes, int] = {b"": building.ROOT}
        with self._pool.connection() as connection:
            about = connection.execute("SELECT identity FROM about").fetchone()
        if about != (identity,):
            self.close()
            raise CdbfsError("the list of members is that of another package")

    @classmethod
    def build(
        cls,
        zip_descriptor: int,
        zip_size: int,
        path: Path,
        identity: str,
        zone: tzinfo,
        max_ratio: int,
        stop: Stop = never,
    ) -> Index:
        """Make the index of a zip, in the place of one that may be there.

        `identity` names all that the index depends on: the zip (size and md5), zone and ratio. Raises CdbfsError
        where the zip cannot be read as a whole, TooLarge, NoSpace, GivenUp.
        """
        directory = find_directory(zip_descriptor, zip_size)
        with _replacing(path) as part:
            building.build(part, identity, zip_descriptor, directory, building.Rules(zone, max_ratio), stop)
        return cls(path, identity)

    @classmethod
    def load(cls, path: Path, identity: str) -> Index | None:
        """The index, where there is one of this identity that can be trusted."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return cls(path, identity) if sealing.is_sealed(descriptor) and _version(descriptor) else None
        except (OSError, sqlite3.Error, CdbfsError):
            return None
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self._pool.close()

    def entries(self, directory: str) -> Names:
        """The names in a directory ("" is the top). Raises NoSuchName."""
        with self._pool.connection() as connection:
            number = self._directory(connection, _encoded(directory))
            if number is None:
                raise NoSuchName(directory)
            return Names(_listed(connection, "directory", number), _listed(connection, "member", number))

    def find(self, path: str) -> Member | Literal[Found.DIRECTORY] | None:
        """What lies at a path ("a/b", "" is the top)."""
        whole = _encoded(path)
        if whole in self._known:
            return DIRECTORY
        above, slash, name = whole.rpartition(b"/")
        if slash and not above:
            return None
        with self._pool.connection() as connection:
            parent = self._directory(connection, above)
            if parent is None:
                return None
            row = connection.execute(_MEMBER, (parent, name)).fetchone()
            if row is not None:
                return _member(row)
            return DIRECTORY if _child(connection, parent, name) is not None else None

    def refused(self) -> Iterator[tuple[str, str]]:
        """What is not served, in the order of the zip: names as they may be shown, and reasons."""
        after = -1
        while True:
            with self._pool.connection() as connection:
                rows = connection.execute(_REFUSED, (after, _AT_ONCE)).fetchall()
                paths = [building.whole_path(connection, parent, name) for _, parent, name, _ in rows]
            if not rows:
                return
            for (number, _, _, refusal), path in zip(rows, paths):
                after = number
                yield names.shown(path), Refusal(refusal).reason

    def end_of(self, member: Member) -> int:
        """Where the member must have ended: the next one begins there."""
        with self._pool.connection() as connection:
            found = connection.execute("SELECT min(start) FROM member WHERE start > ?", (member.start,)).fetchone()
        return _NO_END if found[0] is None else int(found[0])

    def _directory(self, connection: sqlite3.Connection, path: bytes) -> int | None:
        """The number of a directory."""
        known = self._known.get(path)
        if known is not None:
            return known
        number = building.ROOT
        for name in path.split(b"/"):
            child = _child(connection, number, name)
            if child is None:
                return None
            number = child
        if len(self._known) > _MOST_KNOWN:
            self._known = {b"": building.ROOT}
        self._known[path] = number
        return number


def _member(row: tuple[int, int, int, int, int, int, int, int, int]) -> Member:
    number, size, packed, crc, method, start, mtime, raw, refusal = row
    return Member(number, size, packed, crc, method, start, mtime, raw, Refusal(refusal))


def _child(connection: sqlite3.Connection, parent: int, name: bytes) -> int | None:
    row = connection.execute("SELECT id FROM directory WHERE parent = ? AND name = ?", (parent, name)).fetchone()
    return int(row[0]) if row else None


def _listed(connection: sqlite3.Connection, table: str, parent: int) -> list[str]:
    """The names in a directory, put together by SQLite: an object a row costs five times as much."""
    (joined,) = connection.execute(_LISTED.format(table), (parent,)).fetchone()
    return joined.decode("utf-8", "surrogateescape").split("/") if joined else []


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _version(descriptor: int) -> bool:
    """Whether the index is of our version, which SQLite keeps at byte 60."""
    return os.pread(descriptor, 4, 60) == building.VERSION.to_bytes(4, "big")


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[str]:
    """The name of an empty file that takes the place of `path`, sealed, where the block ends without an error."""
    try:
        make_private(path.parent)
        descriptor, part = tempfile.mkstemp(prefix=PART, dir=path.parent)  # mode 0600
    except OSError as error:
        raise disk_error(error, "the list of a package's members cannot be written") from None
    try:
        yield part
        sealing.seal(descriptor)
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        if isinstance(error, (OSError, sqlite3.Error)):
            raise _not_written(error) from None
        raise
    finally:
        os.close(descriptor)


def _not_written(error: OSError | sqlite3.Error) -> CdbfsError:
    doing = "the list of a package's members cannot be written"
    if isinstance(error, OSError):
        return disk_error(error, doing)
    full = "full" in str(error)
    return (NoSpace if full else CdbfsError)(f"{doing}: {error}")
