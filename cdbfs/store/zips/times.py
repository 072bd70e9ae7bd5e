"""When a member changed, in nanoseconds since the epoch.

Used by `building`. Info-ZIP writes Unix time in the field "UT"; else there is that of DOS, which counts by two
seconds, in the zone of whoever made the zip, which the zip does not tell.

Threads: any; the times met last are remembered, since members of a zip often share theirs.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import lru_cache

from cdbfs.store.zips.central import Entry

_SECOND = 10**9


def changed(entry: Entry, zone: tzinfo) -> int:
    """The time in its field "UT", else DOS's in `zone`; of one that is no time, the beginning of DOS's."""
    if entry.modified is not None:
        return entry.modified * _SECOND
    try:
        return _dos(entry.dos, zone)
    except (ValueError, OverflowError):
        return int(datetime(1980, 1, 1, tzinfo=zone).timestamp()) * _SECOND


@lru_cache(maxsize=1024)
def _dos(bits: int, zone: tzinfo) -> int:
    moment = datetime(
        1980 + (bits >> 25),
        bits >> 21 & 15,
        bits >> 16 & 31,
        bits >> 11 & 31,
        bits >> 5 & 63,
        min(59, (bits & 31) * 2),
        tzinfo=zone,
    )
    return int(moment.timestamp()) * _SECOND
