"""Editors and tools write queries in their own ways: whichever it is, text and result are right afterwards."""

from __future__ import annotations

import contextlib
import errno as codes
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.failing import SOON, wait_until
from tests.mount.search.shelf import Shelf, answer, first, run, shelf, shell

pytestmark = pytest.mark.usefixtures("each_fuse")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shelf]:
    """search/ with a query x.sql for two subjects, whose search was the first."""
    with shelf(tmp_path) as found:
        found.write("x.sql", first(2))
        found.holds("x.sql", 2)
        assert found.searches() == 1
        yield found


# -- editors -----------------------------------------------------------------------------------------------------


def vim(here: Shelf, *commands: str, name: str = "x.sql") -> None:
    arguments = [part for command in commands for part in ("-c", command)]
    run("vim", "-N", "-u", "NONE", "-i", "NONE", "-es", *arguments, "-c", "qa!", name, cwd=here.root)


@pytest.mark.parametrize(
    ("options", "backups"),
    [
        ("nobackup nowritebackup", []),
        ("nobackup writebackup backupcopy=auto", []),
        ("nobackup writebackup backupcopy=no", []),
        ("nobackup writebackup backupcopy=yes", []),
        ("backup backupcopy=no", ["x.sql~"]),
        ("backup backupcopy=yes", ["x.sql~"]),
    ],
)
def test_vim(options: str, backups: list[str], here: Shelf) -> None:
    swapping = f"set {options} backupskip= directory=. updatecount=1"
    vim(here, swapping, "%s/LIMIT 2/LIMIT 3/", "w", "%s/LIMIT 3/LIMIT 4/", "w")
    here.holds("x.sql", 4)
    assert here.searches() == 3
    vim(here, swapping, "w", "w")
    here.holds("x.sql", 4)
    assert here.searches() == 3  # nothing new was asked
    assert here.names() == sorted(["x.sql", "x.csv", *backups])
    vim(here, swapping, "w", name="new.sql")  # an empty file
    assert not (here.root / "new.csv").exists()
    vim(here, swapping, "0read x.sql", "w", name="new.sql")
    assert here.read("new.csv") == answer(4)
    assert here.searches() == 3


class Terminal:
    """A program in a terminal, typed to."""

    def __init__(self, *command: str, cwd: Path) -> None:
        self.keyboard, screen = pty.openpty()
        self.program = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=screen,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "HOME": "/nonexistent"},
        )
        os.close(screen)

    def see(self, text: str) -> None:
        """Wait until the program has shown `text` since this was asked last."""
        shown = b""
        ends = time.monotonic() + SOON
        while text.encode() not in shown:
            assert time.monotonic() < ends, shown
            if select.select([self.keyboard], [], [], 0.1)[0]:
                shown += os.read(self.keyboard, 65536)

    def press(self, keys: str) -> None:
        os.write(self.keyboard, keys.encode())

    def end(self) -> None:
        """Wait until the program ends by itself."""
        ends = time.monotonic() + SOON
        while self.program.poll() is None:
            assert time.monotonic() < ends, "the program does not end"
            if select.select([self.keyboard], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):  # how Linux tells that the other side is closed
                    os.read(self.keyboard, 65536)
        os.close(self.keyboard)
        assert self.program.returncode == 0


def test_vim_in_a_terminal(here: Shelf) -> None:
    """As people use it: a swap file lies there meanwhile."""
    terminal = Terminal("vim", "-N", "-u", "NONE", "-i", "NONE", "x.sql", cwd=here.root)
    terminal.see("LIMIT 2")
    terminal.press("GA0\x1b$r4")  # LIMIT 20, then its 0 a 4
    terminal.press("F2x:w\r")
    terminal.see("written")
    here.holds("x.sql", 4)
    assert here.names() == [".x.sql.swp", "x.csv", "x.sql"]
    terminal.press(":wq\r")
    terminal.end()
    assert here.names() == ["x.csv", "x.sql"]
    assert here.searches() == 2


@pytest.mark.parametrize("backup", [False, True])
def test_nano(backup: bool, here: Shelf) -> None:
    flags = ["-B"] if backup else []
    terminal = Terminal("nano", "-I", *flags, "x.sql", cwd=here.root)
    terminal.see("LIMIT 2")
    terminal.press("\x1b/")  # to the last line
    terminal.press("\x1b[A\x05\x085\x0f")  # up, to its end, another number, write out
    terminal.see("Write")
    terminal.press("\r")
    terminal.see("Wrote")
    here.holds("x.sql", 5)
    assert here.searches() == 2
    terminal.press("\x0f")  # once more, as it is
    terminal.see("Write")
    terminal.press("\r")
    terminal.see("Wrote")
    terminal.press("\x18")
    terminal.end()
    here.holds("x.sql", 5)
    assert here.searches() == 2
    assert here.names() == ["x.csv", "x.sql", *(["x.sql~"] if backup else [])]


