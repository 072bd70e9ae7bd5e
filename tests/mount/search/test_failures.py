"""What fails is an error for who reads the result, x.error says why, and both are gone once it is mended.

Never an empty or partial result in place of an error.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from cdbfs.demo import StandIn
from cdbfs.query.run import MOST_BYTES
from tests.demo.search.asking import all_of, bundle
from tests.mount.failing import SMALL, errno_name, wait_until
from tests.mount.search.scripted import mount_of
from tests.mount.search.shelf import SEARCH, STALL, Shelf, answer, first, run, shelf
from tests.query.test_run import COLUMNS, LINES, QUERY, WHOLE
from tests.tables import table

pytestmark = pytest.mark.usefixtures("each_fuse")

TABLE = table("searches that fail", "fault", "errno", "reason in x.error")

GOOD = {
    ".sql": first(3),
    ".xml": bundle(["NEO_NEOFAC_A"], all_of(("nt:scores/PROJECTS", "LIKE", "%HCP_Q2%"))),
}
"""Queries that are right."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shelf]:
    with shelf(tmp_path) as found:
        yield found


def told(here: Shelf, errno: str, reason: str, name: str = "x") -> None:
    """x.csv cannot be read, x.error says why, and so does .cdbfs/errors."""
    for _ in range(2):
        assert errno_name(here.fails(f"{name}.csv")) == errno
    said = here.read(f"{name}.error")
    assert re.search(reason, said), said
    assert said.endswith("\n")
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert f"{name}.error" in here.names()
    assert here.scene().told(f"search/{name}.csv", re.escape(said.rstrip()[:400])).startswith(f"{errno} ")
    assert os.stat(here.root / f"{name}.csv").st_size == 0


def mended(here: Shelf, rows: int, name: str = "x") -> None:
    """x.csv is whole, and x.error gone."""
    assert here.read(f"{name}.csv").count("\n") == 1 + rows
    assert f"{name}.error" not in here.names()
    wait_until(lambda: not (here.root / f"{name}.error").exists(), 5)  # the kernel may know it for a second
    with pytest.raises(FileNotFoundError):
        here.read(f"{name}.error")


