"""Ports for servers that a test takes away and brings back.

None that the kernel itself hands out (from 32768 by default), to clients and to whoever asks for any port: such a
one may be somebody else's by the time the server wants it.

Threads: any; no port is given twice in a run.
"""

from __future__ import annotations

import random
import socket

_CANDIDATES = iter(random.sample(range(10_240, 32_768), 22_528))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    for port in _CANDIDATES:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
