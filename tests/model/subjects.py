"""The two subjects of the model: the tree in memory, whose clocks are the test's, and a real mount."""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path

from cdbfs import config
from cdbfs.demo import StandIn
from cdbfs.runtime import Runtime
from tests.views import MemoryView, MountView, View, mounted
from tests.worlds import World

CAPS = {"memory_size": 20_000, "cache_size": 8_000, "listings": 4}
"""So small that what is looked at drives out what was."""
LARGEST = 4_000
"""Bytes of a document, and somewhat more."""
DAY = 86_400.0
TTL = 10.0
"""For how long listings count as fresh in memory, and documents for a day."""


class Subject(ABC):
    """cdbfs over a server; started, and started again."""

    view: View

    def __init__(self, server: StandIn, scratch: Path) -> None:
        self.cache = scratch / "cache"
        self._server = server
        self._login = World("model", server.data).login
        self._scratch = scratch
        self._options = {key: str(value) for key, value in CAPS.items()} | {"login_pause": "0.2"}

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def age(self, *, listings_only: bool = False) -> None:
        """Let so much time pass that everything is due to be fetched anew; or listings, where that can be told."""

    @abstractmethod
    def memory(self) -> tuple[int, int]:
        """Bytes of documents, and the number of listings, in memory."""

    def disk(self) -> int:
        """Bytes of documents on disk."""
        sizes = 0
        for path in self.documents():
            try:
                sizes += path.stat().st_size
            except FileNotFoundError:
                continue
        return sizes

    def documents(self) -> list[Path]:
        """The files of the documents on disk that are whole."""
        found = (self.cache / "documents").glob("*/*/*")
        return [path for path in found if not path.name.startswith(".part-")]


class InMemory(Subject):
    """The tree itself."""

    def __init__(self, server: StandIn, scratch: Path) -> None:
        super().__init__(server, scratch)
        self._later = 0.0

    def start(self) -> None:
        ages = {"listing_ttl": str(TTL), "document_ttl": str(DAY)}
        options = {**self._options, **ages, "cache_dir": str(self.cache)}
        self._runtime = Runtime(
            config.load(self._server.url, options, {}),
            self._login,
            clock=lambda: time.monotonic() + self._later,
            wall_clock=lambda: time.time() + self._later,
        )
        self.view = MemoryView(self._runtime)

    def stop(self) -> None:
        self._runtime.close()

    def age(self, *, listings_only: bool = False) -> None:
        self._later += 2 * TTL if listings_only else 2 * DAY

    def memory(self) -> tuple[int, int]:
        return self._runtime.documents.memory_used, len(self._runtime.listings)


class Mounted(Subject):
    """A mount, whose time is everybody's: so everything ages within moments."""

    TTL = 0.3

    def __init__(self, server: StandIn, scratch: Path) -> None:
        super().__init__(server, scratch)
        ages = ("listing_ttl", "document_ttl", "attr_timeout", "entry_timeout")
        self._options.update(dict.fromkeys(ages, str(self.TTL)), retry_pause="0.1")
        self._stack = ExitStack()

    def start(self) -> None:
        directory = self._stack.enter_context(
            mounted(self._server, self._login, self._scratch / "m", self.cache, **self._options)
        )
        self.view = MountView(directory)

    def stop(self) -> None:
        self._stack.close()

    def age(self, *, listings_only: bool = False) -> None:
        time.sleep(self.TTL)

    def memory(self) -> tuple[int, int]:
        with open(self._scratch / "m/.cdbfs/status.json", encoding="utf-8") as file:
            status = json.load(file)
        return status["documents_memory_bytes"], status["listings"]

    def open(self, path: str) -> int:
        return os.open(self._scratch / "m" / path, os.O_RDONLY)
