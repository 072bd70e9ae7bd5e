"""Loading a data set from a file, and what is said of a file that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdbfs.demo import fixture

HELD: dict[str, Any] = {
    "users": {"ann": "owner of all", "bob": "reads P1, not P9", "eve": "no access"},
    "projects": [{"ID": "P1", "name": "One"}, {"ID": "P2", "name": "Two"}],
    "subjects": [{"ID": "S1", "label": "x", "project": "P1", "shares": {"P2": "y"}, "yob": "1980"}],
    "experiments": [
        {
            "ID": "E1",
            "label": "x_3T",
            "project": "P1",
            "subject_ID": "S1",
            "xsiType": "nt:scores",
            "scores": {"NEO": {"NEOFAC_A": "33"}},
        }
    ],
}


def written(directory: Path, held: object, more: object = None) -> Path:
    path = directory / "held.json"
    path.write_text(json.dumps(held))
    if more is not None:
        (directory / "held.extra.json").write_text(json.dumps(more))
    return path


def test_users_read_what_their_words_name(tmp_path: Path) -> None:
    accounts = {a.user: a for a in fixture.load(written(tmp_path, HELD)).accounts}
    assert accounts["ann"].reads is None
    assert accounts["bob"].reads == frozenset({"P1"})
    assert accounts["eve"].reads == frozenset()
    assert accounts["eve"].password == "evepw"


def test_items_and_their_shares(tmp_path: Path) -> None:
    data = fixture.load(written(tmp_path, HELD))
    assert [(s.label, s.shares, s.detail("yob")) for s in data.subjects] == [("x", (("P2", "y"),), "1980")]
    content = data.content_of(data.experiments[0])
    assert content.groups == (("NEO", (("NEOFAC_A", "33"),)),)


def test_what_stands_beside_the_file_adds_values_and_items(tmp_path: Path) -> None:
    more = {
        "users": {"bob": {"password": "secret"}, "zoe": {"reads": ["P2"], "number": 7}},
        "projects": [{"ID": "P2", "access": "protected"}, {"ID": "P3", "name": "Three"}],
        "subjects": [{"ID": "S1", "gender": "female"}],
        "experiments": [{"ID": "E1", "events": [{"number": 3, "date": 5, "action": "Added"}]}],
    }
    data = fixture.load(written(tmp_path, HELD, more))
    accounts = {a.user: a for a in data.accounts}
    assert (accounts["bob"].password, accounts["bob"].reads) == ("secret", frozenset({"P1"}))
    assert (accounts["zoe"].number, accounts["zoe"].reads) == (7, frozenset({"P2"}))
    assert [(p.id, p.name, p.access) for p in data.projects] == [
        ("P1", "One", "private"),
        ("P2", "Two", "protected"),
        ("P3", "Three", "private"),
    ]
    assert (data.subjects[0].label, data.subjects[0].detail("gender")) == ("x", "female")
    assert [(e.number, e.action) for e in data.experiments[0].events] == [(3, "Added")]


def test_files_are_added_to_by_their_address(tmp_path: Path) -> None:
    file = {"Name": "a.txt", "Size": "2", "collection": "R", "URI": "/data/experiments/E1/resources/4/files/a.txt"}
    own = {"Name": "p.txt", "Size": "3", "collection": "D", "URI": "/data/projects/P1/resources/5/files/p.txt"}
    held = {**HELD, "experiments": [{**HELD["experiments"][0], "files": [file]}]}
    more = {
        "projects": [{"ID": "P1", "files": [{**own, "text": "abc"}]}],
        "experiments": [{"ID": "E1", "files": [{"URI": file["URI"], "text": "xy", "event": 9}]}],
    }
    data = fixture.load(written(tmp_path, held, more))
    (session,) = data.content_of(data.experiments[0]).resources
    (project,) = data.projects[0].resources
    assert (session.key, session.label, project.key, project.label) == (4, "R", 5, "D")
    assert [(f.path, f.data(), f.event) for f in session.files] == [("a.txt", b"xy", 9)]
    assert [(f.path, f.data()) for f in project.files] == [("p.txt", b"abc")]


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ([], "holds no object"),
        ({"users": []}, "users is not an object"),
        ({"projects": []}, "names no users"),
        ({**HELD, "subjects": {}}, "subjects is not a list of objects"),
        ({**HELD, "subjects": ["x"]}, "subjects is not a list of objects"),
        ({**HELD, "projects": [{"name": "One"}]}, "number 1 of the projects has no ID"),
        ({**HELD, "experiments": [{"ID": "E1", "label": "x"}]}, "E1 of the experiments has no subject_ID"),
        (
            {**HELD, "subjects": [{"ID": "S1", "label": "x", "shares": 3}]},
            "S1 of the subjects cannot be understood",
        ),
        ({**HELD, "experiments": [{**HELD["experiments"][0], "events": [{"what": 1}]}]}, "E1 of the experiments"),
    ],
)
def test_a_file_that_is_no_fixture_says_why(held: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(fixture.FixtureError, match=words):
        fixture.load(written(tmp_path, held))


@pytest.mark.parametrize("text", ["", "{", "\ufeff{}", "[" * 100_000])
def test_a_file_that_is_not_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "held.json").write_text(text)
    with pytest.raises(fixture.FixtureError, match="is not JSON"):
        fixture.load(tmp_path / "held.json")
