"""The requests that real clients sent to a real XNAT 1.6.4 get the recorded answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from cdbfs.demo import StandIn
from tests.demo import recordings

from . import wire
from .wire import Recorded

LOGIN = ("mylogin", "mypasswd")
EXCHANGES = {
    f"{client}-{number:02d}": exchange
    for client in ("pyxnat", "xnatpy")
    for number, exchange in wire.recorded(client).items()
}
SKIPPED = {
    "pyxnat-78": "with a wrong password",
    "xnatpy-15": "a schema of the recorded site's own, for which the stand-in has no data",
}
"""Requests that are not made again here, and why."""
OTHER_BODY = {
    "pyxnat-51": "the numbers in the raw names of an empty listing's columns",
    "pyxnat-52": "the numbers in the raw names of an empty listing's columns",
}
"""Requests whose answer is another one, and what differs."""
OWN_FIELDS = [
    f"/data/search/elements/{element}?format=json"
    for element in ("xnat:qcAssessmentData", "xnat:qcManualAssessorData", "xnat:pVisitData", "val:protocolData")
]
"""Types whose fields are not recorded, and begin otherwise than those of most."""


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn(recordings.data()) as standin:
        yield standin


@pytest.fixture(scope="module")
def session(server: StandIn) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.get(server.url + "/data/JSESSION", auth=LOGIN, timeout=10).raise_for_status()
        yield made


def _asked(exchange: Recorded) -> bool:
    """Whether the request reads, and needs nothing but its path and a login."""
    no_login = exchange.target in ("/", "/data/JSESSION") or "jsessionid" in exchange.target
    return exchange.method in ("GET", "HEAD") and not no_login


@pytest.mark.parametrize("name", [n for n, e in EXCHANGES.items() if _asked(e) and n not in SKIPPED])
def test_the_answer_is_the_recorded_one(name: str, server: StandIn, session: requests.Session) -> None:
    exchange = EXCHANGES[name]
    url = server.url + exchange.target
    answer = session.request(exchange.method, url, allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers.get("Content-Type", "")) == (exchange.status, exchange.kind)
    same = len(answer.content) == exchange.size and _begins(answer.content, exchange.beginning)
    if name in OTHER_BODY:
        assert not same
    elif exchange.kind.startswith(("text/csv", "text/plain")) or exchange.method == "HEAD":
        assert same
    elif "/search/elements/" in exchange.target and exchange.target not in OWN_FIELDS:
        first = answer.json()["ResultSet"]["Result"][:1]
        assert [row["SUMMARY"] for row in first] == re.findall('"SUMMARY":"([^"]*)"', exchange.beginning.decode())
    else:
        # Their order is a hash table's, and their length that of keys, dates and schemas of the recorded site.
        assert answer.content[:1] == exchange.beginning[:1]


def _begins(body: bytes, beginning: bytes) -> bool:
    """Whether a body has the lines of a recorded one's beginning, of which the last is cut: rows in any order."""
    first, *rows = body.split(b"\n")
    recorded_first, *recorded_rows = beginning.split(b"\n")
    return first.startswith(recorded_first) and set(recorded_rows[:-1]) <= set(rows)


def test_there_was_much_to_ask() -> None:
    asked = [name for name, exchange in EXCHANGES.items() if _asked(exchange)]
    assert len(asked) > 120
    assert {*SKIPPED, *OTHER_BODY} <= set(asked)
