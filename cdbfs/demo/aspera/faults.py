"""Scripted failures of transfers: which session, or which file of it, is hit by what.

Of a whole session: ``no_login`` ("failed to authenticate", code 19), ``wrong_token`` (34), ``tcp_closed`` (44),
``udp_blocked`` (seconds until it is said; code 14 or 15), ``abort`` (code, text), ``mute`` (no management frames),
``exit`` (status, after a transfer that was good).

Of a file, after so many of its ``bytes``: ``cut`` (connection lost, code 16), ``disk_full`` (code 36 or 25),
``stall`` (silence, no frames; a ``deaf`` one ignores signals too), ``damage`` (that byte arrives changed; by
default one in the middle). Of a file as a whole: ``no_file`` (code 4), ``fails`` (code, text), ``slow`` (rate,
bytes a second), and ``wrong_md5`` (of the file beside a zip). What hits all files of a session ends it, else the
others are transferred: a partial completion, code 27. A rule is for files whose name matches ``file`` (*.zip
unless said, *.md5 for wrong_md5), and used up once a file.

Used by ``node``; the stand-in ascp plays most of them. One lock; any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Union

Value = Union[int, float, str, bool]

OF_A_SESSION: Mapping[str, frozenset[str]] = {
    "no_login": frozenset(),
    "wrong_token": frozenset(),
    "tcp_closed": frozenset(),
    "udp_blocked": frozenset({"seconds", "code"}),
    "abort": frozenset({"code", "text"}),
    "mute": frozenset(),
    "exit": frozenset({"status"}),
}
OF_A_FILE: Mapping[str, frozenset[str]] = {
    "cut": frozenset({"bytes"}),
    "disk_full": frozenset({"bytes", "code"}),
    "stall": frozenset({"bytes", "deaf"}),
    "damage": frozenset({"bytes"}),
    "no_file": frozenset(),
    "fails": frozenset({"code", "text"}),
    "slow": frozenset({"rate"}),
    "wrong_md5": frozenset(),
}
_FILES = {"wrong_md5": "*.md5"}
_TEXT = ("text",)


@dataclass
class AscpFault:
    """One rule; ``times`` is what is left of it, None: until cleared."""

    kind: str
    times: int | None
    file: str
    parameters: Mapping[str, Value] = field(default_factory=dict)

    def shown(self) -> dict[str, object]:
        """The rule as the control interface takes and gives it."""
        of_file = {"file": self.file} if self.kind in OF_A_FILE else {}
        return {"route": "ascp", "kind": self.kind, "times": self.times, **of_file, **self.parameters}

    def played(self) -> dict[str, Value]:
        """What the stand-in ascp is told of it."""
        return {"kind": self.kind, **self.parameters}


def make_fault(kind: str, times: int | None, file: str | None, parameters: Mapping[str, object]) -> AscpFault:
    """A checked rule; ValueError or TypeError says what is wrong with it."""
    known = {**OF_A_SESSION, **OF_A_FILE}
    if kind not in known:
        raise ValueError(f"unknown kind of fault of ascp {kind!r}; there are {', '.join(known)}")
    if file is not None and kind in OF_A_SESSION:
        raise ValueError(f"a fault of kind {kind!r} is of no file")
    unknown = set(parameters) - known[kind]
    if unknown:
        raise ValueError(f"a fault of kind {kind!r} has no {', '.join(sorted(unknown))}")
    checked = {name: _value(name, value) for name, value in parameters.items()}
    return AscpFault(kind, times, file if file is not None else _FILES.get(kind, "*.zip"), checked)


def _value(name: str, value: object) -> Value:
    if name in _TEXT:
        return str(value)
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number")
    return value


class AscpFaults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[AscpFault] = []
        self._lock = threading.Lock()

    def add(self, fault: AscpFault) -> None:
        with self._lock:
            self._rules.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def shown(self) -> list[dict[str, object]]:
        with self._lock:
            return [rule.shown() for rule in self._rules]

    def of_session(self) -> list[dict[str, Value]]:
        """What hits a session that begins now."""
        with self._lock:
            hit = [rule for rule in self._rules if rule.kind in OF_A_SESSION]
            return [self._used(rule) for rule in hit]

    def of_file(self, name: str) -> list[dict[str, Value]]:
        """What hits a file of it: of each kind the first rule."""
        with self._lock:
            hit: dict[str, AscpFault] = {}
            for rule in self._rules:
                if rule.kind in OF_A_FILE and fnmatchcase(name, rule.file):
                    hit.setdefault(rule.kind, rule)
            return [self._used(rule) for rule in hit.values()]

    def _used(self, rule: AscpFault) -> dict[str, Value]:
        if rule.times is not None:
            rule.times -= 1
            if rule.times <= 0:
                self._rules.remove(rule)
        return rule.played()
