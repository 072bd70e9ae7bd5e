"""What looking costs: requests counted by the server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from cdbfs.demo import StandIn, connectomedb, document
from cdbfs.tree.source import NEWS_SECONDS
from tests.demo.search.asking import bundle
from tests.views import mounted
from tests.worlds import World

OWN_AFFAIRS = ("JSESSION", "/data/version", "/xapi/siteConfig/buildInfo", "GET /spring/download")


def asked(server: StandIn) -> dict[str, int]:
    """Requests so far, but for those that each mount makes at its start."""
    return {route: n for route, n in server.counts().items() if not route.endswith(OWN_AFFAIRS)}


def known(directory: Path) -> Path:
    """A directory of the mount that a child may start in.

    Popen holds the interpreter's lock while its child enters `cwd`. Were the way there not known to the mount,
    that would wait for the server, which is in this process and needs the lock.
    """
    os.listdir(directory)
    return directory


def output(command: str, cwd: Path) -> str:
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, capture_output=True, text=True, timeout=120, check=True
    ).stdout


def test_a_project_is_found_with_three_requests(server: StandIn, fresh_mount: Path) -> None:
    found = output("find projects/HCP_Q2 -maxdepth 4", fresh_mount).splitlines()
    assert sum(1 for line in found if line.endswith("_NonToolbox")) == 2 * 143  # a directory and a link each
    assert asked(server) == {
        "GET /data/projects": 1,
        "GET /data/projects/{project}/subjects": 1,
        "GET /data/projects/{project}/experiments": 1,
    }


def test_ten_thousand_subjects_are_listed_with_their_times_for_nothing(each_fuse: str, tmp_path: Path) -> None:
    count = {"3": 10_000, "2": 1_000}[each_fuse]  # libfuse 2 is slower
    many = World("many", connectomedb(count))
    with StandIn(many.data) as server, mounted(server, many.login, tmp_path / "m", tmp_path / "cache") as mount:
        output("find projects/HCP_Q2 -maxdepth 4 > /dev/null", mount)
        assert sum(asked(server).values()) == 3
        assert len(output("ls -l projects/HCP_Q2/subjects", mount).splitlines()) == count + 1
        output("ls -l projects projects/HCP_Q2 projects/HCP_Q2/subjects/100307 > /dev/null", mount)
        assert sum(asked(server).values()) == 3


def test_fifty_processes_that_read_one_experiment_cost_one_request(server: StandIn, fresh_mount: Path) -> None:
    experiment = known(fresh_mount / "projects/HCP_Q2/subjects/100307/experiments/100307_NonToolbox")
    program = "import glob,sys; sys.stdout.write(''.join(open(p).read() for p in sorted(glob.glob('scores/*/*'))))"
    readers = [
        subprocess.Popen([sys.executable, "-S", "-c", program], cwd=experiment, stdout=subprocess.PIPE)
        for _ in range(50)
    ]
    answers = {reader.communicate(timeout=60)[0] for reader in readers}
    assert len(answers) == 1
    assert len(answers.pop().split()) == 46
    assert asked(server)["GET /data/experiments/{experiment}"] == 1


def test_looking_at_names_fetches_no_document(server: StandIn, fresh_mount: Path) -> None:
    output("ls projects/HCP_Q2/subjects/*/ projects/HCP_Q2/subjects/*/experiments/* > /dev/null", fresh_mount)
    output("ls -l projects/HCP_Q2/experiments > /dev/null", fresh_mount)
    assert not any("{experiment}" in route or "{subject}" in route for route in asked(server))


def test_a_document_is_one_request_for_all_that_is_made_of_it(server: StandIn, fresh_mount: Path) -> None:
    experiment = known(fresh_mount / "projects/HCP_Q2/subjects/100307/experiments/100307_NonToolbox")
    output("ls -lR . ; cat experiment.xml scores.csv scores/*/*", experiment)
    output(
        "cat scores.csv", known(fresh_mount / "projects/HCP_Q1/experiments/100307_NonToolbox")
    )  # shared: the same
    assert asked(server)["GET /data/experiments/{experiment}"] == 1


@pytest.mark.usefixtures("each_fuse")
def test_documents_are_kept_over_a_remount(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    path = "projects/HCP_Q2/subjects/100307/experiments/100307_NonToolbox/experiment.xml"
    for _ in range(2):
        with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache") as mount:
            assert (mount / path).read_bytes() == document(tutorial.data, "ConnectomeDB_E00299")
    assert asked(server)["GET /data/experiments/{experiment}"] == 1
    kept = list((tmp_path / "cache/documents").rglob("*"))
    assert {oct(path.stat().st_mode & 0o777) for path in kept if path.is_file()} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in kept if path.is_dir()} == {"0o700"}


def test_many_readers_ask_for_a_listing_once(server: StandIn, fresh_mount: Path) -> None:
    server.fault("GET /data/projects/{project}/subjects", "delay", seconds=0.5)
    with ThreadPoolExecutor(20) as pool:
        listed = list(pool.map(lambda _: len(os.listdir(fresh_mount / "projects/HCP_Q2/subjects")), range(20)))
    assert listed == [144] * 20
    assert asked(server)["GET /data/projects/{project}/subjects"] == 1


def test_looking_at_tables_schemas_and_saved_searches_runs_none(
    server: StandIn, tutorial: World, fresh_mount: Path
) -> None:
    query = bundle(["SUBJECT_ID", "NEO_NEOFAC_A"], name="mine")
    login = (tutorial.login.user, tutorial.login.password)
    requests.put(f"{server.url}/data/search/saved/mine", data=query, auth=login, timeout=30).raise_for_status()
    server.reset_counts()
    output("ls -lR projects/HCP_Q2/tables projects/HCP_Q1/tables", fresh_mount)
    assert asked(server) == {
        "GET /data/projects": 1,
        "GET /data/projects/{project}/experiments": 2,
        "GET /data/search/elements/{elements}": 5,
    }
    began = time.monotonic()
    output("ls -lR saved; cat saved/mine/query.xml", fresh_mount)
    looks = 1 + int((time.monotonic() - began) / NEWS_SECONDS)  # what it may take on a machine that is busy
    output("ls -l schema/nt:* schema/hcp:* schema/xnat:mr*", fresh_mount)
    found = asked(server)
    assert found["GET /data/search/elements"] == 1
    assert found["GET /data/search/elements/{elements}"] == 5  # the same types: asked above
    assert 1 <= found["GET /data/search/saved"] <= looks
    assert 2 <= found["GET /data/search/saved/{id}"] <= 1 + looks  # its document, and one that names all schemas
    assert found["GET /schemas/{folder}/{name}"] == 3
    assert not any(route.endswith("results") or route.startswith("POST") for route in found)


def test_a_result_that_is_opened_costs_one_search(server: StandIn, tutorial: World, fresh_mount: Path) -> None:
    query = bundle(["SUBJECT_ID", "NEO_NEOFAC_A"], name="mine")
    login = (tutorial.login.user, tutorial.login.password)
    requests.put(f"{server.url}/data/search/saved/mine", data=query, auth=login, timeout=30).raise_for_status()
    server.reset_counts()
    paths = ("projects/HCP_Q2/tables/nt:scores/table.csv", "saved/mine/result.csv")
    for path in paths:
        with ThreadPoolExecutor(20) as pool:
            read = set(pool.map(lambda path: (fresh_mount / path).read_bytes(), [path] * 20))
        assert len(read) == 1
        assert read.pop().count(b"\n") == 144
        assert os.stat(fresh_mount / path).st_size == len((fresh_mount / path).read_bytes())
    found = asked(server)
    assert found["POST /data/search"] == 1
    assert found["GET /data/search/saved/{id}/results"] == 1
