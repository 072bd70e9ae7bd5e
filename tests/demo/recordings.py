"""Recorded exchanges of a real XNAT 1.6.4: parsing them, and the data that server held.

Used by ``test_recorded``. ``tests/recorded/xnat-1.6.4`` has one file an exchange; ``fixture.json`` says what
the server held, and ``fixture.extra.json`` the few values that it leaves out.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from cdbfs.demo import DataSet, fixture

RECORDED = Path(__file__).parent.parent / "recorded"
NAMES = sorted(path.stem for path in (RECORDED / "xnat-1.6.4").glob("*.txt"))
_GROUPS = (
    (r"^/data/search/saved|^/data/projects/[^/]+/searches", "saved"),
    (r"^/data/search/elements", "search elements"),
    (r"^/data/search", "search"),
    (r"/(?:files|resources|DIR)(?:/|$)", "files"),
    (r"^/data/+(?:.*/)?(?:projects|subjects|experiments|scans|assessors)/?$", "listings"),
    (r"^/data/(?:projects|subjects|experiments)/", "documents"),
    (r"", "sessions"),
)
"""By the path: the first that matches."""
_ENDED = ("057", "058", "059", "574", "575", "576", "577", "578", "581")
_USERS = {"072": "mylogin", "493": "reader"}
"""Whose request it was where the name does not tell it."""


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its answer."""

    name: str
    method: str
    target: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    headers: dict[str, str]
    body: str

    @property
    def user(self) -> str:
        """Who made the request: the recordings name the others, all the rest are mylogin's."""
        named = (user for user in ("reader", "other", "admin") if user in self.name.split("-"))
        return _USERS.get(self.name[:3]) or next(named, "mylogin")

    @property
    def group(self) -> str:
        """What kind of request it is."""
        path = self.target.partition("?")[0].replace("/REST/", "/data/").replace("/archive/", "/")
        if "range" in self.request_headers:
            return "ranges"
        return next(group for pattern, group in _GROUPS if re.search(pattern, path))

    @property
    def session_ended(self) -> bool:
        return self.name[:3] in _ENDED

    @property
    def cookies_set(self) -> frozenset[str]:
        return frozenset(self.headers.get("set-cookie", "").split())


def read(name: str) -> Exchange:
    text = (RECORDED / "xnat-1.6.4" / f"{name}.txt").read_text(encoding="utf-8")
    asked, _, answered = text.partition("---- response ----\n")
    request_head, _, request_body = asked.partition("\n\n")
    head, _, body = answered.partition("\n\n")
    method, target, _ = request_head.split("\n")[0].split(" ")
    return Exchange(
        name=name,
        method=method,
        target=target,
        request_headers=_headers(request_head),
        request_body=request_body.strip(),
        status=int(head.split(" ")[1]),
        headers=_headers(head),
        body=body,
    )


def _headers(head: str) -> dict[str, str]:
    made: dict[str, str] = {}
    for line in head.split("\n")[1:]:
        name, _, value = line.partition(": ")
        if name.lower() == "set-cookie":
            value = f"{made.get('set-cookie', '')} {value.partition('=')[0]}".strip()
        made[name.lower()] = value
    return made


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def data() -> DataSet:
    """What the recorded server held."""
    return fixture.load(RECORDED / "fixture.json")
