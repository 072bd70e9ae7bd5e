"""The server's dates as file times.

Threads: plain functions.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\s*\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def nanoseconds(text: str, zone: tzinfo) -> int | None:
    """`2012-11-03 14:22:10.123` in the server's zone as nanoseconds since the epoch, or None."""
    match = _STAMP.match(text)
    if not match:
        return None
    try:
        moment = datetime.fromisoformat(f"{match[1]} {match[2]}").replace(tzinfo=zone)
        seconds = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return seconds * 10**9 + int((match[3] or "").ljust(9, "0"))
