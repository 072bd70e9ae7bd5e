"""The ConnectomeDB tutorial of 2013, step by step with the real pyxnat: it gets the answers that it prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
import pyxnat

from cdbfs.demo import StandIn, tutorial
from cdbfs.demo.scores import FIELDS

NT = "{http://nrg.wustl.edu/nt}"
NEO = ["nt:scores/SUBJECT_ID", *(f"nt:scores/NEO_NEOFAC_{factor}" for factor in "AOCNE")]
IWRD = [f"nt:scores/{name}" for name in ("SUBJECT_ID", "CPW_IWRD_TOT", "CPW_IWRD_RTC")]
IN_Q1 = ("nt:scores/PROJECTS", "LIKE", "%HCP_Q1%")
"""The subjects for whom the tutorial prints the later searches: of HCP_Q2 in those days, of HCP_Q1 here."""
IN_Q2 = ("nt:scores/PROJECTS", "LIKE", "%HCP_Q2%")


@pytest.fixture(scope="module")
def cdb(tutorial_server: StandIn) -> Iterator[Any]:
    interface = pyxnat.Interface(tutorial_server.url, "mylogin", "mypasswd")
    yield interface
    interface.disconnect()


@pytest.fixture(scope="module")
def q2(cdb: Any) -> Any:
    return cdb.select.project("HCP_Q2")


@pytest.fixture(scope="module")
def labels(cdb: Any) -> dict[str, str]:
    """Subject ID -> label, by one search instead of a request for each."""
    fields = ["xnat:subjectData/SUBJECT_ID", "xnat:subjectData/SUBJECT_LABEL"]
    return dict(cdb.select("xnat:subjectData", fields).all().items())


def test_projects(cdb: Any) -> None:
    assert cdb.select.projects().get() == ["HCP_Q1", "HCP_Q2"]
    assert [project.id() for project in cdb.select.projects()] == ["HCP_Q1", "HCP_Q2"]


def test_subjects(q2: Any, labels: dict[str, str]) -> None:
    identifiers = q2.subjects().get()
    assert [labels[identifier] for identifier in identifiers] == list(tutorial.LABELS)
    assert q2.subject("ConnectomeDB_S00230").label() == "100307"


def test_experiments_of_a_subject(q2: Any) -> None:
    found = [experiment.label() for experiment in q2.subject("100307").experiments()]
    assert found == [f"100307_{suffix}" for suffix in ("3T", "SubjMeta", "Toolbox", "NonToolbox", "Alertness")]


def test_the_document_of_an_experiment(q2: Any) -> None:
    scores = q2.subject("100307").experiment("100307_NonToolbox")
    assert scores.id() == "ConnectomeDB_E00299"
    assert scores.xpath("nt:ER40/nt:ER40_CR")[0].text == "39"
    root = ElementTree.fromstring(scores.get())
    assert root.tag == f"{NT}NTScores"
    assert [[score.tag, score.text] for score in root.iterfind(f"{NT}ER40/*")] == [
        [f"{NT}{name}", tutorial.PLANTED["100307"][name]]
        for name in ("ER40_CR", "ER40_CRT", "ER40ANG", "ER40FEAR", "ER40HAP", "ER40NOE", "ER40SAD")
    ]


def test_simple_search(cdb: Any, labels: dict[str, str]) -> None:
    table = cdb.select("nt:scores", NEO).where([IN_Q2])
    assert len(table) == 143
    assert sorted(table.headers()) == [*(f"neo_neofac_{factor}" for factor in "aceno"), "subject_id"]
    rows = {labels[row["subject_id"]]: row for row in table.data}
    for label, planted in tutorial.PLANTED.items():
        neo = {name.lower(): value for name, value in planted.items() if name.startswith("NEO")}
        assert {name: rows[label][f"neo_{name}"] for name in neo} == neo
    agreeable = {label for label, row in rows.items() if row["neo_neofac_a"] and int(row["neo_neofac_a"]) > 40}
    assert agreeable == set(tutorial.AGREEABLE)


def test_what_can_be_searched(cdb: Any) -> None:
    fields = cdb.inspect.datatypes("nt:scores")
    scores = [f"{group}_{name}".upper() for group, names in FIELDS.items() for name in names]
    printed = ["SUBJECT_ID", "EXPT_ID", "PROJECT", "INSERT_DATE", "INSERT_USER", *scores]
    assert {f"nt:scores/{name}" for name in printed} <= set(fields)


@pytest.mark.parametrize(
    ("fields", "criteria", "expected"),
    [
        pytest.param(
            *(NEO, [IN_Q2, ("nt:scores/NEO_NEOFAC_A", ">", "40"), "AND"]),
            set(tutorial.AGREEABLE),
            id="agreeable",
        ),
        pytest.param(
            *(IWRD, [IN_Q1, ("nt:scores/CPW_IWRD_TOT", ">=", "30"), ("nt:scores/CPW_IWRD_TOT", "<", "35"), "AND"]),
            set(tutorial.IWRD_30_TO_34),
            id="30 to 34",
        ),
        pytest.param(
            IWRD,
            [IN_Q1, [("nt:scores/CPW_IWRD_TOT", "<", "30"), ("nt:scores/CPW_IWRD_TOT", ">=", "35"), "OR"], "AND"],
            set(tutorial.LABELS[: tutorial.FIRST_RELEASE]) - set(tutorial.IWRD_30_TO_34),
            id="outside",
        ),
    ],
)
def test_complex_searches(
    cdb: Any, labels: dict[str, str], fields: list[str], criteria: list[Any], expected: set[str]
) -> None:
    table = cdb.select("nt:scores", fields).where(criteria)
    assert {labels[row[0]] for row in table.items()} == expected
    assert len(table) == len(expected)
