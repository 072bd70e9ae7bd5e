"""What cdbfs asks a server, and what it takes for an answer."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cdbfs.config import Settings
from cdbfs.credentials import Credentials
from cdbfs.demo import StandIn
from cdbfs.errors import BrokeOff, CdbfsError, LoginRefused, NotFound, ServerFault, TooLarge
from cdbfs.xnat import listings
from cdbfs.xnat.client import Client
from cdbfs.xnat.listings import EXPERIMENT_COLUMNS, SUBJECT_COLUMNS
from cdbfs.xnat.models import SavedSearch
from tests.demo import recordings
from tests.xnat.servers import Request, Scripted, reply

LOGIN = Credentials("mylogin", "mypasswd")


@pytest.fixture(scope="module", params=["1.6", "1.8"])
def stand_in(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with StandIn(recordings.data(), dialect=request.param) as running:
        yield running


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[Client]:
    made = Client(Settings(url=stand_in.url), LOGIN)
    yield made
    made.session.close()


@contextmanager
def answering(*replies: bytes, max_document_bytes: int = 2**20) -> Iterator[tuple[Client, list[Request]]]:
    """A client of a server that lets anybody in and gives `replies` in turn; and the requests after the login."""
    left = list(replies)
    asked: list[Request] = []

    def script(request: Request) -> list[bytes]:
        if request.target == "/data/JSESSION":
            return [reply(b"S1")]
        asked.append(request)
        return [left.pop(0)]

    with Scripted(script) as server:
        made = Client(Settings(url=server.url, max_document_bytes=max_document_bytes), LOGIN)
        try:
            yield made, asked
        finally:
            made.session.close()


def xml(document: str) -> bytes:
    return reply(document.encode(), headers={"Content-Type": "text/xml"})


def test_projects_subjects_and_experiments_of_the_recorded_world(client: Client) -> None:
    assert [project.ID for project in client.projects()][:3] == ["HCP_Subjects", "HCP_Q1", "HCP_Q2"]
    subjects = client.subjects("HCP_Q2")
    assert ("100307", "ConnectomeDB_S00001", "HCP_Subjects") in [(s.label, s.ID, s.project) for s in subjects]
    experiments = client.experiments("HCP_Q2")
    assert ("100307_NonToolbox", "100307", "nt:scores") in [
        (e.label, e.subject_label, e.xsiType) for e in experiments
    ]


def test_documents_of_the_recorded_world(client: Client) -> None:
    assert b"<xnat:name>HCP Q2 release</xnat:name>" in client.project_xml("HCP_Q2")
    assert b'ID="ConnectomeDB_S00001"' in client.subject_xml("ConnectomeDB_S00001")
    assert b"<nt:ER40_CR>39</nt:ER40_CR>" in client.experiment_xml("ConnectomeDB_E00002")


def test_what_the_server_does_not_show_is_not_found(client: Client) -> None:
    for ask in (
        client.subjects,
        client.experiments,
        client.project_xml,
        client.subject_xml,
        client.experiment_xml,
    ):
        with pytest.raises(CdbfsError) as caught:
            ask("NoSuch")
        assert caught.type is NotFound, ask


def test_requests_are_counted_by_their_templates(client: Client) -> None:
    client.subjects("HCP_Q2")
    client.subjects("HCP_Q1")
    client.experiment_xml("ConnectomeDB_E00002")
    assert client.session.counts == {
        "/data/projects/{project}/subjects": 2,
        "/data/experiments/{experiment}": 1,
    }


def test_the_version_of_the_server(client: Client, stand_in: StandIn) -> None:
    told = {"1.6": recordings.read("046-version-no-login").body, "1.8": "1.8.10"}
    assert client.server_version() == told[stand_in.dialect]


def test_every_request_names_its_format_and_listings_their_columns() -> None:
    empty = reply(b'{"ResultSet":{"Result":[]}}')
    with answering(empty, empty, empty, xml("<a/>")) as (client, asked):
        client.projects()
        client.subjects("P")
        client.experiments("P")
        client.experiment_xml("E")
    assert [request.target.replace("%2C", ",") for request in asked] == [
        "/data/projects?format=json",
        f"/data/projects/P/subjects?format=json&columns={','.join(SUBJECT_COLUMNS)}",
        f"/data/projects/P/experiments?format=json&columns={','.join(EXPERIMENT_COLUMNS)}",
        "/data/experiments/E?format=xml",
    ]


def test_an_id_of_any_characters_stays_one_part_of_the_path() -> None:
    with answering(xml("<a/>")) as (client, asked):
        client.subject_xml("a/b?c#d%e é;f")
    assert asked[0].target == "/data/subjects/a%2Fb%3Fc%23d%25e%20%C3%A9%3Bf?format=xml"


@pytest.mark.parametrize("item", [".", "..", "\ud800", "a\udcffb", "a" * 1001], ids=lambda item: ascii(item)[:20])
def test_an_id_that_no_address_can_name_is_refused_and_not_asked_for(item: str) -> None:
    with answering() as (client, asked):
        for ask in (
            client.subjects,
            client.experiments,
            client.project_xml,
            client.subject_xml,
            client.experiment_xml,
        ):
            with pytest.raises(ServerFault, match="which no address can name") as caught:
                ask(item)
            str(caught.value).encode()  # fit for a terminal
    assert asked == []


@pytest.mark.parametrize("item", ["...", ".a", "a..", "%2E", "%2e%2e", "~"])
def test_an_id_of_dots_that_is_no_step_is_asked_for_as_it_is(item: str) -> None:
    with answering(xml("<a/>")) as (client, asked):
        client.experiment_xml(item)
    assert asked[0].target == f"/data/experiments/{item.replace('%', '%25')}?format=xml"


def test_a_document_comes_byte_for_byte() -> None:
    document = "<?xml version='1.0'?>\r\n<a  ID='E'>\t<!-- x --></a >\n\n"
    with answering(xml(document)) as (client, _):
        assert client.experiment_xml("E") == document.encode()


def test_the_document_of_another_item_is_refused() -> None:
    with answering(xml("<a ID='other'/>")) as (client, _), pytest.raises(ServerFault, match="of another item"):
        client.experiment_xml("E")


@pytest.mark.parametrize("document", ["", "<a>", '{"items": []}'])
def test_what_is_no_whole_document_is_refused(document: str) -> None:
    with answering(xml(document)) as (client, _), pytest.raises(ServerFault):
        client.experiment_xml("E")


def test_saved_searches_are_listed_stored_shown_and_run(client: Client, stand_in: StandIn) -> None:
    document = recordings.read("459-saved-put").request_body.encode()
    client.save_search("my_nt", document)
    assert client.saved_searches() == [SavedSearch("my_nt", "my nt", "")]
    assert b'ID="my_nt"' in client.saved_search_xml("my_nt")
    rows = io.BytesIO()
    client.saved_search_results("my_nt", rows)
    assert json.loads(rows.getvalue())["ResultSet"]["totalRecords"] == "12"
    with pytest.raises(ServerFault if stand_in.dialect == "1.6" else NotFound):
        client.saved_search_xml("nosuch")
    with pytest.raises(NotFound):
        client.saved_search_results("nosuch", rows)


def test_saved_searches_as_recorded() -> None:
    told = [recordings.read(name).body.encode() for name in ("461-saved-list-json", "473-saved-list-empty")]
    assert [listings.saved_searches(body, "x") for body in told] == [[SavedSearch("my_nt", "my nt", "")], []]
    twice = b'{"ResultSet":{"Result":[{"id":"a"},{"id":"a","description":"x"},{"id":""},{},{"ID":"b"}]}}'
    assert listings.saved_searches(twice, "x") == [SavedSearch("a", "", "")]
    with pytest.raises(ServerFault):
        listings.saved_searches(b"[]", "x")


def test_how_saved_searches_and_schemas_are_asked_for() -> None:
    schema = xml('<schema xmlns="http://www.w3.org/2001/XMLSchema"/>')
    answers = (reply(b"{}"), xml("<a ID='a/b'/>"), reply(b""), reply(b"", 404), schema)
    with answering(*answers) as (client, asked):
        client.saved_search_results("a/b", io.BytesIO())
        client.saved_search_xml("a/b")
        client.save_search("a/b", b"<a/>")
        client.schema("nt", "more")
    assert [f"{request.method} {request.target}" for request in asked] == [
        "GET /data/search/saved/a%2Fb/results?format=json&refresh=true",
        "GET /data/search/saved/a%2Fb?format=xml",
        "PUT /data/search/saved/a%2Fb?inbody=true",
        "GET /schemas/nt/more.xsd",
        "GET /xapi/schemas/nt/more",
    ]


def test_a_schema_that_is_nowhere_is_told_by_its_first_place() -> None:
    with answering(reply(b"", 404), reply(b"", 404)) as (client, _), pytest.raises(NotFound, match="/schemas/n/m"):
        client.schema("n", "m")
    with answering(xml("<a/>")) as (client, _), pytest.raises(ServerFault, match="is no XML Schema but a"):
        client.schema("n", "m")


@pytest.mark.usefixtures("swept")
def test_a_search_that_was_not_stored_is_not_stored_twice() -> None:
    with answering(reply(b"", 503), reply(b"")) as (client, asked), pytest.raises(BrokeOff):
        client.save_search("a", b"<a/>")
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["..", ".", "a" * 1001])
def test_a_type_that_no_address_can_name_is_not_asked_for(name: str) -> None:
    with answering() as (client, asked), pytest.raises(ServerFault, match="which no address can name"):
        client.search_fields(name)
    assert asked == []


@pytest.mark.usefixtures("swept")
def test_a_document_over_the_bound_is_refused() -> None:
    document = xml("<a>" + "x" * 100 + "</a>")
    with answering(document, max_document_bytes=100) as (client, _), pytest.raises(TooLarge):
        client.experiment_xml("E")


def test_an_empty_answer_is_no_empty_listing() -> None:
    with answering(reply(b"")) as (client, _), pytest.raises(ServerFault, match="it is empty"):
        client.experiments("P")


@pytest.mark.parametrize(
    ("replies", "version"),
    [
        ([reply(b"1.6.4\n")], "1.6.4"),
        ([reply(b"", 404), reply(b'{"version": "1.8.10"}')], "1.8.10"),
        ([reply(b"", 404), reply(b"", 404)], "unknown"),
        ([reply(b"", 404), reply(b"", 403)], "unknown"),
        ([reply(b"", 404), reply(b"no json")], "unknown"),
        ([reply(b"", 404), reply(b"[]")], "unknown"),
        ([reply(b"", 404), reply(b"{}")], "unknown"),
        ([reply(b"", 500)], "unknown"),
        ([reply(b"")], "unknown"),
        ([reply(b"1\n2")], "unknown"),
        ([reply(b"\x1b[31m")], "unknown"),
        ([reply(b"x" * 200)], "unknown"),
    ],
)
def test_the_version_is_found_where_the_server_keeps_it(replies: list[bytes], version: str) -> None:
    with answering(*replies) as (client, asked):
        assert client.server_version() == version
    assert len(asked) == len(replies)


@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize(
    "odd",
    [
        reply(b"", 403),
        reply(b"", 503),
        reply(b"<html>hello</html>"),
        reply(b"1.6.4", headers={"Content-Length": "100"}),
        reply(b"x" * 2**17),
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["forbidden", "not ready", "page", "cut", "large", "no http"],
)
def test_nobody_is_kept_out_because_the_version_cannot_be_told(odd: bytes) -> None:
    with answering(*[odd] * 4) as (client, _):
        assert client.server_version() == "unknown"


def test_a_refused_login_is_told_when_the_version_is_asked_for() -> None:
    with Scripted(lambda request: [reply(b"", 401)]) as server:
        client = Client(Settings(url=server.url), LOGIN)
        with pytest.raises(LoginRefused):
            client.server_version()
        client.session.close()


def test_a_guest_sees_what_guests_may() -> None:
    with Scripted(
        lambda request: [reply(b"S1" if "JSESSION" in request.target else b'{"ResultSet":{"Result":[]}}')]
    ) as server:
        client = Client(Settings(url=server.url), None)
        assert client.projects() == []
        client.session.close()
        assert all("authorization" not in request.headers for request in server.requests)


@pytest.mark.usefixtures("swept")
def test_an_answer_that_breaks_off_each_time_is_told_as_such() -> None:
    cut = reply(b"{", headers={"Content-Length": "100"})
    with answering(cut, cut, cut) as (client, asked), pytest.raises(BrokeOff):
        client.projects()
    assert len(asked) == 3
