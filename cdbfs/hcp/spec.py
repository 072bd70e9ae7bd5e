"""A transfer spec: what the server says about a download, which becomes the arguments of a program.

So it is a command line that somebody else writes, and is taken field by field: what is not exactly as it should be
is refused, by the name of the field. `destination_root` and whatever else stands there is ignored: where files go
is for us to say. Numbers may be strings of digits, as some servers write them. Used by service and aspera.

Threads: frozen data, plain functions.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from cdbfs.errors import NotFound, ServerFault
from cdbfs.hcp.answers import number
from cdbfs.hcp.words import plain

WHAT = "the server's permission to download (transfer spec)"
POLICIES = ("fixed", "high", "fair", "low")
SSH_PORT, FASP_PORT = 22, 33001
"""Those of ascp, where the spec names none."""
LARGEST_RATE = 10**9
"""kbit/s"""
LONGEST_TOKEN = 16 * 1024
LONGEST_SOURCE = 1000
MOST_SOURCES = 10_000
TROUBLE = frozenset("\\\":'?><&*|`$;[]{}")
"""What Aspera's manual warns of in names, and what a shell or a glob would see something in."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\Z")
TOKEN = re.compile(r"[!-~]+\Z")
FINGERPRINT = re.compile(r"[0-9A-Fa-f]{16,128}\Z")


@dataclass(frozen=True)
class TransferSpec:
    """Leave to fetch files from an Aspera server."""

    host: str
    user: str
    token: str = field(repr=False)
    sources: Mapping[str, str]
    """By the file's name: its path on the server. Only files that were asked for; perhaps not all of them."""
    ssh_port: int = SSH_PORT
    fasp_port: int = FASP_PORT
    target_rate_kbps: int | None = None
    min_rate_kbps: int | None = None
    policy: str | None = None
    fingerprint: str | None = None
    """Of the server's ssh key."""


def check(
    raw: object, expected: Collection[str], allowed_hosts: Collection[str], more: Collection[str] = ()
) -> TransferSpec:
    """The spec that `raw` is, for the files `expected`; sources of the files `more` are allowed, and dropped.

    `allowed_hosts` are names, or patterns such as *.example.org. Raises ServerFault naming the field that is
    wrong, NotFound where none of the expected files is there.
    """
    if not isinstance(raw, dict):
        raise ServerFault(f"{WHAT} is no object")
    if "packages" in raw:
        raise ServerFault(f"{WHAT} is a list of packages")
    if raw.get("direction", "receive") != "receive":
        raise _wrong("direction", "is not receive")
    token = _token(raw)
    return TransferSpec(
        host=_host(raw, allowed_hosts, token),
        user=_matching(raw, "remote_user", USER, "is no login that can be used"),
        token=token,
        sources=_sources(raw, expected, more),
        ssh_port=_port(raw, "ssh_port", SSH_PORT),
        fasp_port=_port(raw, "fasp_port", FASP_PORT),
        target_rate_kbps=_rate(raw, "target_rate_kbps"),
        min_rate_kbps=_rate(raw, "min_rate_kbps"),
        policy=_policy(raw),
        fingerprint=_fingerprint(raw),
    )


def is_host(text: str) -> bool:
    """Whether that is a host's name, or an address of IPv4 or IPv6, and nothing else."""
    if len(text) > 253:
        return False
    if HOST.match(text):
        return True
    try:
        return ":" in text and "%" not in text and ipaddress.IPv6Address(text) is not None
    except ValueError:
        return False


def _host(raw: Mapping[str, Any], allowed: Collection[str], token: str) -> str:
    host = raw.get("remote_host")
    if not isinstance(host, str) or not is_host(host):
        raise _wrong("remote_host", "is no host's name")
    if not any(fnmatchcase(host.lower(), pattern.lower()) for pattern in allowed):
        named = f" {host}" if token not in host else ""
        raise _wrong("remote_host", f"names a host{named} that packages may not come from; see aspera_hosts")
    return host


def _token(raw: Mapping[str, Any]) -> str:
    token = raw.get("token")
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN or not TOKEN.match(token):
        raise _wrong("token", "is none that can be used")
    return token


def _matching(raw: Mapping[str, Any], name: str, pattern: re.Pattern[str], what: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not pattern.match(value):
        raise _wrong(name, what)
    return value


def _port(raw: Mapping[str, Any], name: str, usual: int) -> int:
    value = _number(raw, name)
    if value is None:
        return usual
    if not 1 <= value <= 65535:
        raise _wrong(name, "is no port")
    return value


def _rate(raw: Mapping[str, Any], name: str) -> int | None:
    value = _number(raw, name)
    if value is not None and value > LARGEST_RATE:
        raise _wrong(name, "is no rate")
    return value


def _number(raw: Mapping[str, Any], name: str) -> int | None:
    if raw.get(name) is None:
        return None
    value = number(raw[name])
    if value is None:
        raise _wrong(name, "is no whole number")
    return value


def _policy(raw: Mapping[str, Any]) -> str | None:
    policy = raw.get("rate_policy")
    if policy is None:
        return None
    if not isinstance(policy, str) or policy not in POLICIES:
        raise _wrong("rate_policy", f"is none of {', '.join(POLICIES)}")
    return policy


def _fingerprint(raw: Mapping[str, Any]) -> str | None:
    """A fingerprint in a form that is not known is as good as none; ascp then checks none."""
    found = raw.get("sshfp")
    return found if isinstance(found, str) and FINGERPRINT.match(found) else None


def _sources(raw: Mapping[str, Any], expected: Collection[str], more: Collection[str]) -> dict[str, str]:
    paths = raw.get("paths")
    if not isinstance(paths, list) or len(paths) > MOST_SOURCES:
        raise _wrong("paths", "is no list")
    found: dict[str, str] = {}
    seen: set[str] = set()
    for path in paths:
        source = _source(path)
        name = posixpath.basename(source)
        if name not in expected and name not in more:
            raise _wrong("paths", "names a file that was not asked for")
        if name in seen:
            raise _wrong("paths", "names a file twice")
        seen.add(name)
        if name in expected:
            found[name] = source
    if not found:
        named = ", ".join(plain(file, 120) for file in sorted(expected)[:3])
        raise NotFound(f"the server does not have {named}")
    return found


def _source(path: object) -> str:
    source = path.get("source") if isinstance(path, dict) else None
    if not isinstance(source, str) or not 0 < len(source) <= LONGEST_SOURCE:
        raise _wrong("paths", "holds what is no source")
    if not source.isprintable() or TROUBLE & set(source):
        raise _wrong("paths", "holds a source with signs that no package has in its name")
    if source.startswith("-") or ".." in source.split("/"):
        raise _wrong("paths", "holds a source that is no plain path")
    return source


def _wrong(name: str, what: str) -> ServerFault:
    return ServerFault(f"{WHAT} cannot be used, and nothing was started: {name} {what}")
