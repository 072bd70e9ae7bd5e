"""What stored searches find, under the headers of their documents; also those that XNAT's own pages write."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from cdbfs.config import Settings
from cdbfs.demo import StandIn
from cdbfs.errors import AccessRefused, QueryError, ServerFault
from cdbfs.query.catalog import Catalog
from cdbfs.query.run import prepare
from cdbfs.query.saved import run_saved
from cdbfs.xnat.client import Client
from tests.demo import recordings
from tests.demo.search.asking import all_of, bundle
from tests.query.conftest import LOGIN
from tests.xnat.servers import Scripted, reply


def found(client: Client, document: str, workspace: Path, name: str = "mine") -> list[str]:
    """The lines of a search that was stored as this document."""
    client.save_search(name, document.encode())
    out = io.StringIO(newline="")
    stored = client.saved_search_xml(name)
    count = run_saved(name, stored, client, Catalog(client).fields, workspace, out)
    assert list(workspace.iterdir()) == []
    lines = out.getvalue().splitlines()
    assert count == len(lines) - 1
    return lines


def field(name: str, header: str, number: int, value: str = "", element: str = "nt:scores", more: str = "") -> str:
    given = f"<xdat:value>{value}</xdat:value>" if value else ""
    return (
        f"<xdat:search_field{more}><xdat:element_name>{element}</xdat:element_name>"
        f"<xdat:field_ID>{name}</xdat:field_ID><xdat:sequence>{number}</xdat:sequence>"
        f"<xdat:header>{header}</xdat:header>{given}</xdat:search_field>"
    )


def with_fields(*fields: str, where: str = "") -> str:
    return bundle([], "".join(fields) + where)


def test_columns_stand_in_their_sequence_under_their_headers(client: Client, tmp_path: Path) -> None:
    document = with_fields(
        field("NEO_NEOFAC_A", "Agreeable", 7),
        field("EXPT_ID", "unseen", 0, more=' visible="false"'),
        field("SUBJECT_ID", "Who, exactly", 3),
    )
    lines = found(client, document, tmp_path)
    assert lines[0] == '"Who, exactly",Agreeable'
    assert "ConnectomeDB_S00001,33" in lines
    assert len(lines) == 13


def test_headers_that_are_alike_give_way_to_ids(client: Client, tmp_path: Path) -> None:
    document = with_fields(field("NEO_NEOFAC_A", "x", 0), field("AGE", "x", 1))
    assert found(client, document, tmp_path)[0] == "NEO_NEOFAC_A,AGE"


@pytest.mark.parametrize(
    ("name", "value", "element"),
    [
        ("SUB_PROJECT_IDENTIFIER=HCP_Q1", "HCP_Q1", "xnat:subjectData"),
        ("SUB_PROJECT_IDENTIFIER=HCP_Q1", "", "xnat:subjectData"),
        ("SUB_PROJECT_IDENTIFIER", "HCP_Q1", "xnat:subjectData"),
        ("SUB_PROJECT_IDENTIFIER.HCP_Q1", "", "xnat:subjectData"),
        ("nt:scores/NEO/NEOFAC_A", "", "nt:scores"),
        ("neo/neofac_a", "", "nt:scores"),
    ],
)
def test_a_field_may_be_called_as_xnats_pages_call_it(
    client: Client, tmp_path: Path, name: str, value: str, element: str
) -> None:
    document = with_fields(field("SUBJECT_ID", "s", 0), field(name, "it", 1, value, element))
    lines = found(client, document, tmp_path)
    assert lines[0] == "s,it"
    assert any(line.startswith("ConnectomeDB_S00001,") and line.split(",")[1] for line in lines)


def test_the_default_search_of_a_project_can_be_kept(client: Client, tmp_path: Path) -> None:
    document = recordings.read("259-project-search-default").body.replace(' tag="HCP_Q2"', "")
    lines = found(client, document, tmp_path)
    assert lines[0].startswith("NT_SCORES ID,Subject,Date,Age,NEO,NEOFAC_A,")
    assert lines[1].split(",")[0].endswith("_NonToolbox")


def test_a_document_without_columns_has_those_of_the_answer(client: Client, tmp_path: Path) -> None:
    lines = found(client, with_fields(), tmp_path)
    assert "quarantine_status" not in lines[0]
    assert len(lines) == 13
    columns = lines[0].split(",")
    assert "neo_neofac_a" in columns
    assert columns == sorted(columns)


def test_a_column_that_xnat_leaves_out_is_told(client: Client, tmp_path: Path) -> None:
    document = with_fields(field("AGE", "a", 0), field("NOSUCH", "b", 1))
    with pytest.raises(ServerFault, match="left the column NOSUCH of nt:scores out"):
        found(client, document, tmp_path)


def test_criteria_are_the_servers_own_matter(client: Client, tmp_path: Path) -> None:
    """XNAT's operator for this is none of those that a query of the user's may have."""
    document = with_fields(
        field("NEO_NEOFAC_A", "a", 0), where=all_of(("nt:scores/NEO_NEOFAC_A", "NOT BETWEEN", "11 AND 41"))
    )
    with pytest.raises(QueryError):
        prepare(document.encode(), Catalog(client))
    with pytest.raises(ServerFault, match="status 500"):  # the stand-in's database has no such operator
        found(client, document, tmp_path)


def test_what_a_login_may_not_run_is_told(client: Client, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.fault("GET /data/search/saved/{id}/results", "status", code=403, times=1)
    with pytest.raises(AccessRefused, match="forbids this login to run the saved search mine"):
        found(client, with_fields(field("AGE", "a", 0)), tmp_path)


def odd(rows: str, total: str, workspace: Path) -> str:
    """What is made of such an answer to a search without columns."""
    body = (
        f'{{"ResultSet":{{"Columns":[{{"key":"quarantine_status"}}],"Result":{rows},"totalRecords":"{total}"}}}}'
    )
    with Scripted(lambda request: [reply(b"S1" if "JSESSION" in request.target else body.encode())]) as server:
        client = Client(Settings(url=server.url), LOGIN)
        out = io.StringIO(newline="")
        try:
            run_saved("x", with_fields().encode(), client, Catalog(client).fields, workspace, out)
        finally:
            client.session.close()
    return out.getvalue()


def test_rows_that_have_different_columns_have_all_of_them(tmp_path: Path) -> None:
    rows = json.dumps([{"b": "1", "quarantine_status": "active"}, {"a": "x,\r"}])
    assert odd(rows, "2", tmp_path) == 'a,b\n,1\n"x,\r",""\n'


@pytest.mark.parametrize("total", ["1", "3", ""])
def test_an_answer_that_is_not_whole_is_refused(tmp_path: Path, total: str) -> None:
    with pytest.raises(ServerFault):
        odd('[{"a":"1"},{"a":"2"}]', total, tmp_path)


def test_an_answer_of_endless_columns_is_refused(tmp_path: Path) -> None:
    rows = json.dumps([{f"c{number}": "" for number in range(10_001)}])
    with pytest.raises(ServerFault, match="over 10000 columns"):
        odd(rows, "1", tmp_path)
