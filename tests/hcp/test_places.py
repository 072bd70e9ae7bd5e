"""Where ascp and its key are, and how it is called."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from cdbfs.errors import CdbfsError
from cdbfs.hcp.aspera import arguments, places
from cdbfs.hcp.aspera.places import FOLDERS, KEYS, Tools
from cdbfs.hcp.spec import TransferSpec

DSA, RSA = KEYS[0], KEYS[1]
SPEC = TransferSpec("h.example.org", "xfer", "TOKEN", {"a.zip": "x/a.zip", "b.zip": "x/b.zip"}, 22, 33001)


def install(folder: Path, *keys: str, beside: str = "../etc", name: str = "ascp", mode: int = 0o755) -> Path:
    """An ascp in `folder`, and keys beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    for key in keys:
        place = Path(os.path.normpath(folder / beside))
        place.mkdir(parents=True, exist_ok=True)
        (place / key).write_text("-----BEGIN DSA PRIVATE KEY-----\nx\n")
    return path


def find(home: Path, **environ: object) -> Tools:
    """What is found below a home, with no other place known."""
    below = [folder for folder in FOLDERS if folder.startswith("~")]
    given = {"HOME": str(home), "PATH": "", **{name: str(value) for name, value in environ.items()}}
    return places.find(given, below)


@pytest.mark.parametrize(
    ("folder", "key", "beside"),
    [
        (".aspera/connect/bin", DSA, "../etc"),
        (".aspera/connect/bin", RSA, "../etc"),
        (".aspera/sdk", "aspera_bypass_rsa.pem", "."),
        (".aspera/sdk", "aspera_bypass_dsa.pem", "."),
        (".aspera/cli/bin", DSA, "../etc"),
        ("Applications/Aspera Connect.app/Contents/Resources", DSA, "."),
        ("Applications/IBM Aspera Connect.app/Contents/Resources", RSA, "."),
    ],
)
def test_installers_places_are_known(tmp_path: Path, folder: str, key: str, beside: str) -> None:
    ascp = install(tmp_path / folder, key, beside=beside)
    assert find(tmp_path) == Tools(ascp, Path(os.path.normpath(ascp.parent / beside / key)))


def test_the_places_of_all_users_are_known() -> None:
    assert "/Applications/Aspera Connect.app/Contents/Resources" in FOLDERS
    assert "/Applications/IBM Aspera.app/Contents/Resources/transferd/bin" in FOLDERS


def test_what_the_environment_names_comes_first(tmp_path: Path) -> None:
    install(tmp_path / ".aspera/connect/bin", DSA)
    own = install(tmp_path / "own", RSA, beside=".", name="my-ascp")
    binary = install(tmp_path / "b")
    connect = install(tmp_path / "c/bin", RSA)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / RSA).touch()
    assert find(tmp_path, ASCP=own) == Tools(own, tmp_path / "own" / RSA)
    assert find(tmp_path, ASPERA_BINDIR=binary.parent).ascp == binary
    assert find(tmp_path, ASPERA_CONNECTDIR=tmp_path / "c") == Tools(connect, tmp_path / "c/etc" / RSA)
    assert find(tmp_path, ASPERA_ETCDIR=tmp_path / "e").key == tmp_path / "e" / RSA
    assert find(tmp_path, ASCP=own, ASPERA_BINDIR=binary.parent).ascp == own
    assert find(tmp_path, ASCP="~/own/my-ascp").ascp == own


def test_a_key_that_is_not_beside_ascp_is_where_others_are(tmp_path: Path) -> None:
    install(tmp_path / ".aspera/connect/bin", DSA)
    own = install(tmp_path / "own")
    assert find(tmp_path, ASCP=own) == Tools(own, tmp_path / ".aspera/connect/etc" / DSA)


def test_the_path_comes_last_and_links_are_followed(tmp_path: Path) -> None:
    real = install(tmp_path / "opt/bin", DSA)
    link = tmp_path / "usr/bin/ascp"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert find(tmp_path, PATH=f"/none:{link.parent}") == Tools(link, tmp_path / "opt/etc" / DSA)
    known = install(tmp_path / ".aspera/sdk", DSA, beside=".")
    assert find(tmp_path, PATH=str(link.parent)).ascp == known


def test_without_ascp_one_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(CdbfsError, match=r"install IBM Aspera Connect.*variable ASCP") as missing:
        find(tmp_path)
    assert type(missing.value) is CdbfsError


@pytest.mark.parametrize("variable", ["ASCP", "ASPERA_BINDIR", "ASPERA_CONNECTDIR"])
def test_a_variable_that_names_no_program_is_told_of(tmp_path: Path, variable: str) -> None:
    install(tmp_path / ".aspera/connect/bin", DSA)
    with pytest.raises(CdbfsError, match=variable):
        find(tmp_path, **{variable: tmp_path / "none"})


