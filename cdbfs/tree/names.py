"""Labels of the server as file names: reversible, unique in their directory, at most 255 bytes.

`/`, NUL, `.` and `..` are percent-encoded (and `%` where two hex digits follow it, so that decoding is exact).
Items of one label in one place all get `~<ID>` appended, since the server defines no order among them.

Threads: plain functions.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from cdbfs.errors import ServerFault

LONGEST = 255
"""Bytes in a name, as Linux has it."""

MOST_ROUNDS = 16
"""How often names that are still alike get their IDs; labels of people need two rounds at the most."""

_ENCODED = re.compile(r"[/\0\ud800-\udfff]|%(?=[0-9A-Fa-f]{2})")


class Labelled(Protocol):
    @property
    def label(self) -> str: ...
    @property
    def ID(self) -> str: ...  # noqa: N802  XNAT's own name


L = TypeVar("L", bound=Labelled)


def encode(label: str) -> str:
    """A label as a name, of any length. Lone surrogates, which no file name can hold, are encoded too."""
    if label in (".", ".."):
        return "%2E" * len(label)
    return _ENCODED.sub(lambda match: _percent(match[0]), label)


def decode(name: str) -> str:
    """The label that `encode` made `name` of."""
    parts = re.split(r"((?:%[0-9A-Fa-f]{2})+)", name)
    return "".join(
        unquote_to_bytes(part).decode("utf-8", "surrogatepass") if index % 2 else part
        for index, part in enumerate(parts)
    )


def fit(name: str) -> str:
    """`name`, or where it is over 255 bytes its beginning and a hash of the whole."""
    raw = name.encode()
    if len(raw) <= LONGEST:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return raw[: LONGEST - 17].decode("utf-8", "ignore") + "~" + digest


def assign(items: Iterable[L]) -> dict[str, L]:
    """A name for each item, sorted by label, then ID. IDs are unique among the items.

    Raises ServerFault for labels that were made to look like the names that others get here.
    """
    ordered = sorted(items, key=lambda item: (item.label, item.ID))
    names = [encode(item.label or item.ID) for item in ordered]
    for _ in range(MOST_ROUNDS):
        fitted = [fit(name) for name in names]
        seen = Counter(fitted)
        if len(seen) == len(ordered):
            return dict(zip(fitted, ordered))
        names = [
            f"{name}~{encode(item.ID)}" if seen[short] > 1 else name
            for name, short, item in zip(names, fitted, ordered)
        ]
    raise ServerFault("the server lists labels that cannot be told apart as names of files")


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
