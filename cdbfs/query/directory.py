"""search/ as it can be changed: the shelf, but for the names of results and errors, which belong to their queries.

Used by mount/. What becomes of a query is seen here: it is saved by a flush, by a rename to its name, by a touch,
and given up by being removed. Results are never written; removing one forgets it; moving one away is left to mv,
which then copies it (EXDEV). A file of the user's that has a result's name when its query comes is kept as x.csv~.
What the system refuses is raised as OSError, what is refused here as NotPermitted.

Threads: any.
"""

from __future__ import annotations

import contextlib
import errno as codes
import os
import time

from cdbfs.caller import Caller
from cdbfs.errors import NotPermitted
from cdbfs.query.queries import ERROR, RESULT, Queries, is_query

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
"""Times that mean the present moment, and no change (utimensat(2); libfuse hands them on, with no seconds)."""


class SearchDirectory:
    """The user's shelf with its queries; paths are relative to it."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._shelf = queries.shelf

    # -- files

    def open(self, path: str, flags: int, mode: int | None = None) -> int:
        """A descriptor, to read or write; with a `mode`, the file is made where it is missing."""
        self._not_of_a_query(path)
        return self._shelf.open(path, flags, mode)

    def saved(self, path: str, caller: Caller) -> None:
        """A file was written and closed: wait for the result, if it is a query."""
        if is_query(path):
            self._queries.saved(path, caller)
            self._make_way(path)

    def truncate(self, path: str, length: int) -> None:
        self._not_of_a_query(path)
        self._shelf.truncate(path, length)
        self._changed(path)

    def unlink(self, path: str) -> None:
        """Remove a file; of a result or error, forget it."""
        query = self._queries.of(path)
        if query is not None:
            self._make_way(query.path)
            self._queries.drop(query, path)
            return
        self._shelf.unlink(path)
        if is_query(path):
            self._queries.saved(path)

    def link(self, path: str, new: str) -> None:
        self._not_of_a_query(path, new)
        self._shelf.link(path, new)
        self._changed(new)

    def symlink(self, target: str, path: str) -> None:
        self._not_of_a_query(path)
        self._shelf.symlink(target, path)

    def make_file(self, path: str, mode: int) -> None:
        """An empty file."""
        self._not_of_a_query(path)
        os.close(self._shelf.open(path, os.O_WRONLY | os.O_EXCL, mode))

    # -- files and directories

    def rename(self, path: str, new: str, flags: int) -> None:
        if self.is_virtual(path):
            raise OSError(codes.EXDEV, "a result is not moved but copied")
        self._not_of_a_query(new)
        self._shelf.rename(path, new, flags)
        self._changed(new)
        if is_query(path):
            self._queries.saved(path)  # that it is gone, unless it was exchanged, or had a rival

    def mkdir(self, path: str, mode: int) -> None:
        self._not_of_a_query(path)
        self._shelf.mkdir(path, mode)

    def rmdir(self, path: str) -> None:
        self._shelf.rmdir(path)

    def chmod(self, path: str, mode: int) -> None:
        self._not_of_a_query(path)
        self._shelf.chmod(path, mode)

    def utimens(self, path: str, times: tuple[int, int] | None) -> None:
        """Access and modification time, nanoseconds since the epoch; None is now. Now runs a query again; a time
        that is told does not, since `cp -p` and `mv` of a file that was just written tell one, too."""
        self._not_of_a_query(path)
        now = time.time_ns()
        accessed, modified = times or (UTIME_NOW, UTIME_NOW)
        found = self._shelf.stat(path)
        exact = (_exact(accessed, now, found.st_atime_ns), _exact(modified, now, found.st_mtime_ns))
        self._shelf.utimens(path, exact)
        if is_query(path) and modified == UTIME_NOW:
            self._queries.saved(path, again=True)

    def access(self, path: str, mode: int) -> None:
        self._shelf.access(path, mode)

    def sync(self, path: str) -> None:
        self._shelf.sync(path)

    def statvfs(self) -> os.statvfs_result:
        return self._shelf.statvfs()

    def is_virtual(self, path: str) -> bool:
        """Whether that is a result, or an error, and no file."""
        return self._queries.of(path) is not None

    # -- parts

    def _changed(self, path: str) -> None:
        if is_query(path):
            self._queries.saved(path)
            self._make_way(path)

    def _make_way(self, path: str) -> None:
        """Rename files of the user's own that a query's result and error hide; one that is the same goes."""
        stem = os.path.splitext(path)[0]
        for hidden in (stem + RESULT, stem + ERROR):
            with contextlib.suppress(OSError):
                self._shelf.stat(hidden)
                if self._queries.is_copy(hidden):
                    self._shelf.unlink(hidden)
                else:
                    self._shelf.set_aside(hidden)

    def _not_of_a_query(self, *paths: str) -> None:
        for path in paths:
            query = self._queries.of(path)
            if query is not None:
                raise NotPermitted(f"{path} belongs to the query {query.path}, and is not written by hand")


def _exact(given: int, now: int, present: int) -> int:
    return {UTIME_NOW: now, UTIME_OMIT: present}.get(given, given)
