"""XML Schemas: where a server has them, and whether a file is one.

Every document of a server declares the prefixes of all its data types, and says in xsi:schemaLocation where the
schema of each namespace lies (seen on XNAT 1.6.4). Of such an address only the end is used, `FOLDER/NAME.xsd`
below /schemas/, and only where it is plain: which host is asked is not for a document to say.

Used by client and by tree/source. Threads: plain functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from cdbfs.errors import ServerFault
from cdbfs.xnat import xml

XSI = "http://www.w3.org/2001/XMLSchema-instance"
XS = "http://www.w3.org/2001/XMLSchema"
_ADDRESS = re.compile(r"(?:[a-z]+://[^/?#]*)?(?:/[\w-]+)*/schemas/([\w-]+)/([\w-]+)\.xsd\Z", re.ASCII)
_PREFIX = re.compile(r"[\w-]+\Z", re.ASCII)


@dataclass(frozen=True)
class Place:
    """Where a schema lies: `/schemas/{folder}/{name}.xsd`."""

    folder: str
    name: str


def places(document: bytes, what: str) -> dict[str, Place]:
    """By prefix, the schemas that a document of the server names. Raises ServerFault or TooLarge."""
    root = xml.parse(document, what)
    words = root.get(f"{{{XSI}}}schemaLocation", "").split()
    addresses = dict(zip(words[::2], words[1::2]))
    found = {}
    for prefix, namespace in root.nsmap.items():
        place = _place(addresses.get(namespace, ""))
        if prefix is not None and place is not None:
            found[prefix] = place
    return found


def place_of(type_name: str, known: Mapping[str, Place]) -> Place | None:
    """Where the schema of a data type lies: as the server says, else by XNAT's custom; None for an odd name."""
    prefix, colon, _ = type_name.partition(":")
    if not colon or not _PREFIX.match(prefix):
        return None
    return known.get(prefix) or Place(prefix, prefix)


def check(document: bytes, what: str) -> None:
    """Raise ServerFault or TooLarge where this is no whole XML Schema."""
    root = xml.parse(document, what)
    if root.tag != f"{{{XS}}}schema":
        raise ServerFault(f"{what} is no XML Schema but {etree.QName(root).localname[:100]}")


def _place(address: str) -> Place | None:
    match = _ADDRESS.match(address)
    return Place(match[1], match[2]) if match else None