# -- queries that are wrong --------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str | bytes, str]] = {
    "syntax.sql": (
        "SELECT subject\nFRM nt:scores\n",
        "^line 2, column 1: 'FRM' stands where AS, FROM or a comma is expected$",
    ),
    "cut.sql": ("SELECT subject FROM nt:scores WHERE", r"^line 1, column \d+: the query ends where"),
    "type.sql": ("SELECT subject FROM nt:score", "no data type nt:score; did you mean nt:scores"),
    "field.sql": (
        "SELECT NEOFAC_A FROM nt:scores",
        "^line 1, column 8: nt:scores has no field NEOFAC_A; .*NEO_NEOFAC_A",
    ),
    "words.sql": ("SELECT AGE FROM nt:scores WHERE AGE > 'old'", r"^line 1, column \d+: "),
    "junk.sql": (bytes(range(256)) * 4, r"^line \d+"),
    "binary.sql": (b"\x7fELF\x02\x01\x01" + b"\x00" * 1000, r"^line 1"),
    "long.sql": (b"SELECT" + b" " * MOST_BYTES, r"^the query is over \d+ characters long$"),
    "malformed.xml": ("<a>\n<b></a>", "^line 2, column 8: the query is not well-formed XML"),
    "other.xml": ("<html><body>hello</body></html>", "."),
    "type.xml": (bundle(["AGE"], root="nt:score"), "nt:score"),
    "field.xml": (bundle(["NEOFAC_A"]), "NEOFAC_A.*NEO_NEOFAC_A"),
    "entities.xml": ('<!DOCTYPE a [<!ENTITY x "y">]>' + bundle(["AGE"]), "."),
    "long.xml": (b"<" + b"x" * MOST_BYTES, r"^the query is over \d+ characters long$"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_query_that_is_wrong(name: str, here: Shelf) -> None:
    text, reason = WRONG[name]
    query = "x" + Path(name).suffix
    here.write(query, text)
    told(here, "EIO", reason)
    assert here.searches() == 0
    TABLE.add(name, "EIO", here.read("x.error").rstrip()[:100])
    here.write(query, GOOD[Path(name).suffix])
    mended(here, rows(query))
    assert here.searches() == 1


def rows(name: str) -> int:
    return 3 if name.endswith(".sql") else 6


def test_two_queries_of_one_name(here: Shelf) -> None:
    here.write("x.sql", GOOD[".sql"])
    mended(here, 3)
    here.write("x.xml", GOOD[".xml"])
    told(here, "EIO", "^x.sql and x.xml would have the same result: rename one of them$")
    assert here.searches() == 1
    os.rename(here.root / "x.xml", here.root / "y.xml")
    mended(here, 3)
    mended(here, 6, "y")
    assert here.searches() == 2
    os.rename(here.root / "y.xml", here.root / "x.xml")
    told(here, "EIO", "^x.sql and x.xml ")
    os.unlink(here.root / "x.sql")
    mended(here, 6)
    assert here.searches() == 2


def test_an_unreadable_query(here: Shelf) -> None:
    here.write("x.sql", GOOD[".sql"])
    mended(here, 3)
    os.chmod(here.root / "x.sql", 0)
    if os.geteuid() == 0:  # who may read everything; test_users runs this as an ordinary user
        mended(here, 3)
        return
    told(here, "EACCES", "cannot be read: Permission denied")
    os.chmod(here.root / "x.sql", 0o600)
    mended(here, 3)
    assert here.searches() == 1


# -- servers that fail -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What a server does to a search, and what comes of it."""

    name: str
    errno: str
    reason: str
    kind: str
    parameters: dict[str, Any]


def case(name: str, errno: str, reason: str, kind: str, **parameters: Any) -> Case:
    return Case(name, errno, reason, kind, parameters)


CASES = [
    case("forbidden", "EACCES", "the server forbids this login to search nt:scores", "status", code=403),
    case("not shown", "ENOENT", ".", "status", code=404),
    case("500", "EIO", "failed with status 500", "status", code=500),
    case("503", "EIO", "status 503", "status", code=503),
    case("400", "EIO", "status 400", "status", code=400),
    case("no answer", "ETIMEDOUT", r"within (2|1\.9\d*) s", "delay", seconds=STALL),
    case("stalled answer", "ETIMEDOUT", ".", "stall", bytes=50, seconds=STALL),
    case("dripping answer", "ETIMEDOUT", ".", "drip", bytes=1, seconds=0.3),
    case("HTML", "EIO", "a page for people", "html"),
    case("empty", "EIO", "the answer to the search is empty", "empty"),
    case("broken off", "EIO", "broke off", "cut", bytes=300),
    case("cut, and ended properly", "EIO", "breaks off", "truncate", bytes=300),
    case("garbage", "EIO", "cannot be read|breaks off", "garbage"),
    case("reset", "EHOSTUNREACH", "broke the connection", "reset"),
]


@pytest.mark.parametrize("suffix", GOOD)
@pytest.mark.parametrize("case", CASES, ids=[re.sub(r"\W+", "-", each.name) for each in CASES])
def test_a_server_that_fails(case: Case, suffix: str, tmp_path: Path) -> None:
    with shelf(tmp_path, search_deadline="2") as here:
        query = f"x{suffix}"
        here.server.fault(SEARCH, case.kind, **case.parameters)
        here.write(query, GOOD[suffix])  # saving does not fail
        told(here, case.errno, case.reason)
        TABLE.add(case.name, case.errno, here.read("x.error").rstrip()[:100])
        here.server.clear_faults()
        mended(here, rows(query))
        fails_anew(here, case, query)


def fails_anew(here: Shelf, case: Case, query: str) -> None:
    """Run again, it fails: the last result stays, and x.error tells; unless the server refuses."""
    good = here.read("x.csv")
    here.server.fault(SEARCH, case.kind, **case.parameters)
    run("touch", query, cwd=here.root)
    here.settled()
    if case.errno in ("EACCES", "ENOENT"):
        told(here, case.errno, case.reason)
        here.server.clear_faults()
    else:
        assert here.read("x.csv") == good
        assert re.search(case.reason, here.read("x.error"))
        assert here.scene().told("search/x.csv", case.reason).startswith(f"{case.errno} ")
        here.server.clear_faults()
        run("touch", query, cwd=here.root)
    mended(here, rows(query))


def test_a_server_that_is_gone(here: Shelf) -> None:
    port = int(here.server.url.rpartition(":")[2])
    here.write("x.sql", GOOD[".sql"])
    mended(here, 3)
    here.server.stop()
    here.write("y.sql", first(4))
    here.write("z.xml", GOOD[".xml"])
    told(here, "EHOSTUNREACH", "cannot be reached", "y")
    told(here, "EHOSTUNREACH", "cannot be reached", "z")
    mended(here, 3)  # what is kept is there all the same
    with StandIn(SMALL.data, port=port):
        wait_until(lambda: (here.root / "y.csv").exists() and not failing(lambda: here.read("y.csv")))
        assert here.read("y.csv") == answer(4)
        mended(here, 4, "y")
        mended(here, 6, "z")


def failing(work: Callable[[], object]) -> bool:
    try:
        work()
    except OSError:
        return True
    return False


def test_a_login_that_is_refused(here: Shelf) -> None:
    here.write("x.sql", GOOD[".sql"])
    mended(here, 3)
    here.server.fault("*", "refuse_login")
    here.server.expire_sessions()
    for name in ("y.sql", "z.xml"):
        here.write(name, GOOD[name[1:]] + ("" if name == "z.xml" else "-- anew\n"))
        told(here, "EACCES", "login", name[0])


def test_another_text_does_not_keep_the_old_ones_result(here: Shelf) -> None:
    here.write("x.sql", first(3))
    mended(here, 3)
    here.server.fault(SEARCH, "status", code=500)
    here.write("x.sql", first(4))
    told(here, "EIO", "status 500")
    here.write("x.sql", first(3))  # its own result is still the right one
    mended(here, 3)
    here.write("x.sql", "nothing\n")
    told(here, "EIO", "^line 1, column 1: ")
    here.server.clear_faults()


def test_removing_the_error_forgets_it(here: Shelf) -> None:
    here.server.fault(SEARCH, "status", code=500)
    here.write("x.sql", first(3))
    told(here, "EIO", "status 500")
    os.unlink(here.root / "x.error")
    assert here.names() == ["x.csv", "x.sql"]
    told(here, "EIO", "status 500")
    os.unlink(here.root / "x.sql")
    assert here.names() == []


# -- answers that are not what was asked for ---------------------------------------------------------------------

NO_COLUMN = json.dumps(
    {**json.loads(WHOLE), "ResultSet": {**json.loads(WHOLE)["ResultSet"], "Columns": [COLUMNS[0], COLUMNS[2]]}}
).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (NO_COLUMN, "the server left the column NEO_NEOFAC_A of nt:scores out of its answer"),
        (WHOLE.replace(b'"2"', b'"3"'), "announces 3 rows and has 2"),
        (WHOLE.replace(b'"2"', b'"1"'), "announces 1 rows? and has 2"),
        (WHOLE.replace(b'"2"', b'"many"'), "does not say how many rows"),
        (WHOLE[:-10], "breaks off"),
        (WHOLE[: len(WHOLE) // 2], "breaks off"),
        (b"[]", "."),
        (b"{}", "."),
        (b"\xff\xfe\x00", "cannot be read"),
        (b" ", "the answer to the search is empty"),
    ],
    ids=["column", "fewer", "more", "uncounted", "cut", "half", "list", "nothing", "bytes", "blank"],
)
def test_an_answer_that_is_not_what_was_asked_for(body: bytes, reason: str, tmp_path: Path) -> None:
    answers = [body]
    with mount_of(tmp_path, lambda: answers) as mount:
        here = Shelf(mount, StandIn(SMALL.data), tmp_path / "cache-search")
        here.write("x.sql", QUERY)
        told(here, "EIO", reason)
        answers[0] = WHOLE
        assert here.read("x.csv").splitlines() == LINES
        mended(here, 2)
