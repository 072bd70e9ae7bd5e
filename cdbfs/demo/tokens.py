"""Alias tokens: names and secrets that log in for a user, given out by ``/data/services/tokens``.

Used by the guard and the token routes. One lock; every method may be called from any thread.
"""

from __future__ import annotations

import secrets
import string
import threading
import uuid
from dataclasses import dataclass, replace
from typing import Callable

SECONDS = 2 * 24 * 3600.0
"""How long a token lasts by default, as newer servers are delivered."""


@dataclass(frozen=True)
class Token:
    """One alias; ``made`` is seconds of the clock."""

    number: int
    alias: str
    secret: str
    user: str
    made: float
    enabled: bool = True


class Tokens:
    """The tokens given out since the server was started."""

    def __init__(self, clock: Callable[[], float], seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._lock = threading.Lock()

    def issue(self, user: str, *, digits: bool) -> Token:
        """A new token; ``digits``: with a secret of 13 digits, as XNAT 1.6.4 gives, else of 64 characters."""
        letters = string.digits if digits else string.ascii_letters + string.digits
        secret = "".join(secrets.choice(letters) for _ in range(13 if digits else 64))
        with self._lock:
            token = Token(len(self._tokens) + 1, str(uuid.uuid4()), secret, user, self._clock())
            self._tokens[token.alias] = token
        return token

    def find(self, alias: str) -> Token | None:
        """The token of an alias; None: unknown, invalidated or too old."""
        with self._lock:
            token = self._tokens.get(alias)
        return token if token is not None and self._valid(token) else None

    def of(self, user: str) -> list[Token]:
        """The user's tokens that still log in."""
        with self._lock:
            tokens = list(self._tokens.values())
        return [token for token in tokens if token.user == user and self._valid(token)]

    def invalidate(self, alias: str) -> None:
        with self._lock:
            if alias in self._tokens:
                self._tokens[alias] = replace(self._tokens[alias], enabled=False)

    def _valid(self, token: Token) -> bool:
        return token.enabled and self._clock() - token.made <= self.seconds
