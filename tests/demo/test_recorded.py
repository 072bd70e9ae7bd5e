"""The stand-in answers the recorded requests as the real XNAT 1.6.4 answered them.

Compared: status, the kind of body, the cookies set, a redirect's target; tables as sets of rows, XML as
trees, JSON documents as their fields, error pages as text.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from lxml import etree

from cdbfs.demo import StandIn
from tests.tables import table

from . import binaries, recordings
from .recordings import Exchange

EXCEPTIONS = {
    "152-experiments-recent": "under which of its projects each session stands is the database's choice",
}
"""Recorded exchanges that the stand-in does not repeat, and why."""

BEFORE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("453", "459", "568"), ()),
    **dict.fromkeys(("454", "455", "456", "457"), ("453",)),
    **dict.fromkeys(("460", "461", "462", "468", "470"), ("459",)),
    **dict.fromkeys(("473", "523"), ("459", "470")),
    "569": ("568",),
}
"""Exchanges that change a server, or are about what earlier ones left: on one of their own, after those."""

_HEADERS = ("Accept-Ranges", "Cache-Control", "Content-Language", "Pragma", "Server", "Vary")
_FILE_HEADERS = ("Last-Modified", "Content-Range", "Content-Disposition", "Cache-Control", "Accept-Ranges")
_AGENT = {"User-Agent": "recorder/1.0"}


@pytest.fixture(scope="module")
def standin() -> Iterator[StandIn]:
    with StandIn(recordings.data(), short_body_seconds=0.1) as running:
        yield running


@pytest.fixture(scope="module")
def sessions(standin: StandIn) -> dict[str, str]:
    return _sessions(standin)


def _sessions(standin: StandIn) -> dict[str, str]:
    """A live session of each user."""
    made = {}
    for account in standin.data.accounts:
        login = requests.get(standin.url + "/data/JSESSION", auth=(account.user, account.password), timeout=10)
        made[account.user] = login.text
    return made


_VIEW = re.compile(r"_mylogin_\d{13}")


def test_nearly_all_exchanges_agree_in_every_group() -> None:
    agreement = table("Recorded exchanges that the stand-in repeats", "group", "agree", "of", "exceptions")
    groups = [recordings.read(name).group for name in recordings.NAMES]
    differing = [recordings.read(name).group for name in EXCEPTIONS]
    assert len(differing) <= 0.05 * len(groups)
    for group in sorted(set(groups)):
        of, differ = groups.count(group), differing.count(group)
        agreement.add(group, of - differ, of, differ)
        assert differ < 0.1 * of, group
    agreement.add("total", len(groups) - len(differing), len(groups), len(differing))


@pytest.mark.parametrize("name", [n for n in recordings.NAMES if n not in EXCEPTIONS])
def test_answer(name: str, standin: StandIn, sessions: dict[str, str]) -> None:
    exchange = recordings.read(name)
    before = BEFORE.get(exchange.name[:3])
    if before is None:
        _compare(exchange, _replayed(exchange, standin, sessions), standin)
        return
    with StandIn(standin.data) as own:
        users = _sessions(own)
        for earlier in [recordings.read(n) for n in recordings.NAMES if n[:3] in before]:
            exchange = _with_view_of(exchange, _replayed(earlier, own, users))
        _compare(exchange, _replayed(exchange, own, users), own)


def _with_view_of(exchange: Exchange, answer: requests.Response) -> Exchange:
    """The exchange about the cached results that an answer names in place of the recorded ones."""
    named = _VIEW.search(answer.text)
    target = _VIEW.sub(named[0], exchange.target) if named is not None else exchange.target
    return dataclasses.replace(exchange, target=target)


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exception_is_needed(name: str, standin: StandIn, sessions: dict[str, str]) -> None:
    exchange = recordings.read(name)
    with pytest.raises(AssertionError):
        _compare(exchange, _replayed(exchange, standin, sessions), standin)


def _compare(exchange: Exchange, answer: requests.Response, standin: StandIn) -> None:
    assert answer.status_code == exchange.status
    assert answer.headers.get("Content-Type", "") == exchange.headers.get("content-type", "")
    assert _cookies(answer) == exchange.cookies_set
    assert ("Content-Length" in answer.headers) == ("content-length" in exchange.headers)
    for name in _FILE_HEADERS if exchange.group in ("files", "ranges") else ():
        assert answer.headers.get(name) == exchange.headers.get(name.lower()), name
    for name in _HEADERS:
        assert answer.headers.get(name) == exchange.headers.get(name.lower()), name
    assert answer.headers.get("WWW-Authenticate") == exchange.headers.get("www-authenticate")
    assert _location(answer.headers.get("Location"), standin) == _location(
        exchange.headers.get("location"), standin
    )
    _compare_bodies(exchange, answer)


def _replayed(exchange: Exchange, standin: StandIn, sessions: dict[str, str]) -> requests.Response:
    headers = {n: v for n, v in exchange.request_headers.items() if n not in ("content-length", "cookie")}
    cookie = exchange.request_headers.get("cookie", "")
    if "<live>" in cookie and not exchange.session_ended:
        cookie = cookie.replace("<live>", _session(exchange, standin, sessions))
    if cookie:
        headers["Cookie"] = cookie.replace("<live>", "0" * 32).replace("<unknown>", "1" * 32)
    answer = requests.request(
        exchange.method,
        standin.url + exchange.target,
        headers={**_AGENT, **{name: value.strip() for name, value in headers.items()}},
        data=exchange.request_body or None,
        allow_redirects=False,
        timeout=10,
        stream=True,
    )
    assert _is_short(answer) == ("[INCOMPLETE BODY" in exchange.body)
    return answer


def _is_short(answer: requests.Response) -> bool:
    """Read the body; whether the connection ended before all of it came."""
    try:
        return answer.content is None
    except requests.exceptions.ChunkedEncodingError as error:
        return "IncompleteRead(0 bytes read" in str(error)


def _session(exchange: Exchange, standin: StandIn, sessions: dict[str, str]) -> str:
    if exchange.method != "DELETE" and "Logout" not in exchange.target:
        return sessions[exchange.user]
    return requests.get(standin.url + "/data/JSESSION", auth=("mylogin", "mypasswd"), timeout=10).text


def _cookies(answer: requests.Response) -> frozenset[str]:
    names = re.findall(r"(?:^|, )([A-Z_]+)=", answer.headers.get("Set-Cookie", ""))
    return frozenset(names)


def _location(target: str | None, standin: StandIn) -> str | None:
    if target is None:
        return None
    return re.sub(r"jsessionid=.*", "jsessionid", target.replace(standin.url, "http://SERVER"))


def _compare_bodies(exchange: Exchange, answer: requests.Response) -> None:
    kind = exchange.headers.get("content-type", "")
    if "[INCOMPLETE BODY" in exchange.body:
        return
    if exchange.method == "HEAD" or not exchange.body.strip():
        assert answer.content == b""
    elif binaries.is_binary(exchange.body):
        binaries.compare(exchange.body, kind, answer.content)
    elif exchange.body.startswith("[an HTML page"):
        assert answer.text.lower().startswith(_beginning(exchange))
    elif exchange.body.strip() == "<session id>":
        assert re.fullmatch(r"[0-9A-F]{32}", answer.text)
    elif kind.startswith("application/json"):
        assert _json(answer.text) == _json(exchange.body)
    elif kind == "text/csv":
        assert _csv(answer.text) == _csv(exchange.body)
    elif kind.startswith("text/xml"):
        assert _tree(answer.text) == _tree(exchange.body)
    else:
        assert _page(answer.content.decode(answer.encoding or "utf-8")) == _page(exchange.body)


def _beginning(exchange: Exchange) -> str:
    """The first characters of a body that the recording leaves out."""
    found = re.search(r"begins: '(.{9})", exchange.body)
    assert found is not None
    return found[1].lower()


def _csv(text: str) -> tuple[str, list[str]]:
    header, *lines = _settled(text).strip("\n").split("\n")
    return header, sorted(lines)


def _json(text: str) -> Any:
    parsed = json.loads(_settled(text))
    if "ResultSet" in parsed:
        result = parsed["ResultSet"]
        return {**result, "Result": sorted(result["Result"], key=lambda row: json.dumps(row, sort_keys=True))}
    return [_item(item) for item in parsed["items"]] if "items" in parsed else parsed


def _settled(text: str) -> str:
    """A body without the time in a view's name."""
    return _VIEW.sub("_mylogin_<ms>", text)


