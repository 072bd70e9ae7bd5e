"""What a zip's directory alone tells against a member.

Used by `building`. Names are judged in `names`, overlaps and duplicates where all members are seen together.

Threads: pure functions.
"""

from __future__ import annotations

import stat

from cdbfs.store.zips.central import Entry
from cdbfs.store.zips.names import UNIX_HOSTS
from cdbfs.store.zips.refusals import Refusal

STORED, DEFLATED = 0, 8
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
"""Flags of encryption: the old one, the strong one, that of local headers."""
PATCH = 0x0020
LOCAL_SIZE = 30
"""Of a local header without the name."""

_MOST_DEFLATED = 1032
"""Two bits of a deflate stream give at most 258 bytes."""
_SMALL = 256 * 2**20
"""A member that unpacks to no more than this is no bomb, however small it was."""


def finish(entry: Entry) -> int:
    """Where it ends at the earliest: its local header may have more extra fields than the directory tells."""
    return entry.start + LOCAL_SIZE + len(entry.name) + entry.packed


def judged(entry: Entry, end: int, limit: int, most_ratio: int) -> Refusal:
    """What is wrong with a member that ends at `end`, in a zip whose directory begins at `limit`."""
    if not entry.sound:
        return Refusal.DAMAGED
    if entry.disk:
        return Refusal.ELSEWHERE
    if entry.flags & ENCRYPTED:
        return Refusal.ENCRYPTED
    kind = stat.S_IFMT(entry.mode) if entry.host in UNIX_HOSTS else 0
    if kind not in (0, stat.S_IFREG):
        return Refusal.SYMLINK if kind == stat.S_IFLNK else Refusal.SPECIAL
    if entry.method not in (STORED, DEFLATED) or entry.flags & PATCH:
        return Refusal.METHOD
    if end > limit:
        return Refusal.OVERLAP
    return _judged_by_size(entry, most_ratio)


def _judged_by_size(entry: Entry, most_ratio: int) -> Refusal:
    if entry.method == STORED and entry.size != entry.packed:
        return Refusal.DAMAGED
    if entry.size > _MOST_DEFLATED * (entry.packed + 1):
        return Refusal.DAMAGED
    if entry.size > _SMALL and entry.size > most_ratio * entry.packed:
        return Refusal.BOMB
    return Refusal.NONE
