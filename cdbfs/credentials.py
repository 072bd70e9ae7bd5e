"""Who logs in: CDBFS_USER and CDBFS_PASSWORD, then netrc, else nobody (guest).

Used by cli. A password is never taken from an argument list. netrc is read here and not by requests, so that a
password goes to the server it was meant for and nowhere else.

Threads: plain functions, called once at start.
"""

from __future__ import annotations

import netrc
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cdbfs.errors import ConfigError


@dataclass(frozen=True)
class Credentials:
    """A login. The password never appears in its repr."""

    user: str
    password: str = field(repr=False)


def find(url: str, environ: Mapping[str, str], user: str = "") -> Credentials | None:
    """The login for the server at `url`, or None for a guest. `user` (a setting) narrows netrc to that login.

    Raises ConfigError where half a login is given, or where netrc can be read by others.
    """
    user = environ.get("CDBFS_USER", "") or user
    password = environ.get("CDBFS_PASSWORD")
    if password is not None and not user:
        raise ConfigError("CDBFS_PASSWORD is set but CDBFS_USER is not")
    if password is not None:
        return Credentials(user, password)
    found = _from_netrc(urlsplit(url).hostname or "", environ)
    if found is not None and user in ("", found.user):
        return found
    if user:
        raise ConfigError(f"no password for {user}: set CDBFS_PASSWORD, or add the server to ~/.netrc")
    return None


def _from_netrc(host: str, environ: Mapping[str, str]) -> Credentials | None:
    path = Path(environ.get("NETRC") or Path.home() / ".netrc")
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
        entry = netrc.netrc(str(path)).authenticators(host)
    except FileNotFoundError:
        if environ.get("NETRC"):
            raise ConfigError(f"NETRC names {path}, which is not there") from None
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except netrc.NetrcParseError as error:
        # The parser's message may quote the token it stumbled over, which may be a password.
        raise ConfigError(f"{path} line {error.lineno} is not netrc syntax") from None
    if entry is None:
        return None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{path} holds passwords but others can read it: chmod 600 {path}")
    if not entry[0] or not entry[2]:
        raise ConfigError(f"{path} has half a login for {host}: it needs login and password")
    return Credentials(entry[0], entry[2])
