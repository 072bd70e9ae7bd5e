"""One login for all; renewed once by one thread; never tried again after a refusal."""

from __future__ import annotations

import base64
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

import pytest

from cdbfs.credentials import Credentials
from cdbfs.demo import DataSetBuilder, StandIn
from cdbfs.errors import (
    AccessRefused,
    BadRequest,
    BrokeOff,
    CdbfsError,
    Interrupted,
    LoginRefused,
    NotFound,
    ServerFault,
    SessionRefused,
    TimedOut,
    Unreachable,
)
from cdbfs.xnat.http import Http
from cdbfs.xnat.session import AUTH_PATH, FRUITLESS_LOGINS, LOGIN_PATH, Route, Session
from tests.demo import recordings
from tests.xnat.servers import Fake, Reply, Request

LOGIN = Credentials("mylogin", "mypasswd")
ROUTE = Route("/data/projects", max_bytes=2**20, deadline=5.0, pause=0.001)
DATA = Reply(200, b"{}", {"Content-Type": "application/json"})
PAGE = Reply(200, b"<html>please log in</html>", {"Content-Type": "text/html"})
REDIRECT = Reply(302, b"", {"Location": "http://db.example.invalid/app/template/Login.vm"})
GUEST = Reply(200, b"{}", {"Set-Cookie": "JSESSIONID=G1; Path=/; Secure; HttpOnly"})
"""An open server has forgotten us, and makes us a guest."""
DENIED = Reply(401, b"<html>HTTP Status 401</html>", {"Content-Type": "text/html;charset=utf-8"})


def recorded(name: str) -> Reply:
    exchange = recordings.read(name)
    return Reply(exchange.status, exchange.body.encode(), exchange.headers)


class Server:
    """Hands out session ids S1, S2, ...; those in `dead` it answers with `over`."""

    def __init__(self, over: Reply = DENIED, data: Reply = DATA) -> None:
        self.over = over
        self.data = data
        self.says: Reply | None = None
        """The word of /data/auth on a dead session, where it is not `over`."""
        self.dead: set[str] = set()
        self.all_dead = False
        self.logins = 0
        self.adapter = Fake(self.answer)

    def answer(self, request: Request) -> Reply:
        if request.method == "DELETE":
            return Reply(200)
        if request.target == LOGIN_PATH:
            self.logins += 1
            return Reply(200, f"S{self.logins}".encode())
        cookie = request.headers.get("cookie", "").replace("JSESSIONID=", "")
        dead = self.all_dead or cookie in self.dead or not cookie
        if request.target == AUTH_PATH:
            return (self.says or self.over) if dead else Reply(200, b"User 'mylogin' is logged in")
        return self.over if dead else self.data

    def session(self, login_pause: float = 600.0) -> Session:
        return session(self.adapter, login_pause=login_pause)


def session(adapter: Fake, login: Credentials | None = LOGIN, login_pause: float = 600.0) -> Session:
    return Session(Http("https://db.example.invalid", adapter=adapter), login, login_pause)


def scripted(*replies: Reply | Exception) -> tuple[Session, Fake]:
    """A session whose login works, and whose data requests get `replies` in turn, the last one for ever."""
    left = list(replies)

    def answer(request: Request) -> Reply:
        if request.target == LOGIN_PATH:
            return Reply(200, b"S1")
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    fake = Fake(answer)
    return session(fake), fake


def login_answered(
    reply: Reply | Callable[[Request], Reply], login: Credentials | None = LOGIN
) -> tuple[Session, Fake]:
    fake = Fake(reply if callable(reply) else lambda request: reply)
    return session(fake, login), fake


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    builder = DataSetBuilder()
    builder.project("P")
    builder.account("mylogin", "mypasswd")
    builder.account("jürgen", "pä:ß wörd:€")
    with StandIn(builder.build()) as running:
        yield running


def ask_at_once(session: Session, threads: int) -> list[int]:
    barrier = threading.Barrier(threads)

    def ask() -> int:
        barrier.wait(5)
        return session.get(ROUTE, "/data/projects", {"format": "json"}).status

    with ThreadPoolExecutor(threads) as pool:
        return [future.result() for future in [pool.submit(ask) for _ in range(threads)]]


def test_one_login_serves_many_threads(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), LOGIN)
    assert ask_at_once(session, 20) == [200] * 20
    assert stand_in.session_counts()["logins"] == session.logins == 1
    session.close()


def test_an_expired_session_is_renewed_once_by_one_of_20_threads(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), LOGIN)
    session.login()
    for _ in range(3):
        stand_in.expire_sessions()
        assert ask_at_once(session, 20) == [200] * 20
    assert stand_in.session_counts()["logins"] == session.logins == 4
    session.close()


