"""Every kind of fault does what it says, on the wire."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from cdbfs.demo import StandIn

PROJECTS = "/data/projects"
VERSION = "/data/version"


def _timed(client: requests.Session, url: str) -> tuple[float, requests.Response]:
    started = time.monotonic()
    answer = client.get(url, timeout=10)
    return time.monotonic() - started, answer


def _raw(standin: StandIn, path: str) -> bytes:
    """All bytes of the answer to one request, until the server closes the connection."""
    place = urlsplit(standin.url)
    with socket.create_connection((place.hostname, place.port or 0), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_delay_holds_the_header_back(standin: StandIn, client: requests.Session) -> None:
    standin.fault(PROJECTS, "delay", seconds=0.8, times=1)
    assert _timed(client, standin.url + PROJECTS)[0] >= 0.8
    assert _timed(client, standin.url + PROJECTS)[0] < 0.7


def test_stall_sends_the_header_first_and_the_rest_late(standin: StandIn, client: requests.Session) -> None:
    whole = client.get(standin.url + PROJECTS, timeout=10).content
    standin.fault(PROJECTS, "stall", bytes=7, seconds=0.8)
    started = time.monotonic()
    with client.get(standin.url + PROJECTS, stream=True, timeout=10) as answer:
        first = answer.raw.read(7)
        assert time.monotonic() - started < 0.7
        rest = answer.raw.read()
    assert time.monotonic() - started >= 0.8
    assert first + rest == whole


def test_drip_sends_slowly_and_in_full(standin: StandIn, client: requests.Session) -> None:
    whole = client.get(standin.url + PROJECTS, timeout=10).content
    standin.fault(PROJECTS, "drip", bytes=len(whole) // 3, seconds=0.1)
    took, answer = _timed(client, standin.url + PROJECTS)
    assert took >= 0.3
    assert answer.content == whole


def test_drip_header_sends_the_header_slowly_too(standin: StandIn) -> None:
    whole = _raw(standin, VERSION)
    standin.fault(VERSION, "drip_header", bytes=len(whole) // 3, seconds=0.1)
    started = time.monotonic()
    assert _raw(standin, VERSION).partition(b"\r\n\r\n")[2] == b"1.6.3"
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("kind", ["delay", "stall", "drip", "drip_header"])
@pytest.mark.parametrize("times", [1, None])
def test_who_waits_under_a_rule_goes_on_when_it_is_cleared(standin: StandIn, kind: str, times: int | None) -> None:
    standin.fault(VERSION, kind, seconds=60, times=times)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_raw, standin, VERSION)
        while not standin.counts():
            time.sleep(0.01)
        time.sleep(0.1)
        assert not waiting.done()
        standin.clear_faults()
        assert waiting.result(30).endswith(b"1.6.3")
    assert standin.faults() == []


def test_cut_of_a_chunked_body_breaks_it_off(standin: StandIn, client: requests.Session) -> None:
    standin.fault(PROJECTS, "cut", bytes=5)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get(standin.url + PROJECTS, timeout=10)


def test_cut_of_a_body_of_known_length_sends_less_than_announced(standin: StandIn) -> None:
    standin.fault(VERSION, "cut", bytes=2)
    head, _, body = _raw(standin, VERSION).partition(b"\r\n\r\n")
    assert b"Content-Length: 5" in head
    assert body == b"1."


def test_truncate_ends_early_but_properly(standin: StandIn, client: requests.Session) -> None:
    whole = client.get(standin.url + PROJECTS, timeout=10).content
    standin.fault("*", "truncate", bytes=9)
    assert client.get(standin.url + PROJECTS, timeout=10).content == whole[:9]
    short = requests.get(standin.url + "/data/nosuch", timeout=10)
    assert short.headers["Content-Length"] == "9"
    assert len(short.content) == 9


def test_html_is_a_login_page_with_200(standin: StandIn, client: requests.Session) -> None:
    standin.fault(PROJECTS, "html")
    answer = client.get(standin.url + PROJECTS, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "j_password" in answer.text


def test_empty_is_200_without_a_body(standin: StandIn, client: requests.Session) -> None:
    standin.fault(PROJECTS, "empty")
    answer = client.get(standin.url + PROJECTS, timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("code", [401, 403, 404, 500, 503])
def test_status_answers_any_code_with_a_page(standin: StandIn, client: requests.Session, code: int) -> None:
    standin.fault(f"GET {PROJECTS}", "status", code=code, message="Out of order.")
    answer = client.get(standin.url + PROJECTS, timeout=10)
    assert answer.status_code == code
    assert "Out of order." in answer.text


def test_reset_answers_nothing(standin: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    standin.fault(VERSION, "reset")
    for _ in range(5):
        with pytest.raises(ConnectionResetError):
            _raw(standin, VERSION)
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_refused_login_looks_like_a_wrong_password(standin: StandIn, client: requests.Session) -> None:
    standin.fault("*", "refuse_login", times=1)
    assert client.get(standin.url + PROJECTS, timeout=10).status_code == 200
    url, login = standin.url + "/data/JSESSION", ("mylogin", "mypasswd")
    refused = requests.get(url, auth=login, timeout=10)
    assert refused.status_code == 401
    assert "Login attempt failed" in refused.text
    assert requests.get(url, auth=login, timeout=10).status_code == 200


def test_garbage_is_no_json(standin: StandIn, client: requests.Session) -> None:
    standin.fault(PROJECTS, "garbage")
    answer = client.get(standin.url + PROJECTS, timeout=10)
    assert answer.headers["Content-Type"] == "application/json"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)


def test_times_counts_down_and_other_routes_are_spared(standin: StandIn, client: requests.Session) -> None:
    standin.fault(PROJECTS, "status", code=503, times=2)
    assert client.get(standin.url + "/data/auth", timeout=10).status_code == 200
    codes = [client.get(standin.url + PROJECTS, timeout=10).status_code for _ in range(3)]
    assert codes == [503, 503, 200]


def test_probability_hits_some_requests(standin: StandIn, client: requests.Session) -> None:
    standin.fault(PROJECTS, "status", code=503, probability=0.5)
    codes = [client.get(standin.url + PROJECTS, timeout=10).status_code for _ in range(40)]
    assert set(codes) == {200, 503}


def test_a_delay_goes_with_another_fault(standin: StandIn, client: requests.Session) -> None:
    standin.fault("*", "delay", seconds=0.2)
    standin.fault(PROJECTS, "status", code=500)
    took, answer = _timed(client, standin.url + PROJECTS)
    assert took >= 0.2
    assert answer.status_code == 500


def test_cleared_faults_are_gone(standin: StandIn, client: requests.Session) -> None:
    standin.fault("*", "status", code=500)
    standin.clear_faults()
    assert client.get(standin.url + PROJECTS, timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("nosuch", {}), ("cut", {"seconds": 1}), ("delay", {"seconds": "long"}), ("delay", {"seconds": True})],
)
def test_mistaken_faults_are_refused(standin: StandIn, kind: str, parameters: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        standin.fault("*", kind, **parameters)


def test_stop_ends_a_stall_at_once(standin: StandIn) -> None:
    standin.fault(VERSION, "delay", seconds=60)
    place = urlsplit(standin.url)
    with socket.create_connection((place.hostname, place.port or 0), timeout=10) as connection:
        connection.sendall(f"GET {VERSION} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        while not standin.counts():
            time.sleep(0.01)
        started = time.monotonic()
        standin.stop()
        assert time.monotonic() - started < 5
