"""What is known of a zip: read anew whenever it is another one, and never believed where it cannot be."""

from __future__ import annotations

import hashlib
import io
import os
import time
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from cdbfs.caller import Caller
from cdbfs.hcp.models import Package
from cdbfs.store.packages import states
from cdbfs.store.packages.kept import KeptPackages
from cdbfs.store.packages.layout import Layout, whole
from cdbfs.store.packages.states import STATE, State, glance, read
from tests.store.packages.doubles import OTHER, PACKAGE, Scripted
from tests.store.packages.test_fetching import packages_of

FIRST = State(PACKAGE.subject, PACKAGE.id, 7, 10**18, "0" * 32)
ENDLESS = b'{"subject": "a", "id": "b", "size": 1e999, "mtime": 1, "md5": ""}'
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
@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b'{"subject": 1}', b"[" * 100_000, b"\xff", ENDLESS], ids=repr
)
def test_one_that_is_damaged_counts_as_none(
    text: bytes, look: Callable[[Path], State | None], tmp_path: Path
) -> None:
    (tmp_path / STATE).write_bytes(text)
    assert look(tmp_path) is None
    states.write(tmp_path, FIRST)
    assert look(tmp_path) == FIRST


@BOTH
def test_a_look_waits_for_nothing(look: Callable[[Path], State | None], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / STATE)
    assert look(tmp_path) is None


def test_that_of_another_package_is_none(tmp_path: Path) -> None:
    kept = KeptPackages(Layout(tmp_path))
    for package in (PACKAGE, OTHER):
        kept.layout.object(package).mkdir(parents=True)
        states.write(kept.layout.object(package), FIRST)
    assert kept.glance(PACKAGE) == kept.state(PACKAGE) == FIRST
    assert kept.glance(OTHER) is kept.state(OTHER) is None
    assert kept.glance(Package("nobody", "X")) is None


def zip_of(names: Sequence[str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(f"{PACKAGE.subject}/{name}", name)
    return made.getvalue()


def put(kept: KeptPackages, data: bytes, scratch: Path) -> None:
    (scratch / "arrived").write_bytes(data)
    kept.install(whole(PACKAGE), scratch / "arrived", hashlib.md5(data).hexdigest())


@pytest.mark.parametrize("known", [False, True])
def test_who_looks_through_an_old_glance_sees_the_members_that_are_there(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, where another host had the package published anew."""
    with packages_of(tmp_path, Scripted({})) as (packages, store):
        put(store.kept, zip_of(["a"]), tmp_path)
        if known:
            packages.index(PACKAGE, 0, Caller())
        old = store.kept.glance(PACKAGE)
        store.kept.evict(PACKAGE)
        put(KeptPackages(store.layout), zip_of(["a", "b"]), tmp_path)
        monkeypatch.setattr(states, "glance", lambda directory: old)
        packages.open_member(PACKAGE, f"{PACKAGE.subject}/b", 0, Caller()).close()
        assert packages.index(PACKAGE, 0, Caller()).entries(PACKAGE.subject).files == ["a", "b"]