def test_the_password_goes_with_the_login_only(stand_in: StandIn) -> None:
    server = Server()
    session = server.session()
    session.get(ROUTE, "/data/projects")
    login, request = server.adapter.requests
    assert login.target == LOGIN_PATH
    assert base64.b64decode(login.headers["authorization"].split()[1]) == b"mylogin:mypasswd"
    assert "authorization" not in request.headers
    assert request.headers["cookie"] == "JSESSIONID=S1"


def exchanges(fake: Fake) -> list[tuple[str, str | None]]:
    """What was asked, and with which cookie."""
    return [(request.target, request.headers.get("cookie")) for request in fake.requests]


@pytest.mark.parametrize(
    "says", [DENIED, PAGE, REDIRECT, Reply(403), GUEST], ids=["401", "page", "302", "403", "guest"]
)
@pytest.mark.parametrize(
    "over",
    [
        DENIED,
        PAGE,
        REDIRECT,
        GUEST,
        *map(recorded, ("022-projects-bogus-cookie", "023-projects-bogus-cookie-browser")),
    ],
    ids=["401", "page", "302", "guest", "recorded 401", "recorded 302"],
)
def test_a_session_that_is_over_by_the_servers_word_is_renewed(over: Reply, says: Reply) -> None:
    server = Server(over)
    server.says = says
    session = server.session()
    session.login()
    server.dead.add("S1")
    assert session.get(ROUTE, "/data/projects").body == b"{}"
    assert exchanges(server.adapter) == [
        (LOGIN_PATH, None),
        ("/data/projects", "JSESSIONID=S1"),
        (AUTH_PATH, "JSESSIONID=S1"),
        (LOGIN_PATH, None),
        ("/data/projects", "JSESSIONID=S2"),
    ]


@pytest.mark.parametrize("reply", [DENIED, REDIRECT, GUEST], ids=["401", "302", "guest"])
def test_an_item_that_is_refused_to_a_session_that_lives_costs_no_login(reply: Reply) -> None:
    server = Server(data=reply)
    session = server.session()
    for _ in range(3):
        with pytest.raises(AccessRefused, match="refuses its own session at /data/projects"):
            session.get(ROUTE, "/data/projects")
    assert server.logins == 1


def test_an_answer_that_repeats_our_session_is_no_end_of_it() -> None:
    headers = {"Set-Cookie": "a=b; Path=/, JSESSIONID=S1; Path=/; HttpOnly"}
    server = Server(data=Reply(200, b"{}", headers))
    session = server.session()
    assert session.get(ROUTE, "/data/projects").body == b"{}"
    assert session.counts == {"/data/projects": 1}


def test_a_page_with_a_session_that_lives_costs_no_login_however_often_it_is_asked_for() -> None:
    server = Server(data=PAGE)
    session = server.session()
    for _ in range(3):
        with pytest.raises(ServerFault, match="a page for people instead of data at /data/projects"):
            session.get(ROUTE, "/data/projects")
    assert server.logins == session.logins == 1
    assert exchanges(server.adapter)[1:4] == [
        ("/data/projects", "JSESSIONID=S1"),
        (AUTH_PATH, "JSESSIONID=S1"),
        ("/data/projects", "JSESSIONID=S1"),
    ]
    assert session.counts == {"/data/projects": 6, AUTH_PATH: 3}


def test_a_page_that_came_once_is_asked_past() -> None:
    session, fake = scripted(PAGE, Reply(200, b"User 'mylogin' is logged in"), DATA)
    assert session.get(ROUTE, "/data/projects").body == b"{}"
    assert [target for target, _ in exchanges(fake)] == [LOGIN_PATH, "/data/projects", AUTH_PATH, "/data/projects"]


def test_a_session_that_ends_after_a_page_is_the_next_requests_to_renew() -> None:
    """A page, a session that lives, and then no session: an item is tried twice, whatever comes between."""
    session, _ = scripted(PAGE, Reply(200, b"User 'mylogin' is logged in"), DENIED, DATA)
    with pytest.raises(AccessRefused):
        session.get(ROUTE, "/data/projects")
    assert session.get(ROUTE, "/data/projects").body == b"{}"


def test_a_page_that_says_its_status_is_no_end_of_a_session() -> None:
    page = {"Content-Type": "text/html"}
    for status, error in ((403, AccessRefused), (404, NotFound), (500, ServerFault)):
        session, fake = scripted(Reply(status, b"<html>no</html>", page))
        with pytest.raises(error):
            session.get(ROUTE, "/data/projects")
        assert len(fake.requests) == 2


