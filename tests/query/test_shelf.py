"""The user's own directory: no link is followed, no descriptor is left, nothing is replaced unasked."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path

import pytest

from cdbfs.errors import ConfigError
from cdbfs.query import shelf as module
from cdbfs.query.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    made = Shelf(tmp_path / "own" / "shelf", 0o077)
    made.prepare()
    return made


def write(shelf: Shelf, path: str, text: str) -> None:
    with open(shelf.open(path, os.O_WRONLY, 0o666), "w") as file:
        file.write(text)


def read(shelf: Shelf, path: str) -> bytes:
    with shelf.reading(path) as file:
        return file.read()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_it_is_made_private(shelf: Shelf) -> None:
    write(shelf, "x.sql", "text")
    shelf.mkdir("d", 0o777)
    shelf.chmod("x.sql", 0o4777)
    places = (shelf.root.parent, shelf.root, shelf.root / "d", shelf.root / "x.sql")
    assert [stat.S_IMODE(place.stat().st_mode) for place in places] == [0o700] * 4


def test_one_that_somebody_took_away_is_made_anew(shelf: Shelf) -> None:
    shelf.root.rmdir()
    write(shelf, "x.sql", "text")
    assert read(shelf, "x.sql") == b"text"


def test_it_may_be_a_link_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    shelf = Shelf(tmp_path / "link", 0o077)
    shelf.prepare()
    write(shelf, "x.sql", "text")
    assert (tmp_path / "elsewhere/x.sql").read_text() == "text"


def test_one_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="search_dir"):
        Shelf(tmp_path / "file", 0o077).prepare()


def test_no_link_is_followed(shelf: Shelf, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    (shelf.root / "link").symlink_to(secret)
    (shelf.root / "dir").symlink_to(tmp_path)
    for attempt in (
        lambda: read(shelf, "link"),
        lambda: shelf.open("link", os.O_WRONLY | os.O_TRUNC),
        lambda: shelf.truncate("link", 0),
        lambda: shelf.chmod("link", 0o777),
        lambda: read(shelf, "dir/secret"),
        lambda: shelf.unlink("dir/secret"),
        lambda: shelf.rename("dir/secret", "mine"),
    ):
        with pytest.raises(OSError, match=r"symbolic links|not supported|Not a directory"):
            attempt()
    assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == ("secret", 0o600)


def test_what_is_no_file_is_not_read_and_leaves_no_descriptor(shelf: Shelf) -> None:
    shelf.mkdir("d.sql", 0o777)
    os.mkfifo(shelf.root / "fifo.sql")
    before = descriptors()
    for _ in range(20):
        with pytest.raises(IsADirectoryError):
            read(shelf, "d.sql")
        with pytest.raises(OSError, match="Invalid argument"):
            read(shelf, "fifo.sql")
    assert descriptors() == before


def refuse(*arguments: object) -> int:
    ctypes.set_errno(errno.EINVAL)
    return -1


@pytest.mark.parametrize("renames", ["with flags", "without", "on an old system"])
def test_a_file_is_set_aside_under_a_name_that_is_free(
    renames: str, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    if renames != "with flags":  # as on NFS, or before glibc 2.28
        monkeypatch.setattr(module, "_renameat2", refuse if renames == "without" else None)
    for number in range(3):
        write(shelf, "x.csv", str(number))
        shelf.set_aside("x.csv")
    assert [name.name for name in shelf.names("")] == ["x.csv~", "x.csv~2", "x.csv~3"]
    assert [read(shelf, name.name) for name in shelf.names("")] == [b"0", b"1", b"2"]
