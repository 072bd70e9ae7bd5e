"""The tutorial's searches get the tutorial's answers, in both dialects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdbfs.demo import StandIn, connectomedb, tutorial

from .asking import Client, all_of, any_of, bundle, labels

NEO = ["SUBJECT_ID", *(f"NEO_NEOFAC_{factor}" for factor in "AOCNE")]
IN_Q1 = ("nt:scores/PROJECTS", "LIKE", "%HCP_Q1%")
IN_Q2 = ("nt:scores/PROJECTS", "LIKE", "%HCP_Q2%")
WORDS = "nt:scores/CPW_IWRD_TOT"


@pytest.fixture(scope="module", params=["1.6", "1.8"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with StandIn(connectomedb(), dialect=request.param) as server:
        made = Client(server)
        yield made
        made.close()


def test_neo_of_all_subjects(client: Client) -> None:
    header, *rows = client.rows(bundle(NEO, all_of(IN_Q2)))
    assert header == [*map(str.lower, NEO), "quarantine_status"]
    assert len(rows) == 143
    first = {row[0]: row[1:6] for row in rows}
    assert first["ConnectomeDB_S00230"] == ["33", "37", "24", "15", "35"]
    assert first["ConnectomeDB_S00231"] == ["19", "25", "27", "25", "32"]


def test_the_agreeable(client: Client) -> None:
    over_40 = ("nt:scores/NEO_NEOFAC_A", ">", "40")
    assert set(labels(client, all_of(IN_Q2, over_40))) == {"702133", "732243", "149337", "792564", "877168"}
    assert set(labels(client, all_of(IN_Q1, over_40))) == {"149337", "732243", "792564", "877168"}


def test_words_recalled(client: Client) -> None:
    found = labels(client, all_of(IN_Q1, (WORDS, ">=", "30"), (WORDS, "<", "35")))
    assert len(found) == 26
    assert set(found) == set(tutorial.IWRD_30_TO_34)


def test_words_recalled_below_or_above(client: Client) -> None:
    found = labels(client, all_of(IN_Q1, any_of((WORDS, "<", "30"), (WORDS, ">=", "35"))))
    assert len(found) == 50
    assert set(found) == set(tutorial.LABELS[:76]) - set(tutorial.IWRD_30_TO_34)


def test_what_can_be_searched(client: Client) -> None:
    """The tutorial prints these ids, in this order."""
    table = client.get("/data/search/elements/nt:scores?format=csv").text
    ids = [line.split(",")[0] for line in table.splitlines()]
    assert ids[1:3] == ["SUBJECT_ID", "EXPT_ID"]
    printed = (
        *("HCPPNP_MARS_LOG_SCORE", "HCPPNP_MARS_ERRS", "HCPPNP_MARS_FINAL"),
        *(f"DDISC_SV_{delay}_{amount}" for amount in (200, 40000) for delay in _DELAYS),
        *("DDISC_AUC_200", "DDISC_AUC_40000", "NEO_NEO", *(f"NEO_NEOFAC_{factor}" for factor in "AOCNE")),
    )
    start = ids.index("HCPPNP_MARS_LOG_SCORE")
    assert tuple(ids[start : start + len(printed)]) == printed
    assert "PMAT24A_PMAT24_A_RTCR" in ids
    assert "ER40_ER40SAD" in ids


_DELAYS = ("1MO", "6MO", "1YR", "3YR", "5YR", "10YR")
