"""The tutorial's questions get the tutorial's answers from the generated documents, whatever the seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from xml.etree import ElementTree

import pytest

from cdbfs.demo import DataSet, connectomedb, document, tutorial
from cdbfs.demo.dataset import label_in
from cdbfs.demo.scores import FIELDS

SEEDS = (0, 1, 99)
NT = "{http://nrg.wustl.edu/nt}"
Scores = Mapping[str, str]


@cache
def demo(seed: int) -> DataSet:
    return connectomedb(seed=seed)


@cache
def scores(seed: int) -> Mapping[str, Scores]:
    """Every subject's scores by element name, read from the documents."""
    data = demo(seed)
    labels = {subject.id: subject.label for subject in data.subjects}
    return {labels[e.subject_id]: _scores(document(data, e.id)) for e in data.experiments if e.type == "nt:scores"}


def _scores(text: bytes) -> Scores:
    root = ElementTree.fromstring(text)
    return {
        score.tag[len(NT) :]: score.text or "" for group in root if group.tag.startswith(NT) for score in group
    }


def test_labels_and_releases() -> None:
    data = demo(0)
    assert [s.label for s in data.subjects] == list(tutorial.LABELS)
    assert len(tutorial.LABELS) == len(set(tutorial.LABELS)) == 144
    assert [s.label for s in data.subjects if label_in(s, "HCP_Q1")] == list(tutorial.LABELS[:76])
    assert all(s.project == "HCP_Subjects" and label_in(s, "HCP_Q2") == s.label for s in data.subjects)


def test_experiments_of_a_subject() -> None:
    data = demo(0)
    labels = [e.label for e in data.experiments if e.subject_id == "ConnectomeDB_S00230"]
    assert labels == [f"100307_{kind}" for kind in ("3T", "SubjMeta", "Toolbox", "NonToolbox", "Alertness")]
    assert {e.id: e.label for e in data.experiments}["ConnectomeDB_E00299"] == "100307_NonToolbox"
    assert {s.id: s.label for s in data.subjects}["ConnectomeDB_S00231"] == "103515"


@pytest.mark.parametrize("seed", SEEDS)
def test_neo_search_gives_143_rows_and_the_printed_ones(seed: int) -> None:
    rows = scores(seed)
    assert len(rows) == 143
    printed = {"100307": "33 24 35 15 37", "103515": "19 27 32 25 25", "143325": "28 25 32 25 15"}
    for label, values in printed.items():
        assert [rows[label][f"NEOFAC_{factor}"] for factor in "ACENO"] == values.split()


@pytest.mark.parametrize("seed", SEEDS)
def test_er40_of_the_first_subject(seed: int) -> None:
    root = ElementTree.fromstring(document(demo(seed), "ConnectomeDB_E00299"))
    assert root.tag == f"{NT}NTScores"
    er40 = root.find(f"{NT}ER40")
    assert er40 is not None
    assert [[e.tag[len(NT) :], e.text] for e in er40] == [
        ["ER40_CR", "39"],
        ["ER40_CRT", "1471.0"],
        ["ER40ANG", "8"],
        ["ER40FEAR", "8"],
        ["ER40HAP", "8"],
        ["ER40NOE", "8"],
        ["ER40SAD", "7"],
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_agreeable_subjects(seed: int) -> None:
    found = {label for label, row in scores(seed).items() if int(row["NEOFAC_A"]) > 40}
    assert found == {"702133", "732243", "149337", "792564", "877168"}


@pytest.mark.parametrize("seed", SEEDS)
def test_word_memory_between_30_and_34(seed: int) -> None:
    first = [(label, int(scores(seed)[label]["IWRD_TOT"])) for label in tutorial.LABELS[:76]]
    assert [label for label, total in first if 30 <= total < 35] == list(tutorial.IWRD_30_TO_34)
    assert len([label for label, total in first if total < 30 or total >= 35]) == 50


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_are_consistent_and_well_formed(seed: int) -> None:
    for row in scores(seed).values():
        parts = [int(row[f"ER40{name}"]) for name in ("ANG", "FEAR", "HAP", "NOE", "SAD")]
        assert int(row["ER40_CR"]) == sum(parts)
        if all(row.get(name) for name in ("SCPT_TP", "SCPT_FN", "SCPT_SEN")):
            hits, misses = int(row["SCPT_TP"]), int(row["SCPT_FN"])
            assert float(row["SCPT_SEN"]) == pytest.approx(hits / (hits + misses), abs=1e-4)
        if all(row.get(name) for name in FIELDS["HCPPNP"]):
            final = float(row["MARS_Log_Score"]) - 0.04 * int(row["MARS_Errs"])
            assert float(row["MARS_Final"]) == pytest.approx(final, abs=0.005)
        for name, value in row.items():
            if name.startswith("SV_") and value:
                assert re.fullmatch(r"\d+\.\d\d", value)


def test_all_46_scores_occur_and_some_are_missing_in_both_ways() -> None:
    names = [name for fields in FIELDS.values() for name in fields]
    assert len(names) == 46
    rows = list(scores(0).values())
    assert set().union(*rows) == set(names)
    assert any("" in row.values() for row in rows)
    assert any(len(row) < 46 for row in rows)


def test_another_seed_changes_the_other_scores_only() -> None:
    one, other = scores(0), scores(1)
    assert sum(one[label] != other[label] for label in one) == len(one)
    for label, planted in tutorial.PLANTED.items():
        assert all(one[label][name] == other[label][name] == value for name, value in planted.items())


def test_the_same_seed_gives_the_same_documents() -> None:
    again = connectomedb(seed=99)
    assert all(document(again, e.id) == document(demo(99), e.id) for e in again.experiments[:50])


@pytest.mark.parametrize("subjects", [0, 1, 76, 500])
def test_other_numbers_of_subjects(subjects: int) -> None:
    data = connectomedb(subjects, seed=3)
    labels = [s.label for s in data.subjects]
    assert len(labels) == len(set(labels)) == subjects
    assert labels[:144] == list(tutorial.LABELS)[:subjects]
    assert all(re.fullmatch(r"\d{6}", label) for label in labels)
    assert subjects <= 144 or labels[144:] != sorted(labels[144:])


def test_every_document_of_a_subject_is_well_formed() -> None:
    data = demo(0)
    roots = [ElementTree.fromstring(document(data, e.id)).tag.rpartition("}")[2] for e in data.experiments[:5]]
    assert roots == ["MRSession", "SubjectMetadata", "ToolboxData", "NTScores", "AlertnessData"]
