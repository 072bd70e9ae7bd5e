"""The package service: a listing is no transfer, and no transfer a listing; a transfer is asked for once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdbfs.credentials import Credentials
from cdbfs.demo import StandIn, connectomedb
from cdbfs.errors import (
    BrokeOff,
    CdbfsError,
    Interrupted,
    LoginRefused,
    NotFound,
    ServerFault,
    TooLarge,
    Unreachable,
)
from cdbfs.hcp import answers
from cdbfs.hcp.models import Offer, Package
from cdbfs.hcp.service import INDEX, LISTING, LONGEST_ADDRESS, PATH, TRANSFER, PackageService, askable
from cdbfs.xnat.deadline import Stop
from cdbfs.xnat.http import Http
from cdbfs.xnat.session import AUTH_PATH, LOGIN_PATH, Session
from tests.demo import recordings
from tests.xnat.servers import Fake, Reply, Request

LOGIN = Credentials("mylogin", "mypasswd")
PACKAGE = Package("100307", "3T_Structural_preproc")
TOKEN = "ATM2_secret_TA"
SPEC = {
    "paths": [{"source": f"live/{file}"} for file in (PACKAGE.zip, PACKAGE.md5)],
    "token": TOKEN,
    "direction": "receive",
    "remote_host": "db.example.invalid",
    "remote_user": "xfer",
}
TUTORIAL = {
    "count": 446,
    "subjects_total": 2,
    "subjects_ok": 2,
    "size": 2551381019,
    "description": "HCP Q2 Data Release Structural Preprocessed",
    "keywords": ["preprocessed", "structural"],
    "label": "HCP Q2 Structural Preprocessed",
    "id": "3T_Structural_preproc",
}
"""The package object that the tutorial prints."""
PAGE = Reply(200, b"<html>please log in</html>", {"Content-Type": "text/html"})


def said(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


class Scene:
    """A server that answers what a test says, and the service that is logged in to it."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.adapter = Fake(self._answer)
        self.dead: set[str] = set()
        self.session = Session(Http("https://db.example.invalid", adapter=self.adapter), LOGIN)
        self.service = PackageService(self.session)
        self._scripted = answer
        self._logins = 0

    @property
    def asked(self) -> list[Request]:
        return [each for each in self.adapter.requests if each.target.startswith("/spring")]

    def _answer(self, request: Request) -> Reply:
        if request.target == LOGIN_PATH:
            self._logins += 1
            return Reply(200, f"S{self._logins}".encode())
        if request.headers.get("cookie", "").replace("JSESSIONID=", "") in self.dead:
            return Reply(401, b"no")
        return (
            Reply(200, b"User 'mylogin' is logged in") if request.target == AUTH_PATH else self._scripted(request)
        )


def scene(*replies: Reply) -> Scene:
    """A server that gives these answers in turn, the last one again and again."""
    left = list(replies)
    return Scene(lambda request: left.pop(0) if len(left) > 1 else left[0])


# -- listings ---------------------------------------------------------------------------------------------------


def test_the_tutorials_package_is_read() -> None:
    found = scene(said({"packages": [TUTORIAL]}))
    assert found.service.offers(["100307", "100408"]) == (
        Offer(
            "3T_Structural_preproc",
            "HCP Q2 Structural Preprocessed",
            "HCP Q2 Data Release Structural Preprocessed",
            ("preprocessed", "structural"),
            446,
            2551381019,
            2,
        ),
    )
    (request,) = found.asked
    assert (request.method, request.target) == ("POST", f"{PATH}?subjects=100307,100408&view=packages")
    assert request.headers["content-length"] == "0"


def test_the_index_is_a_get() -> None:
    found = scene(said({"packages": [{"id": "a"}, {"id": "b"}]}))
    assert [offer.id for offer in found.service.index()] == ["a", "b"]
    assert [(each.method, each.target) for each in found.asked] == [("GET", PATH)]


def test_requests_are_counted_by_what_they_ask() -> None:
    found = scene(said({"packages": []}), said({"packages": []}), said(SPEC))
    found.service.index()
    found.service.offers(["100307"])
    found.service.transfer([PACKAGE])
    assert {name: found.session.counts[name] for name in (INDEX, LISTING, TRANSFER)} == {
        "/spring/download": 1,
        "/spring/download view=packages": 1,
        "/spring/download transfer": 1,
    }


def test_labels_are_quoted_and_commas_are_not() -> None:
    found = scene(said({"packages": []}))
    labels = ["a b", "ü&view=x", "50%", "a+b", "#1", "?"]
    found.service.offers(labels)
    query = urlsplit(found.asked[0].target).query
    assert query.count(",") == len(labels) - 1
    assert parse_qs(query) == {"subjects": [",".join(labels)], "view": ["packages"]}


