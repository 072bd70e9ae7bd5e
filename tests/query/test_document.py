"""A search as the document that is sent."""

from __future__ import annotations

from lxml import etree

from cdbfs.query import documents
from cdbfs.query.document import XDAT, document, stored
from tests.query.recorded import checked, fields, types


def sent(text: str) -> etree._Element:
    return etree.fromstring(document(checked(text)))


def texts(root: etree._Element, path: str) -> list[str | None]:
    return [node.text for node in root.iterfind(path, {"x": XDAT})]


def test_a_document_asks_for_its_fields_in_their_order() -> None:
    root = sent("SELECT subject, NEO_NEOFAC_A FROM nt:scores ORDER BY AGE")
    assert root.tag == f"{{{XDAT}}}bundle"
    assert root.get("ID") == "@nt:scores"  # which names no cached view, so that no old rows come
    assert [node.tag.partition("}")[2] for node in root] == ["root_element_name", *["search_field"] * 4]
    assert texts(root, "x:root_element_name") == ["nt:scores"]
    assert texts(root, "x:search_field/x:element_name") == ["xnat:subjectData", *["nt:scores"] * 3]
    assert texts(root, "x:search_field/x:field_ID") == ["SUBJECT_LABEL", "NEO_NEOFAC_A", "AGE", "EXPT_ID"]
    assert texts(root, "x:search_field/x:sequence") == ["0", "1", "2", "3"]


def test_without_a_condition_there_is_no_search_where() -> None:
    """An empty one is an error of XNAT 1.6's."""
    assert sent("SELECT subject FROM nt:scores").find("x:search_where", {"x": XDAT}) is None


def test_criteria_come_before_sets_and_null_tests_go_unquoted() -> None:
    root = sent(
        "SELECT subject FROM nt:scores "
        "WHERE (AGE < 30 OR NEO_NEO <> 'a & <b>') AND AGE IS NOT NULL AND project = 'P'"
    )
    (where,) = root.iterfind("x:search_where", {"x": XDAT})
    assert where.get("method") == "AND"
    assert [node.tag.partition("}")[2] for node in where] == ["criteria", "child_set", "child_set"]
    assert [node.get("method") for node in where.iterfind("x:child_set", {"x": XDAT})] == ["OR", "OR"]
    found = [
        (
            node.get("override_value_formatting"),
            *[
                node.findtext(f"x:{name}", "", {"x": XDAT})
                for name in ("schema_field", "comparison_type", "value")
            ],
        )
        for node in where.iter(f"{{{XDAT}}}criteria")
    ]
    assert found == [
        ("1", "nt:scores/AGE", "IS", "NOT NULL"),
        ("0", "nt:scores/sharing/share/project", "=", "P"),
        ("0", "nt:scores/PROJECT", "=", "P"),
        ("0", "nt:scores/AGE", "<", "30"),
        ("0", "nt:scores/NEO_NEO", "!=", "a & <b>"),
        ("1", "nt:scores/NEO_NEO", "IS", "NOT NULL"),
    ]


def test_a_search_can_be_named() -> None:
    root = etree.fromstring(stored(checked("SELECT AGE FROM nt:scores"), "mine", "My \u00e4ge", ""))
    assert (root.get("ID"), root.get("brief-description")) == ("mine", "My \u00e4ge")


def test_what_is_sent_is_itself_a_query_that_is_right() -> None:
    text = (
        "SELECT subject, AGE, xnat:mrSessionData.DATE FROM nt:scores WHERE project = 'HCP_Q1' "
        "AND NOT (AGE BETWEEN 30 AND 40 AND NEO_NEO LIKE 'x%') OR INSERT_DATE IS NULL"
    ).replace("project = 'HCP_Q1' AND", "project = 'HCP_Q1' AND (") + ")"
    search = checked(text)
    again = documents.check(document(search), types(), fields)
    assert [(f.element, f.id) for f in again.layout.asked] == [(f.element, f.id) for f in search.layout.asked]
    assert again.type == search.type
