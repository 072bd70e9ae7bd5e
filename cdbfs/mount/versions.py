"""Which version of a file the kernel is shown, and which is opened: one at a time under one path.

The kernel has one size and one page cache for a path, whatever handles say. So a version that was shown is the
one that is opened for as long as the kernel may remember its size, and while a file is open everybody sees the
version that is open; else fstat, and a private mmap of two readers, would mix them. A version that is open for
`longest` seconds (a volatile one: as soon as the kernel has forgotten its size) gives way: who opens then waits a
moment until it is closed everywhere, and gets the present one. Only a handle that stays open all the same may see
an fstat that is not of its bytes.

The result of a search is another matter: each who opens it makes it, and the one that was opened last is the one
that everybody sees from then on.

What a size is asked of is right: fstat, lseek to the end, and what goes by them. A sendfile or splice of a program
that never asked may, within milliseconds of a change, be cut at the size of the version before: the kernel throws
away one of two answers that come at once, and asks again only where a size is asked for.

Used by operations. Threads: any; `_lock` is held for dictionary operations only, never while content is made or
somebody waits.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Protocol

from cachetools import TTLCache

from cdbfs.tree.nodes import Content, Version

DRAIN_SECONDS = 1.0
"""How long those who open wait for a version that gives way to be closed everywhere."""
MARGIN = 1.0
"""Seconds beyond attr_timeout for which a shown version is kept: the kernel counts from when it got the answer."""
SETTLE_SECONDS = 2.0
"""How long those who open wait until the kernel has forgotten the version before."""
ENTRY_WEIGHT = 500
MOST_CHANGED = 10_000


class Shown(Protocol):
    """What the kernel is told of a version."""

    @property
    def size(self) -> int: ...
    @property
    def mtime(self) -> int: ...


@dataclass
class _Open:
    content: Shown
    until: float
    handles: list[Shown] = field(default_factory=list)
    """What each handle reads: one version, though for each one may be open on its own."""


class Versions:
    """The versions shown lately and open now, by path."""

    def __init__(
        self,
        attr_timeout: float,
        longest: float,
        most_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        drain: float = DRAIN_SECONDS,
    ) -> None:
        self.forget: Callable[[str], None] = _forget_nothing
        """Makes the kernel forget the size of a path; called without a lock, in a thread that opens. Nothing where
        the kernel remembers nothing."""
        self._briefest = attr_timeout + MARGIN
        self._longest = max(longest, self._briefest)
        self._most_bytes = most_bytes
        self._clock = clock
        self._drain = drain
        self._lock = threading.Lock()
        self._all_closed = threading.Condition(self._lock)
        self._open: dict[str, _Open] = {}
        self._changed: TTLCache[str, bool] = TTLCache(MOST_CHANGED, self._briefest, clock)
        """Paths not opened since they were shown in two versions within the time that the kernel remembers one."""
        self._settling: set[str] = set()
        self._settled = threading.Condition(self._lock)
        self._shown: TTLCache[str, Shown] = TTLCache(most_bytes, attr_timeout + MARGIN, clock, _weight)

    def to_show(self, path: str, make: Callable[[], Shown]) -> Shown:
        """The version that stat shows; `make` gives the present one."""
        with self._lock:
            opened = self._opened(path)
        content = opened or make()
        with self._lock:
            content = self._opened(path) or content  # somebody may have opened another while this one was made
            self._show(path, content)
        return content

    def to_open(self, path: str, make: Callable[[], Version]) -> Version:
        """The version for a new handle, which counts as open until `closed`."""
        with self._lock:
            old = self._drained(path)
            content: Version | None = self._to_join(path, old)
        content = content or make()
        with self._lock:
            content = self._to_join(path, old) or content
            self._opens(path, content)
        self._settle(path)
        return content

    def latest(self, path: str, content: Version) -> Version:
        """Have `content`, whatever was shown, as the present version; it counts as open until `closed`."""
        with self._lock:
            self._opens(path, content)
        self._settle(path)
        return content

    def opened(self, path: str) -> Shown | None:
        """The version that is open, and shown to everybody."""
        with self._lock:
            return self._opened(path)

    def _settle(self, path: str) -> None:
        """Make the kernel forget a path that was shown in two versions, before anybody has a handle on the new.

        Of two answers under way at once, the kernel may have kept the older one. Once for each change: while it
        forgets, it throws away answers that are under way, right ones too, and `lseek` then goes by the old size.
        """
        with self._lock:
            self._settled.wait_for(lambda: path not in self._settling, SETTLE_SECONDS)
            changed = self._changed.pop(path, False)
            if changed:
                self._settling.add(path)
        if changed:
            try:
                self.forget(path)
            finally:
                with self._lock:
                    self._settling.discard(path)
                    self._settled.notify_all()

    def closed(self, path: str, content: Shown) -> None:
        """A handle from `to_open` or `latest` is gone."""
        with self._lock:
            state = self._open.get(path)
            if state is None:
                return
            state.handles = _without(state.handles, content)
            if not state.handles:
                del self._open[path]
                self._all_closed.notify_all()

    def _opens(self, path: str, content: Version) -> None:
        self._show(path, content)
        state = self._open.get(path)
        if state is None or not _one(state.content, content):
            seconds = self._briefest if content.volatile else self._longest
            state = self._open[path] = _Open(content, self._clock() + seconds)
        state.handles.append(content)

    def _drained(self, path: str) -> _Open | None:
        """The version that is to give way, once it is closed everywhere or has been waited for long enough."""
        old = self._open.get(path)
        if old is None or self._clock() < old.until:
            return None
        left = old.until + self._drain - self._clock()
        self._all_closed.wait_for(lambda: self._open.get(path) is not old, max(0.0, left))
        return old

    def _to_join(self, path: str, old: _Open | None) -> Content | None:
        """The version that a new handle must have, if it is not free to have the present one."""
        state = self._open.get(path)
        if state is not None and state is not old:
            return state.content if isinstance(state.content, Content) else None
        shown = self._shown.get(path)
        return shown if isinstance(shown, Content) and (old is None or shown is not old.content) else None

    def _opened(self, path: str) -> Shown | None:
        state = self._open.get(path)
        return state.content if state is not None and self._clock() < state.until + self._drain else None

    def _show(self, path: str, content: Shown) -> None:
        before = self._shown.get(path)
        if before is not None and not _alike(before, content):
            self._changed[path] = True
        self._shown.pop(path, None)  # the one before must not outlive one that is too large
        if _weight(content) <= self._most_bytes:
            self._shown[path] = content


def _forget_nothing(path: str) -> None:
    pass


def _weight(content: Shown) -> int:
    return ENTRY_WEIGHT + (content.size if isinstance(content, Content) else 0)


def _alike(one: Shown, other: Shown) -> bool:
    """Whether they are one version: by their bytes, or where these lie on disk by size and time."""
    if isinstance(one, Content) and isinstance(other, Content):
        return one.data == other.data
    return (one.size, one.mtime) == (other.size, other.mtime)


def _one(one: Shown, other: Shown) -> bool:
    """Whether handles on them are handles on one version; each that is on disk is opened on its own."""
    return one is other if isinstance(one, Content) or isinstance(other, Content) else _alike(one, other)


def _without(handles: list[Shown], content: Shown) -> list[Shown]:
    """One of those that are this very object less."""
    for index, each in enumerate(handles):
        if each is content:
            return handles[:index] + handles[index + 1 :]
    return handles
