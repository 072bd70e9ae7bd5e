"""Where ascp is on this machine, and the key that it shows to servers (facts: 4.4).

What the environment names comes first, and must be there: a wrong variable is told of, not passed over. Then come
the places where Aspera's installers put things, then PATH. Used by transport.

Threads: plain functions; they look at the disk.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cdbfs.errors import CdbfsError

ASCP = "ascp"
INSTALL = (
    "install IBM Aspera Connect, or run `ascli config transferd install`, "
    "or set the variable ASCP to where ascp is; then mount anew"
)
MAC_APPS = ("IBM Aspera Connect.app", "Aspera Connect.app")
FOLDERS = (
    # below the home directory
    "~/.aspera/connect/bin",
    "~/.aspera/sdk",
    "~/.aspera/cli/bin",
    *(f"~/Applications/{app}/Contents/Resources" for app in MAC_APPS),
    # for all users
    *(f"/Applications/{app}/Contents/Resources" for app in MAC_APPS),
    "/Applications/IBM Aspera.app/Contents/Resources/transferd/bin",
    "/opt/aspera/bin",
    "/opt/aspera/connect/bin",
)
"""Where ascp is."""
BESIDE = (".", "../etc", "../etc/aspera", "../var", "..")
"""Where its key is, from there."""
KEYS = (
    "asperaweb_id_dsa.openssh",  # Connect up to 4.1, what ConnectomeDB's own client takes
    "aspera_tokenauth_id_rsa",  # Connect since 3
    "aspera_bypass_rsa.pem",  # the transfer SDK
    "aspera_bypass_dsa.pem",
)
ENCRYPTED = (b"ENCRYPTED", b"Proc-Type: 4")
KEY_BYTES = 64 * 1024
_OPENSSH = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----\s+(.*?)-----END", re.DOTALL)
_PLAIN_OPENSSH = b"openssh-key-v1\0\0\0\0\4none"


@dataclass(frozen=True)
class Tools:
    """ascp and its key."""

    ascp: Path
    key: Path

    @property
    def key_is_encrypted(self) -> bool:
        """Whether the key wants a passphrase."""
        try:
            with self.key.open("rb") as file:
                text = file.read(KEY_BYTES)
        except OSError:
            return False
        modern = _OPENSSH.search(text)
        if modern is None:
            return any(sign in text for sign in ENCRYPTED)
        try:
            return not base64.b64decode(modern[1]).startswith(_PLAIN_OPENSSH)
        except (ValueError, binascii.Error):
            return False


def find(environ: Mapping[str, str], folders: Iterable[str] = FOLDERS) -> Tools:
    """ascp and its key. Raises CdbfsError whose reason says what to install, or which variable to set."""
    known = [_expanded(folder, environ) for folder in folders]
    ascp = _ascp(environ, known)
    return Tools(ascp, _key(environ, ascp, known))


def _ascp(environ: Mapping[str, str], known: Iterable[Path]) -> Path:
    for variable, tail in (("ASCP", ""), ("ASPERA_BINDIR", ASCP), ("ASPERA_CONNECTDIR", f"bin/{ASCP}")):
        named = environ.get(variable)
        if not named:
            continue
        path = _expanded(named, environ) / tail
        if _is_program(path):
            return path
        raise CdbfsError(f"{path}, which the variable {variable} stands for, is no program: {INSTALL}")
    for folder in known:
        if _is_program(folder / ASCP):
            return folder / ASCP
    found = shutil.which(ASCP, path=environ.get("PATH", os.defpath))
    if found is None:
        raise CdbfsError(f"packages come by Aspera, and its program ascp is not here: {INSTALL}")
    return Path(found).absolute()


def _key(environ: Mapping[str, str], ascp: Path, known: Iterable[Path]) -> Path:
    named = environ.get("ASPERA_ETCDIR")
    if named:
        folder = _expanded(named, environ)
        return _first_key([folder], f"{folder}, which the variable ASPERA_ETCDIR stands for, holds no key")
    folders = list(_key_folders(environ, ascp, known))
    return _first_key(folders, f"ascp is {ascp}, but there is no key of Aspera's beside it, nor in ../etc")


def _key_folders(environ: Mapping[str, str], ascp: Path, known: Iterable[Path]) -> Iterator[Path]:
    connect = environ.get("ASPERA_CONNECTDIR")
    if connect:
        yield _expanded(connect, environ) / "etc"
        yield _expanded(connect, environ)
    for program in (ascp, Path(os.path.realpath(ascp))):
        yield from (program.parent / beside for beside in BESIDE)
    for folder in known:
        yield from (folder / beside for beside in BESIDE)


def _first_key(folders: Iterable[Path], otherwise: str) -> Path:
    for folder in folders:
        for name in KEYS:
            path = Path(os.path.normpath(folder / name))
            if path.is_file() and os.access(path, os.R_OK):
                return path
    raise CdbfsError(f"{otherwise}: set ASPERA_ETCDIR to the directory that holds one of {', '.join(KEYS)}")


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _expanded(text: str, environ: Mapping[str, str]) -> Path:
    """Below the home directory that `environ` names."""
    if text == "~" or text.startswith("~/"):
        home = environ.get("HOME")
        text = (home if home else os.path.expanduser("~")) + text[1:]
    return Path(text).absolute()
