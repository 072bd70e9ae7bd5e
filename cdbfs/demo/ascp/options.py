"""The command line of ascp.

Used by ``main``. Pure functions.
"""

from __future__ import annotations

import getopt
from collections.abc import Mapping, Sequence

USAGE = """Usage: ascp [OPTIONS] [[USER@]HOST:]SOURCE... DESTINATION
  -p -q -v -d -T -Q -D -A
  -i KEY  -l RATE  -m RATE  -O FASP-PORT  -P SSH-PORT  -k {0,1,2,3}  -M [HOST:]PORT
  -L DIR  -R DIR  -W TOKEN  -Z SIZE
  --host=HOST --user=USER --mode={send,recv} --policy={fixed,high,fair,low}
  --overwrite={never,always,diff,diff+older,older} --partial-file-suffix=SUFFIX
  --file-list=FILE --file-manifest={none,text} --file-manifest-path=DIR --file-manifest-inprogress-suffix=SUFFIX
  --symbolic-links=ACTION --check-sshfp=FINGERPRINT --no-mgmt-port-files"""

_SHORT = "pqvdTQDAi:l:m:O:P:k:M:L:R:W:Z:t:y:"
_CHOICES = {
    "--mode": ("send", "recv"),
    "--policy": ("fixed", "high", "fair", "low"),
    "--overwrite": ("never", "always", "diff", "diff+older", "older"),
    "--file-manifest": ("none", "text"),
    "-k": ("0", "1", "2", "3"),
}
_LONG = (
    *("host", "user", "mode", "policy", "overwrite", "partial-file-suffix", "file-list", "file-manifest"),
    *("file-manifest-path", "file-manifest-inprogress-suffix", "symbolic-links", "check-sshfp"),
)
_UNITS = {"K": 1000, "M": 1000**2, "G": 1000**3}
_VERSION = "Stand-in for ascp of cdbfs, version 3.9.1\n"


class UsageError(Exception):
    """What is wrong with the command line."""


class Options:
    """What ascp was called with; ``rate`` is bits a second."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        given, names = _parsed(arguments)
        self.arguments = tuple(arguments)
        self.version = "-A" in given
        self.key = given.get("-i", environment.get("ASPERA_SCP_KEY", ""))
        self.token = given.get("-W", environment.get("ASPERA_SCP_TOKEN", ""))
        self.host, self.user = given.get("--host", ""), given.get("--user", "")
        self.port, self.fasp_port = _number(given, "-P", 22), _number(given, "-O", 33001)
        self.rate, self.least_rate = _rate(given.get("-l", "10M")), _rate(given.get("-m", "0"))
        self.policy = given.get("--policy", "fair")
        self.resume, self.overwrite = _number(given, "-k", 0), given.get("--overwrite", "diff")
        self.suffix = given.get("--partial-file-suffix", "")
        self.keeps_times, self.quiet, self.makes_directory = "-p" in given, "-q" in given, "-d" in given
        self.encrypts = "-T" not in given
        self.log, self.manager = given.get("-L", ""), given.get("-M", "")
        self.mode = given.get("--mode", "")
        if self.version:
            return
        self.sources, self.destination = _paths(names, given.get("--file-list"))
        self._check()

    def _check(self) -> None:
        if self.mode != "recv":
            raise UsageError("the stand-in only receives: --mode=recv")
        if not self.host or not self.user:
            raise UsageError("--mode needs --host and --user")
        if any(":" in source.partition("/")[0] for source in self.sources):
            raise UsageError("with --mode, sources have no host")


def _parsed(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Options and names, in any order, as GNU's getopt takes them."""
    try:
        pairs, names = getopt.gnu_getopt(
            list(arguments), _SHORT, [*(f"{name}=" for name in _LONG), "no-mgmt-port-files"]
        )
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from None
    given = dict(pairs)
    for name, allowed in _CHOICES.items():
        if name in given and given[name] not in allowed:
            raise UsageError(f"invalid value for {name}: {given[name]}")
    return given, names


def _paths(names: list[str], file_list: str | None) -> tuple[list[str], str]:
    listed = _listed(file_list) if file_list is not None else []
    if len(names) < (1 if listed else 2):
        raise UsageError("no source and destination")
    if listed and len(names) > 1:
        raise UsageError("sources stand either in the file list or in the arguments")
    return listed or names[:-1], names[-1]


def _listed(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip("\n") for line in file if line.strip()]
    except OSError as error:
        raise UsageError(f"file list {path}: {error.strerror}") from None


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(given.get(name, default))
    except ValueError:
        raise UsageError(f"invalid value for {name}: {given[name]}") from None


def _rate(text: str) -> int:
    """Bits a second; a bare number is kilobits."""
    unit = text[-1:].upper()
    try:
        return int(float(text[:-1]) * _UNITS[unit]) if unit in _UNITS else int(text) * 1000
    except ValueError:
        raise UsageError(f"invalid rate: {text}") from None


def version() -> str:
    return _VERSION
