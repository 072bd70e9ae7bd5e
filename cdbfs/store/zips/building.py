"""Makes a member index from a zip: one pass over its directory, then what only all members together show.

Used by `index`, which reads what is made here. The index is an SQLite file; it is written without its safeguards,
since it is a temporary file until it is whole, and a digest (`sealing`) tells of one that is not.

Table `member` has every entry that is no directory, by its number in the zip's directory. One that has no safe
place in the tree lies in the parent UNPLACED, under its name in the zip, NUL, and its number. Table `directory`
has every directory, whether the zip has an entry for it or not. No name is in both: a member that bears a
directory's has that directory's parent, negative.

Threads: a build belongs to one thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from dataclasses import dataclass
from datetime import tzinfo
from itertools import islice

from cdbfs.errors import TooLarge
from cdbfs.store.zips import names
from cdbfs.store.zips.central import Directory, Entry, entries
from cdbfs.store.zips.judging import finish, judged
from cdbfs.store.zips.reading import Stop
from cdbfs.store.zips.refusals import Refusal
from cdbfs.store.zips.times import changed

VERSION = 1
"""Of all that an index holds, and of how it was decided. Raise it with either."""
ROOT, UNPLACED = 1, 0

_MOST_MEMBERS = 2_000_000
_MOST_DIRECTORIES = 64 * 2**20
"""Bytes that the directories of one zip may take in memory while its index is made."""
_DIRECTORY_COST = 150
_BATCH = 2000
_NOWHERE = -1
"""Start and end of a member that takes up no room in the zip that counts."""

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -16000;
CREATE TABLE about (identity TEXT);
CREATE TABLE directory (id INTEGER PRIMARY KEY, parent INTEGER, name BLOB);
CREATE TABLE member (
    id INTEGER PRIMARY KEY, parent INTEGER, name BLOB, refusal INTEGER, size INTEGER, packed INTEGER, crc INTEGER,
    method INTEGER, start INTEGER, finish INTEGER, mtime INTEGER, raw INTEGER
);
"""
_INDEXES = (
    "CREATE UNIQUE INDEX directory_by_name ON directory (parent, name)",
    "CREATE INDEX member_by_name ON member (parent, name)",
    "CREATE INDEX member_by_place ON member (start, finish)",
)
_REFUSE_OVERLAPS = """
UPDATE member SET refusal = ? WHERE refusal IN (?, ?) AND id IN (
    SELECT id FROM (
        SELECT id, start, finish,
            max(finish) OVER (ORDER BY start, finish ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
            lead(start) OVER (ORDER BY start, finish) AS after
        FROM member WHERE start >= 0
    ) WHERE start < before OR finish > after
)
"""
_NAMED_TWICE = "SELECT 1 FROM member GROUP BY parent, name HAVING count(*) > 1 LIMIT 1"
_DROP_LISTED_TWICE = """
DELETE FROM member WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (
            PARTITION BY parent, name, start, crc, size, packed, method ORDER BY id
        ) AS copy FROM member
    ) WHERE copy > 1
)
"""
_REFUSE_NAMED_TWICE = """
UPDATE member SET refusal = ? WHERE id IN (
    SELECT min(id) FROM member GROUP BY parent, name
    HAVING min(crc) < max(crc) OR min(size) < max(size) OR min(packed) < max(packed) OR min(method) < max(method)
)
"""
_DROP_NAMED_TWICE = """
DELETE FROM member WHERE id IN (
    SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY parent, name ORDER BY id) AS copy FROM member)
    WHERE copy > 1
)
"""
_UNPLACE_DIRECTORIES = """
UPDATE member SET refusal = ?, parent = -parent WHERE id IN (
    SELECT member.id FROM directory CROSS JOIN member USING (parent, name)
)
"""
_PATH = """
WITH RECURSIVE up (id, path) AS (
    VALUES (?1, CAST(?2 AS TEXT))
    UNION ALL SELECT parent, CAST(name AS TEXT) || '/' || path FROM directory JOIN up USING (id) WHERE id > 1
) SELECT CAST(path AS BLOB) FROM up WHERE id <= 1
"""


@dataclass(frozen=True)
class Rules:
    """What decides, beside the zip itself, what its index says."""

    zone: tzinfo
    """Of times that the zip gives without a zone."""
    max_ratio: int
    """How many times its packed size a large member may unpack to."""