_KEYS = re.compile(r"^xnat_.*_id$", re.IGNORECASE)
"""Database keys."""


def _item(item: dict[str, Any]) -> Any:
    fields = {name: value for name, value in item["data_fields"].items() if not _KEYS.match(name)}
    children = {c["field"]: [_item(i) for i in c["items"]] for c in item["children"]}
    return fields, children


def _tree(text: str) -> Any:
    # XNAT does not escape & in the cells of its tables.
    escaped = re.sub(r"&(?!\w+;)", "&amp;", text)
    try:
        return _element(etree.fromstring(escaped.strip().encode()))
    except etree.XMLSyntaxError:
        # Nor does it write well-formed XML wherever it writes XML: then it is the text that counts.
        return text.strip()


_CHANGES = {"name": "AUDIT"}


def _element(element: Any) -> Any:
    ignored = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
    attributes = {n: v for n, v in element.attrib.items() if n != ignored}
    children = [_element(child) for child in element if isinstance(child.tag, str)]
    if element.tag == "rows":
        children.sort(key=repr)
    text = (element.text or "").strip()
    # A catalog lists the changes that made it in the order of a hash table.
    return element.tag, attributes, sorted(text.split("|")) if attributes == _CHANGES else text, children


def _page(text: str) -> str:
    """An error page without what only the recorded server had: stack traces, ports, request headers."""
    text = re.sub(r"<p><b>Exception</b>.*?(?=<hr)", "", text, flags=re.DOTALL)
    text = text.replace("Exception Report", "Status Report")
    return re.sub(r"(Invalid submit value).*?</h3>", r"\1</h3>", text, flags=re.DOTALL).strip()
