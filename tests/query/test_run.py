"""Queries run on a server: what they cost, and what comes of servers and networks that fail."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cdbfs.config import Settings
from cdbfs.demo import StandIn
from cdbfs.errors import (
    AccessRefused,
    BrokeOff,
    CdbfsError,
    Dropped,
    NotFound,
    QueryError,
    ServerFault,
    TimedOut,
    TooLarge,
)
from cdbfs.query.catalog import Catalog
from cdbfs.query.run import prepare, run
from cdbfs.xnat.client import Client
from tests.demo import recordings
from tests.demo.search.asking import all_of, bundle
from tests.query.conftest import LOGIN
from tests.query.test_result import answer, column
from tests.xnat.servers import Request, Scripted, reply

QUERY = b"SELECT subject, NEO_NEOFAC_A AS a FROM nt:scores WHERE project = 'HCP_Q2' AND NEO_NEOFAC_A > 30"
SEARCH = "POST /data/search"


def result(query: bytes | str, client: Client, workspace: Path) -> list[str]:
    out = io.StringIO(newline="")
    run(prepare(query.encode() if isinstance(query, str) else query, Catalog(client)), client, workspace, out)
    return out.getvalue().splitlines()


# --- what it costs


def test_a_query_costs_the_types_the_fields_of_those_named_and_one_search(
    client: Client, stand_in: StandIn, tmp_path: Path
) -> None:
    assert result(QUERY, client, tmp_path)[1:] == ["100307,33", "111312,41", "114924,41", "130013,39"]
    asked = {route: count for route, count in stand_in.counts().items() if "search" in route}
    assert asked == {"GET /data/search/elements": 1, "GET /data/search/elements/{elements}": 1, SEARCH: 1}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "elements"),
    [
        (b"SELEC", 0),
        (b"", 0),
        (b"\xff\xfe", 0),
        (b"SELECT a FROM nt:score", 0),
        (b"SELECT nosuch FROM nt:scores", 2),  # and of the subject
        (b"SELECT nosuch FROM xnat:subjectData", 1),
        (b"SELECT AGE FROM nt:scores WHERE AGE > 'x'", 1),
        (b"SELECT AGE FROM nt:scores WHERE xnat:mrSessionData.NOSUCH = 1", 2),
        (bundle(["AGE"], root="nt:score").encode(), 0),
        (bundle(["NOSUCH"]).encode(), 1),
        (bundle(["AGE"], all_of(("nt:scores/NOSUCH", "=", "1"))).encode(), 1),
        (b"<xdat:bundle", 0),
        (b"<" + b"x" * 500_000, 0),
    ],
)
def test_a_wrong_query_costs_no_search(client: Client, stand_in: StandIn, query: bytes, elements: int) -> None:
    with pytest.raises(QueryError):
        prepare(query, Catalog(client))
    counts = stand_in.counts()
    assert SEARCH not in counts
    assert counts.get("GET /data/search/elements/{elements}", 0) == elements


def test_what_a_catalog_was_told_it_does_not_ask_again(client: Client, stand_in: StandIn) -> None:
    catalog = Catalog(client)
    for _ in range(3):
        prepare(QUERY, catalog)
    assert stand_in.counts()["GET /data/search/elements/{elements}"] == 1
    with pytest.raises(NotFound):
        catalog.fields("no:such")
    with pytest.raises(QueryError, match=r"^the server has no data type nt:score; did you mean nt:scores"):
        catalog.named("nt:score")


def test_an_xml_query_is_sent_byte_for_byte(client: Client, tmp_path: Path) -> None:
    where = all_of(("nt:scores/PROJECTS", "LIKE", "%HCP_Q1%"))
    document = f"{bundle(['SUBJECT_ID', 'AGE'], where)}\n<!-- \u00e4 -->\n".encode()
    prepared = prepare(document, Catalog(client))
    assert (prepared.document, prepared.type, prepared.refresh) == (document, "nt:scores", False)
    assert prepare(document.replace(b"@nt:scores", b"mine"), Catalog(client)).refresh
    assert result(document, client, tmp_path)[0] == "SUBJECT_ID,AGE"
    assert len(result(b"\xef\xbb\xbf" + document, client, tmp_path)) == 6  # a header, five in HCP_Q1


def test_a_query_that_is_no_utf_8_is_told_so_with_its_line(client: Client) -> None:
    with pytest.raises(QueryError, match="line 2: the query is not UTF-8 text"):
        prepare(b"SELECT a\nFROM '\xe4'", Catalog(client))


def test_what_a_user_may_not_search_is_told(stand_in: StandIn, client: Client, tmp_path: Path) -> None:
    prepared = prepare(QUERY, Catalog(client))
    stand_in.fault(SEARCH, "status", code=403, times=1)
    with pytest.raises(AccessRefused, match="the server forbids this login to search nt:scores"):
        run(prepared, client, tmp_path, io.StringIO())


def test_a_server_that_takes_a_value_for_an_attack(stand_in: StandIn, client: Client, tmp_path: Path) -> None:
    query = "SELECT subject FROM nt:scores WHERE NEO_NEO = '(drop table x'"
    if stand_in.dialect == "1.6":
        assert result(query, client, tmp_path) == ["subject"]
    else:
        with pytest.raises(ServerFault, match="XNAT refuses texts that look like SQL"):
            result(query, client, tmp_path)


# --- projects that there are not

PROJECTS = "GET /data/projects"
NO_PROJECT = "there is no project HCP_Q3 that this login may see; there are HCP_Q"


@pytest.mark.parametrize("more", ["", " AND AGE > 0", " LIMIT 0", " ORDER BY subject LIMIT 2"])
@pytest.mark.parametrize("type_name", ["nt:scores", "xnat:subjectData", "xnat:projectData"])
def test_a_project_that_there_is_not_is_told(client: Client, tmp_path: Path, type_name: str, more: str) -> None:
    if type_name != "nt:scores":
        more = more.replace("AGE > 0", "INSERT_DATE IS NOT NULL").replace("subject LIMIT", "INSERT_DATE LIMIT")
    query = f"SELECT * FROM {type_name}\nWHERE project = 'HCP_Q3'{more}"
    with pytest.raises(QueryError, match=f"^line 2, column 17: {NO_PROJECT}"):
        result(query, client, tmp_path)


@pytest.mark.parametrize(
    ("condition", "lists"),
    [
        ("project = 'HCP_Q2'", 0),
        ("project = 'HCP_Q2' LIMIT 0", 0),
        ("project = 'HCP_Q2' AND AGE > 1000", 1),
        ("AGE > 1000", 0),
        ("project = 'HCP_Q2' AND xnat:mrSessionData.LABEL NOT LIKE '%'", 1),
    ],
)
def test_the_projects_are_asked_for_only_where_the_server_finds_nothing(
    client: Client, stand_in: StandIn, tmp_path: Path, condition: str, lists: int
) -> None:
    lines = result(f"SELECT subject FROM nt:scores WHERE {condition}", client, tmp_path)
    assert lines[0] == "subject"
    assert stand_in.counts().get(PROJECTS, 0) == lists


def test_rows_that_cdbfs_itself_leaves_out_are_found_all_the_same(tmp_path: Path) -> None:
    """The server answers with rows, so the project is there, whatever it lists: the server here lists none."""
    with failing([reply(WHOLE)]) as (client, _):
        assert result(QUERY + b" LIMIT 0", client, tmp_path) == LINES[:1]


# --- failures

COLUMNS = [
    column("SUB_PROJECT_IDENTIFIER=HCP_Q2", "s", "xnat:subjectData"),
    column("NEO_NEOFAC_A", "a"),
    column("EXPT_ID", "e"),
]
WHOLE = answer(
    [{"s": "100307", "a": "33", "e": "E1"}, {"s": "103515", "a": "28", "e": "E2"}],
    columns=COLUMNS,
)
LINES = ["subject,a", "100307,33", "103515,28"]
ELEMENTS = recordings.read("320-elements-json").body.encode()
FIELDS = recordings.read("326-elements-nt_scores-json").body.encode()


@contextmanager
def failing(*searches: Iterable[Any], **limits: Any) -> Iterator[tuple[Client, list[Request]]]:
    """A client of a server that answers searches in turn; and the searches that came."""
    left = list(searches)
    asked: list[Request] = []

    def script(request: Request) -> Iterable[Any]:
        if request.method == "POST":
            asked.append(request)
            return left.pop(0)
        if request.target == "/data/JSESSION":
            return [reply(b"0123456789ABCDEF", headers={"Content-Type": "text/plain"})]
        listed = FIELDS if "nt:scores" in request.target else ELEMENTS
        return [reply(listed if "elements" in request.target else b"User 'mylogin' is logged in.")]

    with Scripted(script) as server:
        client = Client(Settings(url=server.url, **limits), LOGIN)
        try:
            yield client, asked
        finally:
            client.session.close()


def cut(body: bytes) -> list[bytes]:
    return [reply(body, headers={"Content-Length": str(len(body) + 100)})]


def test_a_whole_answer(tmp_path: Path) -> None:
    with failing([reply(WHOLE)]) as (client, asked):
        assert result(QUERY, client, tmp_path) == LINES
    assert asked[0].target == "/data/search?format=json"


@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize(
    "first",
    [cut(WHOLE + b" " * 5000), cut(WHOLE[:-10]), [], [reply(b"", 502)], [reply(b"busy" * 1000, 503)]],
    ids=["cut after its end", "cut", "dropped", "502", "503"],
)
def test_a_lost_answer_is_asked_for_again_and_leaves_nothing_behind(first: list[bytes], tmp_path: Path) -> None:
    with failing(first, [reply(WHOLE)]) as (client, asked):
        assert result(QUERY, client, tmp_path) == LINES
    assert len(asked) == 2


@pytest.mark.usefixtures("swept")
def test_a_search_is_tried_twice_at_most(tmp_path: Path) -> None:
    with failing([], []) as (client, asked), pytest.raises(Dropped):
        result(QUERY, client, tmp_path)
    assert len(asked) == 2
    with failing(*[[reply(b"", 504)]] * 2) as (client, asked), pytest.raises(BrokeOff):
        result(QUERY, client, tmp_path)
    assert len(asked) == 2


@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize(
    ("answered", "error", "reason"),
    [
        ([reply(b"x", 500)], ServerFault, "failed with status 500"),
        ([reply(b"", 422)], ServerFault, "status 422"),
        ([reply(b"", 200)], ServerFault, "the answer to the search is empty"),
        ([reply(WHOLE[:-10])], ServerFault, "breaks off"),
        ([reply(WHOLE.replace(b'"2"', b'"3"'))], ServerFault, "announces 3 rows and has 2"),
        ([reply(b"<x>sorry</x>")], ServerFault, "cannot be read"),
        ([reply(b"x" * 300_000)], TooLarge, "over 100000 bytes"),
    ],
)
def test_answers_that_are_none_are_told_and_not_asked_for_again(
    answered: list[bytes], error: type[CdbfsError], reason: str, tmp_path: Path
) -> None:
    with failing(answered, max_result_bytes=100_000) as (client, asked), pytest.raises(error, match=reason):
        result(QUERY, client, tmp_path)
    assert len(asked) == 1


def test_a_page_in_place_of_an_answer_is_no_result(tmp_path: Path) -> None:
    page = reply(b"<html>Login</html>", headers={"Content-Type": "text/html"})
    with failing([page], [page]) as (client, _), pytest.raises(ServerFault, match="a page for people"):
        result(QUERY, client, tmp_path)


def test_a_session_that_ended_is_renewed(client: Client, stand_in: StandIn, tmp_path: Path) -> None:
    prepared = prepare(QUERY, Catalog(client))
    stand_in.expire_sessions()
    out = io.StringIO()
    assert run(prepared, client, tmp_path, out) == 4
    assert client.session.logins == 2


@pytest.mark.usefixtures("swept")
def test_a_search_may_take_longer_to_begin_than_other_answers(tmp_path: Path) -> None:
    with failing([1.0, reply(WHOLE)], silence_timeout=0.2) as (client, _):
        assert result(QUERY, client, tmp_path) == LINES
    with failing([30.0], search_deadline=0.5) as (client, _), pytest.raises(TimedOut):
        result(QUERY, client, tmp_path)


class Full(io.BytesIO):
    """A file on a disk that fills up."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.usefixtures("swept")
