"""Logins, sessions and the routes that deal in them, beyond what the recordings show."""

from __future__ import annotations

import base64
import dataclasses
import time

import pytest
import requests

from cdbfs.demo import Account, DataSet, StandIn
from cdbfs.demo.sessions import SESSIONS_PER_USER

from .conftest import LOGIN

FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"}


def test_a_session_lives_by_its_cookie(standin: StandIn, client: requests.Session) -> None:
    assert client.get(standin.url + "/data/auth", timeout=10).text == "User 'mylogin' is logged in."
    assert standin.session_counts() == {"logins": 0, "refused_logins": 0, "sessions": 1}


def test_every_request_without_a_cookie_is_a_login(standin: StandIn) -> None:
    for _ in range(3):
        assert requests.get(standin.url + "/data/auth", auth=LOGIN, timeout=10).status_code == 200
    assert standin.session_counts()["sessions"] == 3


def test_an_idle_session_dies_and_a_used_one_does_not(small: DataSet) -> None:
    with StandIn(small, session_seconds=0.6) as standin, requests.Session() as client:
        client.get(standin.url + "/data/JSESSION", auth=LOGIN, timeout=10)
        for _ in range(4):
            time.sleep(0.2)
            assert client.get(standin.url + "/data/auth", timeout=10).status_code == 200
        time.sleep(0.8)
        assert client.get(standin.url + "/data/auth", timeout=10).status_code == 401
        assert standin.session_counts()["sessions"] == 0


def test_expired_sessions_are_401_on_data_and_a_redirect_elsewhere(
    standin: StandIn, client: requests.Session
) -> None:
    standin.expire_sessions()
    dead = {"Cookie": "JSESSIONID=" + "0" * 32}
    answer = requests.get(standin.url + "/data/projects", headers=dead, timeout=10)
    assert answer.status_code == 401
    assert answer.text.startswith("<!doctype html>")
    for path in ("/", "/app", "/schemas/x.xsd", "/archive/x", "/spring/x", "/xapi/x"):
        moved = requests.get(standin.url + path, headers=dead, timeout=10, allow_redirects=False)
        assert moved.headers["Location"] == standin.url + "/app/template/Login.vm"
    assert requests.get(standin.url + "/app", timeout=10).status_code == 200


def test_dead_cookie_and_right_password_log_in_anew(standin: StandIn, client: requests.Session) -> None:
    standin.expire_sessions()
    answer = client.get(standin.url + "/data/projects", auth=LOGIN, timeout=10)
    assert answer.status_code == 200
    assert "JSESSIONID=" in answer.headers["Set-Cookie"]
    assert client.get(standin.url + "/data/projects", timeout=10).status_code == 200


def test_live_cookie_with_anothers_password_changes_the_user(standin: StandIn, client: requests.Session) -> None:
    answer = client.get(standin.url + "/data/auth", auth=("other", "otherpw"), timeout=10)
    assert answer.text == "User 'other' is logged in."
    assert client.get(standin.url + "/data/auth", auth=("mylogin", "no"), timeout=10).status_code == 401


def test_too_many_sessions_look_like_a_wrong_password(small: DataSet) -> None:
    with StandIn(small) as standin:
        for _ in range(SESSIONS_PER_USER):
            assert standin._sessions.open("mylogin") is not None
        refused = requests.get(standin.url + "/data/JSESSION", auth=LOGIN, timeout=10)
        assert refused.status_code == 401
        assert "Login attempt failed" in refused.text
        other = requests.get(standin.url + "/data/JSESSION", auth=("other", "otherpw"), timeout=10)
        assert other.status_code == 200


def test_session_ended_by_its_user(standin: StandIn, client: requests.Session) -> None:
    answer = client.delete(standin.url + "/data/JSESSION", timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.delete(standin.url + "/data/JSESSION", timeout=10).status_code == 401


def test_services_auth_gives_the_session_in_the_cookie_alone(standin: StandIn) -> None:
    form = {"username": "mylogin", "password": "mypasswd"}
    with requests.Session() as client:
        answer = client.put(standin.url + "/data/services/auth", data=form, timeout=10)
        assert (answer.status_code, answer.content) == (200, b"")
        assert client.get(standin.url + "/data/auth", timeout=10).status_code == 200
    assert requests.get(standin.url + "/data/services/auth", auth=LOGIN, timeout=10).status_code in (404, 405)


@pytest.mark.parametrize("header", ["Basic !!!!", "Basic bm9jb2xvbg==", "Basic "])
def test_basic_that_cannot_be_read_is_500(standin: StandIn, header: str) -> None:
    answer = requests.get(standin.url + "/data/auth", headers={"Authorization": header}, timeout=10)
    assert answer.status_code == 500


def test_a_browsers_delete_needs_a_token(standin: StandIn, client: requests.Session) -> None:
    url = standin.url + "/data/projects/HCP_Q2"
    assert client.delete(url, headers=FIREFOX, timeout=10).status_code == 500
    assert client.delete(url, timeout=10).status_code == 405


def test_prefixes_are_the_same_resources(standin: StandIn, client: requests.Session) -> None:
    answers = {
        client.get(standin.url + path, timeout=10).text
        for path in ("/data/projects", "/data/archive/projects", "/REST/projects", "/REST/archive/projects")
    }
    assert len(answers) == 1
    assert standin.counts() == {"GET /data/projects": 4}


def test_password_with_colon_and_non_ascii(small: DataSet) -> None:
    odd = Account("zo\u00eb", "a:b\u00df", frozenset({"HCP_Q1"}))
    data = dataclasses.replace(small, accounts=(odd,))
    with StandIn(data) as standin:
        basic = base64.b64encode(f"{odd.user}:{odd.password}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}"}
        listing = requests.get(standin.url + "/data/projects", headers=headers, timeout=10).json()
    assert [row["ID"] for row in listing["ResultSet"]["Result"]] == ["HCP_Q1"]
