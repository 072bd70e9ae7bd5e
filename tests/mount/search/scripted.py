"""A mount of a server whose answers to searches are written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from tests.query.conftest import LOGIN
from tests.query.test_run import ELEMENTS, FIELDS
from tests.views import mounted
from tests.xnat.servers import Request, Scripted, reply

UNTIL_THE_END = b"HTTP/1.1 200 \r\nConnection: close\r\nContent-Type: application/json\r\n\r\n"
"""The head of an answer that tells no length."""


@contextmanager
def mount_of(scratch: Path, search: Callable[[], Iterable[bytes]]) -> Iterator[Path]:
    """A mount; each search is answered by the pieces of a body that `search` gives."""

    def script(request: Request) -> Iterable[bytes]:
        if request.method == "POST" and "search" in request.target:
            return [UNTIL_THE_END, *search()]
        if request.target == "/data/JSESSION":
            return [reply(b"0123456789ABCDEF", headers={"Content-Type": "text/plain"})]
        listed = FIELDS if "nt:scores" in request.target else ELEMENTS
        return [reply(listed if "elements" in request.target else b"User 'mylogin' is logged in.")]

    with Scripted(script) as server, mounted(server, LOGIN, scratch / "m", scratch / "cache") as mount:
        yield mount
