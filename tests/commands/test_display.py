"""What `cdbfs fetch` tells where there is no terminal; bars are tested on one, in tests/mount/packages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cdbfs.commands import display
from cdbfs.commands.display import Lines, Objects

PROGRESS: Mapping[str, Any] = {
    "event": "progress",
    "done": 15_200_000_000,
    "bytes": 51_000_000_000,
    "rate": 84_100_000,
    "seconds_left": 426,
    "packages": [],
}
EVENTS: list[Mapping[str, Any]] = [
    {"event": "here", "package": "1_A", "bytes": 5, "fetched": False},
    {"event": "planned", "packages": 2, "bytes": 51_000_000_000, "here": 1},
    {"event": "here", "package": "2_A", "bytes": 1_280_000_000, "fetched": True},
    PROGRESS,
    {"event": "failed", "package": "3_A", "reason": "it is\nnot there"},
    {
        "event": "end",
        "here": 2,
        "fetched": 1,
        "bytes": 1_280_000_000,
        "failed": [{"package": "3_A", "reason": "it is\nnot there"}],
        "missing": [],
    },
]


@pytest.mark.parametrize(
    ("seconds", "line"), [(0.0, "1 of 2 packages: 14.2 GiB of 47.5 GiB, 80.2 MiB/s, 7 min left\n"), (10.0, "")]
)
def test_lines(
    seconds: float, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "LINE_SECONDS", seconds)
    lines = Lines()
    for event in EVENTS:
        lines.show(event)
    assert capsys.readouterr() == (
        "1_A is here already (5 B)\n"
        "fetching 2 packages, about 47.5 GiB\n"
        "2_A is here (1.19 GiB)\n"
        f"{line}"
        "fetched 1 package (1.19 GiB), 2 here, 1 failed\n",
        "cdbfs: 3_A: it is?not there\n",
    )


def test_objects(capsys: pytest.CaptureFixture[str]) -> None:
    for event in EVENTS:
        Objects().show(event)
    told, failures = capsys.readouterr()
    assert [json.loads(line) for line in told.splitlines()] == EVENTS
    assert failures == "cdbfs: 3_A: it is?not there\n"


def test_what_is_left_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().show({**EVENTS[-1], "fetched": 0, "here": 0, "failed": [], "missing": ["3_A"]})
    assert capsys.readouterr().out == (
        "fetched nothing, 0 here, 1 still to come: the same command again goes on with them\n"
    )


def test_a_package_that_is_tried_again_is_told_once_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    cut, lost = "trying again: the connection was lost", "trying again: no\ndata"
    for states in [
        ("waiting", "fetching"),
        (cut, "fetching"),
        ("fetching", "checking"),
        (cut, "checking"),
        (lost, cut),
    ]:
        packages = [{"file": file, "state": state, "done": 0} for file, state in zip(("a.zip", "b.zip"), states)]
        lines.show({**PROGRESS, "packages": packages})
    assert capsys.readouterr().out.splitlines() == [
        f"a.zip: {cut}",
        "a.zip: trying again: no?data",
        f"b.zip: {cut}",
    ]