def test_as_emacs_saves(here: Shelf) -> None:
    """A lock that is a dangling link, an auto-save file, the old text renamed away, the new one written."""
    os.symlink("me@machine.1:2", here.root / ".#x.sql")
    here.write("#x.sql#", first(3))
    assert here.names() == ["#x.sql#", ".#x.sql", "x.csv", "x.sql"]
    assert here.searches() == 1
    os.rename(here.root / "x.sql", here.root / "x.sql~")
    assert here.names() == ["#x.sql#", ".#x.sql", "x.sql~"]  # no query, no result
    here.write("x.sql", first(3))
    (here.root / "#x.sql#").unlink()
    (here.root / ".#x.sql").unlink()
    here.holds("x.sql", 3)
    assert here.names() == ["x.csv", "x.sql", "x.sql~"]
    assert here.searches() == 2


def test_a_new_text_renamed_over_the_old(here: Shelf) -> None:
    here.write("#x.sql#", first(3))
    os.rename(here.root / "#x.sql#", here.root / "x.sql")
    here.holds("x.sql", 3)
    here.write("#x.sql#", first(2))
    os.replace(here.root / "#x.sql#", here.root / "x.sql")
    here.holds("x.sql", 2)
    assert here.names() == ["x.csv", "x.sql"]
    assert here.searches() == 2  # the first text's result was kept


def test_a_temporary_file_of_pythons(here: Shelf) -> None:
    """One that ends in .sql is a query as long as it is there; its result is then that of its text."""
    program = """
import os, sys, tempfile
for suffix, text in (("", sys.argv[1]), (".sql", sys.argv[2]), (".sql", sys.argv[2])):
    with tempfile.NamedTemporaryFile("w", dir=".", suffix=suffix, delete=False) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, "x.sql")
"""
    run(sys.executable, "-c", program, first(3), first(4), cwd=here.root)
    here.holds("x.sql", 4)
    assert here.names() == ["x.csv", "x.sql"]
    here.settled()
    assert here.searches() in (2, 3)  # that for three may have been given up before it was sent


