"""The token and the password of a transfer: in ascp's own environment, or nowhere, and nowhere else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.mount.packages.lab import HALF, LOGIN_NAME, PASSWORD, Lab, content, lab
from tests.test_secrets import processes

LONG_TOKEN = "ATB3_" + "SecretOfTheTransfer" * 40


@contextmanager
def held(here: Lab, name: str = "x") -> Iterator[int]:
    """A transfer that stands still half way, and for which somebody waits; the process of its ascp."""
    here.server.pause_ascp(at=HALF)
    reader = threading.Thread(target=lambda: here.zip(name).read_bytes(), daemon=True)
    reader.start()
    here.server.wait_held()
    (run,) = here.server.ascp_running
    try:
        yield run.pid
    finally:
        here.server.resume_ascp()
        reader.join(60)


def secrets(here: Lab) -> list[bytes]:
    return [PASSWORD.encode(), *(token.encode() for token in here.server.tokens())]


def check(found: bytes, here: Lab, where: object) -> None:
    for secret in secrets(here):
        assert secret not in found, where


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path, ["x", "y"], transfer_stall="60") as found:
        yield found


def variables(process: int) -> dict[bytes, bytes]:
    found = (Path("/proc") / str(process) / "environ").read_bytes()
    return dict(line.partition(b"=")[::2] for line in found.split(b"\0") if line)


def test_no_process_shows_them_but_ascp_to_its_owner(here: Lab) -> None:
    with held(here) as ascp:
        assert len(here.server.tokens()) == 1
        looked = 0
        for process in processes():
            with suppress(OSError):
                check((process / "cmdline").read_bytes(), here, process)
                if process.name != str(ascp):
                    check((process / "environ").read_bytes(), here, process)
                looked += 1
        assert looked > 3
        own = variables(ascp)
        assert own[b"ASPERA_SCP_TOKEN"].decode() == here.server.tokens()[0]
        assert PASSWORD.encode() not in b"\0".join(own.values())
        assert [name for name in own if name.startswith(b"CDBFS_")] == []
        assert (Path("/proc") / str(ascp) / "environ").stat().st_uid == os.geteuid()
    (run,) = here.server.ascp_runs
    assert run.token_in == ("ASPERA_SCP_TOKEN",)


def test_the_cookie_tells_who_transfers_and_nothing_more(here: Lab) -> None:
    with held(here) as ascp:
        cookie = variables(ascp)[b"ASPERA_SCP_COOKIE"].decode()
    user, _, agent = cookie.partition(";")
    assert user == f"XDATUser={LOGIN_NAME}"
    assert agent.startswith("User-Agent=cdbfs ")
    check(cookie.encode(), here, "cookie")


def test_ascp_leaves_no_core(here: Lab) -> None:
    with held(here) as ascp:
        limits = (Path("/proc") / str(ascp) / "limits").read_text()
        (core,) = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core[4:6] == ["0", "0"]
        assert int((Path("/proc") / str(ascp) / "coredump_filter").read_text(), 16) == 0


def test_no_file_tells_them(here: Lab) -> None:
    """While a transfer goes on, after one that failed, and in the end."""
    with held(here):
        check_files(here)
        status = (here.point / ".cdbfs/transfers/s_x.zip").read_text()
        assert "state: fetching" in status
    here.server.ascp_fault("wrong_token", times=1)
    with suppress(OSError):
        here.zip("y").read_bytes()
    check_files(here)
    assert here.zip("y").read_bytes() == content("y")
    check_files(here)
    assert len(here.server.tokens()) == 3


def check_files(here: Lab) -> None:
    looked = 0
    for path in (*here.point.glob(".cdbfs/*"), *here.point.glob(".cdbfs/*/*"), *here.cache.rglob("*")):
        check(os.fsencode(path.name), here, path)
        if path.is_file() and path.name != "package.zip":
            check(path.read_bytes(), here, path)
            looked += 1
    assert looked > 8


@pytest.mark.parametrize(
    "says",
    [
        'echo "ascp: the token $ASPERA_SCP_TOKEN is not valid, exiting." >&2',
        'echo "Session Stop  (Error: bad token $ASPERA_SCP_TOKEN)"',
        'printf "bad token %s" "$ASPERA_SCP_TOKEN"',
        'echo "$ASPERA_SCP_TOKEN token"; env | grep TOKEN >&2',
        'printf "%s" "$ASPERA_SCP_TOKEN token" | tr "\\n" "\\r"',
    ],
)
@pytest.mark.parametrize("token", ["", LONG_TOKEN], ids=["usual", "long"])
def test_an_ascp_that_blurts_its_token_out_is_not_quoted(says: str, token: str, here: Lab) -> None:
    here.replace_ascp(f"{says}\nexit 1")
    if token:
        here.server.next_spec = {"token": token}
    with pytest.raises(OSError, match="Errno 13"):
        here.zip("x").read_bytes()
    told = here.told(here.zip("x"), "refused the token")
    for text in (*(token.decode() for token in secrets(here)), LONG_TOKEN):
        assert text[5:40] not in told[1]
    check_files(here)
    for path in here.point.glob(".cdbfs/*"):
        if path.is_file():
            assert LONG_TOKEN[:50].encode() not in path.read_bytes()


def test_a_command_gets_no_secret(tmp_path: Path) -> None:
    """packages_command is the user's own, and gets nothing of cdbfs's."""
    fetch = tmp_path / "fetch"
    fetch.write_text('#!/bin/sh\nenv >"$0.env"; tr "\\0" " " </proc/$$/cmdline >"$0.args"; exit 0\n')
    fetch.chmod(0o700)
    mine = {"CDBFS_UMASK": "077", "MY_OWN": "kept"}
    with lab(tmp_path, ["x"], lambda aspera: mine, packages_command=f"{fetch} {{file}} {{into}}") as here:
        with pytest.raises(OSError, match="Errno 5"):
            here.zip("x").read_bytes()
        seen = Path(f"{fetch}.env").read_text()
        assert "MY_OWN=kept" in seen
        assert "CDBFS_" not in seen
        check(seen.encode() + Path(f"{fetch}.args").read_bytes(), here, "command")
