"""What clients send: their requests as they go out, and those recorded between them and a real XNAT 1.6.4.

``tests/recorded/wire-*.txt`` list the requests of a pyxnat and of an xnatpy script: status, type, length and the
beginning of each answer's body.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import requests

from tests.demo.recordings import RECORDED

_EXCHANGE = re.compile(
    r"^\[(?P<number>\d+)\] (?P<method>[A-Z]+) (?P<target>\S+)\n(?P<asked>(?:    > .*\n)*)"
    r"    < (?P<status>\d+) (?P<kind>\S+) (?P<size>\d+) bytes(?: Location: \S+)? \| (?P<body>b['\"].*)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Recorded:
    """One exchange; ``size`` and ``beginning`` are of the body, ``sent`` of the body of the request."""

    number: int
    method: str
    target: str
    sent: str
    status: int
    kind: str
    size: int
    beginning: bytes

    @property
    def line(self) -> str:
        """As ``Log.lines`` has it."""
        return f"{self.method} {_settled(self.target)}"


def recorded(client: str) -> dict[int, Recorded]:
    """The recorded exchanges of a client's script, by number."""
    text = (RECORDED / f"wire-{client}.txt").read_text(encoding="utf-8")
    found = [_read(match) for match in _EXCHANGE.finditer(text)]
    assert [exchange.number for exchange in found] == list(range(1, len(found) + 1))
    return {exchange.number: exchange for exchange in found}


def _read(match: re.Match[str]) -> Recorded:
    sent = re.search(r"^    > body: (.*)$", match["asked"], re.MULTILINE)
    return Recorded(
        number=int(match["number"]),
        method=match["method"],
        target=match["target"],
        sent=sent[1] if sent else "",
        status=int(match["status"]),
        kind="" if match["kind"] == "None" else match["kind"],
        size=int(match["size"]),
        beginning=ast.literal_eval(match["body"]),
    )


@dataclass
class Log:
    """The requests that went out, in their order."""

    requests: list[requests.PreparedRequest] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """``METHOD /path?query`` of each."""
        return [f"{request.method} {_settled(request.path_url)}" for request in self.requests]


@contextmanager
def logged() -> Iterator[Log]:
    """What ``requests`` sends meanwhile, from any thread; redirects count."""
    log = Log()
    send = requests.adapters.HTTPAdapter.send

    def noting(adapter: Any, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        log.requests.append(request)
        return send(adapter, request, *args, **kwargs)

    with mock.patch.object(requests.adapters.HTTPAdapter, "send", noting):
        yield log


def _settled(target: str) -> str:
    """A target without the session that it may carry; with its columns sorted, since clients keep some in sets."""
    target = re.sub(r";jsessionid=[^?]*", ";jsessionid=<id>", target)
    return re.sub(r"columns=([^&]+)", lambda found: "columns=" + ",".join(sorted(found[1].split(","))), target)