def test_the_stand_in_tells_a_dead_session_from_a_page(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), LOGIN)
    with pytest.raises(ServerFault, match="a page for people"):
        session.get(ROUTE, "/data/projects", {"format": "html"})
    assert (session.logins, session.counts[AUTH_PATH]) == (1, 1)
    stand_in.expire_sessions()
    assert session.get(ROUTE, "/data/projects", {"format": "json"}).status == 200
    assert session.logins == 2
    session.close()


def test_all_that_a_page_costs_keeps_the_deadline() -> None:
    def answer(request: Request) -> Reply:
        if request.target == LOGIN_PATH:
            return Reply(200, b"S1")
        time.sleep(0.03)
        return PAGE

    fake = Fake(answer)
    made = session(fake)
    with pytest.raises(TimedOut):
        made.get(Route("/data/projects", 2**20, deadline=0.05), "/data/projects")
    assert len(fake.requests) <= 3


def test_a_refused_login_is_never_tried_again(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), Credentials("mylogin", "wrong"))
    for _ in range(3):
        with pytest.raises(LoginRefused, match="refused the login of mylogin"):
            session.login()
        with pytest.raises(LoginRefused):
            session.get(ROUTE, "/data/projects")
    assert stand_in.session_counts()["refused_logins"] == session.logins == 1
    session.close()


def test_a_login_refused_at_renewal_is_never_tried_again(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), LOGIN)
    session.login()
    stand_in.fault("*", "refuse_login")
    stand_in.expire_sessions()
    for _ in range(5):
        with pytest.raises(LoginRefused):
            session.get(ROUTE, "/data/projects")
    assert stand_in.session_counts()["refused_logins"] == 1
    session.close()


def test_all_threads_that_wait_for_a_login_learn_of_its_refusal(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), Credentials("mylogin", "wrong"))

    def ask() -> type[BaseException]:
        with pytest.raises(CdbfsError) as caught:
            session.get(ROUTE, "/data/projects")
        return caught.type

    with ThreadPoolExecutor(20) as pool:
        assert {future.result() for future in [pool.submit(ask) for _ in range(20)]} == {LoginRefused}
    assert stand_in.session_counts()["refused_logins"] == 1
    session.close()


def test_a_remembered_refusal_does_not_grow_with_every_request() -> None:
    session, _ = login_answered(DENIED)
    lengths = []
    for _ in range(10):
        with pytest.raises(LoginRefused) as caught:
            session.get(ROUTE, "/data/projects")
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert lengths[-1] <= lengths[1]


def test_the_refusal_names_neither_password_nor_session() -> None:
    session, _ = login_answered(DENIED, Credentials("me", "s3cret"))
    with pytest.raises(LoginRefused) as caught:
        session.login()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("over", [DENIED, PAGE, REDIRECT], ids=["401", "page", "302"])
def test_a_server_that_refuses_all_its_sessions_gets_few_logins(over: Reply) -> None:
    server = Server(over)
    server.all_dead = True
    session = server.session()
    for _ in range(10):
        with pytest.raises(CdbfsError):
            session.get(ROUTE, "/data/projects")
    assert server.logins == FRUITLESS_LOGINS


def test_a_server_that_refused_its_sessions_is_asked_again_after_the_pause() -> None:
    server = Server()
    server.all_dead = True
    session = server.session(login_pause=0.2)
    for error in (AccessRefused, SessionRefused, SessionRefused):
        with pytest.raises(error):
            session.get(ROUTE, "/data/projects")
    server.all_dead = False
    server.dead.update({"S1", "S2"})
    with pytest.raises(SessionRefused, match="gives out sessions and then refuses them"):
        session.get(ROUTE, "/data/projects")
    time.sleep(0.2)
    assert session.get(ROUTE, "/data/projects").status == 200
    assert server.logins == FRUITLESS_LOGINS + 1


def test_sessions_that_work_are_renewed_as_often_as_they_end() -> None:
    server = Server()
    session = server.session()
    for number in range(1, 10):
        assert session.get(ROUTE, "/data/projects").status == 200
        server.dead.add(f"S{number}")
    assert server.logins == 9


def test_a_server_down_at_login_is_no_refusal() -> None:
    answers = iter([Reply(500), Reply(200, b"S1")])
    session, _ = login_answered(lambda request: next(answers))
    with pytest.raises(ServerFault, match="status 500"):
        session.login()
    session.login()
    assert session.logins == 2


