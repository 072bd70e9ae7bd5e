"""A few read-only connections to an SQLite file that never changes.

Used by `index`.

Threads: any; each connection is with one thread at a time. Who finds none free waits for one, and no lock is held
while one reads. All are opened at first, so the file may be removed or replaced meanwhile.
"""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import quote

from cdbfs.errors import CdbfsError

_CONNECTIONS = 2
"""A descriptor each, of which a mount with many packages has not so many."""
_CACHE_KIB = 256
"""Of each; the kernel has the whole file in its own."""


class Pool:
    """Connections to the file `path`."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self._free: SimpleQueue[sqlite3.Connection | None] = SimpleQueue()
        weakref.finalize(self, _close, self._free)
        try:
            for _ in range(_CONNECTIONS):
                self._free.put(_connection(path))
        except BaseException:
            self.close()
            raise

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """One that is free. Raises CdbfsError where the file cannot be read, or the pool was closed."""
        connection = self._free.get()
        try:
            if connection is None:
                raise CdbfsError("the package is not in use any more")
            yield connection
        except sqlite3.Error as error:
            raise CdbfsError(f"the list of a package's members cannot be read: {error}") from None
        finally:
            self._free.put(connection)

    def close(self) -> None:
        """Close those that are free; the others close when nobody refers to the pool, as all would then."""
        _close(self._free)
        self._free.put(None)


def _close(free: SimpleQueue[sqlite3.Connection | None]) -> None:
    with contextlib.suppress(Empty):
        while True:
            connection = free.get_nowait()
            if connection is not None:
                connection.close()


def _connection(path: Path) -> sqlite3.Connection:
    """`immutable`: nobody writes, so no lock is taken and none of its checks is needed."""
    connection = sqlite3.connect(
        f"file:{quote(bytes(path))}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection
