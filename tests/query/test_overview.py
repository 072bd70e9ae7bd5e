"""A project's experiments of one type as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cdbfs.config import Settings
from cdbfs.demo import DataSet, DataSetBuilder
from cdbfs.errors import QueryError
from cdbfs.query.catalog import Catalog
from cdbfs.query.overview import run_overview
from cdbfs.xnat.client import Client
from tests.worlds import World, elsewhere

TYPE = "cog:battery"


def odd_fields() -> DataSet:
    """Fields whose names are those of columns, and values that CSV must quote."""
    make = DataSetBuilder(site_id="Lab")
    make.project("P")
    make.project("P_b")
    make.type(TYPE, "cog:Battery", "http://example.org/cog")
    for number, label in enumerate(("b", "a", "c")):
        subject = make.subject(label, "P", id=f"S{number}")
        values = {"ID": "1", "label": "two\r\nlines", "subject": 'a "b", c', "long": "x" * 200_000}
        make.experiment(f"{label}_e", subject, TYPE, id=f"E{number}", groups={"g": values})
    make.experiment("other", make.subject("o", "P_b"), TYPE, groups={"g": {"ID": "9"}})
    make.account("ana", "secret", ["P", "P_b"])
    return make.build()


def overview(world: World, project: str, labels: Mapping[str, str], workspace: Path, type_name: str = TYPE) -> str:
    with world.server() as server:
        client = Client(Settings(url=server.url), world.login)
        out = io.StringIO(newline="")
        try:
            run_overview(project, type_name, labels, client, Catalog(client), workspace, out)
        finally:
            client.session.close()
    assert list(workspace.iterdir()) == []
    return out.getvalue()


def table(text: str) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(io.StringIO(text, newline=""))


def test_a_row_for_each_experiment_of_the_project_by_subject_then_id(dialect: str, tmp_path: Path) -> None:
    world = World("elsewhere", elsewhere(), dialect)
    for project in ("ALPHA", "beta-2"):
        labels = {experiment.id: label for label, experiment in world.experiments(project)}
        subjects = {subject.id: label for label, subject in world.subjects(project)}
        rows = list(table(overview(world, project, labels, tmp_path)))
        assert {row["ID"]: row["label"] for row in rows} == labels
        assert len(rows) == len(labels)
        of = {
            experiment.id: subjects.get(experiment.subject_id, "") for _, experiment in world.experiments(project)
        }
        assert [(row["subject"], row["ID"]) for row in rows] == sorted(
            ((of[ID], ID) for ID in labels), key=lambda row: (not row[0], row)
        )


def test_the_columns_are_label_id_subject_and_each_field(dialect: str, tmp_path: Path) -> None:
    text = overview(World("elsewhere", elsewhere(), dialect), "ALPHA", {}, tmp_path)
    header = text.partition("\n")[0].split(",")
    assert header[:4] == ["label", "ID", "subject", "SUBJECT_ID"]
    assert header[-4:] == ["MEMORY_RECALL", "MEMORY_REMARK", "MEMORY_GONE", "MEMORY_BLANK"]
    assert "EXPT_ID" not in header
    assert len(set(header)) == len(header)
    row = next(row for row in table(text) if row["ID"] == "Lab_E00001")
    assert (row["label"], row["MEMORY_RECALL"], row["MEMORY_REMARK"]) == ("", "6", 'a, "b"\nc')


def test_cells_come_as_they_are(dialect: str, tmp_path: Path) -> None:
    text = overview(
        World("odd", odd_fields(), dialect), "P", {f"E{number}": "l,1" for number in range(3)}, tmp_path
    )
    rows = list(table(text))
    assert [(row["subject"], row["ID"], row["label"]) for row in rows] == [
        ("a", "E1", "l,1"),
        ("b", "E0", "l,1"),
        ("c", "E2", "l,1"),
    ]
    assert {(row["G_ID"], row["G_LABEL"], row["G_SUBJECT"], row["G_LONG"]) for row in rows} == {
        ("1", "two\r\nlines", 'a "b", c', "x" * 200_000)
    }


def test_a_type_that_cannot_be_searched_is_told(dialect: str, tmp_path: Path) -> None:
    world = World("elsewhere", elsewhere(), dialect)
    with pytest.raises(QueryError, match="the server has no data type cog:nosuch"):
        overview(world, "ALPHA", {}, tmp_path, "cog:nosuch")
