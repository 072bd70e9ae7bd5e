"""Unix sockets by path, of any length: the kernel takes 107 bytes, so they are named by way of a descriptor.

Used by control and asking. Threads: plain functions.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BACKLOG = 16
MOST_BYTES = 2**20
"""In a question. One with the subjects of a large project has some 100 KiB."""
TRUSTED = (0,)
"""Users that are talked to, beside our own."""


def bind(path: Path) -> socket.socket:
    """A socket that listens there, for its owner only; what lies there is removed. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with _short(path) as name:
            listener.bind(name)
        os.chmod(path, 0o600)  # its directory keeps others out until then
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(path: Path, seconds: float) -> socket.socket:
    """A connection to who listens there. Raises OSError, ConnectionRefusedError where nobody does."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        with _short(path) as name:
            connection.connect(name)
    except BaseException:
        connection.close()
        raise
    return connection


def peer(connection: socket.socket) -> tuple[int, bool]:
    """The process at the other end, and whether it is of a user to be talked to (unix(7): SO_PEERCRED)."""
    process, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return process, user in (*TRUSTED, os.geteuid())


@contextmanager
def _short(path: Path) -> Iterator[str]:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
