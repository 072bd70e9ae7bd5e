"""Logins and sessions as XNAT keeps them.

Used by the guard and the control routes. One lock; every method may be called from any thread.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Callable

SESSIONS_PER_USER = 1000
"""Seen on XNAT 1.6.4: at about the thousandth open session of a user his next login is refused."""

LOCKED_SECONDS = 3600.0
"""How long an account is locked after too many wrong passwords, as newer servers are delivered."""


class MalformedBasic(ValueError):
    """A Basic header that cannot be decoded: XNAT answers it with a 500."""


def credentials(header: str | None) -> tuple[str, str] | None:
    """User and password of a Basic header; None: no such header."""
    if header is None or not header.startswith("Basic "):
        return None
    text = header[len("Basic ") :].strip()
    try:
        decoded = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise MalformedBasic(
            f"Bad Base64 input character decimal {ord(text[0]) if text else 0} in array position 0"
        ) from error
    user, colon, password = decoded.partition(":")
    if not colon:
        raise MalformedBasic("Invalid basic authentication token")
    return user, password


@dataclass
class _Session:
    user: str
    used: float
    csrf: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class _Failures:
    count: int = 0
    locked_at: float | None = None


class Sessions:
    """The open sessions, and the wrong passwords since the last right one.

    A session dies when it was not used for ``seconds`` (sliding expiry). A user has ``per_user`` at most:
    his next login is refused. After ``failed_logins`` wrong passwords in a row (0: never) every login of the user
    is refused for ``locked_seconds``; his open sessions go on. ``clock`` gives seconds.
    """

    def __init__(
        self,
        seconds: float,
        *,
        per_user: int = SESSIONS_PER_USER,
        failed_logins: int = 0,
        locked_seconds: float = LOCKED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self.logins = 0
        self.refused = 0
        self._per_user = per_user
        self._failed_logins = failed_logins
        self._locked_seconds = locked_seconds
        self._clock = clock
        self._open: dict[str, _Session] = {}
        self._failures: dict[str, _Failures] = {}
        self._lock = threading.Lock()

    def user(self, identifier: str | None) -> str | None:
        """The user of a live session, which this call keeps alive; None: unknown or expired."""
        with self._lock:
            session = self._live(identifier or "")
            if session is None:
                return None
            session.used = self._clock()
            return session.user

    def csrf(self, identifier: str) -> str | None:
        """The token that a browser must send along when it writes; None: no such session."""
        with self._lock:
            session = self._live(identifier)
            return session.csrf if session is not None else None

    def open(self, user: str) -> str | None:
        """A new session for the user; None: he has as many as he may have."""
        now = self._clock()
        with self._lock:
            self._failures.pop(user, None)
            if sum(1 for s in self._open.values() if s.user == user) >= self._per_user:
                self._expire(now)
                if sum(1 for s in self._open.values() if s.user == user) >= self._per_user:
                    self.refused += 1
                    return None
            identifier = new_identifier()
            self._open[identifier] = _Session(user, now)
            self.logins += 1
            return identifier

    def refuse(self) -> None:
        """Note a refused login."""
        with self._lock:
            self.refused += 1

    def fail(self, user: str) -> None:
        """Note a wrong password of a user that exists; too many of them lock him out."""
        with self._lock:
            self.refused += 1
            failures = self._failures.setdefault(user, _Failures())
            failures.count += 1
            if 0 < self._failed_logins <= failures.count:
                failures.locked_at = self._clock()

    def locked(self, user: str) -> bool:
        """Whether every login of the user is refused, whatever the password."""
        with self._lock:
            failures = self._failures.get(user)
            if failures is None or failures.locked_at is None:
                return False
            if self._clock() - failures.locked_at < self._locked_seconds:
                return True
            del self._failures[user]
            return False

    def close(self, identifier: str) -> None:
        with self._lock:
            self._open.pop(identifier, None)

    def expire_all(self) -> None:
        with self._lock:
            self._open.clear()

    def reset_counts(self) -> None:
        with self._lock:
            self.logins = self.refused = 0

    def __len__(self) -> int:
        with self._lock:
            self._expire(self._clock())
            return len(self._open)

    def _live(self, identifier: str) -> _Session | None:
        session = self._open.get(identifier)
        if session is not None and self._clock() - session.used > self.seconds:
            del self._open[identifier]
            return None
        return session

    def _expire(self, now: float) -> None:
        dead = [i for i, s in self._open.items() if now - s.used > self.seconds]
        for identifier in dead:
            del self._open[identifier]


def new_identifier() -> str:
    """A session id in the form of the container's: 32 upper-case hexadecimal digits."""
    return secrets.token_hex(16).upper()