def test_a_full_disk_is_told_as_what_it_is_and_the_client_lives_on(tmp_path: Path) -> None:
    with failing([reply(WHOLE)], [reply(WHOLE)]) as (client, asked):
        with pytest.raises(OSError, match="No space left on device"):
            client.search(b"<x/>", Full())
        sink = io.BytesIO()
        client.search(b"<x/>", sink)
    assert sink.getvalue() == WHOLE
    assert len(asked) == 2


class Interrupting(io.BytesIO):
    def write(self, data: Any) -> int:
        raise KeyboardInterrupt


@pytest.mark.usefixtures("swept")
def test_an_interrupted_search_ends_at_once_and_the_client_lives_on() -> None:
    with failing([reply(WHOLE)], [reply(WHOLE)]) as (client, _):
        with pytest.raises(KeyboardInterrupt):
            client.search(b"<x/>", Interrupting())
        sink = io.BytesIO()
        client.search(b"<x/>", sink)
    assert sink.getvalue() == WHOLE


def test_a_sink_holds_no_more_than_the_last_attempt() -> None:
    """A longer answer that broke off is not left behind a shorter one that did not."""
    with failing(cut(b"x" * 10_000), [reply(b"{}")]) as (client, _):
        sink = io.BytesIO(b"old" * 1000)
        client.search(b"<x/>", sink)
    assert sink.getvalue() == b"{}"
