"""Whether a disk is full: what programs say of it is not always that.

Used by the transports that start programs. Threads: a plain function.
"""

from __future__ import annotations

import os
from pathlib import Path

NEARLY_FULL = 2**16
"""Free bytes of a disk on which nothing of use can be written any more."""


def is_full(directory: Path, missing: int = 0) -> bool:
    """Whether the disk that holds it cannot take so many bytes more."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < max(NEARLY_FULL, missing)
