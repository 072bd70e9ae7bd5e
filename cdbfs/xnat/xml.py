"""XML from the server, taken as hostile: no entities, no DTD, no network, no huge trees.

Used by documents and by tree/. libxml2's own bounds (depth 256, text nodes of 10 MB) stay in force.

Threads: plain functions. Each document is parsed in a thread of its own: lxml keeps every name it ever met in a
dictionary of the thread that parses, which would grow until libxml2 refuses all further documents there (at some
100 MB; seen with lxml 6.1).
"""

from __future__ import annotations

import re
import threading

from lxml import etree

from cdbfs.errors import ServerFault, TooLarge

MOST_TAGS = 500_000
"""Each takes some hundred bytes of memory when parsed, far more than it takes as text."""
MOST_ATTRIBUTES = 500_000
"""As for tags; a `=` anywhere counts as one."""
LONGEST_REASON = 200
"""Characters of libxml2's complaint that are shown: it may quote the document."""

_DECLARED = re.compile(rb"""\A[^<]{0,8}<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]*)""")
_PLAIN = re.compile(r"(utf-?8|utf-?16(le|be)?|(us-)?ascii|iso-?8859-\d+|latin-?1|windows-125\d)\Z", re.IGNORECASE)
"""Encodings in which a `<` is written with the byte of a `<`, so that counting those bounds the tags."""


def parse(document: bytes, what: str) -> etree._Element:
    """The root of a whole, well-formed document. Raises ServerFault or TooLarge; `what` names it in their text."""
    _check(document, what)
    try:
        root = _parsed(document)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ServerFault(f"{what} is not well-formed XML: {str(error)[:LONGEST_REASON]}") from None
    if etree.ElementTree(root).docinfo.internalDTD is not None:
        raise ServerFault(f"{what} carries a document type declaration, which no XNAT document has")
    return root


def local_name(tag: object) -> str:
    """An element's or attribute's name without its namespace; "" for comments and processing instructions."""
    return etree.QName(tag).localname if isinstance(tag, str) else ""


def _check(document: bytes, what: str) -> None:
    """Raise where parsing it would take far more memory than its text."""
    declared = _DECLARED.match(document[:1000].replace(b"\0", b""))  # UTF-16 has zeros in between
    if declared and not _PLAIN.match(declared[1].decode("latin-1")):
        raise ServerFault(f"{what} is in an encoding that is not read here")
    for mark, most, name in ((b"<", MOST_TAGS, "tags"), (b"=", MOST_ATTRIBUTES, "attributes")):
        if document.count(mark) > most:
            raise TooLarge(f"{what} has over {most} {name}")


def _parsed(document: bytes) -> etree._Element:
    """What libxml2 makes of it. Raises XMLSyntaxError or ValueError."""
    results: list[etree._Element] = []
    errors: list[Exception] = []

    def work() -> None:
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
        )
        try:
            results.append(etree.fromstring(document, parser))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="cdbfs-xml")
    thread.start()
    thread.join()
    for error in errors:
        raise error
    return results[0]