def test_a_program_that_cannot_be_run_is_none(tmp_path: Path) -> None:
    path = install(tmp_path / "own", DSA, mode=0o644)
    with pytest.raises(CdbfsError, match="is no program"):
        find(tmp_path, ASCP=path)
    with pytest.raises(CdbfsError, match="is no program"):
        find(tmp_path, ASCP=path.parent)


def test_without_a_key_one_is_told_which_variable_to_set(tmp_path: Path) -> None:
    install(tmp_path / ".aspera/connect/bin")
    with pytest.raises(CdbfsError, match=rf"set ASPERA_ETCDIR .*{DSA}"):
        find(tmp_path)
    with pytest.raises(CdbfsError, match="none, which the variable ASPERA_ETCDIR stands for"):
        find(tmp_path, ASPERA_ETCDIR=tmp_path / "none")


# -- how it is called -------------------------------------------------------------------------------------------


TOOLS = Tools(Path("/opt/ascp"), Path("/opt/etc/key"))


def test_the_command_line() -> None:
    spec = TransferSpec("h.example.org", "xfer", "TOKEN", SPEC.sources, 22, 33002, 300000, 0, "fair", "ab12")
    assert arguments.arguments(TOOLS, spec, ["b.zip", "a.zip"], 4321) == (
        *("/opt/ascp", "-p", "-i", "/opt/etc/key", "-k", "2", "-l", "300000K", "-m", "0K", "-O", "33002"),
        *("-P", "22", "--policy=fair", "--check-sshfp=ab12", "-M", "4321", "--host=h.example.org"),
        *("--user=xfer", "--mode=recv", "x/b.zip", "x/a.zip", "."),
    )


def test_what_the_spec_leaves_out_is_left_out() -> None:
    assert arguments.arguments(TOOLS, SPEC, ["a.zip"], 1) == (
        *("/opt/ascp", "-p", "-i", "/opt/etc/key", "-k", "2", "-O", "33001", "-P", "22", "-M", "1"),
        *("--host=h.example.org", "--user=xfer", "--mode=recv", "x/a.zip", "."),
    )


def environ(ours: Mapping[str, str], tools: Tools = TOOLS) -> dict[str, str]:
    return arguments.environ(ours, tools, SPEC, "ana")


def test_the_environment_is_ours_with_the_token() -> None:
    ours = {
        "HOME": "/h",
        "PATH": "/p",
        "CDBFS_PASSWORD": "p",
        "ASPERA_SCP_TOKEN": "old",
        "ASPERA_SCP_FILEPASS": "f",
    }
    found = environ(ours)
    assert found.pop("ASPERA_SCP_COOKIE").startswith("XDATUser=ana;User-Agent=cdbfs ")
    assert found == {"HOME": "/h", "PATH": "/p", "ASPERA_SCP_TOKEN": "TOKEN"}


@pytest.mark.parametrize("login", ["a;b", "a\nb", "ü", "a=b c", "x" * 5000, "\udcff", ""])
def test_a_login_cannot_make_a_cookie_of_its_own(login: str) -> None:
    cookie = arguments.cookie(login)
    assert cookie.count(";") == 1
    assert cookie.isascii()
    assert cookie.isprintable()
    assert len(cookie) < 400


KEYS_AND_WHETHER_ENCRYPTED = [
    (b"-----BEGIN DSA PRIVATE KEY-----\nabc\n", False),
    (b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", True),
    (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nabc\n", True),
    (b"openssh-key-v1\0\0\0\0\4none\0\0\0\4none", False),
    (b"openssh-key-v1\0\0\0\0\x0aaes256-ctr\0\0\0\6bcrypt", True),
    (b"", False),
]


@pytest.mark.parametrize(("text", "expected"), KEYS_AND_WHETHER_ENCRYPTED)
def test_a_key_that_wants_a_passphrase_gets_the_one_that_all_have(
    tmp_path: Path, text: bytes, expected: bool
) -> None:
    key = tmp_path / "key"
    if text.startswith(b"openssh"):
        lines = base64.encodebytes(text)
        text = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + lines + b"-----END OPENSSH PRIVATE KEY-----\n"
    key.write_bytes(text)
    tools = Tools(Path("/opt/ascp"), key)
    assert tools.key_is_encrypted is expected
    assert ("ASPERA_SCP_PASS" in environ({}, tools)) is expected
    assert environ({"ASPERA_SCP_PASS": "mine"}, tools)["ASPERA_SCP_PASS"] == "mine"


def test_a_key_that_is_gone_wants_none(tmp_path: Path) -> None:
    assert not Tools(Path("/opt/ascp"), tmp_path / "none").key_is_encrypted
