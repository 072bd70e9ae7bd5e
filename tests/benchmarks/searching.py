"""What `cdbfs search` costs beside the server's own answer to the same document, all in one run.

    python -m tests.benchmarks.searching [--pairs 5] [--subjects 10000]

Prints medians and the ratio of each pair, since machines are noisy. Everything runs on this machine: the server
is the stand-in, in a process of its own. The peer is a script that holds a session already and reads all of it.
`cdbfs search` pays beside it for Python's start, a login and the listings that a query is checked against; a
program that runs already, as a mount does, has these behind it. Last, a mount itself: a query file is saved and
its result read.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import requests

from cdbfs.config import Settings
from cdbfs.credentials import Credentials
from cdbfs.query.catalog import Catalog
from cdbfs.query.run import prepare, run
from cdbfs.xnat.client import Client
from tests.benchmarks.looking import demo_server, fresh_mount, report, seconds
from tests.views import cdbfs

QUERIES = {
    "six columns of all": (
        "SELECT subject, NEO_NEOFAC_A, NEO_NEOFAC_O, NEO_NEOFAC_C, NEO_NEOFAC_N, NEO_NEOFAC_E "
        "FROM nt:scores WHERE project = 'HCP_Q2'"
    ),
    "sorted": (
        "SELECT subject, CPW_IWRD_TOT FROM nt:scores WHERE project = 'HCP_Q2' ORDER BY CPW_IWRD_TOT DESC, subject"
    ),
    "few rows": "SELECT subject FROM nt:scores WHERE project = 'HCP_Q2' AND NEO_NEOFAC_A > 40",
    "all columns": "SELECT * FROM nt:scores WHERE project = 'HCP_Q2'",
}


def searching(what: str, query: str, url: str, login: Credentials, pairs: int) -> None:
    client = Client(Settings(url=url), login)
    catalog = Catalog(client)
    body = prepare(query.encode(), catalog).document
    with requests.Session() as session, tempfile.TemporaryDirectory() as scratch:
        session.auth = (login.user, login.password)
        session.get(f"{url}/data/JSESSION", timeout=60).raise_for_status()
        file = Path(scratch, "q.sql")
        file.write_text(query)

        def command() -> None:
            done = cdbfs("search", "-s", url, "-o", f"cache_dir={scratch}/cache", str(file), login=login)
            assert done.returncode == 0, done.stderr

        def within() -> None:
            with Path(scratch, "q.csv").open("w", encoding="utf-8", newline="") as out:
                assert run(prepare(query.encode(), catalog), client, Path(scratch), out)

        def server() -> None:
            answer = session.post(f"{url}/data/search?format=json", data=body, timeout=600)
            assert answer.status_code == 200

        server()  # what the stand-in keeps of its documents is made at the first search
        took = [(seconds(command), seconds(server), seconds(within), seconds(server)) for _ in range(pairs)]
    client.session.close()
    columns = [list(column) for column in zip(*took)]
    report(f"cdbfs search, {what}", columns[0], columns[1], "the server's answer")
    report(f"  the same in a program that runs already, {what}", columns[2], columns[3], "the server's answer")


def in_a_mount(what: str, query: str, url: str, login: Credentials, point: Path, pairs: int) -> None:
    """A query file is saved and its result read, beside the server's own answer to what the mount asks."""
    client = Client(Settings(url=url), login)
    body = prepare(query.encode(), Catalog(client)).document
    client.session.close()
    with requests.Session() as session:
        session.auth = (login.user, login.password)
        session.get(f"{url}/data/JSESSION", timeout=60).raise_for_status()
        numbers = itertools.count()

        def mount() -> None:
            (point / "search/q.sql").write_text(
                f"{query} -- {next(numbers)} {what}"
            )  # each text has its own result
            assert (point / "search/q.csv").read_bytes().count(b"\n") > 1

        def server() -> None:
            answer = session.post(f"{url}/data/search?format=json", data=body, timeout=600)
            assert answer.status_code == 200

        mount()  # the listings that queries are checked against are in the mount from here on
        took = [(seconds(mount), seconds(server)) for _ in range(pairs)]
    ours, theirs = (list(column) for column in zip(*took))
    report(f"search/ in a mount, {what}", ours, theirs, "the server's answer")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--subjects", type=int, default=10_000)
    chosen = options.parse_args()
    with demo_server(chosen.subjects) as (url, login, _):
        for what, query in QUERIES.items():
            searching(what, query, url, login, chosen.pairs)
        with fresh_mount(url, login) as point:
            for what, query in QUERIES.items():
                in_a_mount(what, query, url, login, point, chosen.pairs)


if __name__ == "__main__":
    main()