def test_a_login_that_fails_in_an_unforeseen_way_holds_up_nobody_after_it() -> None:
    answers = iter([RuntimeError("unforeseen")])

    def answer(request: Request) -> Reply:
        for error in answers:
            raise error
        return Reply(200, b"S1")

    session, _ = login_answered(answer)
    with pytest.raises(RuntimeError):
        session.login()
    session.login(deadline=0.1)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>hello</html>", b"a b", b"a\nb", b"x" * 201, b"\xff\xfe\xfd", b"a\x00b", b"a\x7f", b";csrf=1"],
    ids=["empty", "page", "space", "lines", "long", "not ascii", "nul", "delete", "csrf alone"],
)
def test_a_login_that_brings_no_session_is_a_fault_of_the_server(body: bytes) -> None:
    session, _ = login_answered(Reply(200, body))
    with pytest.raises(ServerFault, match="the login got a page"):
        session.login()


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (
            "https://other.example.invalid:8443/x;jsessionid=S9?a=b",
            r"https://other\.example\.invalid:8443; if you",
        ),
        ("http://ana:secret@other.example.invalid/", r"http://other\.example\.invalid; if you"),
        ("/app/template/Login.vm", "an XNAT server's address"),
        ("", "an XNAT server's address"),
        ("https://[", "an XNAT server's address"),
        ("https://other.example.invalid:99999/", "an XNAT server's address"),
        ("https://other\x1b.example.invalid/", "an XNAT server's address"),
    ],
)
def test_a_redirected_login_is_not_followed_and_the_other_address_is_named(location: str, said: str) -> None:
    session, fake = login_answered(Reply(302, b"", {"Location": location}))
    with pytest.raises(ServerFault, match=said) as failure:
        session.login()
    assert len(fake.requests) == 1
    assert "S9" not in str(failure.value)
    assert "secret" not in str(failure.value)


def test_csrf_text_after_the_session_id_is_cut_off() -> None:
    session, fake = login_answered(lambda r: Reply(200, b"ABC;csrf=1\n") if r.target == LOGIN_PATH else DATA)
    session.get(ROUTE, "/data/projects")
    assert fake.requests[-1].headers["cookie"] == "JSESSIONID=ABC"


def test_a_guest_sends_no_login() -> None:
    session, fake = login_answered(lambda r: Reply(200, b"GUEST") if r.target == LOGIN_PATH else DATA, None)
    assert session.get(ROUTE, "/data/projects").status == 200
    assert session.user == "guest"
    assert all("authorization" not in request.headers for request in fake.requests)


def test_a_guest_who_is_not_let_in_is_told_how_to_log_in() -> None:
    session, _ = login_answered(recorded("008-jsession-no-auth"), None)
    with pytest.raises(LoginRefused, match=r"CDBFS_USER and CDBFS_PASSWORD.*netrc"):
        session.login()


def test_a_guests_session_that_opens_nothing_is_a_refusal() -> None:
    """Newer servers give anybody a session, also where a login is required."""
    session, fake = login_answered(lambda r: Reply(200, b"G1") if r.target == LOGIN_PATH else DENIED, None)
    for _ in range(2):
        with pytest.raises(LoginRefused, match="CDBFS_USER and CDBFS_PASSWORD"):
            session.login()
    assert [request.target for request in fake.requests] == [LOGIN_PATH, AUTH_PATH]


def test_a_login_of_many_alphabets_and_colons_gets_in(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), Credentials("jürgen", "pä:ß wörd:€"))
    assert session.get(ROUTE, "/data/projects", {"format": "json"}).status == 200
    session.close()


def test_a_password_that_is_not_utf8_goes_out_byte_for_byte() -> None:
    from_environ = b"p\xff".decode("utf-8", "surrogateescape")  # as os.environ gives it
    session, fake = login_answered(Reply(200, b"S1"), Credentials("me", from_environ))
    session.login()
    assert base64.b64decode(fake.requests[0].headers["authorization"].split()[1]) == b"me:p\xff"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequest),
        (409, BadRequest),
        (422, BadRequest),
        (403, AccessRefused),
        (404, NotFound),
        (500, ServerFault),
        (502, BrokeOff),
        (503, BrokeOff),
        (504, BrokeOff),
        (206, ServerFault),
        (204, ServerFault),
    ],
)
def test_a_status_means_one_kind_of_error(status: int, error: type[CdbfsError]) -> None:
    session, _ = scripted(Reply(status))
    with pytest.raises(error) as caught:
        session.get(ROUTE, "/data/projects")
    assert caught.type is error
    assert "/data/projects" in str(caught.value)
    assert session.logins == 1


