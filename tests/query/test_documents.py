"""Search documents of users: all that were sent to the recorded server, and what is said of wrong ones."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdbfs.errors import QueryError
from cdbfs.query import documents
from cdbfs.query.documents import Document
from tests.demo import recordings
from tests.demo.search.asking import all_of, bundle
from tests.query.recorded import fields, types


def checked(text: str | bytes) -> Document:
    return documents.check(text if isinstance(text, bytes) else text.encode(), types(), fields)


def refusal(text: str | bytes) -> str:
    with pytest.raises(QueryError) as caught:
        checked(text)
    return str(caught.value)


REFUSED = {
    "343": "line 5: a set without criteria",
    "344": "line 5: a set without criteria",
    "362": "NEO_NEOFAC_A is a number (int), and 'abc' is none",
    "363": "NEO_NEOFAC_A is a number (int), and 'abc' is none",
    "377": "the value of BETWEEN is written 1 AND 2",
    "398": "nt:scores has no field NOSUCH_FIELD",
    "399": "nt:scores has no field NOSUCH_FIELD",
    "400": "nt:scores has no field NOSUCH_FIELD",
    "401": "nt:scores has no field NOSUCH_FIELD",
    "402": "there is no visible xdat:search_field",
    "403": "there is no visible xdat:search_field",
    "404": "the server has no data type",
    "405": "the server has no data type",
    "408": "the server has no data type",
    "411": "the server has no data type xdat:user",
    "412": "the server has no data type xdat:user",
    "414": "nt:scores has no field subject_id; did you mean SUBJECT_ID?",
    "431": "not well-formed XML",
    "432": "not well-formed XML",
    "433": "a search document is an xdat:bundle",
    "434": "there is no xdat:root_element_name",
    "534": "line 5: XNAT has no operator like; there are LIKE, NOT LIKE",
}
"""What is said of those that the server answered with an error, or with other columns than those asked for."""
SENT = [
    name
    for name in recordings.NAMES
    if recordings.read(name).method == "POST" and recordings.read(name).target.startswith("/data/search")
]


@pytest.mark.parametrize("name", SENT)
def test_what_was_sent_to_the_recorded_server(name: str) -> None:
    exchange = recordings.read(name)
    number = name[:3]
    if number in REFUSED:
        assert REFUSED[number] in refusal(exchange.request_body)
        return
    found = checked(exchange.request_body)
    headers = re.findall(r"<xdat:header>(.*?)</xdat:header>", exchange.request_body)
    if number not in ("413", "417"):  # doubled, and in another sequence
        assert [output.header for output in found.layout.outputs] == headers


def test_what_pyxnat_writes() -> None:
    """Its document for the tutorial's search."""
    found = checked(recordings.read("439-search-pyxnat-style-csv").request_body)
    assert (found.type, len(found.layout.outputs) > 1) == ("nt:scores", True)


def field(name: str, *, element: str = "nt:scores", sequence: str = "0", header: str = "", more: str = "") -> str:
    return (
        f"<xdat:search_field{more}><xdat:element_name>{element}</xdat:element_name><xdat:field_ID>{name}"
        f"</xdat:field_ID><xdat:sequence>{sequence}</xdat:sequence><xdat:header>{header}</xdat:header>"
        "</xdat:search_field>"
    )


def headers(*columns: str) -> list[tuple[str, str]]:
    outputs = checked(bundle([], "".join(columns))).layout.outputs
    return [(output.field.id, output.header) for output in outputs]


