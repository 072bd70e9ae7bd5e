"""`cdbfs search` and `cdbfs fields` as users type them: the tutorial's searches, and what goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from cdbfs.credentials import Credentials
from cdbfs.demo import StandIn
from cdbfs.demo import tutorial as told
from cdbfs.query.parse import LONGEST
from tests.demo.search.asking import all_of, bundle
from tests.views import cdbfs, environment
from tests.worlds import World
from tests.xnat.servers import Request, Scripted, reply


@pytest.fixture(scope="module")
def running(tutorial: World) -> Iterator[StandIn]:
    """A server that nobody changes."""
    with tutorial.server() as server:
        yield server


class Shell:
    """The commands, with a login and a server in the environment."""

    def __init__(self, server: StandIn, world: World, scratch: Path) -> None:
        self.login, self.scratch = world.login, scratch
        self.extra = {"CDBFS_SERVER": server.url, "CDBFS_CACHE_DIR": str(scratch / "cache")}

    def search(self, query: str | bytes, *options: str) -> subprocess.CompletedProcess[str]:
        file = self.scratch / "q.sql"
        file.write_bytes(query if isinstance(query, bytes) else query.encode())
        return cdbfs("search", *options, str(file), login=self.login, **self.extra)

    def rows(self, query: str | bytes) -> list[list[str]]:
        done = self.search(query)
        assert (done.stderr, done.returncode) == ("", 0)
        return list(csv.reader(io.StringIO(done.stdout, newline="")))

    def column(self, query: str) -> list[str]:
        """Of a result of one column, without its header."""
        return [cell for (cell,) in self.rows(query)[1:]]


@pytest.fixture
def shell(running: StandIn, tutorial: World, tmp_path: Path) -> Shell:
    return Shell(running, tutorial, tmp_path)


# --- the tutorial


def test_neo_ffi_of_all(shell: Shell) -> None:
    rows = shell.rows(
        "SELECT subject, NEO_NEOFAC_A, NEO_NEOFAC_O, NEO_NEOFAC_C, NEO_NEOFAC_N, NEO_NEOFAC_E\n"
        "FROM nt:scores\nWHERE project = 'HCP_Q2'\n"
    )
    assert rows[0] == ["subject", *(f"NEO_NEOFAC_{factor}" for factor in "AOCNE")]
    assert len(rows) == 1 + 143
    assert sorted(row[0] for row in rows[1:]) == sorted(set(told.LABELS) - {told.WITHOUT_SCORES})
    found = dict(zip(rows[0], next(row for row in rows if row[0] == "100307")))
    planted = told.PLANTED["100307"]
    assert {name: found[f"NEO_{name}"] for name in planted if name.startswith("NEO")} == {
        name: value for name, value in planted.items() if name.startswith("NEO")
    }


def test_agreeableness_over_40(shell: Shell) -> None:
    query = "SELECT subject FROM nt:scores WHERE project = '{}' AND NEO_NEOFAC_A > 40"
    assert set(shell.column(query.format("HCP_Q2"))) == set(told.AGREEABLE)
    assert set(shell.column(query.format("HCP_Q1"))) == {"732243", "149337", "792564", "877168"}


@pytest.mark.parametrize("words", ["CPW_IWRD_TOT >= 30 AND CPW_IWRD_TOT < 35", "CPW_IWRD_TOT BETWEEN 30 AND 34"])
def test_words_recalled(shell: Shell, words: str) -> None:
    found = shell.column(f"SELECT subject FROM nt:scores WHERE project = 'HCP_Q1' AND {words}")
    assert len(found) == 26
    assert set(found) == set(told.IWRD_30_TO_34)


@pytest.mark.parametrize(
    "words", ["(CPW_IWRD_TOT < 30 OR CPW_IWRD_TOT >= 35)", "NOT (CPW_IWRD_TOT >= 30 AND CPW_IWRD_TOT < 35)"]
)
def test_words_recalled_below_or_above(shell: Shell, words: str) -> None:
    found = shell.column(f"SELECT subject FROM nt:scores WHERE {words} AND project = 'HCP_Q1'")
    assert len(found) == 50
    assert set(found) == set(told.LABELS[: told.FIRST_RELEASE]) - set(told.IWRD_30_TO_34)


def test_a_query_from_stdin_into_pandas(shell: Shell) -> None:
    query = (
        b"select subject, neo_neofac_a a from nt:scores where project='HCP_Q2' order by a desc, subject limit 5"
    )
    done = subprocess.run(
        [sys.executable, "-m", "cdbfs", "search", "-"],
        input=query.replace(b" a from", b" as a from"),
        env=environment(shell.login, **shell.extra),
        capture_output=True,
        timeout=60,
        check=True,
    )
    frame = pd.read_csv(io.BytesIO(done.stdout), dtype={"subject": str})
    assert set(frame["subject"]) == set(told.AGREEABLE)
    assert list(frame["a"]) == sorted(frame["a"], reverse=True)


def test_a_search_document(shell: Shell) -> None:
    in_q1 = all_of(("nt:scores/PROJECTS", "LIKE", "%HCP_Q1%"), ("nt:scores/NEO_NEOFAC_A", ">", "40"))
    rows = shell.rows(bundle(["SUBJECT_ID", "NEO_NEOFAC_A"], in_q1))
    assert rows[0] == ["SUBJECT_ID", "NEO_NEOFAC_A"]
    assert len(rows) == 5


# --- the commands


def test_an_empty_result_is_a_header(shell: Shell) -> None:
    query = "SELECT subject AS \"the subject's, label\" FROM nt:scores WHERE project = 'HCP_Q2' AND AGE > 1000"
    assert shell.search(query).stdout == '"the subject\'s, label"\n'


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (
            "SELECT subject\nFRM nt:scores",
            "cdbfs: line 2, column 1: 'FRM' stands where AS, FROM or a comma is expected",
        ),
        ("SELECT NEOFAC_A FROM nt:scores", "cdbfs: line 1, column 8: nt:scores has no field NEOFAC_A; there are "),
        (
            "SELECT subject FROM nt:score",
            "cdbfs: line 1, column 21: the server has no data type nt:score; did you",
        ),
        ("<a>\n<b></a>", "cdbfs: line 2, column 8: the query is not well-formed XML"),
        ("", "cdbfs: the query is empty"),
        (b"\xff", "cdbfs: line 1: the query is not UTF-8 text"),
        (b"\x00" * 1_000_000, f"cdbfs: the query is over {LONGEST} characters long"),
    ],
    ids=["syntax", "field", "type", "xml", "empty", "bytes", "long"],
)
def test_what_is_wrong_is_told_in_a_line_and_nothing_is_printed(
    shell: Shell, query: str | bytes, reason: str
) -> None:
    done = shell.search(query)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(reason)
    assert done.stderr.count("\n") == 1


def test_which_server(shell: Shell, running: StandIn, tmp_path: Path) -> None:
    query = "SELECT ID FROM xnat:projectData WHERE project = 'HCP_Q2'"
    assert shell.search(query, "-s", running.url).stdout == "ID\nHCP_Q2\n"
    home = tmp_path / "config"
    (home / "cdbfs").mkdir(parents=True)
    shell.extra = {"XDG_CONFIG_HOME": str(home)}
    done = shell.search(query)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("cdbfs: which server? Say -s PROFILE|URL, or set CDBFS_SERVER")
    (home / "cdbfs/config.toml").write_text(f'[profiles.hcp]\nurl = "{running.url}"\n')
    assert shell.search(query).stdout == "ID\nHCP_Q2\n"


def test_settings_are_those_of_a_mount(shell: Shell) -> None:
    done = shell.search("SELECT subject FROM nt:scores", "-o", "max_result_bytes=100")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is over 100 bytes" in done.stderr
    done = shell.search("SELECT subject FROM nt:scores", "-o", "search_deadlin=5")
    assert "did you mean search_deadline" in done.stderr


def test_no_file_is_a_wrong_command_line(shell: Shell) -> None:
    done = cdbfs("search", "no/such", login=shell.login, **shell.extra)
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such file" in done.stderr


def test_the_result_is_utf_8_with_lf_whatever_the_locale(shell: Shell) -> None:
    shell.extra |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "cdbfs", "search", "-"],
        input="SELECT ID AS Schl\u00fcssel FROM xnat:projectData WHERE project = 'HCP_Q2'".encode(),
        env=environment(shell.login, **shell.extra),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "Schl\u00fcssel\nHCP_Q2\n".encode()


@pytest.mark.parametrize("where", ["/dev/full", "closed pipe"])
def test_what_cannot_be_written_is_told(shell: Shell, where: str) -> None:
    if where == "closed pipe":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(where, os.O_WRONLY)
    file = shell.scratch / "q.sql"
    file.write_text("SELECT * FROM nt:scores")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cdbfs", "search", str(file)],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(shell.login, **shell.extra),
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert done.stderr == ("" if where == "closed pipe" else "cdbfs: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_search_that_is_interrupted_ends_at_once_and_leaves_nothing(
    server: StandIn, tutorial: World, tmp_path: Path, sent: signal.Signals
) -> None:
    shell = Shell(server, tutorial, tmp_path)
    server.fault("POST /data/search", "delay", seconds=60)
    file = tmp_path / "q.sql"
    file.write_text("SELECT subject FROM nt:scores")
    child = subprocess.Popen(
        [sys.executable, "-m", "cdbfs", "search", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(shell.login, **shell.extra),
    )
    try:
        for _ in range(600):
            if "POST /data/search" in server.counts():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.1)
        child.send_signal(sent)
        output, errors = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
        server.clear_faults()
    assert output == ""
    assert "Traceback" not in errors
    assert child.returncode in (1, -sent)
    assert list((tmp_path / "cache").iterdir()) == []


# --- fields


def test_the_types_are_listed(shell: Shell) -> None:
    done = cdbfs("fields", login=shell.login, **shell.extra)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, lines[0]) == (0, "", "type")
    assert {"nt:scores", "xnat:subjectData", "xnat:mrSessionData"} <= set(lines)


def test_the_fields_of_a_type_are_listed_with_their_paths_below_scores(shell: Shell) -> None:
    done = cdbfs("fields", "NT:scores", login=shell.login, **shell.extra)
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert (done.returncode, done.stderr) == (0, "")
    assert rows["NEO_NEOFAC_A"]["path"] == "NEO/NEOFAC_A"
    assert rows["NEO_NEOFAC_A"]["type"] == "int"
    assert rows["LABEL"]["path"] == rows["INSERT_DATE"]["path"] == rows["AGE"]["path"] == ""


def test_a_type_that_is_not_there_offers_the_nearest(shell: Shell) -> None:
    done = cdbfs("fields", "nt:score", login=shell.login, **shell.extra)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cdbfs: the server has no data type nt:score; did you mean nt:scores?\n"


def test_a_hostile_server_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    """The nearest names are the server's text."""
    row = {"FIELD_ID": "AGE\x1b[2J\nAGE" + "E" * 5000, "ELEMENT_NAME": "nt:scores", "TYPE": "int"}
    table = json.dumps({"ResultSet": {"Result": [row]}}).encode()

    def script(request: Request) -> list[bytes]:
        return [reply(b"ABCDEF0123456789" if "JSESSION" in request.target else table)]

    (tmp_path / "q.sql").write_text("SELECT AGE FROM nt:scores")
    with Scripted(script) as server:
        done = cdbfs(
            *("search", "-s", server.url, "-o", f"cache_dir={tmp_path}/cache", str(tmp_path / "q.sql")),
            login=Credentials("me", "secret"),
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        'cdbfs: line 1, column 8: nt:scores has no field AGE; did you mean "AGE?[2J?AGEE'
    )
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 1100
