"""What kind of filesystem a directory lies on.

Used by space. Threads: plain functions.
"""

from __future__ import annotations

import os
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")


def filesystem(path: Path) -> str:
    """Its type as the kernel calls it, such as ext4 or nfs4; "" where that cannot be told (proc(5): mountinfo)."""
    try:
        device = os.stat(path).st_dev
        lines = MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    found = [line.partition(" - ")[2].split(" ", 1)[0] for line in lines if line.split(" ")[2:3] == [number]]
    return found[-1] if found else ""
