"""Labels that are awkward as names of files: each item is shown once, is readable, and can be told apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdbfs.demo import DataSet, DataSetBuilder, StandIn
from cdbfs.tree.names import decode
from tests.hostile.servers import document
from tests.views import MemoryView, MountView, View, in_memory, mounted
from tests.worlds import World

LABELS = [
    "a/b",
    "/",
    "//",
    "../../etc/passwd",
    "a\0b",
    "a\nb",
    "\n",
    "a\r\nb",
    "tab\there",
    "a%2Fb",
    "a%2fb",
    "%",
    "%%",
    "%00",
    "quote\"s and 'more'",
    "`reboot`",
    "$(reboot)",
    "-rf",
    "--",
    "*",
    "~",
    "a~b",
    "#",
    "a b ",
    " ",
    "\\",
    "a,b;c",
    "bell\x07 escape\x1b[31m delete\x7f next\x85",
    "\u202egnp.exe",
    "\u2066isolated",
    "\u200b",
    "\ufeff",
    "Käse",
    "Ka\u0308se",
    "日本語",
    "\U0001f9e0",
    "\ufffd",
    "x" * 255,
    "x" * 256,
    "x" * 300,
    "x" * 299 + "y",
    "ä" * 150,
    "日" * 100,
    ".",
    "..",
    "...",
    ".hidden",
    "%2E",
    "%2E%2E",
    "CON",
    "con",
    "twin",
    "twin",
    "twin",
    "twin~Lab_S1",
    "subjects.csv",
]
NO_XML = {"\0", "\x07", "\x1b"}
"""What no document can hold, so that a subject's with such a label is none."""


def hostile() -> DataSet:
    """A subject and an experiment for each label, and each is in two projects."""
    make = DataSetBuilder(site_id="Lab")
    make.project("P")
    make.project("Q")
    make.type("cog:battery", "cog:Battery", "http://example.org/cog")
    for number, label in enumerate(LABELS):
        subject = make.subject(label, "P", id=f"Lab_S{number}", shares={"Q": f"q{number}"})
        make.experiment(
            label,
            subject,
            "cog:battery",
            id=f"Lab_E{number}",
            shares={"Q": label},
            document=document(f"Lab_E{number}", f"<memory><recall>{number}</recall></memory>").encode(),
        )
    make.account("ana", "secret", ["P", "Q"])
    return make.build()


DATA = hostile()


@pytest.fixture(scope="module", params=["memory", "mount"])
def labels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    scratch = tmp_path_factory.mktemp("labels")
    login = World("labels", DATA).login
    with StandIn(DATA) as server:
        if request.param == "memory":
            with in_memory(server, login, scratch / "c") as runtime:
                yield MemoryView(runtime)
        else:
            with mounted(server, login, scratch / "m", scratch / "c") as directory:
                yield MountView(directory)
                assert (directory / ".cdbfs/errors").read_text() == ""


def test_every_subject_has_a_name_of_its_own_that_tells_its_label(labels: View) -> None:
    names = labels.listdir("projects/P/subjects")
    assert len(names) == len(set(names)) == len(LABELS)
    assert all(0 < len(os.fsencode(name)) <= 255 and not {"/", "\0"} & set(name) for name in names)
    alone = [label for label in LABELS if LABELS.count(label) == 1 and len(label) < 84 and "twin" not in label]
    assert len(alone) > 40
    assert set(alone) < {decode(name) for name in names}


def test_every_experiment_is_read_below_its_subject(labels: View) -> None:
    found = set()
    for subject in labels.listdir("projects/P/subjects"):
        (experiment,) = labels.listdir(f"projects/P/subjects/{subject}/experiments")
        directory = f"projects/P/subjects/{subject}/experiments/{experiment}"
        number = int(labels.read(f"{directory}/scores/memory/recall"))
        assert labels.read(f"{directory}/experiment.xml") == DATA.experiments[number].document
        if not NO_XML & set(LABELS[number]):
            assert f'ID="Lab_S{number}"'.encode() in labels.read(f"projects/P/subjects/{subject}/xml/subject.xml")
        found.add(number)
    assert found == set(range(len(LABELS)))


def test_every_link_leads_to_its_experiment(labels: View) -> None:
    names = labels.listdir("projects/Q/experiments")
    assert len(set(names)) == len(LABELS)
    for name in names:
        target = labels.readlink(f"projects/Q/experiments/{name}")
        subject = target.split("/")[2]
        path = os.path.normpath(f"projects/Q/experiments/{target}/scores/memory/recall")
        assert labels.read(path) == f"{subject[1:]}\n".encode()
        assert len(target.split("/")) == 5


@pytest.mark.parametrize("table", ["subjects.csv", "experiments.csv"])
def test_tables_have_a_row_for_each(table: str, labels: View, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    (tmp_path / table).write_bytes(labels.read(f"projects/P/{table}"))
    frame = pandas.read_csv(tmp_path / table, keep_default_na=False, dtype=str)
    assert sorted(frame["label"]) == sorted(LABELS)
