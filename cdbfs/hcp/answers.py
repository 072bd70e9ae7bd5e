"""The service's answers: JSON of a server that is not trusted, read into what is never larger than it should be.

A listing is read as a listing only, so that the start of a download is never taken for one. Used by service.

Threads: plain functions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from cdbfs.errors import ServerFault
from cdbfs.hcp.models import Offer
from cdbfs.hcp.names import is_package_id
from cdbfs.hcp.words import plain

MOST_OFFERS = 10_000
MOST_OBJECTS = 100_000
LONGEST_TEXT = 1000
MOST_KEYWORDS = 50
LARGEST = 2**63 - 1
DIGITS = len(str(LARGEST))
OF_A_TRANSFER = ("token", "paths", "transfer_spec", "transfer_specs", "remote_host", "remote_user")
"""Keys that no listing has."""


def parsed(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object that `body` is. Raises ServerFault."""
    try:
        if body.count(b"{") + body.count(b"[") > MOST_OBJECTS:
            raise ValueError
        found = json.loads(body, parse_int=_whole, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ServerFault(f"{what} is no JSON that can be read") from None
    if not isinstance(found, dict):
        raise ServerFault(f"{what} is no JSON object")
    return found


def offers(body: bytes, what: str) -> list[Offer]:
    """The packages of a listing, each id once; what has no id that can be used is left out.

    Raises ServerFault, above all for what begins a transfer.
    """
    found = parsed(body, what)
    entries = found.get("packages")
    if _begins_transfer(found):
        raise ServerFault(f"{what} is the start of a download, which was not asked for")
    if not isinstance(entries, list) or len(entries) > MOST_OFFERS:
        raise ServerFault(f"{what} is no list of packages")
    if any(isinstance(entry, dict) and _begins_transfer(entry) for entry in entries):
        raise ServerFault(f"{what} is the start of a download, which was not asked for")
    by_id: dict[str, Offer] = {}
    for entry in entries:
        offer = _offer(entry)
        if offer is not None:
            by_id.setdefault(offer.id, offer)
    return list(by_id.values())


def together(batches: Iterable[Iterable[Offer]]) -> tuple[Offer, ...]:
    """Listings of several batches of subjects, added up; a number that one of them leaves out is not known."""
    sums: dict[str, Offer] = {}
    for batch in batches:
        for offer in batch:
            before = sums.get(offer.id)
            sums[offer.id] = offer if before is None else _sum(before, offer)
    return tuple(sums.values())


def _sum(one: Offer, other: Offer) -> Offer:
    return Offer(
        one.id,
        one.label or other.label,
        one.description or other.description,
        one.keywords or other.keywords,
        _added(one.count, other.count),
        _added(one.size, other.size),
        _added(one.subjects, other.subjects),
    )


def _added(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else min(one + other, LARGEST)


def _begins_transfer(found: dict[str, Any]) -> bool:
    return any(key in found for key in OF_A_TRANSFER)


def _offer(entry: object) -> Offer | None:
    if not isinstance(entry, dict):
        return None
    package_id = entry.get("id")
    if not isinstance(package_id, str) or not is_package_id(package_id):
        return None
    keywords = entry.get("keywords")
    return Offer(
        package_id,
        _text(entry.get("label")),
        _text(entry.get("description")),
        tuple(filter(None, map(_text, keywords[:MOST_KEYWORDS]))) if isinstance(keywords, list) else (),
        number(entry.get("count")),
        number(entry.get("size")),
        number(entry.get("subjects_ok")),
    )


def _text(value: object) -> str:
    return plain(value, LONGEST_TEXT) if isinstance(value, str) else ""


def number(value: object) -> int | None:
    """A whole number from 0 to 2**63 - 1, written as one or as a string of digits; None for all else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= DIGITS:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        return None
    return value


def _whole(text: str) -> int:
    if len(text) > DIGITS + 1:  # Python takes its time for a number of a million digits
        raise ValueError(text[:DIGITS])
    return int(text)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
