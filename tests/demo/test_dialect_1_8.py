"""The 1.8 dialect: what newer servers do differently, by the sections of what was read from their source."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import pytest
import requests

from cdbfs.demo import DataSet, DataSetBuilder, Scan, StandIn

FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"}
ANA = ("ana", "secret")
BOSS = ("boss", "all")
CHALLENGE = 'Basic realm="Lab"'
FAILED = "Login attempt failed. Please try again."


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


def laboratory() -> DataSet:
    make = DataSetBuilder(site_id="Lab")
    make.project("OWN", pi_lastname="Example")
    make.project("SHARED")
    make.project("EMPTY")
    make.project("OPEN", access="protected")
    make.project("HIDDEN")
    make.type("cog:battery", "cog:Battery", "http://example.org/cog", fields={"memory/recall": "int"})
    for number in range(1, 6):
        subject = make.subject(
            f"s{number}",
            "OWN",
            id=f"S{number}",
            shares={"SHARED": f"shared{number}"} if number < 3 else None,
            gender="female" if number % 2 else "male",
            yob=str(1980 + number),
        )
        make.experiment(
            f"s{number}_bat",
            subject,
            "cog:battery",
            id=f"B{number}",
            shares={"SHARED": f"shared{number}_bat"} if number < 3 else None,
            groups={"memory": {"recall": str(10 * number)}},
            date=f"2012-0{number}-03",
        )
    make.experiment("s1_3T", "S1", "xnat:mrSessionData", project="OWN", id="M1", scans=[Scan("1", "T1", key=1)])
    make.subject("nobody", "HIDDEN", id="S9")
    make.experiment("nobody_bat", "S9", "cog:battery", project="HIDDEN", id="B9")
    make.account("ana", "secret", ["OWN", "SHARED", "EMPTY"])
    make.account("bob", "secret2", ["SHARED"])
    make.account("boss", "all")
    return make.build()


@pytest.fixture(scope="module")
def data() -> DataSet:
    return laboratory()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def newer(data: DataSet, clock: Clock) -> Iterator[StandIn]:
    with StandIn(data, dialect="1.8", clock=clock) as running:
        yield running


@pytest.fixture
def client(newer: StandIn) -> Iterator[requests.Session]:
    with logged_in(newer, ANA) as session:
        yield session


def logged_in(standin: StandIn, login: tuple[str, str]) -> requests.Session:
    session = requests.Session()
    session.get(standin.url + "/data/JSESSION", auth=login, timeout=10).raise_for_status()
    return session


def get(standin: StandIn, path: str, **options: object) -> requests.Response:
    return requests.get(standin.url + path, allow_redirects=False, timeout=10, **options)  # type: ignore[arg-type]


def rows(standin: StandIn, path: str, login: tuple[str, str] = ANA) -> list[dict[str, str]]:
    answer = get(standin, path + ("&" if "?" in path else "?") + "format=csv", auth=login)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def ids(standin: StandIn, path: str, login: tuple[str, str] = ANA) -> list[str]:
    return [row["ID"] for row in rows(standin, path, login)]


# --- 1. sessions


def test_anybody_gets_a_session_which_proves_nothing(newer: StandIn) -> None:
    answer = get(newer, "/data/JSESSION")
    assert answer.status_code == 200
    assert re.fullmatch("[0-9A-F]{32}", answer.text)
    assert answer.cookies["JSESSIONID"] == answer.text
    refused = get(newer, "/data/auth", headers={"Cookie": f"JSESSIONID={answer.text}"})
    assert refused.status_code == 401
    assert newer.session_counts()["logins"] == 0


def test_csrf_tokens_belong_to_a_session(newer: StandIn, client: requests.Session) -> None:
    told = [client.get(f"{newer.url}/data/{path}?CSRF=true", timeout=10).text for path in ("JSESSION", "auth")]
    found = [re.fullmatch(r"(.*); XNAT_CSRF=([0-9a-f-]{36})", text) for text in told]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0][1] == client.cookies["JSESSIONID"]
    assert found[1][1] == "User 'ana' is logged in"
    assert found[0][2] == found[1][2]
    url = f"{newer.url}/data/projects/OWN"
    assert client.delete(url, headers=FIREFOX, timeout=10).status_code == 500
    assert client.delete(f"{url}?XNAT_CSRF={found[0][2]}", headers=FIREFOX, timeout=10).status_code == 405
    assert client.delete(f"{url}?XNAT_CSRF=other", headers=FIREFOX, timeout=10).status_code == 500


def test_who_is_logged_in(newer: StandIn) -> None:
    assert get(newer, "/data/auth", auth=ANA).text == "User 'ana' is logged in"
    assert get(newer, "/xapi/users/username", auth=ANA).text == "ana"


def test_services_auth_tells_the_session(newer: StandIn) -> None:
    url = newer.url + "/data/services/auth"
    right = requests.put(url, data={"username": "ana", "password": "secret"}, timeout=10)
    assert right.status_code == 200
    assert right.text == right.cookies["JSESSIONID"]
    assert get(newer, "/data/auth", headers={"Cookie": f"JSESSIONID={right.text}"}).status_code == 200
    wrong = requests.put(url, data={"username": "ana", "password": "no"}, timeout=10)
    assert wrong.status_code == 401
    assert wrong.text.startswith("<html>")
    assert "<h3>Authentication failed" in wrong.text
    assert get(newer, "/data/services/auth").status_code == 500


@pytest.mark.parametrize("path", ["/data/projects", "/REST/projects", "/data/auth", "/xapi/users/username"])
def test_without_a_login_data_paths_are_401_and_name_the_site(newer: StandIn, path: str) -> None:
    answer = get(newer, path)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, CHALLENGE)
    assert answer.text.lower().startswith("<!doctype html>")
    browser = get(newer, path, headers=FIREFOX)
    assert browser.status_code == 302
    assert "/app/template/Login.vm" in browser.headers["Location"]


@pytest.mark.parametrize(
    "path", ["/", "/app/template/Index.vm", "/schemas/xnat/xnat.xsd", "/archive/x", "/spring/x"]
)
def test_without_a_login_other_paths_lead_to_the_login_page(newer: StandIn, path: str) -> None:
    answer = get(newer, path)
    assert answer.status_code == 302
    followed = requests.get(newer.url + path, timeout=10)
    assert (followed.status_code, followed.text[:9]) == (200, "<!DOCTYPE")


def test_a_wrong_password_is_401_without_a_challenge_whatever_the_agent(newer: StandIn) -> None:
    for agent in ({}, FIREFOX):
        answer = get(newer, "/data/projects", auth=("ana", "no"), headers=agent)
        assert answer.status_code == 401
        assert "WWW-Authenticate" not in answer.headers
        assert FAILED in answer.text


def test_the_version_is_told_by_xapi_to_everybody(newer: StandIn) -> None:
    assert get(newer, "/data/version").status_code == 401
    assert get(newer, "/data/version", auth=ANA).status_code == 404
    info = get(newer, "/xapi/siteConfig/buildInfo").json()
    assert info["version"].startswith("1.8")
    assert {"buildNumber", "buildDate", "commit"} <= info.keys()
    assert all(isinstance(value, str) for value in info.values())
    assert get(newer, "/xapi/siteConfig/siteId").text == "Lab"
    assert get(newer, "/xapi/siteConfig/siteUrl").text == newer.url


def test_xapi_errors_are_text_or_nothing(newer: StandIn) -> None:
    for path in ("/xapi/nosuch", "/xapi/siteConfig/nosuch"):
        answer = get(newer, path, auth=ANA)
        assert (answer.status_code, answer.content) == (404, b"")


def test_the_expiry_cookie_is_quoted_for_its_comma(newer: StandIn, client: requests.Session) -> None:
    cookie = client.get(newer.url + "/data/auth", timeout=10).headers["Set-Cookie"]
    assert re.match(r'SESSION_EXPIRATION_TIME="\d{13},900000"; ', cookie)


def test_restlet_names_its_version(newer: StandIn, client: requests.Session) -> None:
    answer = client.get(newer.url + "/data/projects", timeout=10)
    assert answer.headers["Server"] == "Noelios-Restlet-Engine/1.1.10"
    assert answer.headers["Vary"] == "Accept-Charset, Accept-Encoding, Accept-Language, Accept"


def test_one_session_too_many_looks_like_a_wrong_password(data: DataSet, clock: Clock) -> None:
    with StandIn(data, dialect="1.8", sessions_per_user=3, session_seconds=60, clock=clock) as standin:
        cookies = [get(standin, "/data/JSESSION", auth=ANA).cookies for _ in range(3)]
        refused = get(standin, "/data/JSESSION", auth=ANA)
        assert (refused.status_code, FAILED in refused.text) == (401, True)
        assert get(standin, "/data/auth", auth=("bob", "secret2")).status_code == 200
        assert get(standin, "/data/auth", cookies=cookies[0]).status_code == 200
        clock.now += 59
        assert get(standin, "/data/auth", cookies=cookies[0]).status_code == 200
        clock.now += 2  # the two that nobody used since are over
        assert get(standin, "/data/JSESSION", auth=ANA).status_code == 200
        requests.delete(standin.url + "/data/JSESSION", cookies=cookies[0], timeout=10)
        assert get(standin, "/data/auth", cookies=cookies[0]).status_code == 401


def test_twenty_wrong_passwords_lock_an_account_for_an_hour(newer: StandIn, clock: Clock) -> None:
    before = logged_in(newer, ANA)
    for _ in range(19):
        assert get(newer, "/data/JSESSION", auth=("ana", "no")).status_code == 401
    assert get(newer, "/data/JSESSION", auth=ANA).status_code == 200  # and the count begins anew
    for _ in range(20):
        assert get(newer, "/data/JSESSION", auth=("ana", "no")).status_code == 401
    locked = get(newer, "/data/JSESSION", auth=ANA)
    assert (locked.status_code, FAILED in locked.text) == (401, True)
    form = {"username": "ana", "password": "secret"}
    assert requests.put(newer.url + "/data/services/auth", data=form, timeout=10).status_code == 401
    assert before.get(newer.url + "/data/auth", timeout=10).status_code == 200  # an open session goes on
    assert get(newer, "/data/JSESSION", auth=("bob", "secret2")).status_code == 200
    clock.now += 3599
    assert get(newer, "/data/JSESSION", auth=ANA).status_code == 401
    clock.now += 2
    assert get(newer, "/data/JSESSION", auth=ANA).status_code == 200


def test_lockout_can_be_set(data: DataSet, clock: Clock) -> None:
    with StandIn(data, dialect="1.6", failed_logins=2, locked_seconds=5, clock=clock) as standin:
        for _ in range(2):
            get(standin, "/data/JSESSION", auth=("ana", "no"))
        assert get(standin, "/data/JSESSION", auth=ANA).status_code == 401
        clock.now += 6
        assert get(standin, "/data/JSESSION", auth=ANA).status_code == 200
    with StandIn(data, dialect="1.8", failed_logins=0, clock=clock) as standin:
        for _ in range(30):
            get(standin, "/data/JSESSION", auth=("ana", "no"))
        assert get(standin, "/data/JSESSION", auth=ANA).status_code == 200


def test_the_older_dialect_never_locks(data: DataSet) -> None:
    with StandIn(data, dialect="1.6") as standin:
        for _ in range(30):
            get(standin, "/data/JSESSION", auth=("ana", "no"))
        assert get(standin, "/data/JSESSION", auth=ANA).status_code == 200


# --- alias tokens


def test_a_token_logs_in_until_it_is_invalidated(newer: StandIn, client: requests.Session, clock: Clock) -> None:
    base = newer.url + "/data/services/tokens"
    token = client.get(base + "/issue", timeout=10).json()
    assert re.fullmatch("[0-9a-f-]{36}", token["alias"])
    assert re.fullmatch("[0-9A-Za-z]{64}", token["secret"])
    assert (token["singleUse"], token["xdatUserId"], token["enabled"]) == (False, "ana", True)
    assert token["estimatedExpirationTime"] == int((clock.now + 2 * 24 * 3600) * 1000)
    login = (token["alias"], token["secret"])
    assert get(newer, "/data/auth", auth=login).text == "User 'ana' is logged in"
    assert get(newer, "/data/auth", auth=(token["alias"], "no")).status_code == 401
    assert client.get(base + "/show", timeout=10).json() == [token]
    valid = client.get(f"{base}/validate/{token['alias']}/{token['secret']}", timeout=10)
    assert (valid.status_code, valid.json()) == (200, {"valid": "ana"})
    assert client.get(f"{base}/validate/{token['alias']}/no", timeout=10).json() == {"valid": None}
    assert client.get(f"{base}/validate/unknown/no", timeout=10).status_code == 404
    other = requests.get(f"{base}/invalidate/{token['alias']}", auth=("bob", "secret2"), timeout=10)
    assert other.status_code == 403
    assert client.get(f"{base}/invalidate/{token['alias']}", timeout=10).json() == {"result": "OK"}
    assert get(newer, "/data/auth", auth=login).status_code == 401
    assert client.get(base + "/show", timeout=10).json() == []
    assert client.get(base + "/nosuch", timeout=10).status_code == 400


def test_a_token_ends_with_its_lifetime(data: DataSet, clock: Clock) -> None:
    with StandIn(data, dialect="1.8", token_seconds=100, session_seconds=10_000, clock=clock) as standin:
        with logged_in(standin, ANA) as client:
            token = client.get(standin.url + "/data/services/tokens/issue", timeout=10).json()
        login = (token["alias"], token["secret"])
        by_token = logged_in(standin, login)
        clock.now += 99
        assert get(standin, "/data/auth", auth=login).status_code == 200
        clock.now += 2
        assert get(standin, "/data/auth", auth=login).status_code == 401
        assert by_token.get(standin.url + "/data/auth", timeout=10).status_code == 200  # its session lives on


def test_the_session_of_a_token_is_kept_when_the_token_is_sent_again(newer: StandIn) -> None:
    token = get(newer, "/data/services/tokens/issue", auth=ANA).json()
    with requests.Session() as client:
        client.auth = (token["alias"], token["secret"])
        answers = [client.get(newer.url + "/data/JSESSION", timeout=10).text for _ in range(3)]
    assert len(set(answers)) == 1


def test_tokens_for_others_are_the_administrators(newer: StandIn) -> None:
    path = "/data/services/tokens/issue/user/bob"
    assert get(newer, path, auth=ANA).status_code == 403
    assert get(newer, "/data/services/tokens/issue/user/ana", auth=ANA).status_code == 200
    token = get(newer, path, auth=BOSS).json()
    login = (token["alias"], token["secret"])
    assert get(newer, "/data/auth", auth=login).text == "User 'bob' is logged in"
    assert get(newer, "/data/services/tokens/issue/user/nosuch", auth=BOSS).status_code == 404
    assert get(newer, "/data/services/tokens/issue").status_code == 401


def test_tokens_of_the_older_dialect(data: DataSet) -> None:
    with StandIn(data, dialect="1.6") as standin:
        answer = get(standin, "/data/services/tokens/issue", auth=ANA)
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert re.fullmatch(r'\{"alias":"[0-9a-f-]{36}","secret":"\d+"\}', answer.text)
        token = answer.json()
        login = (token["alias"], token["secret"])
        assert get(standin, "/data/auth", auth=login).text == "User 'ana' is logged in."
        assert get(standin, f"/data/services/tokens/invalidate/{login[0]}", auth=ANA).text == '{"result": "OK"}'
        assert get(standin, "/data/auth", auth=login).status_code == 200  # as on the real one
        assert get(standin, "/data/auth", auth=(login[0], "no")).status_code == 401


# --- 2. listings


def test_subjects_and_experiments_are_paged(newer: StandIn) -> None:
    whole = ids(newer, "/data/projects/OWN/subjects")
    assert len(whole) == 5
    for listing in ("/data/projects/OWN/subjects", "/data/subjects"):
        assert ids(newer, f"{listing}?limit=2&offset=1") == whole[1:3]
        assert ids(newer, f"{listing}?limit=2") == whole[:2]
        assert ids(newer, f"{listing}?offset=3") == whole[3:]
        assert ids(newer, f"{listing}?offset=9") == []
        assert ids(newer, f"{listing}?limit=*&offset=1") == whole
        assert get(newer, f"{listing}?limit=x", auth=ANA).status_code == 400
    assert ids(newer, "/data/projects/OWN/experiments?limit=1&offset=4") == ["B5"]
    assert ids(newer, "/data/experiments?limit=2") == ["B1", "B2"]
    assert len(ids(newer, "/data/projects?limit=1")) == 4  # projects are not


def test_a_page_does_not_tell_the_total(newer: StandIn) -> None:
    for listing in ("/data/projects/OWN/subjects", "/data/experiments"):
        paged = get(newer, listing + "?limit=1", auth=ANA).json()["ResultSet"]
        whole = get(newer, listing, auth=ANA).json()["ResultSet"]
        assert "totalRecords" not in paged
        assert whole["totalRecords"] == str(len(whole["Result"]))


def test_without_a_limit_offset_pages_by_a_hundred() -> None:
    make = DataSetBuilder()
    make.project("P")
    for number in range(120):
        make.subject(f"s{number}", "P")
    make.account("ana", "secret", ["P"])
    with StandIn(make.build(), dialect="1.8") as standin:
        assert len(ids(standin, "/data/projects/P/subjects")) == 120
        assert len(ids(standin, "/data/projects/P/subjects?offset=0")) == 100


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("label=s1", ["S1"]),
        ("label=s1,s3", ["S1", "S3"]),
        ("ID=S2", ["S2"]),
        ("label=S*", ["S1", "S2", "S3", "S4", "S5"]),  # without regard to case
        ("label=%254", ["S4"]),
        ("label=S1", []),
        ("gender=male", ["S2", "S4"]),
        ("gender=male&label=s4,s5", ["S4"]),
        ("yob=1983", ["S3"]),
        ("yob=1982-1984", ["S2", "S3", "S4"]),
        ("xnat:subjectData/label=s5", ["S5"]),
        ("nosuch=1", ["S1", "S2", "S3", "S4", "S5"]),
    ],
)
def test_filters_inside_a_project(newer: StandIn, query: str, found: list[str]) -> None:
    assert ids(newer, f"/data/projects/OWN/subjects?{query}") == found
    assert ids(newer, f"/data/subjects?{query}") == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("label=s1_3T", ["M1"]),
        ("ID=B1,M1", ["B1", "M1"]),
        ("date=03/03/2012", ["B3"]),
        ("date=02/01/2012-03/31/2012", ["B2", "B3"]),
        ("subject_label=s1", ["B1", "M1"]),
        ("xsiType=xnat:mrSessionData", ["M1"]),
        ("xsiType=cog:battery", ["B1", "B2", "B3", "B4", "B5"]),
        ("xsiType=cog:battery,xnat:mrSessionData", ["B1", "B2", "B3", "B4", "B5", "M1"]),
        ("cog:battery/memory/recall=20", ["B2"]),
        ("cog:battery/memory/recall=25-45", ["B3", "B4"]),
        ("xnat:experimentData/sharing/share/project=SHARED", ["B1", "B2"]),
    ],
)
def test_filters_of_experiments(newer: StandIn, query: str, found: list[str]) -> None:
    assert ids(newer, f"/data/projects/OWN/experiments?columns=ID,subject_label&{query}") == found
    assert ids(newer, f"/data/experiments?columns=ID,subject_label&{query}") == found


@pytest.mark.parametrize(
    "query", ["date=2012-01-03", "cog:battery/memory/recall=many", "columns=cog:battery/nosuch"]
)
def test_a_value_or_field_that_cannot_be_is_500(newer: StandIn, query: str) -> None:
    assert get(newer, f"/data/projects/OWN/experiments?{query}", auth=ANA).status_code == 500


def test_only_administrators_filter_projects(newer: StandIn, data: DataSet) -> None:
    assert ids(newer, "/data/projects?ID=OWN") == ["OWN", "SHARED", "EMPTY", "OPEN"]
    assert ids(newer, "/data/projects?ID=OWN", BOSS) == ["OWN"]
    with StandIn(data, dialect="1.6") as older:
        assert ids(older, "/data/projects?ID=OWN") == ["OWN"]


def test_the_older_dialect_neither_pages_nor_filters_in_projects(data: DataSet) -> None:
    with StandIn(data, dialect="1.6") as older:
        assert len(ids(older, "/data/projects/OWN/subjects?limit=2&label=s1")) == 5
        assert ids(older, "/data/subjects?limit=2&label=s1,s2,s3") == ["S1", "S2", "S3"]


def test_a_sharing_project_shows_its_own_name_and_labels(newer: StandIn) -> None:
    columns = "columns=ID,label,subject_label,project"
    shown = rows(newer, f"/data/projects/SHARED/experiments?{columns}")
    assert [(r["label"], r["subject_label"], r["project"]) for r in shown] == [
        ("shared1_bat", "shared1", "SHARED"),
        ("shared2_bat", "shared2", "SHARED"),
    ]
    unnamed = rows(newer, "/data/projects/SHARED/experiments?columns=ID,subject_label,project")
    assert [(r["subject_label"], r["project"]) for r in unnamed] == [("s1", "OWN"), ("s2", "OWN")]
    subjects = rows(newer, "/data/projects/SHARED/subjects")
    assert [(r["label"], r["project"]) for r in subjects] == [("shared1", "OWN"), ("shared2", "OWN")]
    site = rows(newer, f"/data/experiments?{columns}&ID=B1")
    assert [(r["label"], r["subject_label"], r["project"]) for r in site] == [("s1_bat", "s1", "OWN")]


def test_default_columns(newer: StandIn) -> None:
    def header(path: str) -> str:
        return get(newer, path, auth=ANA).text.partition("\n")[0]

    assert header("/data/projects?format=csv") == ("ID,secondary_ID,name,description,pi_firstname,pi_lastname,URI")
    assert header("/data/subjects?format=csv") == "ID,project,label,insert_date,insert_user,URI"
    in_project = header("/data/projects/OWN/experiments?format=csv").split(",")
    assert set(in_project) == {
        *("xnat:subjectassessordata/id", "ID", "project", "date", "xsiType", "label", "insert_date", "URI")
    }
    of_type = header("/data/experiments?format=csv&xsiType=cog:battery").split(",")
    assert {"subject_ID", "subject_label"} <= set(of_type)
    assert "URI" not in header("/data/projects/EMPTY/experiments?format=csv")  # an empty one is not formatted
    assert header("/data/projects/EMPTY/subjects?format=csv").endswith(",URI")


def test_shortcuts_of_newer_servers(newer: StandIn, data: DataSet) -> None:
    for kind, name in (("projects", "alias"), ("projects/OWN/experiments", "protocol")):
        assert name in {row["key"] for row in rows(newer, f"/data/{kind}?fields=true")}
        assert name in rows(newer, f"/data/{kind}?columns=ID,{name}")[0]
    with StandIn(data, dialect="1.6") as older:
        assert "protocol" not in rows(older, "/data/projects/OWN/experiments?columns=ID,protocol")[0]


def test_the_projects_and_the_status_of_an_item(newer: StandIn) -> None:
    found = rows(newer, "/data/experiments/B1/projects")
    assert [(r["label"], r["ID"]) for r in found] == [("s1_bat", "OWN"), ("shared1_bat", "SHARED")]
    assert [r["label"] for r in rows(newer, "/data/subjects/S1/projects")] == ["s1", "shared1"]
    for path in ("experiments/B1", "subjects/S1", "projects/OWN/subjects/s1"):
        assert get(newer, f"/data/{path}/status", auth=ANA).text == "active"
        assert get(newer, f"/data/{path}/status", auth=("bob", "secret2")).status_code == (
            404 if "OWN" in path else 200
        )
    assert get(newer, "/data/experiments/B1/history", auth=ANA).json()["events"][0]["event_user"] == "admin"


# --- 3. documents


@pytest.mark.parametrize("path", ["projects/OWN", "subjects/S1", "experiments/B1", "experiments/M1/scans/1"])
def test_items_are_pages_for_people_by_default(newer: StandIn, path: str) -> None:
    answer = get(newer, f"/data/{path}", auth=ANA)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert get(newer, f"/data/{path}", auth=ANA, headers={"Accept": "application/json"}).status_code == 406
    assert get(newer, f"/data/{path}?format=xml", auth=ANA).headers["Content-Type"] == "text/xml"
    assert get(newer, f"/data/{path}?format=json", auth=ANA).json()["items"]


def test_a_subjects_json_keeps_the_types_of_its_experiments(newer: StandIn, data: DataSet) -> None:
    def types(standin: StandIn) -> list[str]:
        item = get(standin, "/data/subjects/S1?format=json", auth=ANA).json()["items"][0]
        children = {child["field"]: child["items"] for child in item["children"]}
        return [e["meta"]["xsi:type"] for e in children["experiments/experiment"]]

    assert types(newer) == ["cog:battery", "xnat:mrSessionData"]
    with StandIn(data, dialect="1.6") as older:
        assert types(older) == ["cog:battery", "cog:battery"]


# --- 6. errors


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/data/projects/OPEN/subjects", 403),
        ("/data/projects/OPEN/experiments", 403),
        ("/data/projects/HIDDEN/subjects", 404),
        ("/data/projects/HIDDEN/experiments", 404),
        ("/data/projects/NOSUCH", 404),
        ("/data/subjects/S9?format=xml", 404),
        ("/data/experiments/B9?format=xml", 404),
        ("/data/experiments/nosuch/scans", 404),
        ("/data/experiments/M1/scans?columns=type", 500),
        ("/data/nosuch", 404),
    ],
)
def test_errors_are_restlets_pages(newer: StandIn, path: str, status: int) -> None:
    answer = get(newer, path, auth=ANA)
    assert answer.status_code == status
    assert answer.text.startswith("<html>")
    assert answer.headers["Content-Type"].startswith("text/html")
