"""What searches leave on the server: cached results and saved searches, and who may see which rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lxml import etree

from cdbfs.demo import DataSet, StandIn
from cdbfs.demo.search.query import read
from cdbfs.demo.search.results import Column, Results
from cdbfs.demo.search.shelf import MOST_VIEWS, Shelf

from .asking import Client, all_of, bundle

BAT = "cog:battery"
DOCUMENT = bundle(["SUBJECT_ID", "MEMORY_RECALL"], root=BAT)
NAMED = bundle(["SUBJECT_ID", "MEMORY_RECALL"], root=BAT, name="mine", attributes='secure="0"')
SECURE = NAMED.replace('secure="0"', 'secure="1"')


@contextmanager
def users(lab: DataSet, dialect: str = "1.6") -> Iterator[tuple[Client, Client, Client]]:
    """ana reads A and B, bob reads B, eve reads nothing."""
    with StandIn(lab, dialect=dialect) as server:
        made = [Client(server, name, f"{name}pw") for name in ("ana", "bob", "eve")]
        yield made[0], made[1], made[2]
        for client in made:
            client.close()


# --- who sees which rows


def test_rows_are_those_that_the_user_may_read(lab: DataSet) -> None:
    with users(lab) as (ana, bob, eve):
        assert ana.column(DOCUMENT, "memory_recall") == ["12", "7", "100", "", ""]
        assert bob.column(DOCUMENT, "memory_recall") == ["12"]
        assert eve.rows(DOCUMENT) == [["subject_id", "memory_recall", "quarantine_status"]]


def test_joined_items_are_those_that_the_user_may_read(lab: DataSet) -> None:
    document = bundle(["SUBJECT_LABEL", "cog:battery/MEMORY_RECALL"], root="xnat:subjectData")
    with users(lab) as (ana, bob, _):
        assert ana.column(document, "cog_battery_memory_recall") == ["12", "7", "100", "", ""]
        assert bob.column(document, "cog_battery_memory_recall") == ["12", ""]


def test_the_names_of_projects_are_told_to_all_readers(lab: DataSet) -> None:
    document = bundle(["PROJECTS"], all_of((f"{BAT}/PROJECTS", "LIKE", "%<A>%")), root=BAT)
    with users(lab) as (_, bob, _):
        assert bob.column(document, "projects") == ["<A>,<B>"]


def test_elements(lab: DataSet) -> None:
    with users(lab) as (ana, bob, eve):
        used = ana.get("/data/search/elements?format=csv&used=true").text.splitlines()[1:]
        assert sorted(used) == [
            "cog:battery,Battery,Batterys,true,6",
            "cog:probe,Probe,Probes,true,1",
            "xnat:mrSessionData,MR Session,MR Sessions,true,3",
            "xnat:projectData,Project,Projects,true,3",
            "xnat:subjectData,Subject,Subjects,true,6",
        ]
        readable = "/data/search/elements?format=csv&readable=true"
        assert len(bob.get(readable).text.splitlines()) == 4
        assert len(eve.get(readable).text.splitlines()) == 2


def test_fields_of_several_types_and_the_labels_of_readable_projects(lab: DataSet) -> None:
    with users(lab) as (_, bob, _):
        answer = bob.get("/data/search/elements/cog:battery,xnat:subjectData?format=csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert {row["ELEMENT_NAME"] for row in rows} == {"cog:battery", "xnat:subjectData"}
        labels = [row["FIELD_ID"] for row in rows if row["SRC"] == "2"]
        assert labels == ["COG_BATTERY_PROJECT_IDENTIFIER=B", "SUB_PROJECT_IDENTIFIER=B"]
        assert bob.get("/data/search/elements/cog:battery,foo:bar?format=csv").status_code == 400


def test_default_format_of_fields_is_xml(older: Client) -> None:
    assert older.get("/data/search/elements/cog:battery").headers["Content-Type"] == "text/xml"
    told = json.loads(older.get("/data/search/elements/cog:battery?format=json").text)["ResultSet"]
    assert told["versions"]["DisplayVersions"]["element_name"] == "cog:battery"
    versions = json.loads(older.get("/data/search/elements/cog:battery/versions?format=json").text)
    assert [v["name"] for v in versions["DisplayVersions"]["versions"]] == [
        v["name"] for v in told["versions"]["DisplayVersions"]["versions"]
    ]
    assert older.get("/data/search/elements/foo:bar/versions").status_code == 400


# --- cached results


def cached(client: Client, query: str = "", document: str = DOCUMENT) -> dict[str, object]:
    answer = client.post(document, f"format=json&cache=true&{query}")
    assert answer.status_code == 200
    found: dict[str, object] = json.loads(answer.text)["ResultSet"]
    return found


def test_cached_results_are_paged(older: Client) -> None:
    made = cached(older)
    assert (made["Result"], made["totalRecords"]) == ([], "5")
    view = f"/data/search/{made['ID']}"
    page = json.loads(older.get(f"{view}?format=json&offset=1&limit=2").text)["ResultSet"]
    assert [row["key"] for row in page["Result"]] == ["Lab_E00004", "Lab_E00006"]
    assert set(page) == {"Result", "ID"}
    backward = older.get(f"{view}?format=csv&sortBy=memory_recall&sortOrder=DESC&limit=3").text.splitlines()
    assert [line.split(",")[1] for line in backward] == ["memory_recall", "", "", "100"]
    assert older.get(f"{view}?sortBy=NOSUCH").status_code == 500
    assert older.get(f"{view}?limit=many").status_code == 422


def test_cached_results_stay_as_they_were(lab: DataSet) -> None:
    with StandIn(lab) as server:
        client = Client(server, "ana", "anapw")
        view = f"/data/search/{cached(client)['ID']}?format=csv"
        before = client.get(view).text
        server.replace(DataSet(projects=lab.projects, accounts=lab.accounts, types=lab.types))
        assert client.get(view).text == before
        assert client.column(DOCUMENT, "subject_id") == []
        client.close()


def test_a_limit_gives_the_first_rows_at_once(older: Client) -> None:
    made = cached(older, "limit=2")
    assert isinstance(made["Result"], list)
    assert len(made["Result"]) == 2
    assert made["totalRecords"] == "5"


def test_the_values_of_a_cached_column(older: Client) -> None:
    view = f"/data/search/{cached(older)['ID']}"
    told = json.loads(older.get(f"{view}/memory_recall?format=json").text)["ResultSet"]
    counts = [(row["values"], row["count"]) for row in told["Result"]]
    assert counts == [("7", "1"), ("12", "1"), ("100", "1"), ("", "2")]
    assert older.get(f"{view}/memory_recall?format=csv").text.splitlines()[0] == "values,count"
    assert older.get(f"{view}/nosuch").status_code == 500


@pytest.mark.parametrize(("dialect", "others", "gone"), [("1.6", 200, 500), ("1.8", 410, 410)])
def test_cached_results_are_ones_own(lab: DataSet, dialect: str, others: int, gone: int) -> None:
    with users(lab, dialect) as (ana, bob, _):
        view = f"/data/search/{cached(ana)['ID']}"
        answer = bob.get(view)
        assert answer.status_code == others
        assert answer.content == b"" or others != 200
        assert bob.get(f"{view}/memory_recall").status_code == gone
        assert ana.get("/data/search/_ana_0").status_code == gone


def test_a_newer_server_answers_from_the_cached_results_of_that_name(older: Client, newer: Client) -> None:
    other = NAMED.replace("MEMORY_RECALL", "MEMORY_DAY")
    cached(older, document=NAMED)
    assert older.rows(other)[0][1] == "memory_day"
    assert cached(newer, document=NAMED)["ID"] == "mine"
    assert newer.rows(other)[0][1] == "memory_recall"
    assert newer.rows(other, "refresh=true")[0][1] == "memory_day"


def test_old_views_are_forgotten() -> None:
    shelf = Shelf()
    nothing = Results("a", (Column("a", "string"),), ())
    names = [shelf.keep(nothing, "ana").id for _ in range(MOST_VIEWS + 3)]
    assert len(set(names)) == MOST_VIEWS + 3
    assert [shelf.view(name) is None for name in names] == [True] * 3 + [False] * MOST_VIEWS


# --- saved searches


def test_saving_listing_running_and_forgetting(lab: DataSet) -> None:
    with users(lab) as (ana, bob, _):
        assert ana.call("PUT", "/data/search/saved/one?inbody=true", SECURE).status_code == 200
        assert ana.call("PUT", "/data/search/saved/two?inbody=true", NAMED).status_code == 200
        assert _listed(ana) == ["one", "two"]
        assert _listed(bob) == ["two"]
        again = read(ana.get("/data/search/saved/one").content)
        assert (again.id, again.allowed_users, again.secure) == ("one", ("ana",), True)
        assert [field.id for field in again.fields] == ["SUBJECT_ID", "MEMORY_RECALL"]
        answer = ana.get("/data/search/saved/one/results?format=csv&sortBy=MEMORY_RECALL")
        assert answer.text.splitlines()[1] == "Lab_S00002,7,active"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="results.csv";'
        assert ana.call("DELETE", "/data/search/saved/one").status_code == 200
        assert _listed(ana) == ["two"]


def _listed(client: Client, query: str = "") -> list[str]:
    return [row["id"] for row in json.loads(client.get(f"/data/search/saved?{query}").text)["ResultSet"]["Result"]]


def test_a_search_that_is_not_secure_shows_all_rows_to_everybody(lab: DataSet) -> None:
    with users(lab) as (ana, _, eve):
        ana.call("PUT", "/data/search/saved/open", NAMED)
        ana.call("PUT", "/data/search/saved/closed", SECURE)
        assert len(eve.get("/data/search/saved/open/results?format=csv").text.splitlines()) == 7
        assert len(ana.get("/data/search/saved/closed/results?format=csv").text.splitlines()) == 6
        for path in ("closed", "closed/results"):
            assert eve.get(f"/data/search/saved/{path}").status_code == 403
        assert eve.call("PUT", "/data/search/saved/closed", NAMED).status_code == 403
        assert eve.call("DELETE", "/data/search/saved/closed").status_code == 403


def test_a_search_of_several_goes_with_the_last(lab: DataSet) -> None:
    with users(lab) as (ana, bob, _):
        ana.call("PUT", "/data/search/saved/ours", NAMED)
        bob.call("PUT", "/data/search/saved/ours", NAMED)
        assert ana.call("DELETE", "/data/search/saved/ours").status_code == 200
        assert _listed(bob) == ["ours"]
        assert bob.call("DELETE", "/data/search/saved/ours").status_code == 200
        assert _listed(bob) == []


@pytest.mark.parametrize(("dialect", "document"), [("1.6", 500), ("1.8", 404)])
def test_what_was_not_saved(lab: DataSet, dialect: str, document: int) -> None:
    with users(lab, dialect) as (ana, _, _):
        assert ana.get("/data/search/saved/nosuch").status_code == document
        assert ana.get("/data/search/saved/@foo:bar").status_code == document
        assert ana.get("/data/search/saved/nosuch/results").status_code == 404
        assert ana.call("DELETE", "/data/search/saved/nosuch").status_code == 404
        assert ana.call("PUT", "/data/search/saved/bad", "<oops").status_code == 422
        assert ana.call("PUT", "/data/search/saved/bad", bundle([], root="foo:bar")).status_code == 403


def test_a_newer_server_names_the_users(lab: DataSet) -> None:
    for dialect, named in (("1.6", False), ("1.8", True)):
        with users(lab, dialect) as (ana, _, _):
            ana.call("PUT", "/data/search/saved/one", NAMED)
            header, row = csv.reader(io.StringIO(ana.get("/data/search/saved?format=csv").text))
            assert ("users" in header) is named
            assert (row[-1] == "{ana}") is named


def test_default_searches_can_be_run_as_they_come(lab: DataSet) -> None:
    with users(lab) as (ana, bob, _):
        for path in ("/data/search/saved/@cog:battery", "/data/projects/B/searches/@cog:battery"):
            document = ana.get(path).text
            assert etree.fromstring(document.encode()) is not None
            assert ana.status(document) == 200
        listed = ana.get("/data/search/saved/@xnat:subjectData/results?format=csv").text.splitlines()
        assert len(listed) == 6
        assert len(bob.get("/data/search/saved/@xnat:subjectData/results?format=csv").text.splitlines()) == 3
        of_project = ana.rows(ana.get("/data/projects/B/searches/@xnat:subjectData").text)
        assert of_project[0][-3:] == ["dob", "cnt_cog_battery_b", "quarantine_status"]
        assert [row[0] for row in of_project[1:]] == ["b1", "b2"]
        assert bob.get("/data/projects/A/searches/@xnat:subjectData").status_code == 404


def test_searches_of_a_project(lab: DataSet) -> None:
    tagged = NAMED.replace('secure="0"', 'secure="0" tag="B"')
    with users(lab) as (ana, _, _):
        ana.call("PUT", "/data/search/saved/mine", tagged)
        assert _listed(ana) == []
        assert _listed(ana, "includeTag=true") == _listed(ana, "includeTag=B") == ["mine"]
        assert _listed(ana, "includeTag=A") == []
        assert read(ana.get("/data/projects/B/searches/mine").content).tag == "B"
        assert ana.get("/data/projects/A/searches/mine").status_code == 404
