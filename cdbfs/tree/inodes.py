"""Inode numbers: the same in every mount, and never 0 or 1, which have meanings of their own.

Threads: plain functions.
"""

from __future__ import annotations

import hashlib


def inode(path: str) -> int:
    """That of a path."""
    return _number(path.encode("utf-8", "surrogateescape"))


def own_inode(device: int, number: int) -> int:
    """That of a file of the user's own, which keeps it when it is renamed."""
    return _number(b"%d\0%d" % (device, number))


def _number(key: bytes) -> int:
    digest = hashlib.blake2b(key, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1 | 2
