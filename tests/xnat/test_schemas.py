"""Where schemas lie, by what documents say of it; and whether a file is a schema."""

from __future__ import annotations

import pytest

from cdbfs.config import Settings
from cdbfs.credentials import Credentials
from cdbfs.demo import StandIn
from cdbfs.errors import ServerFault
from cdbfs.xnat import schemas
from cdbfs.xnat.client import Client
from cdbfs.xnat.schemas import Place
from tests.demo import recordings


def places(address: str, prefix: str = "nt") -> dict[str, Place]:
    document = (
        f'<a xmlns:{prefix}="urn:nt" xmlns="urn:other" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="urn:other http://h/schemas/o/o.xsd urn:nt {address}"/>'
    )
    return schemas.places(document.encode(), "the document")


@pytest.mark.parametrize("name", ["196-doc-project-xml", "216-doc-nt-xml", "259-project-search-default"])
def test_every_recorded_document_names_the_schemas_of_all_prefixes(name: str) -> None:
    found = schemas.places(recordings.read(name).body.encode(), "the document")
    assert found["nt"] == Place("nt", "nontoolbox")
    assert found["xnat_a"] == Place("assessments", "assessments")
    assert found["wrk"] == Place("pipeline", "workflow")
    assert len(found) == 12


@pytest.mark.parametrize(
    "address",
    [
        "http://h/schemas/nt/nontoolbox.xsd",
        "https://another.example:8443/schemas/nt/nontoolbox.xsd",
        "http://h/xnat/schemas/nt/nontoolbox.xsd",
        "/schemas/nt/nontoolbox.xsd",
    ],
)
def test_only_the_end_of_an_address_counts(address: str) -> None:
    assert places(address) == {"nt": Place("nt", "nontoolbox")}


@pytest.mark.parametrize(
    "address",
    [
        "http://h/schemas/../data/projects.xsd",
        "http://h/schemas/nt/..xsd",
        "http://h/schemas/nt/a.b.xsd",
        "http://h/schemas/nt/a%2Fb.xsd",
        "http://h/schemas/nt/x.xsd?a=b",
        "http://h/schemas/nt/x.xsd#a",
        "http://h/schemas/x.xsd",
        "http://h/schemas/a/b/x.xsd",
        "http://h/data/nt/x.xsd",
        "http://h?/schemas/nt/x.xsd",
        "//h/schemas/nt/x.xsd",
        "http://h/schemas/n\u00e4/x.xsd",
        "http://h/schemas/nt/x",
        "",
    ],
)
def test_an_address_that_is_not_plain_counts_for_nothing(address: str) -> None:
    assert places(address) == {}


def test_the_place_of_a_type() -> None:
    known = {"nt": Place("nt", "nontoolbox")}
    assert schemas.place_of("nt:scores", known) == Place("nt", "nontoolbox")
    assert schemas.place_of("cog:battery", known) == Place("cog", "cog")
    for odd in ("scores", ":scores", "..:scores", "a/b:c", "a b:c", "", "\u00e4:b"):
        assert schemas.place_of(odd, known) is None


def test_what_is_a_schema() -> None:
    schemas.check(recordings.read("037-schemas-nt").body.encode(), "the schema")
    for odd in (b"", b"<html/>", b'<schema xmlns="urn:other"/>', b"<a", b"<!DOCTYPE a><a/>"):
        with pytest.raises(ServerFault):
            schemas.check(odd, "the schema")


def test_both_dialects_have_the_schema_that_their_documents_name() -> None:
    for dialect in ("1.6", "1.8"):
        with StandIn(recordings.data(), dialect=dialect) as server:
            client = Client(Settings(url=server.url), Credentials("mylogin", "mypasswd"))
            for document in (client.project_xml("HCP_Q2"), client.saved_search_xml("@xnat:subjectData")):
                place = schemas.places(document, "the document")["nt"]
                assert b'targetNamespace="http://nrg.wustl.edu/nt"' in client.schema(place.folder, place.name)
            client.session.close()
