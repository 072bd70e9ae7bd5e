"""Which result belongs to which query of the shelf: x.csv and x.error beside x.sql or x.xml.

Used by directory, by tree/search and by `cdbfs save`. Results and errors are no files of the shelf: they are found
by the hash of their query's text, so that a query that is renamed, copied or written again keeps its result. Names
that begin with a dot are no queries, since editors leave such.

Threads: any; `_lock` guards the cache of digests.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from cachetools import LRUCache

from cdbfs.caller import POLL_SECONDS, Caller
from cdbfs.errors import AccessRefused, CdbfsError, GivenUp, NoSuchName, QueryError
from cdbfs.query.catalog import Catalog
from cdbfs.query.run import MOST_BYTES, prepare, run
from cdbfs.query.runs import Job, Runs
from cdbfs.query.shelf import Shelf
from cdbfs.store.results import Kept, OnDisk, Writer
from cdbfs.xnat.client import Client
from cdbfs.xnat.deadline import Stop

RESULT, ERROR = ".csv", ".error"
SUFFIXES = (".sql", ".xml")
LONGEST_NAME = 255
"""Bytes."""
MEANING = b"cdbfs 1\0"
"""Part of every key; another number when queries come to mean something else."""
BLOCK = 2**20
MOST_DIGESTS = 20_000
AWAY_SECONDS = 1.0
"""How long who waits for a result bears its query being gone, or empty: editors save in such steps."""
UNREADABLE = "unreadable"
"""In place of the key of a text that cannot be read."""
SETTLED = 50_000_000
"""Nanoseconds after which a change of a file has changed its times, too: file systems count in clock ticks."""


@dataclass(frozen=True)
class Query:
    """A query as it stands in the shelf: its path, and when it was written. Two of one name exclude each other."""

    path: str
    found: os.stat_result
    rival: str = ""

    def conflict(self) -> QueryError:
        names = f"{os.path.basename(self.path)} and {os.path.basename(self.rival)}"
        return QueryError(f"{names} would have the same result: rename one of them")


class Queries:
    """The queries of one shelf, run on one server."""

    def __init__(self, shelf: Shelf, runs: Runs, client: Client, catalog: Catalog, prefix: str) -> None:
        self.shelf = shelf
        self.runs = runs
        self._client = client
        self._catalog = catalog
        self._prefix = prefix
        """What stands before a path of the shelf in the mount: runs are named by their results' paths there."""
        self._lock = threading.Lock()
        self._digests: LRUCache[tuple[int, ...], str] = LRUCache(MOST_DIGESTS)

    # -- names

    def of(self, path: str) -> Query | None:
        """The query that the name of a result, or of an error, belongs to."""
        stem, suffix = os.path.splitext(path)
        if suffix not in (RESULT, ERROR) or not is_query(stem + SUFFIXES[0]):
            return None
        found = [query for query in (self._file(stem + each) for each in SUFFIXES) if query is not None]
        if len(found) == 2:
            return Query(found[0].path, found[0].found, found[1].path)
        return found[0] if found else None

    def hidden(self, directory: str, names: list[str]) -> list[str]:
        """Those of the `names` in a directory that belong to results or errors, though files have them."""
        return [name for name in names if self.of(_join(directory, name)) is not None]

    def virtual(self, directory: str, names: list[str]) -> Iterator[str]:
        """The names of results and errors that a directory with these `names` has besides."""
        stems = dict.fromkeys(os.path.splitext(name)[0] for name in names if is_query(name))
        for stem in stems:
            query = self.of(_join(directory, stem) + RESULT)
            if query is not None and self.has_result(query):
                yield from _listable(stem + RESULT)
                if self.reason(query) is not None:
                    yield from _listable(stem + ERROR)

    # -- what they show, without waiting

    def has_result(self, query: Query) -> bool:
        """Whether there is anything to run: an empty text is no query."""
        return bool(query.rival) or self._known_key(query) != ""

    def shown(self, query: Query) -> Kept:
        """What stat shows of the result: the last good one of this text, or nothing yet."""
        kept = None if query.rival else self.runs.kept(self._known_key(query))
        return kept or Kept(0, query.found.st_mtime_ns)

    def reason(self, query: Query) -> tuple[str, int] | None:
        """Why there is no (new) result, and since when, nanoseconds since the epoch."""
        if query.rival:
            return str(query.conflict()), query.found.st_mtime_ns
        key = self._known_key(query)
        if key == UNREADABLE:
            return self._why_unreadable(query), query.found.st_ctime_ns
        failure = self.runs.failure(key)
        return None if failure is None else (failure.reason, failure.when)

    # -- running

    def open(self, path: str, caller: Caller) -> OnDisk:
        """The result of the text that its query has now. Raises what the search raises, or waiting for it."""
        until = 0.0
        while True:
            text = self._present(path)
            if text:
                try:
                    return self.runs.open(self._job(text), self._prefix + path, caller)
                except GivenUp:  # saved anew, or gone, while we waited
                    until = time.monotonic() + AWAY_SECONDS
            elif time.monotonic() >= until or caller.interrupted():
                raise NoSuchName(path)
            else:
                time.sleep(POLL_SECONDS)

    def saved(self, path: str, caller: Caller | None = None, *, again: bool = False) -> None:
        """A query has another text now, or none, or is to be run `again`: start its search, if there is any, and
        wait as `caller` would.

        What comes of the search is no matter of saving: it is told by the result.
        """
        name = self._prefix + os.path.splitext(path)[0] + RESULT
        try:
            query = self.of(os.path.splitext(path)[0] + RESULT)
            text = b"" if query is None else self.text(query)
        except (CdbfsError, OSError):
            text = b""
        if not text:
            self.runs.leave(name)
            return
        job = self._job(text)
        if not again and self.runs.kept(job.key) is not None and self.runs.failure(job.key) is None:
            self.runs.leave(name, unless=job.key)
            return
        try:
            started = self.runs.want(job, name)
            if caller is not None:
                self.runs.wait(started, name, caller)
        except CdbfsError:
            pass

    def is_copy(self, path: str) -> bool:
        """Whether a file of the user's has the bytes of the result, or error, that hides it."""
        query = self.of(path)
        if query is None:
            return False
        try:
            with self.shelf.reading(path) as file:
                return self._is_error(file, query) if path.endswith(ERROR) else self._is_result(file, query)
        except OSError:
            return False

    def drop(self, query: Query, path: str) -> None:
        """Forget the result; where `path` is that of the error, also why there is none.

        Not where it is the result's: `rm *` names both, and would miss the other.
        """
        self.runs.drop(self._known_key(query), failure=path.endswith(ERROR))

    def text(self, query: Query) -> bytes:
        """What a query says now; b"" where that is nothing. Raises QueryError for two of one name, NoSuchName,
        and where it cannot be read AccessRefused or CdbfsError."""
        if query.rival:
            raise query.conflict()
        try:
            return self._read(query.path)
        except FileNotFoundError:
            raise NoSuchName(query.path) from None
        except OSError as error:
            kind = AccessRefused if isinstance(error, PermissionError) else CdbfsError
            raise kind(f"{os.path.basename(query.path)} cannot be read: {error.strerror}") from None

    # -- parts

    def _is_error(self, file: BinaryIO, query: Query) -> bool:
        reason = self.reason(query)
        return reason is not None and file.read(MOST_BYTES) == error_text(reason[0])

    def _is_result(self, file: BinaryIO, query: Query) -> bool:
        result = None if query.rival else self.runs.kept_open(self._known_key(query))
        if result is None:
            return False
        try:
            return _alike(file, result)
        finally:
            result.close()

    def _present(self, path: str) -> bytes:
        """The text of the query that a result belongs to; b"" where there is none."""
        query = self.of(path)
        try:
            return b"" if query is None else self.text(query)
        except NoSuchName:
            return b""

    def _file(self, path: str) -> Query | None:
        try:
            found = self.shelf.stat(path)
        except OSError:
            return None
        return Query(path, found) if stat.S_ISREG(found.st_mode) else None

    def _read(self, path: str) -> bytes:
        """The text, with one byte more than a query may have where it is too long; b"" where it is blank."""
        with self.shelf.reading(path) as file:
            text = file.read(MOST_BYTES + 1) or b""
        return text if text.strip() else b""

    def _known_key(self, query: Query) -> str:
        """The key of the text, read anew only where the file may have changed; "" where there is no text."""
        found = query.found
        mark = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        with self._lock:
            known = self._digests.get(mark)
        if known is not None:
            return known
        now = time.time_ns()
        try:
            text = self._read(query.path)
        except OSError:
            return UNREADABLE  # who opens the result is told why
        key = _key(text) if text else ""
        if now - found.st_ctime_ns > SETTLED:
            with self._lock:
                self._digests[mark] = key
        return key

    def _why_unreadable(self, query: Query) -> str:
        try:
            self.text(query)
        except CdbfsError as error:
            return str(error)
        return f"{os.path.basename(query.path)} could not be read a moment ago; try again"

    def _job(self, text: bytes) -> Job:
        return Job(_key(text), partial(self._make, text))

    def _make(self, text: bytes, out: Writer, stop: Stop) -> None:
        run(prepare(text, self._catalog), self._client, self.runs.workspace, out, stop)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def error_text(reason: str) -> bytes:
    """x.error"""
    return f"{reason}\n".encode("utf-8", "backslashreplace")


def _alike(file: BinaryIO, result: OnDisk) -> bool:
    if os.fstat(file.fileno()).st_size != result.size:
        return False
    return all(file.read(BLOCK) == result.read(BLOCK, start) for start in range(0, result.size, BLOCK))


def is_query(path: str) -> bool:
    """Whether a file of that name is a query."""
    name = os.path.basename(path)
    return name.endswith(SUFFIXES) and not name.startswith(".")


def _key(text: bytes) -> str:
    return hashlib.sha256(MEANING + text).hexdigest()


def _listable(name: str) -> Iterator[str]:
    if len(os.fsencode(name)) <= LONGEST_NAME:
        yield name
