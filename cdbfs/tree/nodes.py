"""The kinds of node a tree is made of, and what each can be asked.

Used by every node of tree/ and by mount/. A node is a small value made anew by each lookup; what it shows lies in
listings, documents and results.

Threads: nodes are immutable; any thread may ask any node.
"""

from __future__ import annotations

import enum
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Callable, NamedTuple, Union

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.store.results import Kept, OnDisk
from cdbfs.store.zips.members import OpenMember


class Kind(enum.Enum):
    """What readdir says of an entry."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"


class Entry(NamedTuple):
    """A name in a directory."""

    name: str
    kind: Kind
    inode: int = 0
    """0: the one of its path."""


@dataclass(frozen=True)
class Content:
    """One version of a file, whole: its bytes, and when they changed (nanoseconds since the epoch)."""

    data: bytes
    mtime: int
    volatile: bool = False
    """Whether the next look may well find another version."""

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, size: int, offset: int) -> bytes:
        """The bytes from `offset`, at most `size`."""
        return self.data[offset : offset + size]

    def close(self) -> None:
        """Nothing is held but memory."""


Version = Union[Content, OnDisk, OpenMember]
"""One version of a file, open."""


@dataclass(frozen=True)
class Attributes:
    """What stat shows: exact size in bytes, mtime in nanoseconds since the epoch."""

    kind: Kind
    size: int
    mtime: int
    own: os.stat_result | None = None
    """Of a file of the user's own, whose modes, times and inode number are shown as they are."""
    writable: bool = False
    """See Node."""


class Node(ABC):
    """Anything with a path."""

    kind: Kind
    writable = False
    """Whether its owner may remove it or, of a directory, what is in it, though it is not his own file."""


class Directory(Node):
    """A directory."""

    kind = Kind.DIRECTORY
    own: os.stat_result | None = None
    """See Attributes."""

    @property
    @abstractmethod
    def mtime(self) -> int:
        """When it changed, nanoseconds since the epoch; never waits."""

    @abstractmethod
    def entries(self, caller: Caller) -> Iterable[Entry]:
        """What it lists."""

    @abstractmethod
    def child(self, name: str, caller: Caller) -> Node:
        """The node of that name, listed or not. Raises NoSuchName."""


class File(Node):
    """A regular file. Its content is small enough to be held in memory."""

    kind = Kind.FILE

    @abstractmethod
    def content(self, caller: Caller) -> Content:
        """The present version."""


class Result(Node):
    """A file that is made when it is opened, not when it is looked at: the answer to a search, or a package.

    Until then stat shows the last good version, an empty file, or the size that was announced.
    """

    kind = Kind.FILE
    lasting = False
    """Whether an open version never changes, so that the kernel may keep its bytes from one open to the next."""

    @abstractmethod
    def shown(self) -> Kept:
        """What stat shows; never waits for the server. Raises NoSuchName."""

    @abstractmethod
    def open(self, caller: Caller) -> Version:
        """The present version; waits for it."""


class Own(Node):
    """A file of the user's own, which can be written."""

    kind = Kind.FILE
    own: os.stat_result

    @abstractmethod
    def content(self) -> Content:
        """What it holds now."""


@dataclass(frozen=True)
class Link(Node):
    """A symbolic link."""

    kind = Kind.LINK

    target: str
    mtime: int
    own: os.stat_result | None = None


@dataclass(frozen=True)
class Fixed(Directory):
    """A directory whose names are always the same; each child is made when it is asked for."""

    children: Mapping[str, tuple[Kind, Callable[[], Node]]]
    changed: int

    @property
    def mtime(self) -> int:
        return self.changed

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return [Entry(name, kind) for name, (kind, _) in self.children.items()]

    def child(self, name: str, caller: Caller) -> Node:
        if name not in self.children:
            raise NoSuchName(name)
        return self.children[name][1]()


@dataclass(frozen=True)
class Made(File):
    """A file whose content a function makes."""

    make: Callable[[Caller], Content]

    def content(self, caller: Caller) -> Content:
        return self.make(caller)


def attributes(node: Node, caller: Caller) -> Attributes:
    """What stat shows of a node. Raises what making its content raises."""
    if isinstance(node, File):
        content = node.content(caller)
        return Attributes(Kind.FILE, len(content.data), content.mtime, writable=node.writable)
    if isinstance(node, Result):
        shown = node.shown()
        return Attributes(Kind.FILE, shown.size, shown.mtime)
    if isinstance(node, Own):
        return Attributes(Kind.FILE, node.own.st_size, node.own.st_mtime_ns, node.own)
    if isinstance(node, Link):
        size = len(node.target.encode("utf-8", "surrogateescape"))
        return Attributes(Kind.LINK, size, node.mtime, node.own)
    if isinstance(node, Directory):
        return Attributes(Kind.DIRECTORY, 0, node.mtime, node.own, node.writable)
    raise TypeError(f"no attributes for {node!r}")
