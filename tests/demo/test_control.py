"""The control interface, the counts, and publishing another state of the data."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from cdbfs.demo import DataSet, StandIn, connectomedb, document

NT = "ConnectomeDB_E00299"


def test_requests_are_counted_by_method_and_template(standin: StandIn, client: requests.Session) -> None:
    for path in (
        "/data/projects/HCP_Q2/subjects",
        "/data/projects/HCP_Q1/subjects?format=csv",
        "/data/projects/HCP_Q2/subjects/100307/experiments",
        f"/data/experiments/{NT}",
        "/data/nosuch",
    ):
        client.get(standin.url + path, timeout=10)
    client.head(standin.url + f"/data/experiments/{NT}", timeout=10)
    counts = {
        "GET /data/projects/{project}/subjects": 2,
        "GET /data/projects/{project}/subjects/{subject}/experiments": 1,
        "GET /data/experiments/{experiment}": 1,
        "HEAD /data/experiments/{experiment}": 1,
        "GET *unknown*": 1,
    }
    assert standin.counts() == counts
    shown = requests.get(standin.control + "/counts", timeout=10).json()
    assert shown == {"counts": counts, "logins": 0, "refused_logins": 0, "sessions": 1}
    requests.post(standin.control + "/reset", timeout=10).raise_for_status()
    assert standin.counts() == {}


def test_faults_over_http(standin: StandIn, client: requests.Session) -> None:
    rule = {"route": "/data/auth", "kind": "status", "code": 503, "times": 5}
    requests.post(standin.control + "/faults", json=rule, timeout=10).raise_for_status()
    shown = requests.get(standin.control + "/faults", timeout=10).json()
    assert shown == {"faults": [{**rule, "probability": 1.0}]}
    assert client.get(standin.url + "/data/auth", timeout=10).status_code == 503
    requests.delete(standin.control + "/faults", timeout=10).raise_for_status()
    assert client.get(standin.url + "/data/auth", timeout=10).status_code == 200


@pytest.mark.parametrize("body", ["", "[]", '{"route": "*"}', '{"route": "*", "kind": "nosuch"}'])
def test_mistaken_control_requests_are_400(standin: StandIn, body: str) -> None:
    answer = requests.post(standin.control + "/faults", data=body, timeout=10)
    assert answer.status_code == 400
    assert "StandIn" not in answer.json()["error"]
    assert answer.json()["error"]


def test_expire_over_http(standin: StandIn, client: requests.Session) -> None:
    requests.post(standin.control + "/expire", timeout=10).raise_for_status()
    assert client.get(standin.url + "/data/auth", timeout=10).status_code == 401


def test_unknown_control_is_404_and_control_is_never_delayed(small: DataSet) -> None:
    with StandIn(small, latency=30) as standin:
        assert requests.get(standin.control + "/nosuch", timeout=5).status_code == 404


def test_an_edited_score_is_published_at_once(small: DataSet, standin: StandIn, client: requests.Session) -> None:
    before = document(small, NT)
    edited = tuple(
        dataclasses.replace(
            e, document=before.replace(b">1471.0<", b">1500.0<"), last_modified="2013-05-01 10:00:00.5"
        )
        if e.id == NT
        else e
        for e in small.experiments
    )
    assert client.get(standin.url + f"/data/experiments/{NT}", timeout=10).content == before
    standin.replace(dataclasses.replace(small, experiments=edited))
    assert b">1500.0<" in client.get(standin.url + f"/data/experiments/{NT}", timeout=10).content
    listing = client.get(
        standin.url + "/data/projects/HCP_Q2/experiments?columns=ID,last_modified", timeout=10
    ).json()
    times = {row["ID"]: row["last_modified"] for row in listing["ResultSet"]["Result"]}
    assert times[NT] == "2013-05-01 10:00:00.5"


def test_a_request_sees_one_state_while_the_data_changes(small: DataSet) -> None:
    states = [small, connectomedb(12)]
    stop = threading.Event()
    with StandIn(small) as standin, ThreadPoolExecutor(4) as threads:

        def ask(_: int) -> set[int]:
            seen = set()
            with requests.Session() as client:
                client.auth = ("mylogin", "mypasswd")
                while not stop.is_set():
                    listing = client.get(standin.url + "/data/projects/HCP_Q2/subjects", timeout=10).json()
                    seen.add(len(listing["ResultSet"]["Result"]))
            return seen

        asked = [threads.submit(ask, number) for number in range(4)]
        for turn in range(60):
            standin.replace(states[turn % 2])
        stop.set()
        assert set().union(*(future.result() for future in asked)) <= {6, 12}


def test_many_clients_at_once(standin: StandIn, small: DataSet) -> None:
    expected = document(small, NT)

    def ask(_: int) -> bool:
        with requests.Session() as client:
            client.auth = ("mylogin", "mypasswd")
            url = standin.url + f"/data/experiments/{NT}"
            return all(client.get(url, timeout=10).content == expected for _ in range(5))

    with ThreadPoolExecutor(20) as threads:
        assert all(threads.map(ask, range(20)))
    assert standin.counts() == {"GET /data/experiments/{experiment}": 100}


def test_stopped_server_can_start_again(small: DataSet) -> None:
    standin = StandIn(small)
    with pytest.raises(RuntimeError):
        _ = standin.url
    for _ in range(2):
        with standin:
            assert requests.get(standin.url + "/data/version", timeout=10).text == "1.6.3"
    standin.stop()