def build(path: str, identity: str, zip_descriptor: int, directory: Directory, rules: Rules, stop: Stop) -> None:
    """Fill the empty file `path`. Raises CdbfsError where the zip cannot be read, and sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(_TABLES)
        connection.execute("BEGIN")
        connection.execute("INSERT INTO about VALUES (?)", (identity,))
        in_order = _Filling(connection, directory, rules).fill(zip_descriptor, stop)
        for index in _INDEXES:
            connection.execute(index)
        _settle(connection, in_order)
        connection.execute("CREATE INDEX refused ON member (id) WHERE refusal > 0")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def whole_path(connection: sqlite3.Connection, parent: int, name: bytes) -> bytes:
    """The path of a member, placed or not."""
    if parent == UNPLACED:
        return name.rpartition(b"\0")[0]
    found: bytes = connection.execute(_PATH, (abs(parent), name)).fetchone()[0]
    return found


class _Filling:
    """The tables while the zip's directory is read."""

    def __init__(self, connection: sqlite3.Connection, directory: Directory, rules: Rules) -> None:
        self._connection = connection
        self._directory = directory
        self._rules = rules
        self._directories = {b"": ROOT}
        """Their numbers; of one that has no safe place, why, negative."""
        self._room = _MOST_DIRECTORIES
        self._new: list[tuple[int, int, bytes]] = [(ROOT, UNPLACED, b"")]
        self._reached = 0
        """Where the members end that were read so far."""
        self._in_order = True

    def fill(self, descriptor: int, stop: Stop) -> bool:
        """All of them; whether they lie one after the other, in the order of the directory."""
        if self._directory.count > _MOST_MEMBERS:
            raise TooLarge(f"the zip has {self._directory.count} members: more than {_MOST_MEMBERS}")
        rows = map(self._row, entries(descriptor, self._directory, stop))
        insert = "INSERT INTO member VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
        while batch := list(islice(rows, _BATCH)):
            self._connection.executemany(insert, filter(None, batch))
            self._connection.executemany("INSERT INTO directory VALUES (?,?,?)", self._new)
            self._new.clear()
        self._connection.executemany("INSERT INTO directory VALUES (?,?,?)", self._new)
        return self._in_order

    def _row(self, entry: Entry) -> tuple[object, ...] | None:
        """What is kept of an entry; nothing of a directory that has a place, beside the directory."""
        if entry.number >= _MOST_MEMBERS:
            raise TooLarge(f"the zip has more than {_MOST_MEMBERS} members")
        path = names.path_of(entry)
        is_directory = path.endswith(b"/")
        parent, leaf = self._place(entry, path, is_directory)
        if is_directory and parent > 0:
            return None
        refusal, start, end = self._judge(entry, is_directory)
        if parent <= 0:
            refusal, parent, leaf = Refusal(-parent), UNPLACED, b"%s\0%d" % (path, entry.number)
        numbers = (entry.size, entry.packed) if entry.sound else (0, 0)
        mtime = changed(entry, self._rules.zone)
        about = (*numbers, entry.crc, entry.method, start, end, mtime, zlib.crc32(entry.name))
        return (entry.number, parent, leaf, int(refusal), *about)

    def _place(self, entry: Entry, path: bytes, is_directory: bool) -> tuple[int, bytes]:
        """The number of the directory it lies in, and its name there. Of a directory, its own number."""
        wrong = names.fault(path, entry.host)
        if wrong:
            return -wrong, b""
        if is_directory:
            return self._number(path[:-1]) if len(path) > 1 else -Refusal.EMPTY, b""
        directory, _, leaf = path.rpartition(b"/")
        wrong = names.fault_of_part(leaf)
        return (-wrong if wrong else self._number(directory)), leaf

    def _number(self, directory: bytes) -> int:
        """The number of a directory, which is made where it is new."""
        number = self._directories.get(directory)
        if number is None:
            self._room -= len(directory) + _DIRECTORY_COST
            if self._room < 0:
                raise TooLarge("the zip has too many directories")
            number = self._directories[directory] = self._made(directory)
        return number

    def _made(self, directory: bytes) -> int:
        above, _, leaf = directory.rpartition(b"/")
        wrong = names.fault_of_depth(directory) or names.fault_of_part(leaf)
        parent = -wrong if wrong else self._number(above)
        if parent <= 0:
            return parent
        number = len(self._directories) + 1
        self._new.append((number, parent, leaf))
        return number

    def _judge(self, entry: Entry, is_directory: bool) -> tuple[Refusal, int, int]:
        """What is wrong with it for itself, and where it begins and ends in the zip."""
        if is_directory or not entry.sound:
            return Refusal.DAMAGED, _NOWHERE, _NOWHERE
        end = finish(entry)
        self._in_order = self._in_order and entry.start >= self._reached
        self._reached = max(self._reached, end)
        return judged(entry, end, self._directory.start, self._rules.max_ratio), entry.start, end


def _settle(connection: sqlite3.Connection, in_order: bool) -> None:
    """Refuse what lies over another, and leave one of each name: of identical members, of different ones none.

    All in SQL: a zip may mean harm, and have nothing but such members.
    """
    named_twice = connection.execute(_NAMED_TWICE).fetchone()
    if named_twice:
        connection.execute(_DROP_LISTED_TWICE)  # the same member, and so not over another
    if not in_order:
        connection.execute(_REFUSE_OVERLAPS, (int(Refusal.OVERLAP), int(Refusal.NONE), int(Refusal.BOMB)))
    if named_twice:
        connection.execute(_REFUSE_NAMED_TWICE, (int(Refusal.TWICE),))
        connection.execute(_DROP_NAMED_TWICE)
    connection.execute(_UNPLACE_DIRECTORIES, (int(Refusal.DIRECTORY),))
