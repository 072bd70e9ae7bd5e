"""Logins and sessions as XNAT 1.6 keeps them.

Used by the guard and the control routes. One lock; every method may be called from any thread.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
import time
from dataclasses import dataclass

SESSIONS_PER_USER = 1000
"""Seen on XNAT 1.6.4: at about the thousandth open session of a user his next login is refused."""


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


class Sessions:
    """The open sessions. A session dies when it was not used for ``seconds`` (sliding expiry)."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.logins = 0
        self.refused = 0
        self._open: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def user(self, identifier: str | None) -> str | None:
        """The user of a live session, which this call keeps alive; None: unknown or expired."""
        now = time.monotonic()
        with self._lock:
            session = self._open.get(identifier or "")
            if session is None:
                return None
            if now - session.used > self.seconds:
                del self._open[identifier or ""]
                return None
            session.used = now
            return session.user

    def open(self, user: str) -> str | None:
        """A new session for the user; None: he has as many as he may have."""
        now = time.monotonic()
        with self._lock:
            if sum(1 for s in self._open.values() if s.user == user) >= SESSIONS_PER_USER:
                self._expire(now)
                if sum(1 for s in self._open.values() if s.user == user) >= SESSIONS_PER_USER:
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
            self._expire(time.monotonic())
            return len(self._open)

    def _expire(self, now: float) -> None:
        dead = [i for i, s in self._open.items() if now - s.used > self.seconds]
        for identifier in dead:
            del self._open[identifier]


def new_identifier() -> str:
    """A session id in the form of the container's: 32 upper-case hexadecimal digits."""
    return secrets.token_hex(16).upper()
