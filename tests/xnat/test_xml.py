"""XML from a server that may be anybody: whole and plain, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from cdbfs.errors import ServerFault, TooLarge
from cdbfs.xnat.xml import MOST_ATTRIBUTES, MOST_TAGS, local_name, parse
from tests.demo import recordings

DOCUMENTS = ["196-doc-project-xml", "201-doc-subject-xml", "211-doc-mr-xml", "216-doc-nt-xml", "226-doc-scan-xml"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_recorded_document_is_parsed(name: str) -> None:
    root = parse(recordings.read(name).body.encode(), "it")
    assert local_name(root.tag) in ("Project", "Subject", "MRSession", "NTScores", "MRScan")


def test_a_document_cut_anywhere_is_refused() -> None:
    whole = recordings.read("216-doc-nt-xml").body.strip().encode()
    parse(whole, "it")
    for end in range(0, len(whole), 7):
        with pytest.raises(ServerFault, match=r"^the document is not well-formed XML"):
            parse(whole[:end], "the document")


LAUGHS = "".join(f"<!ENTITY l{n + 1} '{f'&l{n};' * 10}'>" for n in range(9))


@pytest.mark.parametrize(
    "hostile",
    [
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a SYSTEM 'http://127.0.0.1:9/x.dtd'><a/>",
        "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY % x SYSTEM 'file:///etc/passwd'> %x;]><a/>",
        f"<!DOCTYPE a [<!ENTITY l0 'ha'>{LAUGHS}]><a>&l9;</a>",
        "<a>&undefined;</a>",
        "<a>" * 300 + "</a>" * 300,
        "<a>\x00</a>",
        "<a b='1' b='2'/>",
        "<a/><b/>",
        "x:y",
        "<?xml version='1.0' encoding='no-such'?><a/>",
    ],
    ids=lambda text: text[:40],
)
def test_a_hostile_or_broken_document_is_refused(hostile: str) -> None:
    with pytest.raises(ServerFault, match=r"^the document "):
        parse(hostile.encode(), "the document")


def test_a_text_of_over_10_mb_is_refused() -> None:
    with pytest.raises(ServerFault):
        parse(b"<a>" + b"x" * 10_000_001 + b"</a>", "it")


def test_a_document_of_too_many_tags_is_refused_unread() -> None:
    """What takes 4 bytes as text takes some hundred as a tree."""
    with pytest.raises(TooLarge, match=rf"^the document has over {MOST_TAGS} tags"):
        parse(b"<a>" + b"<b/>" * (MOST_TAGS - 1) + b"</a>", "the document")
    with pytest.raises(TooLarge):
        parse(b"<" * (MOST_TAGS + 1), "the document")


def test_a_document_of_as_many_tags_as_may_be_is_read() -> None:
    assert len(parse(b"<a>" + b"<b/>" * (MOST_TAGS - 2) + b"</a>", "it")) == MOST_TAGS - 2


def test_a_file_is_not_drawn_in(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    uri = (tmp_path / "secret").as_uri()
    include = f"<a xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='{uri}' parse='text'/></a>"
    assert b"secret<" not in etree.tostring(parse(include.encode(), "it"))


def test_a_document_may_be_in_another_encoding() -> None:
    text = "<?xml version='1.0' encoding='{}'?><a>Zürich</a>"
    for encoding in ("utf-8", "iso-8859-1", "utf-16"):
        assert parse(text.format(encoding).encode(encoding), "it").text == "Zürich"


def test_local_names_have_no_namespace_and_comments_no_name() -> None:
    root = parse(b"<n:a xmlns:n='urn:n' n:b='1'><!--c--><?p i?><d/></n:a>", "it")
    assert [local_name(root.tag), *map(local_name, root.attrib)] == ["a", "b"]
    assert [local_name(child.tag) for child in root] == ["", "", "d"]


def test_documents_of_names_without_end_harm_no_later_one() -> None:
    """lxml keeps names by thread, up to a bound after which that thread could parse nothing any more."""
    for number in range(24):
        names = b"".join(b"<%b%d-%d/>" % (b"n" * 900, number, name) for name in range(20_000))
        parse(b"<a>%b</a>" % names, "it")
    assert parse(b"<fresh/>", "it").tag == "fresh"


@pytest.mark.parametrize("encoding", ["utf-7", "IBM037", "hz-gb-2312", "iso-2022-jp", "ucs-4", ""])
def test_an_encoding_that_could_hide_tags_is_refused(encoding: str) -> None:
    with pytest.raises(ServerFault, match=r"^the document is in an encoding that is not read here"):
        parse(f"<?xml version='1.0' encoding='{encoding}'?><a/>".encode(), "the document")


def test_a_document_of_too_many_attributes_is_refused_unread() -> None:
    with pytest.raises(TooLarge, match=rf"^the document has over {MOST_ATTRIBUTES} attributes"):
        parse(b"<a b='" + b"=" * MOST_ATTRIBUTES + b"'/>", "the document")


def test_a_complaint_quotes_little_of_the_document() -> None:
    with pytest.raises(ServerFault) as caught:
        parse(f"<{'x' * 100_000}>".encode(), "the document")
    assert len(str(caught.value)) < 300