@given(st.lists(st.text(min_size=1, max_size=20).filter(askable), min_size=1, max_size=5, unique=True))
def test_any_label_that_can_be_asked_for_arrives_as_it_is(labels: list[str]) -> None:
    found = scene(said({"packages": []}))
    found.service.offers(labels)
    subjects, view = urlsplit(found.asked[0].target).query.split("&")
    assert [unquote(each) for each in subjects.removeprefix("subjects=").split(",")] == labels
    assert view == "view=packages"


@pytest.mark.parametrize(
    "label",
    ["", ".", "..", "a,b", "a/b", "a\nb", "a\x00b", "-x", "--host=x", "\x1b[2J", "\udcff", "x" * 201, "ü" * 101],
)
def test_some_labels_cannot_be_asked_for(label: str) -> None:
    found = scene(said({"packages": []}))
    assert not askable(label)
    with pytest.raises(NotFound):
        found.service.offers(["100307", label])
    with pytest.raises(NotFound):
        found.service.transfer([Package(label, PACKAGE.id)])
    assert found.asked == []


def test_nobody_is_asked_for_nobody() -> None:
    found = scene(said({"packages": []}))
    assert found.service.offers([]) == ()
    assert found.asked == []


def test_many_subjects_are_asked_for_in_batches_and_added_up() -> None:
    labels = [f"{100000 + number}" for number in range(2500)]

    def answer(request: Request) -> Reply:
        asked = parse_qs(urlsplit(request.target).query)["subjects"][0].split(",")
        each = {"count": 3 * len(asked), "size": 10**9 * len(asked), "subjects_ok": len(asked)}
        only_once = [{"id": "rare", "subjects_ok": 1, "size": 7}] if "100000" in asked else []
        return said({"packages": [{"id": "3T", "label": "L", **each}, *only_once]})

    found = Scene(answer)
    assert found.service.offers([*labels, *labels]) == (
        Offer("3T", "L", "", (), 7500, 2500 * 10**9, 2500),
        Offer("rare", size=7, subjects=1),
    )
    assert len(found.asked) == 3
    assert all(len("https://db.example.invalid" + each.target) <= LONGEST_ADDRESS for each in found.asked)
    sent = [parse_qs(urlsplit(each.target).query)["subjects"][0].split(",") for each in found.asked]
    assert [label for batch in sent for label in batch] == labels


@pytest.mark.parametrize(
    "entry",
    [
        None,
        1,
        "3T",
        [],
        {},
        {"id": None},
        {"id": 3},
        {"id": ""},
        {"id": "a/b"},
        {"id": "a,b"},
        {"id": "-oProxyCommand=id"},
        {"id": ".."},
        {"id": ".hidden"},
        {"id": "a\nb"},
        {"id": "a\u202eb"},
        {"id": "a\ud800"},
        {"id": "x" * 101},
    ],
)
def test_a_package_whose_id_cannot_be_used_is_left_out(entry: object) -> None:
    found = scene(said({"packages": [entry, {"id": "good"}, {"id": "good", "size": 9}]}))
    assert found.service.index() == (Offer("good"),)


@pytest.mark.parametrize(
    "value", [None, -1, 1.5, True, "x", "-1", [], {}, 2**63, 10**30, "9" * 5000, float("nan")]
)
def test_a_number_that_is_none_is_not_known(value: object) -> None:
    def read() -> Offer:
        return scene(said({"packages": [{"id": "a", "size": value, "subjects_ok": value}]})).service.index()[0]

    if value in (10**30,) or value != value:
        with pytest.raises(ServerFault):
            read()
    else:
        assert read() == Offer("a")


def test_words_are_made_plain() -> None:
    hostile = {
        "id": "a",
        "label": "\x1b[2Ja\nb",
        "description": "x" * 10**5,
        "keywords": ["k\0", 1, None, ""] * 99,
    }
    (offer,) = scene(said({"packages": [hostile]})).service.index()
    assert offer.label == "[2Ja b"
    assert len(offer.description) <= 1000
    assert set(offer.keywords) == {"k"}
    assert len(offer.keywords) <= 50


NO_LISTINGS: list[Any] = [
    SPEC,
    {"packages": [], **SPEC},
    {"packages": [], "token": TOKEN},
    {"packages": [{"id": "a", "token": TOKEN}]},
    {"transfer_specs": [{"transfer_spec": SPEC}]},
    {"packages": {}},
    {"packages": None},
    {"packages": "x"},
    {"subjects": []},
    {},
    [],
    "x",
    None,
    1,
]


