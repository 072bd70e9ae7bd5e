"""A machine of which a test says what its clock and its resolver do.

Python runs this file at its start where its directory stands in PYTHONPATH; the directory FAULTY_MACHINE then
holds `clock` (seconds that time.time is ahead) and `resolver` (seconds that it thinks before it fails; absent: it
works, and every name below `.test` is this machine).
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

HERE = Path(os.environ["FAULTY_MACHINE"])

real_time = time.time
real_getaddrinfo = socket.getaddrinfo


def shifted_time() -> float:
    try:
        ahead = float((HERE / "clock").read_text())
    except FileNotFoundError:
        ahead = 0.0
    return real_time() + ahead


def scripted_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    if not (isinstance(host, str) and host.endswith(".test")):
        return real_getaddrinfo(host, *args, **kwargs)
    try:
        thinks = float((HERE / "resolver").read_text())
    except FileNotFoundError:
        return real_getaddrinfo("127.0.0.1", *args, **kwargs)
    time.sleep(thinks)
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


time.time = shifted_time
socket.getaddrinfo = scripted_getaddrinfo
