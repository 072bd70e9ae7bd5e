"""Scripted misbehaviour: which request is hit by what.

Kinds (and their parameters): ``delay`` (seconds, before the header), ``stall`` (bytes, seconds: the
header and so many bytes, silence, then the rest), ``drip`` (bytes, seconds: so many bytes every so many
seconds), ``drip_header`` (as drip, from the first byte of the header on), ``cut`` (bytes: the connection
closes after them, without a proper end), ``truncate`` (bytes: the body ends there, properly), ``html`` (200
with the login page), ``empty`` (200 without a body), ``status`` (code, message), ``reset`` (connection reset
before an answer), ``refuse_login`` (a login gets 401), ``garbage`` (200 with broken JSON).

To clear the rules is to end them at once, for requests that wait under them, too.

Used by the HTTP layer, the guard and the control routes. One lock; any thread.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS: Mapping[str, frozenset[str]] = {
    "delay": frozenset({"seconds"}),
    "stall": frozenset({"bytes", "seconds"}),
    "drip": frozenset({"bytes", "seconds"}),
    "drip_header": frozenset({"bytes", "seconds"}),
    "cut": frozenset({"bytes"}),
    "truncate": frozenset({"bytes"}),
    "html": frozenset(),
    "empty": frozenset(),
    "status": frozenset({"code", "message"}),
    "reset": frozenset(),
    "refuse_login": frozenset(),
    "garbage": frozenset(),
}
_TEXT = frozenset({"message"})


@dataclass
class Fault:
    """One rule; ``times`` is what is left of it, None: until cleared."""

    route: str
    kind: str
    times: int | None = None
    probability: float = 1.0
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    """Set when the rule is cleared."""

    def number(self, name: str, default: float = 0.0) -> float:
        return float(self.parameters.get(name, default))

    def matches(self, method: str, route: str) -> bool:
        """A route that is told apart by its query has a word for that behind it, and is meant without it, too."""
        names = (route, route.partition(" ")[0])
        return self.route == "*" or any(self.route in (name, f"{method} {name}") for name in names)

    def shown(self) -> dict[str, object]:
        """The rule as the control interface takes and gives it."""
        shown: dict[str, object] = {"route": self.route, "kind": self.kind, "times": self.times}
        return {**shown, "probability": self.probability, **self.parameters}


def make_fault(
    route: str, kind: str, *, times: int | None = None, probability: float = 1.0, **parameters: object
) -> Fault:
    """A checked rule; ValueError or TypeError says what is wrong with it."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of fault {kind!r}; there are {', '.join(KINDS)}")
    unknown = set(parameters) - KINDS[kind]
    if unknown:
        raise ValueError(f"a fault of kind {kind!r} has no {', '.join(sorted(unknown))}")
    return Fault(route, kind, times, probability, {n: _value(n, v) for n, v in parameters.items()})


def _value(name: str, value: object) -> float | str:
    if name in _TEXT:
        return str(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number")
    return value


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._random = random.Random(0)  # noqa: S311 - repeatable, no secret

    def add(self, fault: Fault) -> None:
        with self._lock:
            fault.over = self._over
            self._rules.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()
            self._over.set()
            self._over = threading.Event()

    def shown(self) -> list[dict[str, object]]:
        with self._lock:
            return [rule.shown() for rule in self._rules]

    def take(self, method: str, route: str) -> list[Fault]:
        """What hits this request: every matching delay, and the first other kind that fires."""
        with self._lock:
            hit: list[Fault] = []
            for rule in list(self._rules):
                if rule.kind == "refuse_login" or not rule.matches(method, route):
                    continue
                if rule.kind != "delay" and any(f.kind != "delay" for f in hit):
                    continue
                if self._fires(rule):
                    hit.append(rule)
            return hit

    def refuses_login(self, method: str, route: str) -> bool:
        """Whether the login this request attempts is to be refused."""
        with self._lock:
            return any(
                rule.kind == "refuse_login" and rule.matches(method, route) and self._fires(rule)
                for rule in list(self._rules)
            )

    def _fires(self, rule: Fault) -> bool:
        if rule.probability < 1.0 and self._random.random() >= rule.probability:
            return False
        if rule.times is not None:
            if rule.times <= 0:
                return False
            rule.times -= 1
            if rule.times == 0:
                self._rules.remove(rule)
        return True