@pytest.mark.parametrize("answer", NO_LISTINGS)
def test_what_is_no_listing_is_not_taken_for_one(answer: object) -> None:
    found = scene(said(answer))
    with pytest.raises(ServerFault) as refused:
        found.service.index()
    assert TOKEN not in str(refused.value)
    with pytest.raises(ServerFault) as refused:
        found.service.offers(["100307"])
    assert TOKEN not in str(refused.value)


BROKEN = [
    b"",
    b"{",
    b"\xff\xfe",
    b'{"packages": [' + b"[" * 10**5,
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b'{"packages": [NaN]}',
    b'{"packages": [-Infinity]}',
    b'{"packages": [' + b"9" * 10**6 + b"]}",
    b'{"packages": [' + b"{}," * 200_000 + b"{}]}",
]


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: repr(body[:20]))
def test_what_is_no_json_is_refused(body: bytes) -> None:
    reply = Reply(200, body, {"Content-Type": "application/json"})
    with pytest.raises(ServerFault):
        scene(reply).service.index()
    with pytest.raises(ServerFault):
        scene(reply).service.transfer([PACKAGE])


def test_answers_are_bounded() -> None:
    huge = Reply(200, b" " * (5 * 2**20), {"Content-Type": "application/json"})
    with pytest.raises(TooLarge):
        scene(huge).service.index()
    with pytest.raises(TooLarge):
        scene(huge).service.transfer([PACKAGE])


@given(st.binary(max_size=300) | st.text(max_size=99).map(lambda text: json.dumps({"packages": [text]}).encode()))
def test_nothing_that_comes_is_a_fault_of_ours(body: bytes) -> None:
    reason = ""
    try:
        answers.offers(body, "it")
    except CdbfsError as error:
        reason = str(error)
    assert reason.isprintable()


# -- whether there is a service -----------------------------------------------------------------------------------


def recorded(name: str) -> Reply:
    exchange = recordings.read(name)
    return Reply(exchange.status, exchange.body.encode(), exchange.headers)


def test_the_recorded_server_has_none() -> None:
    found = scene(recorded("042-spring-download-login"))
    assert not found.service.is_offered()
    with pytest.raises(NotFound, match="no package service"):
        found.service.offers(["100307"])


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (said({"packages": []}), True),
        (Reply(503), True),
        (Reply(404), False),
        (Reply(403), False),
        (Reply(400), False),
        (Reply(500), False),
        (PAGE, False),
        (Reply(302, b"", {"Location": "/app/template/Login.vm"}), False),
        (said([]), False),
        (said(SPEC), False),
    ],
)
def test_whether_it_is_offered(reply: Reply, expected: bool) -> None:
    assert scene(reply).service.is_offered() is expected


def test_a_server_that_cannot_be_reached_may_have_one() -> None:
    def refuse(request: Request) -> Reply:
        raise Unreachable("no")

    assert Scene(refuse).service.is_offered()


def test_a_refused_login_is_told() -> None:
    adapter = Fake(lambda request: Reply(401))
    service = PackageService(Session(Http("https://db.example.invalid", adapter=adapter), LOGIN))
    with pytest.raises(LoginRefused):
        service.is_offered()


# -- transfers -------------------------------------------------------------------------------------------


def test_a_transfer_is_asked_for_without_view() -> None:
    found = scene(said(SPEC))
    spec = found.service.transfer([PACKAGE])
    assert spec.sources.keys() == {PACKAGE.zip, PACKAGE.md5}
    (request,) = found.asked
    assert request.method == "POST"
    assert request.target == f"{PATH}?subjects=100307&package=3T_Structural_preproc"
    assert TOKEN not in repr(spec)


def test_the_product_is_asked_for_and_what_nobody_wants_of_it_is_left_out() -> None:
    wanted = [Package("1", "a"), Package("2", "b")]
    paths = [{"source": f"live/{s}_{p}.zip{end}"} for s in "12" for p in "ab" for end in ("", ".md5")]
    found = scene(said({**SPEC, "paths": paths}))
    assert found.service.transfer(wanted).sources.keys() == {"1_a.zip", "1_a.zip.md5", "2_b.zip", "2_b.zip.md5"}
    assert found.asked[0].target == f"{PATH}?subjects=1,2&package=a,b"


def test_packages_come_from_hosts_that_are_allowed_only() -> None:
    other = {**SPEC, "remote_host": "asp.humanconnectome.org"}
    with pytest.raises(ServerFault, match="remote_host"):
        scene(said(other)).service.transfer([PACKAGE])
    spec = scene(said(other)).service.transfer([PACKAGE], {"*.humanconnectome.org"})
    assert spec.host == "asp.humanconnectome.org"


