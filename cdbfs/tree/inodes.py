"""Inode numbers: the same in every mount, and never 0 or 1, which have meanings of their own.

Threads: plain functions.
"""

from __future__ import annotations

import hashlib
from typing import Callable


def inode(path: str) -> int:
    """That of a path."""
    return _number(_hash(path.encode("utf-8", "surrogateescape")))


def inodes_in(directory: str) -> Callable[[bytes], int]:
    """Of a name in a directory, the one of its path; for who wants those of many names."""
    above = _hash(directory.rstrip("/").encode("utf-8", "surrogateescape") + b"/")

    def inode_of(name: bytes) -> int:
        whole = above.copy()
        whole.update(name)
        return _number(whole)

    return inode_of


def own_inode(device: int, number: int) -> int:
    """That of a file of the user's own, which keeps it when it is renamed."""
    return _number(_hash(b"%d\0%d" % (device, number)))


def _hash(key: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(key, digest_size=8)


def _number(found: hashlib.blake2b) -> int:
    return int.from_bytes(found.digest(), "big") >> 1 | 2
