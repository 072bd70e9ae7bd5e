"""Directories that take many questions to list: every name once, from wherever the reader goes on."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cdbfs.demo import StandIn
from tests.views import mounted
from tests.worlds import World

NAMES = sorted(f"{number:04d}{'äb c,%'[: number % 7]}{'x' * (number % 199)}" for number in range(3000))
"""Of many lengths, so that questions end after any number of them."""
LIBC = ctypes.CDLL(None, use_errno=True)


class Entry(ctypes.Structure):
    """struct dirent, on 64 bits."""

    _fields_ = (
        ("inode", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("length", ctypes.c_ushort),
        ("type", ctypes.c_ubyte),
        ("name", ctypes.c_char * 256),
    )


LIBC.opendir.restype = ctypes.c_void_p
LIBC.readdir64.restype = ctypes.POINTER(Entry)
LIBC.telldir.restype = ctypes.c_long
for function in (LIBC.readdir64, LIBC.telldir, LIBC.rewinddir, LIBC.closedir):
    function.argtypes = [ctypes.c_void_p]
LIBC.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


def rest(stream: int) -> list[str]:
    """The names from here to the end."""
    names = []
    while entry := LIBC.readdir64(stream):
        names.append(os.fsdecode(entry.contents.name))
    return names


@pytest.fixture
def directory(server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str) -> Iterator[Path]:
    queries = tmp_path / "queries"
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache", search_dir=str(queries)) as mount:
        (mount / "search/first").touch()
        [here] = queries.iterdir()
        (here / "first").unlink()
        for name in NAMES:
            (here / name).touch()
        yield mount / "search"


@pytest.mark.parametrize("dialect", ["1.6"], indirect=True)
def test_every_name_comes_once(directory: Path) -> None:
    def look(_: int) -> list[str]:
        return sorted(os.listdir(directory))

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(look, range(8)):
            assert found == NAMES
    for entry in os.scandir(directory):
        assert entry.inode() == entry.stat().st_ino
        assert entry.is_file(follow_symlinks=False)


@pytest.mark.parametrize("dialect", ["1.6"], indirect=True)
def test_a_reader_goes_back_and_forth(directory: Path) -> None:
    stream = LIBC.opendir(os.fsencode(directory))
    assert stream
    places, names = [], []
    while True:
        place = LIBC.telldir(stream)
        entry = LIBC.readdir64(stream)
        if not entry:
            break
        places.append(place)
        names.append(os.fsdecode(entry.contents.name))
    assert sorted(names) == sorted([".", "..", *NAMES])
    for number in (0, 1, 2, 2999, 1500, 7, 3001):
        LIBC.seekdir(stream, places[number])
        assert rest(stream) == names[number:]
    LIBC.rewinddir(stream)
    assert rest(stream) == names
    LIBC.closedir(stream)
