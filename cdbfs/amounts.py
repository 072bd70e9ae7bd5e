"""Numbers as people read them.

Used by whatever tells a user how much. Threads: plain functions.
"""

from __future__ import annotations

STEPS = ((2**50, "PiB"), (2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def size(amount: float) -> str:
    """Bytes, as settings, `ls -h` and `du -h` count them."""
    for step, unit in STEPS:
        if amount >= step * 0.9995:
            value = amount / step
            return f"{value:.0f} {unit}" if value >= 999.5 else f"{value:.3g} {unit}"
    return f"{amount:.0f} B"


def rate(amount: float) -> str:
    """Bytes a second."""
    return f"{size(amount)}/s"


def time(seconds: float) -> str:
    """How long something takes."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"


def count(number: int, what: str) -> str:
    """`1 package`, `2 packages`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def pace(event: dict[str, object]) -> str:
    """How fast something goes, and how long it still takes, where that is known."""
    parts = []
    fast, left = event.get("rate"), event.get("seconds_left")
    if isinstance(fast, (int, float)) and fast > 0:
        parts.append(rate(fast))
    if isinstance(left, (int, float)):
        parts.append(f"{time(left)} left")
    return ", ".join(parts)
