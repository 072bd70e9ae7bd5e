"""Packages by a command: how it is read and called, and what it may say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdbfs.errors import CdbfsError, ConfigError, NotFound
from cdbfs.hcp.command import CommandTransport
from cdbfs.hcp.models import Package
from cdbfs.hcp.transport import Again, Order
from tests.hcp.watching import Noted

PACKAGE = Package("100307", "3T_x")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    directory = tmp_path / "into it"
    directory.mkdir()
    return directory


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "a script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"'{path}'"


def fetch(command: str, into: Path, package: Package = PACKAGE, *, watch: Noted | None = None) -> None:
    transport = CommandTransport(command, 30.0, {"PATH": os.environ["PATH"], "CDBFS_PASSWORD": "secret", "A": "b"})
    transport.fetch(Order((package,), (package.zip,), into), watch or Noted())


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("cp {source} {into}", "{source}"),
        ("cp {} {into}", "{}"),
        ("cp {0} {into}", "{0}"),
        ("cp {file!r} {into}", "{file}"),
        ("cp {file:>9} {into}", "{file}"),
        ("cp {file.__class__} {into}", "{file.__class__}"),
        ("cp {into[0]} x", "{into[0]}"),
        ("cp {file {into}", "brace"),
        ("cp } {into}", "brace"),
        ("cp 'unclosed {into}", "split"),
        ("{file} {into}", "name a program"),
        ("/usr/bin/{package}", "name a program"),
        ("''", "no program"),
    ],
)
def test_a_command_that_cannot_be_understood_is_refused(command: str, says: str) -> None:
    with pytest.raises(ConfigError, match="packages_command") as refused:
        CommandTransport(command, 30.0)
    assert says in str(refused.value)


def test_arguments_are_filled_in_and_no_shell_reads_them(tmp_path: Path, into: Path) -> None:
    package = Package("$(touch owned); a 'b\" *", "3T_x")
    command = script(tmp_path, 'for each; do echo "<$each>"; done > log; pwd >> log; env >> log; touch "$2"')
    fetch(f"{command} 'x {{subject}}{{{{}}}}' {{file}} {{package}} {{into}} '' >x", into, package)
    lines = (into / "log").read_text().splitlines()
    assert lines[:6] == [f"<x {package.subject}{{}}>", f"<{package.zip}>", "<3T_x>", f"<{into}>", "<>", "<>x>"]
    assert lines[6] == str(into)
    assert "A=b" in lines
    assert not any("secret" in line for line in lines)
    assert sorted(os.listdir(into)) == sorted(["log", package.zip])


@pytest.mark.parametrize(
    "package", [Package("-rf", "x"), Package("a/../b", "x"), Package("a", "-x"), Package("a", "")]
)
def test_no_name_becomes_an_option_or_a_path(tmp_path: Path, into: Path, package: Package) -> None:
    with pytest.raises(NotFound):
        fetch(script(tmp_path, "touch ran"), into, package)
    assert os.listdir(into) == []


def test_a_failure_is_told_by_its_last_words(tmp_path: Path, into: Path) -> None:
    command = script(
        tmp_path, "echo first >&2; printf 'the \\033[31mline\\033[0m broke\\r\\n\\n' >&2; echo out; exit 4"
    )
    with pytest.raises(Again) as failed:
        fetch(command, into)
    assert type(failed.value.meaning) is CdbfsError
    assert "status 4" in str(failed.value)
    assert str(failed.value).endswith("the [31mline [0m broke")
    with pytest.raises(Again, match="signal 9"):
        fetch(script(tmp_path, "kill -9 $$"), into)


def test_a_long_failure_is_cut(tmp_path: Path, into: Path) -> None:
    with pytest.raises(Again) as failed:
        fetch(script(tmp_path, "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1"), into)
    assert len(str(failed.value)) < 400


def test_a_command_that_leaves_nothing_is_told_of(tmp_path: Path, into: Path) -> None:
    with pytest.raises(CdbfsError, match=r"ended well, but there is no 100307_3T_x\.zip"):
        fetch(script(tmp_path, "exit 0"), into)


def test_a_program_that_is_not_here_is_told_of(into: Path) -> None:
    with pytest.raises(CdbfsError, match="no-such-program"):
        fetch("no-such-program {file}", into)


def test_what_was_fetched_is_not_fetched_again_for_another(tmp_path: Path, into: Path) -> None:
    command = script(tmp_path, 'echo "$1" >> log; case "$1" in *.md5) exit 1;; esac; echo x > "$1"')
    transport = CommandTransport(f"{command} {{file}}", 30.0)
    order = Order((PACKAGE,), (PACKAGE.zip, PACKAGE.md5), into)
    for _ in range(2):
        with pytest.raises(Again):
            transport.fetch(order, Noted())
    assert (into / "log").read_text().split() == [PACKAGE.zip, PACKAGE.md5, PACKAGE.md5]
    (into / PACKAGE.zip).write_text("damaged, and other")
    with pytest.raises(Again):
        transport.fetch(order, Noted())
    assert (into / "log").read_text().split()[3:] == [PACKAGE.zip, PACKAGE.md5]


def test_names_that_programs_use_meanwhile_count(tmp_path: Path, into: Path) -> None:
    """rsync's, and a neighbour's that holds the same letters does not."""
    (into / f"9{PACKAGE.zip}").write_bytes(b"x" * 10**6)
    (into / PACKAGE.md5).write_bytes(b"x" * 10**5)
    command = script(
        tmp_path,
        'head -c 5000 /dev/zero > ".$1.AbC123"; sleep 0.5; mv ".$1.AbC123" "$1"; head -c 1 /dev/zero >> "$1"',
    )
    watch = Noted()
    fetch(f"{command} {{file}}", into, watch=watch)
    done = watch.done(PACKAGE.zip)
    assert done[-1] == 5001
    assert 5000 in done