@pytest.mark.parametrize(
    "answer", [{"packages": [TUTORIAL]}, {"packages": [], **SPEC}, [], {}, None, {"error": TOKEN}]
)
def test_what_is_no_spec_is_not_taken_for_one(answer: object) -> None:
    found = scene(said(answer))
    with pytest.raises(ServerFault) as refused:
        found.service.transfer([PACKAGE])
    assert TOKEN not in str(refused.value)
    assert len(found.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_transfer_that_fails_is_not_asked_for_again(status: int) -> None:
    found = scene(said({"message": TOKEN}, status))
    with pytest.raises(ServerFault) as refused:
        found.service.transfer([PACKAGE])
    assert TOKEN not in str(refused.value)
    assert len(found.asked) == 1


def test_a_page_with_a_session_that_lives_is_no_reason_to_ask_again() -> None:
    found = scene(PAGE)
    with pytest.raises(ServerFault, match="page for people"):
        found.service.transfer([PACKAGE])
    assert len(found.asked) == 1


def test_a_broken_connection_is_no_reason_to_ask_again() -> None:
    def answer(request: Request) -> Reply:
        raise BrokeOff("it broke")

    found = Scene(answer)
    with pytest.raises(BrokeOff):
        found.service.transfer([PACKAGE])
    assert len(found.asked) == 1


def test_a_session_that_was_over_is_renewed_and_the_transfer_asked_for() -> None:
    found = scene(said({"packages": []}), said(SPEC))
    found.service.index()
    found.dead.add("S1")
    assert found.service.transfer([PACKAGE]).user == "xfer"
    assert found.session.logins == 2
    assert len(found.asked) == 3


def test_a_listing_is_asked_for_again() -> None:
    found = scene(Reply(503), said({"packages": []}))
    assert found.service.offers(["100307"]) == ()


def test_what_the_server_does_not_have_is_not_found() -> None:
    for reply in (Reply(404), said({**SPEC, "paths": []})):
        with pytest.raises(NotFound, match=PACKAGE.zip):
            scene(reply).service.transfer([PACKAGE])


def test_too_many_or_none_are_not_asked_for() -> None:
    found = scene(said(SPEC))
    for packages in ([], [Package(f"{number}" * 20, "x") for number in range(1000)]):
        with pytest.raises(CdbfsError):
            found.service.transfer(packages)
    assert found.asked == []


@pytest.mark.parametrize("package_id", ["", "a,b", "a/b", "-x", ".x", "a\nb", "x" * 101])
def test_some_packages_cannot_be_asked_for(package_id: str) -> None:
    found = scene(said(SPEC))
    with pytest.raises(NotFound):
        found.service.transfer([Package("100307", package_id)])
    assert found.asked == []


# -- with the stand-in -----------------------------------------------------------------------------------


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("html", {}),
    ("status", {"code": 503}),
    ("empty", {}),
    ("cut", {"bytes": 20}),
]


@contextmanager
def served() -> Iterator[tuple[StandIn, PackageService]]:
    with StandIn(connectomedb(3)) as server:
        account = server.data.accounts[0]
        session = Session(Http(server.url), Credentials(account.user, account.password))
        try:
            yield server, PackageService(session)
        finally:
            session.close()


def test_the_stand_in_is_understood() -> None:
    with served() as (server, service):
        assert service.is_offered()
        assert len(service.index()) == 22
        assert {offer.subjects for offer in service.offers(["100307", "nobody"])} == {1}
        assert server.downloads() == []
        spec = service.transfer([PACKAGE])
        assert spec.sources.keys() == {PACKAGE.zip, PACKAGE.md5}
        assert len(server.downloads()) == 1
        assert server.counts()["POST /spring/download transfer"] == 1


def test_a_transfer_is_logged_once_whatever_happens() -> None:
    with served() as (server, service):
        service.index()
        server.expire_sessions()
        service.transfer([PACKAGE])
        assert len(server.downloads()) == 1
        route = "POST /spring/download transfer"
        for kind, more in FAULTS:
            server.clear_faults()
            server.reset_counts()
            server.fault(route, kind, **more)
            with pytest.raises(CdbfsError):
                service.transfer([PACKAGE])
            assert server.counts()[route] == 1


def test_a_transfer_can_be_given_up() -> None:
    stop = Stop()
    stop.stop()
    with served() as (_, service):
        service.index()
        with pytest.raises(Interrupted):
            service.transfer([PACKAGE], stop=stop)