# -- tools -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "sed -i 's/LIMIT 2/LIMIT 3/' x.sql",
        "cp {new} x.sql",
        "cp -p {new} x.sql",
        "mv {new} x.sql",
        "cat {new} > x.sql",
        "printf 'SELECT subject\\nFROM nt:scores\\n' > x.sql; tail -n 3 {new} >> x.sql",
        "tee x.sql < {new} > /dev/null",
        "tail -n 3 {new} | tee -a y > /dev/null; (head -n 2 {new}; cat y) > z; rm y; mv z x.sql",
        "rsync -a --ignore-times {new} x.sql",
        "rsync --inplace --ignore-times {new} x.sql",
        "install -m 600 {new} x.sql",
        "dd if={new} of=x.sql status=none",
        "patch -s x.sql {scratch}/patch",
        "truncate -s 0 x.sql; cat {new} >> x.sql",
        "rm x.sql; cp {new} x.sql",
        "ln -s x.sql link; cat {new} > link; rm link",
        "ln {root}/x.sql hard; cat {new} > hard; rm hard; cat x.sql > /dev/null; touch -r {new} x.sql",
        "perl -pi -e 's/LIMIT 2/LIMIT 3/' x.sql",
    ],
)
def test_a_tool_writes_another_text(command: str, here: Shelf, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.write_text(first(3))
    (tmp_path / "patch").write_text("5c5\n< LIMIT 2\n---\n> LIMIT 3\n")
    before = new.stat()
    shell(command.format(new=new, scratch=tmp_path, root=here.root), here.root)
    here.holds("x.sql", 3)
    here.settled()
    failed = 1 if ">>" in command and "FROM" in command else 0  # a shorter text, with an answer of its own
    assert here.searches() == 2 + failed
    assert here.names() == ["x.csv", "x.sql"]
    if "cp -p" in command or "rsync -a" in command:
        assert (here.root / "x.sql").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize(
    "command",
    [
        "sed -i s/nothing/x/ x.sql",
        "cp {copy} x.sql",
        "cp -p {copy} x.sql",
        "mv {copy} x.sql",
        "cat {copy} > x.sql",
    ],
)
def test_the_same_text_once_more_costs_no_search(command: str, here: Shelf, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_text(first(2))
    shell(command.format(copy=copy), here.root)
    here.holds("x.sql", 2)
    shell("cp x.sql y.sql; mv y.sql z.sql; ln z.sql w.sql", here.root)
    for name in ("z.sql", "w.sql"):
        here.holds(name, 2)
    here.settled()
    assert here.searches() == 1


def test_a_backup_of_seds_is_no_query_unless_it_is_one_by_name(here: Shelf) -> None:
    shell("sed -i.bak 's/LIMIT 2/LIMIT 3/' x.sql; sed -i'old-*' 's/LIMIT 3/LIMIT 4/' x.sql", here.root)
    assert here.names() == ["old-x.csv", "old-x.sql", "x.csv", "x.sql", "x.sql.bak"]
    here.holds("x.sql", 4)
    here.holds("old-x.sql", 3)
    here.settled()
    assert here.searches() == 3


# -- whole directories -------------------------------------------------------------------------------------------


@pytest.fixture
def several(here: Shelf) -> Shelf:
    """Three more queries: in a subdirectory, one in its hidden subdirectory, and one that is wrong."""
    (here.root / "sub/.hidden").mkdir(parents=True)
    here.write("sub/y.sql", first(3))
    here.write("sub/.hidden/z.sql", first(4))
    here.write("wrong.sql", "SELECT\n")
    complete(here)
    assert here.searches() == 3
    return here


def complete(here: Shelf) -> None:
    here.holds("x.sql", 2)
    here.holds("sub/y.sql", 3)
    here.holds("sub/.hidden/z.sql", 4)
    assert here.read("wrong.sql") == "SELECT\n"
    assert here.fails("wrong.csv").errno == codes.EIO
    assert here.read("wrong.error").startswith("line 1, column 7: ")
    assert here.names() == ["sub", "wrong.csv", "wrong.error", "wrong.sql", "x.csv", "x.sql"]
    assert here.names("sub") == [".hidden", "y.csv", "y.sql"]
    assert here.names("sub/.hidden") == ["z.csv", "z.sql"]
    assert sorted(path.name for path in here.on_disk.rglob("*") if path.is_file()) == QUERIES


QUERIES = ["wrong.sql", "x.sql", "y.sql", "z.sql"]


def empty(here: Shelf) -> None:
    shell("rm -r *", here.root)
    assert here.names() == []
    assert list(here.on_disk.iterdir()) == []


def test_rsync_out_and_in(several: Shelf, tmp_path: Path) -> None:
    out, only = f"{tmp_path / 'copy'}/", ["--include=*/", "--include=*.sql", "--exclude=*"]
    exclude = "--exclude=wrong.*"  # a result that cannot be read is an error to rsync
    assert transferred("-a", exclude, "./", out, cwd=several.root) == 6
    assert transferred("-a", exclude, "./", out, cwd=several.root) == 0
    assert (tmp_path / "copy/sub/.hidden/z.csv").read_text() == answer(4)
    assert transferred("-a", *only, "./", out, cwd=several.root) == 1
    empty(several)
    for copied in (4, 0):
        assert transferred("-a", *only, out, "./", cwd=several.root) == copied
        complete(several)
    assert transferred("-ac", *only, out, "./", cwd=several.root) == 0
    several.settled()
    assert several.searches() == searches_after_removal(3)


def transferred(*arguments: str, cwd: Path) -> int:
    told = run("rsync", "--stats", *arguments, cwd=cwd)
    (line,) = (line for line in told.splitlines() if line.startswith("Number of regular files transferred: "))
    return int(line.rpartition(": ")[2].replace(",", ""))


def searches_after_removal(count: int) -> int:
    """`rm` of a result forgets it, so that each is asked for once more."""
    return 2 * count


def test_cp_out_and_in(several: Shelf, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shell(f"cp -r . {backup} || true", several.root)  # the one that is wrong has no result to copy
    assert (backup / "sub/y.csv").read_text() == answer(3)
    assert not (backup / "wrong.csv").exists() or (backup / "wrong.csv").read_bytes() == b""
    empty(several)
    shell(f"cp {backup}/*.sql . && cp -r --parents sub/y.sql sub/.hidden/z.sql {several.root}", several.root, 1)
    shell(f"cd {backup} && cp -r --parents sub/y.sql sub/.hidden/z.sql {several.root}", several.root)
    complete(several)
    several.settled()
    assert several.searches() == searches_after_removal(3)


def test_a_whole_copy_with_results_comes_back_in_any_order(several: Shelf, tmp_path: Path) -> None:
    """Results that are copied in are refused, or hidden by the query that comes after: never shown as a result."""
    backup = tmp_path / "backup"
    shell(f"cp -r . {backup} || true", several.root)
    for stale in backup.rglob("*.csv"):
        stale.write_text("stale\n")
    empty(several)
    shell(f"cp -r {backup}/. . || true", several.root)
    for name, count in (("x.sql", 2), ("sub/y.sql", 3), ("sub/.hidden/z.sql", 4)):
        several.holds(name, count)
    assert several.fails("wrong.csv").errno == codes.EIO


def test_tar_out_and_in(several: Shelf, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    shell(f"tar --exclude='wrong.*' -cf {archive} .; tar --append -f {archive} wrong.sql", several.root)
    shell(f"mkdir {tmp_path}/out; tar -C {tmp_path}/out -xf {archive}", several.root)
    assert (tmp_path / "out/x.csv").read_text() == answer(2)
    assert (tmp_path / "out/sub/.hidden/z.sql").read_text() == first(4)
    empty(several)
    shell(f"tar --exclude='*.csv' -xf {archive}", several.root)
    complete(several)
    several.settled()
    assert several.searches() == searches_after_removal(3)


def test_tar_over_what_is_there(several: Shelf, tmp_path: Path) -> None:
    """It removes each file before it makes it anew."""
    archive = tmp_path / "a.tar"
    shell(f"tar --exclude='*.csv' --exclude='*.error' -cf {archive} .; tar -xf {archive}", several.root)
    complete(several)
    several.settled()
    assert several.searches() == 3


GIT = "git -c user.name=me -c user.email=me@example.org -c core.pager=cat"


def test_git(here: Shelf) -> None:
    shell(f"{GIT} init -q -b main .; printf '*.csv\\n*.error\\n' > .gitignore; {GIT} add -A", here.root)
    shell(f"{GIT} commit -q -m two; {GIT} checkout -q -b other; sed -i 's/LIMIT 2/LIMIT 3/' x.sql", here.root)
    here.holds("x.sql", 3)
    assert run(*GIT.split(), "status", "--short", cwd=here.root) == " M x.sql\n"
    shell(
        f"{GIT} commit -q -a -m three; cp x.sql y.sql; sed -i 's/LIMIT 3/LIMIT 4/' y.sql; {GIT} add y.sql",
        here.root,
    )
    shell(f"{GIT} commit -q -m four; {GIT} gc -q; {GIT} fsck --strict", here.root)
    here.holds("y.sql", 4)
    assert here.names() == [".git", ".gitignore", "x.csv", "x.sql", "y.csv", "y.sql"]
    for branch, count in (("main", 2), ("other", 3), ("main", 2)):
        shell(f"{GIT} checkout -q {branch}", here.root)
        here.holds("x.sql", count)
        assert ("y.csv" in here.names()) == (branch == "other")
    shell(f"{GIT} merge -q other; {GIT} stash list; {GIT} status", here.root)
    here.holds("x.sql", 3)
    here.holds("y.sql", 4)
    assert run(*GIT.split(), "status", "--short", cwd=here.root) == ""
    assert run(*GIT.split(), "log", "--format=%s", cwd=here.root) == "four\nthree\ntwo\n"
    here.settled()
    assert here.searches() == 3  # one for each text


def test_git_with_results_among_what_it_keeps(here: Shelf, tmp_path: Path) -> None:
    """Who adds results to git gets them into it; taking them out of it again is refused, and changes nothing."""
    shell(f"{GIT} init -q -b main .; {GIT} add -A; {GIT} commit -q -m two", here.root)
    shell(f"git clone -q {here.root} {tmp_path / 'clone'}", tmp_path)
    assert (tmp_path / "clone/x.csv").read_text() == answer(2)
    here.write("x.sql", first(3))
    shell(f"{GIT} commit -q -a -m three; {GIT} checkout -q main~1 || true", here.root)
    wait_until(lambda: here.read("x.csv") in (answer(2), answer(3)))
    text = here.read("x.sql")
    assert here.read("x.csv") == {first(2): answer(2), first(3): answer(3)}[text]


def test_editors_are_there() -> None:
    for program in ("vim", "nano", "git", "rsync", "patch", "perl"):
        assert shutil.which(program), f"{program} belongs to what the test command installs"