def test_an_error_page_of_the_recorded_server_renews_no_session() -> None:
    session, fake = scripted(recorded("247-doc-project-unknown"))
    with pytest.raises(NotFound):
        session.get(ROUTE, "/data/projects/NoSuch")
    assert len(fake.requests) == 2


def test_a_gateway_that_is_not_ready_is_asked_again() -> None:
    session, _ = scripted(Reply(502), Reply(503), DATA)
    assert session.get(ROUTE, "/data/projects").status == 200
    assert session.counts == {"/data/projects": 3}


@pytest.mark.usefixtures("swept")
def test_a_server_that_stays_away_is_given_up_after_three_attempts(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), LOGIN)
    session.login()
    stand_in.stop()
    with pytest.raises(Unreachable):
        session.get(ROUTE, "/data/projects")
    assert session.counts == {"/data/projects": 3}
    session.close()


@pytest.mark.usefixtures("swept")
def test_an_answer_that_is_cut_is_asked_for_again(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), LOGIN)
    stand_in.fault("GET /data/projects", "cut", bytes=10, times=2)
    assert session.get(ROUTE, "/data/projects", {"format": "json"}).body.endswith(b"}}")
    session.close()


def test_what_the_server_says_plainly_is_not_asked_again() -> None:
    for reply in (Reply(404), Reply(403), Reply(500)):
        session, fake = scripted(reply)
        with pytest.raises(CdbfsError):
            session.get(ROUTE, "/data/projects")
        assert len(fake.requests) == 2


def test_all_attempts_together_keep_the_deadline() -> None:
    session, _ = scripted(Reply(503))
    began = time.monotonic()
    with pytest.raises(BrokeOff):
        session.get(Route("/data/projects", 1, deadline=0.1, attempts=100, pause=0.03), "/data/projects")
    assert time.monotonic() - began < 0.5


def test_a_waiter_for_somebody_elses_login_keeps_its_own_deadline() -> None:
    logged_in = threading.Event()

    def answer(request: Request) -> Reply:
        logged_in.wait(5)
        return Reply(200, b"S1")

    session, fake = login_answered(answer)
    first = threading.Thread(target=session.login)
    first.start()
    while not fake.requests:
        time.sleep(0.001)
    with pytest.raises(TimedOut, match="the login"):
        session.login(deadline=0.05)
    logged_in.set()
    first.join()
    assert session.logins == 1


def test_closing_ends_the_session_on_the_server(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), LOGIN)
    session.login()
    assert stand_in.session_counts()["sessions"] == 1
    session.close()
    assert stand_in.session_counts()["sessions"] == 0
    session.close()


@pytest.mark.usefixtures("swept")
def test_closing_a_session_whose_server_is_gone_is_quiet(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), LOGIN)
    session.login()
    stand_in.stop()
    session.close()


def test_nobody_logs_in_after_the_end(stand_in: StandIn) -> None:
    session = Session(Http(stand_in.url), LOGIN)
    session.login()
    session.close()
    with pytest.raises(Interrupted, match="the mount is ending"):
        session.get(ROUTE, "/data/projects", {"format": "json"})
    assert stand_in.session_counts() == {**stand_in.session_counts(), "logins": 1, "sessions": 0}
    session.close()


ONCE = Route("/spring/download transfer", max_bytes=2**20, deadline=5.0, attempts=1, once=True)


def sent(server: Server) -> int:
    return sum(request.target not in (LOGIN_PATH, AUTH_PATH) for request in server.adapter.requests)


def test_what_is_to_be_done_once_is_sent_again_after_a_new_login() -> None:
    server = Server()
    asking = server.session()
    asking.get(ROUTE, "/data/projects")
    server.dead.add("S1")
    assert asking.post(ONCE, "/spring/download", "subjects=1,2", b"").body == DATA.body
    assert server.logins == 2
    assert sent(server) == 3


@pytest.mark.parametrize("answer", [PAGE, REDIRECT, DENIED])
def test_what_is_to_be_done_once_is_not_sent_again_where_the_session_lives(answer: Reply) -> None:
    server = Server(data=answer)
    asking = server.session()
    asking.login()
    with pytest.raises((ServerFault, AccessRefused)):
        asking.post(ONCE, "/spring/download", "subjects=1,2", b"")
    assert server.logins == 1
    assert sent(server) == 1


def test_a_query_that_is_written_already_is_sent_as_it_is() -> None:
    server = Server()
    server.session().post(ONCE, "/spring/download", "subjects=1,2&package=a%20b", b"")
    assert server.adapter.requests[-1].target == "/spring/download?subjects=1,2&package=a%20b"
    assert server.adapter.requests[-1].headers["content-length"] == "0"
