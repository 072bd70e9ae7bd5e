"""The tutorial's searches, written into search/ with a shell and read at once: they get the tutorial's answers."""

from __future__ import annotations

import csv
import io
import os
import sys
from pathlib import Path

import pytest

from cdbfs.demo import StandIn, tutorial
from tests.mount.search.shelf import SEARCH, run, shell

NEO = """
    SELECT subject, NEO_NEOFAC_A, NEO_NEOFAC_O, NEO_NEOFAC_C, NEO_NEOFAC_N, NEO_NEOFAC_E
    FROM nt:scores WHERE project = 'HCP_Q2'
"""
AGREEABLE = "SELECT subject FROM nt:scores WHERE project = '{}' AND NEO_NEOFAC_A > 40"
WORDS = "SELECT subject, CPW_IWRD_TOT AS words FROM nt:scores WHERE project = 'HCP_Q1' AND {}"
AGREEABLE_Q1 = {"732243", "149337", "792564", "877168"}
FIRST_RELEASE = set(tutorial.LABELS[: tutorial.FIRST_RELEASE])

READERS = {
    "read.csv": 'Rscript --vanilla -e \'x <- read.csv("search/x.csv", colClasses = "character"); cat(x$subject)\'',
    "fread": "Rscript --vanilla -e 'cat(data.table::fread(\"search/x.csv\")$subject)'",
    "pandas": f"{sys.executable} -c 'import pandas; print(*pandas.read_csv(\"search/x.csv\", dtype=str).subject)'",
    "cp": "cp search/x.csv {scratch}/copy && tail -n +2 {scratch}/copy | cut -d, -f1",
}
"""Programs that print the labels in a result."""
IN_TIME = ("read.csv", "pandas", "cp")
"""Those that are right while the search is under way: fread looks at the size before it opens."""


def search(query: str, mount: Path) -> list[list[str]]:
    """What is read right after the query was written."""
    text = shell(f"cat > search/x.sql <<'END'\n{query}\nEND\ncat search/x.csv", mount)
    return list(csv.reader(io.StringIO(text, newline="")))


def labels(query: str, mount: Path) -> list[str]:
    return [row[0] for row in search(query, mount)[1:]]


def test_neo_ffi_of_all(fresh_mount: Path, server: StandIn) -> None:
    header, *rows = search(NEO, fresh_mount)
    assert header == ["subject", *(f"NEO_NEOFAC_{factor}" for factor in "AOCNE")]
    assert len(rows) == 143
    assert {row[0] for row in rows} == set(tutorial.LABELS) - {tutorial.WITHOUT_SCORES}  # labels, not IDs
    found = {row[0]: row[1:] for row in rows}
    assert found["100307"] == ["33", "37", "24", "15", "35"]
    assert {len(row) for row in rows} == {6}
    assert server.counts()[SEARCH] == 1
    assert os.listdir(fresh_mount / "search") == ["x.csv", "x.sql"]


def test_agreeableness_over_40(fresh_mount: Path) -> None:
    found = labels(AGREEABLE.format("HCP_Q2"), fresh_mount)
    assert sorted(found) == sorted(tutorial.AGREEABLE)
    found = labels(AGREEABLE.format("HCP_Q1"), fresh_mount)  # the same file, another text
    assert sorted(found) == sorted(AGREEABLE_Q1)


def test_words_recalled(fresh_mount: Path) -> None:
    found = labels(WORDS.format("CPW_IWRD_TOT >= 30 AND CPW_IWRD_TOT < 35"), fresh_mount)
    assert len(found) == 26
    assert set(found) == set(tutorial.IWRD_30_TO_34)


def test_words_recalled_below_or_above(fresh_mount: Path) -> None:
    found = labels(WORDS.format("(CPW_IWRD_TOT < 30 OR CPW_IWRD_TOT >= 35)"), fresh_mount)
    assert len(found) == 50
    assert set(found) == FIRST_RELEASE - set(tutorial.IWRD_30_TO_34)


def test_the_readmes_example(fresh_mount: Path) -> None:
    query = """
        SELECT subject, NEO_NEOFAC_A AS agreeableness, xnat:subjectData.GENDER_TEXT AS gender
        FROM nt:scores
        WHERE project = 'HCP_Q2' AND NEO_NEOFAC_A > 40
        ORDER BY agreeableness DESC, subject
    """
    header, *rows = search(query, fresh_mount)
    assert header == ["subject", "agreeableness", "gender"]
    assert [row[0] for row in rows] == ["702133", "877168", "792564", "732243", "149337"]


def test_r_and_pandas_read_the_same(fresh_mount: Path, tmp_path: Path) -> None:
    expected = sorted(labels(NEO, fresh_mount))
    for command in READERS.values():
        found = shell(command.replace("{scratch}", str(tmp_path)), fresh_mount)
        assert sorted(found.split()) == expected
    program = """
        x <- read.csv("search/x.csv"); y <- data.table::fread("search/x.csv")
        stopifnot(identical(dim(x), c(143L, 6L)), all.equal(x, as.data.frame(y)), is.integer(x$NEO_NEOFAC_A))
        cat(unlist(x[x$subject == 100307, -1]))
    """
    assert run("Rscript", "--vanilla", "-e", program, cwd=fresh_mount) == "33 37 24 15 35"


@pytest.mark.parametrize("name", IN_TIME)
def test_a_reader_right_after_a_query_is_renamed_into_place(
    name: str, fresh_mount: Path, server: StandIn, tmp_path: Path
) -> None:
    """`mv` waits for nothing, so the reader meets a search that has only begun."""
    server.fault(SEARCH, "delay", seconds=2)
    query = AGREEABLE.format("HCP_Q2")
    shell(f"cat > search/draft <<'END'\n{query}\nEND\nmv search/draft search/x.sql", fresh_mount)
    assert os.stat(fresh_mount / "search/x.csv").st_size == 0  # stat does not wait
    found = shell(READERS[name].replace("{scratch}", str(tmp_path)), fresh_mount)
    assert sorted(found.split()) == sorted(tutorial.AGREEABLE)
    assert server.counts()[SEARCH] == 1


def test_fread_after_the_search_is_over(fresh_mount: Path, server: StandIn, tmp_path: Path) -> None:
    server.fault(SEARCH, "delay", seconds=2)
    query = AGREEABLE.format("HCP_Q1")
    shell(f"cat > search/draft <<'END'\n{query}\nEND\nmv search/draft search/x.sql", fresh_mount)
    assert shell("cat search/x.csv", fresh_mount).split()[0] == "subject"  # waits
    assert sorted(shell(READERS["fread"], fresh_mount).split()) == sorted(AGREEABLE_Q1)
    assert server.counts()[SEARCH] == 1
