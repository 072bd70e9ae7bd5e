"""The tree of one mount: paths to nodes.

Made by runtime; asked by mount/, and by whoever wants the files without a mount. A path is what FUSE hands out:
it begins with "/" and has names between slashes.

Threads: immutable; any.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

from cdbfs.caller import NOBODY, Caller
from cdbfs.errors import IsADirectory, NotADirectory
from cdbfs.query.queries import Queries
from cdbfs.tree import nodes, readme
from cdbfs.tree.control import CONTROL
from cdbfs.tree.nodes import (
    Attributes,
    Content,
    Directory,
    Entry,
    File,
    Fixed,
    Kind,
    Link,
    Made,
    Node,
    Own,
    Result,
    Version,
)
from cdbfs.tree.packages import PACKAGES, PackageProjects
from cdbfs.tree.project import PROJECTS, Projects
from cdbfs.tree.saved import SAVED, SavedSearches
from cdbfs.tree.schema import Schema
from cdbfs.tree.search import SEARCH, search_directory
from cdbfs.tree.source import Source
from cdbfs.tree.unpacked import UNPACKED, UnpackedProjects


class Tree:
    """Everything below the mount point."""

    def __init__(self, source: Source, control: Directory, queries: Queries, *, packages: bool) -> None:
        """`packages`: whether the server has a package service."""
        text = Content(readme.TEXT.encode(), source.started)
        children: dict[str, tuple[Kind, Callable[[], Node]]] = {
            CONTROL: (Kind.DIRECTORY, lambda: control),
            "README.txt": (Kind.FILE, lambda: Made(lambda caller: text)),
            PROJECTS: (Kind.DIRECTORY, lambda: Projects(source)),
            SAVED: (Kind.DIRECTORY, lambda: SavedSearches(source)),
            "schema": (Kind.DIRECTORY, lambda: Schema(source)),
            SEARCH: (Kind.DIRECTORY, lambda: search_directory(queries)),
        }
        if packages:
            children[PACKAGES] = (Kind.DIRECTORY, lambda: PackageProjects(source))
            children[UNPACKED] = (Kind.DIRECTORY, lambda: UnpackedProjects(source))
        self._root = Fixed(children, source.started)

    def node(self, path: str, caller: Caller = NOBODY) -> Node:
        """The node at `path`; links on the way are not followed. Raises NoSuchName, NotADirectory, any."""
        node: Node = self._root
        for name in path.split("/"):
            if not name:
                continue
            if not isinstance(node, Directory):
                raise NotADirectory(path)
            node = node.child(name, caller)
        return node

    def attributes(self, path: str, caller: Caller = NOBODY) -> Attributes:
        """What stat shows."""
        return nodes.attributes(self.node(path, caller), caller)

    def entries(self, path: str, caller: Caller = NOBODY) -> Iterable[Entry]:
        """What a directory lists, without `.` and `..`."""
        node = self.node(path, caller)
        if not isinstance(node, Directory):
            raise NotADirectory(path)
        return node.entries(caller)

    def content(self, path: str, caller: Caller = NOBODY) -> Content:
        """The present version of a file."""
        node = self.node(path, caller)
        if isinstance(node, File):
            return node.content(caller)
        if isinstance(node, Own):
            return node.content()
        if isinstance(node, Result):
            return _whole(node.open(caller))
        raise IsADirectory(path)

    def target(self, path: str, caller: Caller = NOBODY) -> str | None:
        """Where a link leads, relative to its directory; None if it is no link."""
        node = self.node(path, caller)
        return node.target if isinstance(node, Link) else None


def _whole(version: Version) -> Content:
    try:
        return Content(version.read(version.size, 0), version.mtime)
    finally:
        version.close()
