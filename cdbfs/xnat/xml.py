"""XML from the server, taken as hostile: no entities, no DTD, no network, no huge trees.

Used by documents and by tree/. libxml2's own bounds (depth 256, text nodes of 10 MB) stay in force.

Threads: plain functions; a parser is made for each call.
"""

from __future__ import annotations

from lxml import etree

from cdbfs.errors import ServerFault, TooLarge

MOST_TAGS = 500_000
"""Each takes some hundred bytes of memory when parsed, far more than it takes as text."""


def parse(document: bytes, what: str) -> etree._Element:
    """The root of a whole, well-formed document. Raises ServerFault or TooLarge; `what` names it in their text."""
    if document.count(b"<") > MOST_TAGS:
        raise TooLarge(f"{what} has over {MOST_TAGS} tags")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ServerFault(f"{what} is not well-formed XML: {error}") from None
    if etree.ElementTree(root).docinfo.internalDTD is not None:
        raise ServerFault(f"{what} carries a document type declaration, which no XNAT document has")
    return root


def local_name(tag: object) -> str:
    """An element's or attribute's name without its namespace; "" for comments and processing instructions."""
    return etree.QName(tag).localname if isinstance(tag, str) else ""
