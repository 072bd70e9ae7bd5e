""".cdbfs/transfers/: a file for each transfer, which tells how far it is; removing one ends it.

Threads: immutable.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs import amounts
from cdbfs.caller import Caller, name_of
from cdbfs.errors import NoSuchName
from cdbfs.store.packages.boards import Told
from cdbfs.store.packages.packages import Packages
from cdbfs.tree.nodes import Content, Directory, Entry, File, Kind, Node

TRANSFERS = "transfers"


@dataclass(frozen=True)
class TransferDirectory(Directory):
    """All transfers of this server and login, in whichever process they run."""

    packages: Packages
    started: int
    writable = True

    @property
    def mtime(self) -> int:
        return self.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return [Entry(told.file, Kind.FILE) for told in self.packages.transfers()]

    def child(self, name: str, caller: Caller) -> Node:
        if all(told.file != name for told in self.packages.transfers()):
            raise NoSuchName(name)
        return TransferFile(self.packages, name)


@dataclass(frozen=True)
class TransferFile(File):
    """How one transfer stands."""

    packages: Packages
    file: str
    writable = True

    def content(self, caller: Caller) -> Content:
        for told in self.packages.transfers():
            if told.file == self.file:
                return Content(_text(told).encode("utf-8", "backslashreplace"), time.time_ns(), volatile=True)
        raise NoSuchName(self.file)

    def cancel(self) -> None:
        """End the transfer: who waits for it gets ECANCELED."""
        self.packages.cancel(self.file)


def _text(told: Told) -> str:
    percent = f"{100 * told.done / told.size:.0f} %" if told.size else "?"
    left = told.seconds_left
    rows = (
        ("state", told.phase),
        ("percent", percent),
        ("bytes", f"{told.done} of {told.size if told.size is not None else '?'}"),
        ("rate", amounts.rate(told.rate)),
        ("left", f"{left:.0f} s" if left is not None else "?"),
        ("waiting", ", ".join(map(named, told.waiting)) or "nobody"),
    )
    return "".join(f"{name}: {value}\n" for name, value in rows)


def named(process: int) -> str:
    """A process by its id and the name of its program."""
    name = "".join(c if c.isprintable() else "?" for c in name_of(process))
    return f"{process} ({name})" if name else str(process)