def test_columns_stand_in_their_sequence_under_their_headers_where_these_are_distinct() -> None:
    late, early = field("AGE", sequence="10", header="Age"), field("DATE", sequence="9", header="Day")
    assert headers(late, early) == [("DATE", "Day"), ("AGE", "Age")]
    assert headers(field("AGE", header="x"), field("DATE", header="x")) == [("AGE", "AGE"), ("DATE", "DATE")]
    assert headers(field("AGE"), field("DATE", header="x")) == [("AGE", "AGE"), ("DATE", "DATE")]
    joined = field("DATE", element="xnat:mrSessionData")
    assert headers(field("DATE"), joined) == [("DATE", "nt:scores.DATE"), ("DATE", "xnat:mrSessionData.DATE")]
    assert headers(field("AGE"), field("AGE")) == [("AGE", "AGE")]
    assert headers(field("AGE", header="a"), field("AGE", header="b")) == [("AGE", "a"), ("AGE", "b")]
    assert headers(field("AGE"), field("DATE", more=' visible="false"')) == [("AGE", "AGE")]
    assert headers(field("nt:scores/ER40/ER40_CR", header="cr")) == [("ER40_ER40_CR", "cr")]
    label = field("SUB_PROJECT_IDENTIFIER", element="xnat:subjectData").replace(
        "<xdat:header>", "<xdat:value>HCP_Q1</xdat:value><xdat:header>"
    )
    assert headers(label) == [("SUB_PROJECT_IDENTIFIER=HCP_Q1",) * 2]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        (all_of(("nt:scores/AGEE", "=", "1")), "line 1: nt:scores has no field AGEE; did you mean AGE?"),
        (all_of(("nt:score/AGE", "=", "1")), "the server has no data type nt:score; did you mean nt:scores?"),
        (all_of(("NT:Scores/AGE", "=", "1")), "the data type is written nt:scores"),
        (all_of(("nt:scores/age", "=", "1")), "nt:scores has no field age; did you mean AGE?"),
        (all_of(("AGE", "=", "1")), "an xdat:schema_field names a type and a field: nt:scores/AGE"),
        (all_of(("nt:scores/AGE", "LIKE", "1")), "LIKE compares texts, and AGE is of type integer"),
        (all_of(("nt:scores/AGE", ">", "")), "only = goes without an xdat:value"),
        (all_of(("nt:scores/NEO_NEO", "!=", " ")), "only = goes without an xdat:value"),
        (
            all_of(("nt:scores/AGE", "IN", "1,2"), ("nt:scores/AGE", ">", "1")),
            "XNAT ignores what stands beside an IN",
        ),
        (all_of(), "a set without criteria"),
        (all_of(("nt:scores/AGE", ">", "1"), '<xdat:child_set method="OR"/>'), "a set without criteria"),
        (all_of(all_of(("nt:scores/AGEE", "=", "1"), name="child_set")), "nt:scores has no field AGEE"),
        (
            '<xdat:search_where method="AND"><xdat:criteria><xdat:custom_search>x</xdat:custom_search>'
            "</xdat:criteria></xdat:search_where>",
            "XNAT ignores criteria with an xdat:custom_search",
        ),
        (
            '<xdat:search_where method="AND">'
            + '<xdat:child_set method="OR">' * 150
            + "</xdat:child_set>" * 150
            + "</xdat:search_where>",
            "over 100 sets of criteria",
        ),
    ],
)
def test_criteria_that_are_wrong(where: str, reason: str) -> None:
    assert reason in refusal(bundle(["AGE"], where))


@pytest.mark.parametrize(
    "where",
    [
        all_of(("nt:scores/AGE", "IN", "ARRAY['1','2']")),
        all_of(("nt:scores/AGE", ">", "1"), all_of(("nt:scores/AGE", "IN", "1,2"), name="child_set")),
        all_of(("nt:scores/AGE", "IS", "NULL"), ("nt:scores.AGE", "IS NOT NULL", "")),
        all_of(("nt:scores/AGE", "=", ""), ("nt:scores/AGE", "=", "*"), ("nt:scores/AGE", "BETWEEN", "1 AND 2")),
        all_of(("nt:scores/sharing/share/project", "=", "P"), ("xnat:subjectData/SUBJECT_ID", "LIKE", "%")),
        all_of(("nt:scores/subject_ID", "LIKE", "S0"), ("nt:scores/NEO/NEOFAC_A", ">", "40")),
        "",
    ],
)
def test_criteria_that_are_right(where: str) -> None:
    checked(bundle(["AGE"], where))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("<a>\n<b></a>", "line 2, column"),
        ("<", "the query is not well-formed XML"),
        ("<a/>", "a search document is an xdat:bundle"),
        ('<bundle xmlns="http://nrg.wustl.edu/xnat"/>', "a search document is an xdat:bundle"),
        (bundle([]), "XNAT would answer with columns of its own choice"),
        (bundle(["AGE"], root="nt:score"), "did you mean nt:scores?"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type declaration"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type declaration"),
        (bundle(["AGE"]).replace("AGE", "&#0;"), "not well-formed"),
        (b'<?xml version="1.0" encoding="UTF-16"?><a/>', "not well-formed"),
        ("<a>" * 300 + "</a>" * 300, "not well-formed"),
        (bundle(["AGE"]).encode().replace(b"AGE", b"\xff"), "not well-formed"),
    ],
    ids=range(12),
)
def test_what_is_no_search_document(document: str | bytes, reason: str) -> None:
    assert reason in refusal(document)


def test_other_roots_and_encodings_are_read() -> None:
    stored = bundle(["AGE"]).replace("xdat:bundle", "xdat:stored_search")
    assert checked(stored).type == "nt:scores"
    latin = '<?xml version="1.0" encoding="ISO-8859-1"?>' + bundle([], field("AGE", header="\u00c4lter"))
    assert checked(latin.encode("latin-1")).layout.outputs[0].header == "\u00c4lter"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_document_is_a_search_or_refused(data: st.DataObject) -> None:
    whole = recordings.read("357-search-nested-or-json").request_body
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    with suppress(QueryError):
        checked(whole[:start] + data.draw(st.text(max_size=5)) + whole[end:])
