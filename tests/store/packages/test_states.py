"""What is known of a zip: read anew whenever it is another one, and never believed where it cannot be."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from cdbfs.hcp.models import Package
from cdbfs.store.packages import states
from cdbfs.store.packages.kept import KeptPackages
from cdbfs.store.packages.layout import Layout
from cdbfs.store.packages.states import STATE, State, glance, read
from tests.store.packages.doubles import OTHER, PACKAGE

FIRST = State(PACKAGE.subject, PACKAGE.id, 7, 10**18, "0" * 32)
BOTH = pytest.mark.parametrize("look", [glance, read])


@BOTH
def test_what_was_written_last_is_seen_at_once(look: Callable[[Path], State | None], tmp_path: Path) -> None:
    assert look(tmp_path) is None
    for number in range(10):  # of one length, so that only the file itself tells them apart
        time.sleep(0.01)  # the tick of file times: no two zips arrive within one
        state = replace(FIRST, md5=f"{number:032d}")
        states.write(tmp_path, state)
        assert look(tmp_path) == look(tmp_path) == state
    (tmp_path / STATE).unlink()
    assert look(tmp_path) is None
    assert os.listdir(tmp_path) == []


@BOTH
@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"subject": 1}', b"[" * 100_000, b"\xff"], ids=repr)
def test_one_that_is_damaged_counts_as_none(
    text: bytes, look: Callable[[Path], State | None], tmp_path: Path
) -> None:
    (tmp_path / STATE).write_bytes(text)
    assert look(tmp_path) is None
    states.write(tmp_path, FIRST)
    assert look(tmp_path) == FIRST


def test_a_look_waits_for_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / STATE)
    assert glance(tmp_path) is None


def test_that_of_another_package_is_none(tmp_path: Path) -> None:
    kept = KeptPackages(Layout(tmp_path))
    for package in (PACKAGE, OTHER):
        kept.layout.object(package).mkdir(parents=True)
        states.write(kept.layout.object(package), FIRST)
    assert kept.glance(PACKAGE) == kept.state(PACKAGE) == FIRST
    assert kept.glance(OTHER) is kept.state(OTHER) is None
    assert kept.glance(Package("nobody", "X")) is None
