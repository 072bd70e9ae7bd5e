"""What ascp's error codes mean, as a table: what it comes to, whether another attempt may help, what to tell.

Used by ending. The advice is that of IBM's own clients (facts: 4.2); where it differs here, a comment says why.

Threads: constants and plain functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cdbfs.errors import (
    AccessRefused,
    Cancelled,
    CdbfsError,
    NoSpace,
    NotFound,
    ServerFault,
    TooLarge,
    Unreachable,
)

SOME_FAILED = 27
KEY_MISSING = -1
"""A code of our own: ascp gives none."""
FULL = 25
DISK_WRITE = 36


@dataclass(frozen=True)
class Rule:
    """`reason` may name {host}, {ssh} and {udp}, the ports."""

    error: type[CdbfsError]
    again: bool
    reason: str
    blocked: bool = False
    """See hcp/transport.Again."""


def _final(error: type[CdbfsError], reason: str) -> Rule:
    return Rule(error, False, reason)


def _again(error: type[CdbfsError], reason: str, *, blocked: bool = False) -> Rule:
    return Rule(error, True, reason, blocked)


_LICENCE = _final(
    CdbfsError, "ascp has no licence that is valid: install Aspera anew, aspera-license comes with it"
)
_SSH = _again(Unreachable, "no connection to {host}: TCP port {ssh} must be open to it in your firewall")
_UDP = _again(
    Unreachable,
    "no data come from {host}: Aspera sends them by UDP, so UDP port {udp} must be open in your firewall",
    blocked=True,
)
_LOST = _again(Unreachable, "the connection to {host} was lost")
_DISK = _again(NoSpace, "the disk that packages are kept on is full")

RULES: Mapping[int, Rule] = {
    KEY_MISSING: _final(
        CdbfsError, "ascp does not find its key: set ASPERA_ETCDIR to the directory that holds Aspera's key"
    ),
    3: _final(CdbfsError, "ascp cannot write into cache_dir"),
    4: _final(NotFound, "{host} does not have the file"),
    5: _final(AccessRefused, "{host} does not let this login read the file"),
    8: _final(CdbfsError, "ascp does not understand how it was called; perhaps it is too old"),
    9: _LICENCE,
    10: _LICENCE,
    12: _SSH,
    13: _SSH,
    14: _UDP,
    15: _UDP,
    16: _LOST,
    17: _LOST,
    18: _LOST,
    # Final by IBM's advice; but many sessions at once draw it, too.
    19: _again(AccessRefused, "{host} refused the login; perhaps too many sessions run there at once"),
    20: _final(CdbfsError, "{host} has nothing to transfer"),
    23: _again(CdbfsError, "too many files are open"),
    24: _final(TooLarge, "the file is too large for where packages are kept"),
    FULL: _DISK,
    26: _final(CdbfsError, "the disk that packages are kept on is read-only"),
    SOME_FAILED: _final(CdbfsError, "ascp could not transfer it"),
    28: _final(Cancelled, "the transfer was cancelled at {host}"),
    29: _LICENCE,
    30: _LICENCE,
    32: _again(CdbfsError, "ascp could not go on"),
    33: _again(CdbfsError, "ascp could not go on"),
    34: _final(AccessRefused, "{host} refused the token that the server gave for this transfer"),
    35: _again(Unreachable, "{host} could not read the file"),
    DISK_WRITE: _again(CdbfsError, "ascp could not write into cache_dir"),
    37: _again(AccessRefused, "{host} refused the token that the server gave for this transfer"),
    38: _LICENCE,
    39: _again(Unreachable, "{host} ended the transfer"),
    40: _again(Unreachable, "the transfer from {host} stood still"),
    41: _final(ServerFault, "the path that the server gave is none that {host} may read"),
    44: _SSH,
    45: _again(Unreachable, "{host} does not answer"),
    50: _final(CdbfsError, "ascp is configured in a way it does not understand; see its aspera.conf"),
    51: _final(CdbfsError, "{host} shows another ssh key than the server says it has"),
}
OTHERWISE = _again(CdbfsError, "ascp failed")
"""For a code that is not known: what is tried too often ends by itself."""

TEXTS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), code)
    for pattern, code in (
        (r"private key file not found|no such identity", KEY_MISSING),
        (r"no space|disk (is )?full|ENOSPC|error 28\b|quota", FULL),
        (r"disk write|write failed", DISK_WRITE),
        (r"failed to authenticate|authentication failed", 19),
        (r"\bUDP\b", 14),
        (r"failed to open tcp|tcp connection|connection refused|resolve|host unreachable", 44),
        (r"no such file", 4),
        (r"token|unauthori[sz]ed", 34),
        (r"access denied|permission denied|EACCES|error 13\b", 5),
        (r"licen[cs]e", 9),
        (r"partial completion", SOME_FAILED),
        (r"abandoned|connection (was )?lost|timed? ?out|peer", 16),
        (r"server aborted", 39),
    )
)
"""By what ascp says, where it gave no code: the first that is found."""


def of_text(text: str) -> int | None:
    """The code that ascp's words amount to."""
    return next((code for pattern, code in TEXTS if pattern.search(text)), None)
