"""search/ against a plain directory, step by step: whatever is done to both, both say and show the same.

What search/ has besides, the results and errors of queries, is explained by what the plain directory holds: x.csv
is there where x.sql or x.xml is a query, x.error where both are, or where that text is known to be wrong. Nothing
is remembered by the kernel here (`attr_timeout=0`): what it may show for a second more is tested in test_posix.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Callable, ClassVar, Union

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.model.test_model import size
from tests.mount.failing import SMALL
from tests.views import mounted

HIDDEN = ".fuse_hidden"
GOOD = b"SELECT subject FROM nt:scores WHERE project = 'HCP_Q2' ORDER BY subject"
RESULT = b"subject\n" + b"".join(label.encode() + b"\n" for label, _ in SMALL.subjects("HCP_Q2"))
OPTIONS = {"umask": "000", "attr_timeout": "0", "entry_timeout": "0"}

NAMES = ("a", "b", "d", "d/a", "d/d", "d/d/a", "x.sql", "x.xml", "d/x.sql", ".z.sql", "L" * 255, "L" * 256, "a/a")
WHERE = st.integers(0, 50) | st.integers(0, 50) | st.sampled_from(NAMES)
"""A path: mostly one of those that are there, by number."""
Where = Union[int, str]
TEXTS = st.sampled_from([b"", b" \n\t", GOOD, b"SELECT nosuch FROM nt:scores", b"nonsense", b"x" * 5000])
OFFSETS = st.integers(0, 60) | st.sampled_from([4096, 200_000])
SLOTS = st.sampled_from([0, 1])
MODES = st.sampled_from([0o600, 0o644, 0o755, 0o400])
ACCESS = st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
FLAGS = st.sampled_from(
    [0, os.O_CREAT, os.O_CREAT, os.O_APPEND, os.O_TRUNC, os.O_CREAT | os.O_EXCL, os.O_NOFOLLOW]
)


@dataclass(frozen=True)
class Entry:
    """What stat shows of a name, and what is read there."""

    mode: int
    links: int
    size: int
    content: bytes


@dataclass
class Both:
    """A plain directory, search/, and where search/ lies on disk."""

    plain: Path
    search: Path
    shelf: Path

    def below(self, name: str) -> Both:
        return Both(self.plain / name, self.search / name, self.shelf / name)


class Machine(RuleBasedStateMachine):
    """Does each thing twice."""

    places: ClassVar[Both]
    numbers: ClassVar[Iterator[int]]

    @initialize()
    def begin(self) -> None:
        self.both = self.places.below(f"run{next(self.numbers)}")
        for root in (self.both.plain, self.both.search):
            for directory in ("", "d", "d/e"):
                (root / directory).mkdir(0o755)
            for name, text in (("a", b"some text"), ("x.sql", GOOD), ("d/x.sql", b"nonsense"), ("d/e/a", b"")):
                (root / name).write_bytes(text)
                (root / name).chmod(0o644)
        self.handles: list[tuple[int, int] | None] = [None, None]
        self.failed: set[bytes] = set()
        """Texts that search/ has said to be wrong."""

    def teardown(self) -> None:
        if not hasattr(self, "handles"):
            return
        for slot in (0, 1):
            self.close(slot)
        for root in (self.both.plain, self.both.search):
            subprocess.run(["rm", "-rf", root], check=True, timeout=60)
        assert not self.both.shelf.exists()

    # -- handles

    @rule(slot=SLOTS, where=WHERE, access=ACCESS, flags=FLAGS, mode=MODES)
    def open(self, slot: int, where: Where, access: int, flags: int, mode: int) -> None:
        path = self.path(where)
        self.close(slot)
        opened: list[int] = []

        def open_one(root: Path) -> bool:
            opened.append(os.open(root / path, access | flags, mode))
            return stat.S_ISDIR(os.fstat(opened[-1]).st_mode)

        try:
            is_directory = self.same(open_one)
        except AssertionError:
            for descriptor in opened:
                os.close(descriptor)
            raise
        if len(opened) == 2:
            self.handles[slot] = opened[0], opened[1]
            if is_directory:
                self.close(slot)

    @rule(slot=SLOTS)
    def close(self, slot: int) -> None:
        for descriptor in self.handles[slot] or ():
            os.close(descriptor)
        self.handles[slot] = None

    @rule(slot=SLOTS, offset=OFFSETS, text=TEXTS)
    def write_at(self, slot: int, offset: int, text: bytes) -> None:
        self.same_handle(slot, lambda file: os.pwrite(file, text, offset))

    @rule(slot=SLOTS, text=TEXTS)
    def write_on(self, slot: int, text: bytes) -> None:
        self.same_handle(slot, lambda file: (os.write(file, text), os.lseek(file, 0, os.SEEK_CUR)))

    @rule(slot=SLOTS, offset=OFFSETS, length=OFFSETS)
    def read_at(self, slot: int, offset: int, length: int) -> None:
        self.same_handle(slot, lambda file: os.pread(file, length, offset))

    @rule(slot=SLOTS, length=OFFSETS)
    def truncate_by_handle(self, slot: int, length: int) -> None:
        self.same_handle(slot, lambda file: os.ftruncate(file, length))

    @rule(slot=SLOTS, mode=MODES)
    def chmod_by_handle(self, slot: int, mode: int) -> None:
        if self.is_reachable(slot):
            self.same_handle(slot, lambda file: os.fchmod(file, mode))

    @rule(slot=SLOTS)
    def sync(self, slot: int) -> None:
        self.same_handle(slot, os.fsync)

    @rule(slot=SLOTS)
    def look_at_a_handle(self, slot: int) -> None:
        if self.is_reachable(slot):
            self.same_handle(slot, lambda file: (os.fstat(file).st_size, os.fstat(file).st_mode))
            self.same_handle(slot, lambda file: os.lseek(file, 0, os.SEEK_END))

    # -- names

    @rule(where=WHERE, text=TEXTS)
    def save(self, where: Where, text: bytes) -> None:
        """Open, empty, write and close, as `>` does."""
        path = self.path(where)
        self.same(lambda root: (root / path).write_bytes(text))

    @rule(where=WHERE, text=TEXTS)
    def save_by_rename(self, where: Where, text: bytes) -> None:
        """As editors do."""
        path = self.path(where)
        self.same(lambda root: (root / ".new").write_bytes(text))
        self.same(lambda root: os.rename(root / ".new", root / path))
        self.same(lambda root: os.unlink(root / ".new"))

    @rule(where=WHERE, text=TEXTS)
    def append(self, where: Where, text: bytes) -> None:
        path = self.path(where)

        def append_one(root: Path) -> int:
            with open(root / path, "ab", buffering=0) as file:
                return file.write(text)

        self.same(append_one)

    @rule(where=WHERE, length=OFFSETS)
    def truncate(self, where: Where, length: int) -> None:
        path = self.path(where)
        self.same(lambda root: os.truncate(root / path, length))

    @rule(where=WHERE)
    def remove(self, where: Where) -> None:
        path = self.path(where)
        self.same(lambda root: os.unlink(root / path))

    @rule(where=WHERE, mode=MODES)
    def mkdir(self, where: Where, mode: int) -> None:
        path = self.path(where)
        self.same(lambda root: os.mkdir(root / path, mode | 0o700))

    @rule(where=WHERE)
    def rmdir(self, where: Where) -> None:
        path = self.path(where)
        self.same(lambda root: os.rmdir(root / path))

    @rule(where=WHERE, to=WHERE)
    def rename(self, where: Where, to: Where) -> None:
        path, new = self.path(where), self.path(to)
        if not self.is_libfuses_mistake(path, new):
            self.same(lambda root: os.rename(root / path, root / new))

    @rule(where=WHERE, to=WHERE)
    def link(self, where: Where, to: Where) -> None:
        path, new = self.path(where), self.path(to)
        self.same(lambda root: os.link(root / path, root / new, follow_symlinks=False))

    @rule(where=WHERE, leads_to=st.sampled_from(NAMES))
    def symlink(self, where: Where, leads_to: str) -> None:
        path = self.path(where)
        self.same(lambda root: os.symlink(leads_to, root / path))

    @rule(where=WHERE, mode=MODES)
    def chmod(self, where: Where, mode: int) -> None:
        path = self.path(where)
        self.same(lambda root: os.chmod(root / path, mode | 0o100))

    @rule(where=WHERE, seconds=st.sampled_from([0, 10**9, 2**32]))
    def set_times(self, where: Where, seconds: int) -> None:
        path = self.path(where)

        def set_one(root: Path) -> tuple[float, float]:
            os.utime(root / path, (seconds, seconds + 1))
            found = os.stat(root / path)
            return found.st_atime, found.st_mtime

        self.same(set_one)

    # -- results

    @rule(name=st.sampled_from(["x.csv", "x.error", "d/x.csv", "d/x.error", "d/e/x.csv"]))
    def look_at_a_result(self, name: str) -> None:
        text = self.query(os.path.splitext(name)[0])
        path = self.both.search / name
        if text is None or not text.strip():
            assert _errno(lambda: os.stat(path)) in ("ENOENT", "ENOTDIR")
        elif name.endswith("csv") and text.strip() == GOOD:
            assert path.read_bytes() == RESULT
            assert os.stat(path).st_size == len(RESULT)
        elif name.endswith("csv"):
            # What is left of the good one, cut off, may be a query, too.
            assert _errno(path.read_bytes) == "EIO" or GOOD.startswith(text.strip())
        elif path.exists():
            assert path.read_bytes().endswith(b"\n")

    @rule(name=st.sampled_from(["x.csv", "d/x.error", "d/x.csv"]))
    def forget_a_result(self, name: str) -> None:
        if (self.both.search / name).exists():
            os.unlink(self.both.search / name)
            self.failed.clear()

    # -- what always holds

    @invariant()
    def all_is_the_same(self) -> None:
        if hasattr(self, "handles"):
            self.compare("")

    def compare(self, directory: str) -> None:
        names = os.listdir(self.both.plain / directory)
        shown = os.listdir(self.both.search / directory)
        expected = {name for name in names if not name.startswith(HIDDEN)}
        virtual = set(shown) - expected
        assert len(shown) == len(set(shown))
        assert set(shown) >= expected, (shown, expected)
        self.explain(directory, names, virtual)
        for name in expected:
            path = os.path.join(directory, name)
            found, wanted = self.entry(self.both.search, path), self.entry(self.both.plain, path)
            assert found == wanted, (path, found, wanted)
            if stat.S_ISDIR(wanted.mode):
                self.compare(path)

    def explain(self, directory: str, names: list[str], virtual: set[str]) -> None:
        """What is there besides is exactly what the queries have."""
        allowed = set()
        for stem in {os.path.splitext(name)[0] for name in names if name.endswith((".sql", ".xml"))}:
            text = self.query(os.path.join(directory, stem))
            if text is None or not text.strip() or stem.startswith((".", "L")):
                continue
            assert f"{stem}.csv" in virtual
            allowed.add(f"{stem}.csv")
            error = f"{stem}.error"
            if error in virtual and text.strip() != GOOD:
                self.failed.add(text)
            assert error in virtual or text not in self.failed, (error, text)
            if text.strip() != GOOD:
                allowed.add(error)
        assert virtual <= allowed, (virtual, allowed)

    # -- parts

    def path(self, where: Where) -> str:
        if isinstance(where, str):
            return where
        found = sorted(_below(self.both.plain))
        return str(found[where % len(found)].relative_to(self.both.plain)) if found else "a"

    def query(self, stem: str) -> bytes | None:
        """The text of the query of a result; of two, which have none, any that is wrong."""
        found = [self.both.plain / (stem + suffix) for suffix in (".sql", ".xml")]
        files = [path for path in found if _errno(lambda path=path: _regular(path)) == ""]  # type: ignore[misc]
        if len(files) == 2:
            return b"two of one name"
        return files[0].read_bytes() if files else None

    def same(self, work: Callable[[Path], object]) -> object:
        """What is done to both ends alike."""
        with _no_umask():
            plain = _outcome(lambda: work(self.both.plain))
            found = _outcome(lambda: work(self.both.search))
        assert found == plain, (found, plain)
        return plain

    def same_handle(self, slot: int, work: Callable[[int], object]) -> None:
        if self.handles[slot] is None:
            self.open(slot, ("a", "x.sql")[slot], os.O_RDWR, os.O_CREAT, 0o644)
        handles = self.handles[slot]
        if handles is not None:
            plain, search = handles
            wanted, found = _outcome(lambda: work(plain)), _outcome(lambda: work(search))
            assert found == wanted, (found, wanted)

    def entry(self, root: Path, path: str) -> Entry:
        found = os.lstat(root / path)
        if stat.S_ISDIR(found.st_mode):
            return Entry(found.st_mode, found.st_nlink, 0, b"")
        is_link = stat.S_ISLNK(found.st_mode)
        content = os.fsencode(os.readlink(root / path)) if is_link else (root / path).read_bytes()
        links = found.st_nlink - (self.hidden_names(path) if root == self.both.search else 0)
        return Entry(found.st_mode, links, found.st_size, content)

    def hidden_names(self, path: str) -> int:
        """How many names a file has because it was removed under them while it is open."""
        number = os.lstat(self.both.shelf / path).st_ino
        return sum(
            path.name.startswith(HIDDEN) and path.lstat().st_ino == number for path in _below(self.both.shelf)
        )

    def is_reachable(self, slot: int) -> bool:
        """Whether fstat knows a handle's file: not where it was removed and its directory after it."""
        handles = self.handles[slot]
        if handles is None:
            return False
        return os.fstat(handles[0]).st_nlink > 0 or _errno(lambda: os.fstat(handles[1])) not in (
            "ESTALE",
            "ENOENT",
        )

    def is_libfuses_mistake(self, path: str, new: str) -> bool:
        """Renaming one name of a file to another does nothing; libfuse first hides the second if it is open."""
        try:
            same = os.path.samestat(os.lstat(self.both.plain / path), os.lstat(self.both.plain / new))
        except OSError:
            return False
        return same and path != new and any(self.handles)


def _regular(path: Path) -> None:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EINVAL, "no file")


def _outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def _below(directory: Path) -> list[Path]:
    """All that lies in it. Not by rglob: it looks where links lead, and stumbles over a name that is too long."""
    return [Path(above, name) for above, *names in os.walk(directory) for each in names for name in each]


def _errno(work: Callable[[], object]) -> str:
    """The errno that something fails with, "" where it does not."""
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


@contextmanager
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.usefixtures("each_fuse")
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(size(16, 50, same=True), id="ci"),
        pytest.param(size(200, 80, same=False), id="full", marks=pytest.mark.full),
    ],
)
@pytest.mark.timeout(3600)
def test_it_is_like_a_plain_directory(size: settings, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    with (
        SMALL.server() as server,
        mounted(server, SMALL.login, tmp_path / "m", tmp_path / "cache", **OPTIONS) as m,
    ):
        (shelf,) = (tmp_path / "cache-search").iterdir()

        class Compared(Machine):
            places = Both(plain, m / "search", shelf)
            numbers = count()

        run_state_machine_as_test(Compared, settings=size)
