"""The kinds of node a tree is made of, and what each can be asked.

Used by every node of tree/ and by mount/. A node is a small value made anew by each lookup; what it shows lies in
listings and documents.

Threads: nodes are immutable; any thread may ask any node.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Callable, NamedTuple

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName


class Kind(enum.Enum):
    """What readdir says of an entry."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"


class Entry(NamedTuple):
    """A name in a directory."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Content:
    """One version of a file, whole: its bytes, and when they changed (nanoseconds since the epoch)."""

    data: bytes
    mtime: int
    volatile: bool = False
    """Whether the next look may well find another version."""


@dataclass(frozen=True)
class Attributes:
    """What stat shows: exact size in bytes, mtime in nanoseconds since the epoch."""

    kind: Kind
    size: int
    mtime: int


class Node(ABC):
    """Anything with a path."""

    kind: Kind


class Directory(Node):
    """A directory."""

    kind = Kind.DIRECTORY

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


@dataclass(frozen=True)
class Link(Node):
    """A symbolic link."""

    kind = Kind.LINK

    target: str
    mtime: int


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
        return Attributes(Kind.FILE, len(content.data), content.mtime)
    if isinstance(node, Link):
        return Attributes(Kind.LINK, len(node.target.encode("utf-8", "surrogateescape")), node.mtime)
    if isinstance(node, Directory):
        return Attributes(Kind.DIRECTORY, 0, node.mtime)
    raise TypeError(f"no attributes for {node!r}")
