"""unpacked/<project>/<subject>_<package>/: the members of packages as files.

Only packages that are here are listed. One that is not can be named: it shows its subject's directory, at no cost,
and nothing else, above all none of the names that shells, git and R look for by themselves. Looking into that
directory, or for a name in it, fetches the package, and waits for as long as it moves on. Where its members are
known from before, that waits for nothing, and only opening one does.

Threads: immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.hcp.models import Package
from cdbfs.store.results import Kept
from cdbfs.store.zips.index import DIRECTORY, Index, Member
from cdbfs.store.zips.members import OpenMember
from cdbfs.tree.by_project import ByProject
from cdbfs.tree.nodes import Directory, Entry, Kind, Node, Result
from cdbfs.tree.source import Source

UNPACKED = "unpacked"
"""The directory's name in the mount."""
LOOKED_FOR = frozenset({"HEAD", "objects", "refs", "autorun.inf", "desktop.ini", "Desktop.ini", "Thumbs.db"})
"""What programs look for wherever they are (git's test for a bare repository, file managers), beside dot files."""


class UnpackedProjects(ByProject):
    """unpacked/"""

    def of(self, project: str, name: str) -> Node:
        return UnpackedPackages(self.source, project)


@dataclass(frozen=True)
class UnpackedPackages(Directory):
    """unpacked/<project>/"""

    source: Source
    project: str

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        subjects = self.source.subjects(self.project, caller).labels
        here = [package for package in self.source.packages.here() if package.subject in subjects]
        return [Entry(package.name, Kind.DIRECTORY) for package in here]

    def child(self, name: str, caller: Caller) -> Node:
        """A package of a subject of this project; labels may hold `_`, so that a name can be read in more ways."""
        subjects = self.source.subjects(self.project, caller).labels
        parts = [(name[:at], name[at + 1 :]) for at, letter in enumerate(name) if letter == "_"]
        packages = [Package(label, package_id) for label, package_id in parts if label in subjects and package_id]
        for package in packages:
            if self.source.packages.is_known(package):
                return UnpackedPackage(self.source, package)
        for package in packages:
            if package.id in self.source.offers(package.subject, caller):
                return UnpackedPackage(self.source, package)
        raise NoSuchName(name)


@dataclass(frozen=True)
class InPackage(Directory):
    """A directory of a package's, as old as its zip."""

    source: Source
    package: Package

    @property
    def mtime(self) -> int:
        shown = self.source.packages.shown_zip(self.package)
        return shown.mtime if shown is not None else self.source.started


class UnpackedPackage(InPackage):
    """unpacked/<project>/<subject>_<package>/"""

    def entries(self, caller: Caller) -> Iterable[Entry]:
        index = self.source.packages.known_index(self.package, caller)
        if index is None:
            return [Entry(self.package.subject, Kind.DIRECTORY)]
        return _entries(index, "")

    def child(self, name: str, caller: Caller) -> Node:
        index = self.source.packages.known_index(self.package, caller)
        if index is not None:
            return _member(self.source, self.package, index, name)
        if name != self.package.subject:
            raise NoSuchName(name)
        return Unfetched(self.source, self.package)


class Unfetched(InPackage):
    """unpacked/<project>/<subject>_<package>/<subject>/ of a package whose members are not known yet."""

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return _entries(_index(self.source, self.package, caller), self.package.subject)

    def child(self, name: str, caller: Caller) -> Node:
        if name.startswith(".") or name in LOOKED_FOR:
            raise NoSuchName(name)
        index = _index(self.source, self.package, caller)
        return _member(self.source, self.package, index, f"{self.package.subject}/{name}")


@dataclass(frozen=True)
class MemberDirectory(InPackage):
    """A directory in a package."""

    index: Index
    path: str

    def entries(self, caller: Caller) -> Iterable[Entry]:
        return _entries(self.index, self.path)

    def child(self, name: str, caller: Caller) -> Node:
        return _member(self.source, self.package, self.index, f"{self.path}/{name}")


@dataclass(frozen=True)
class MemberFile(Result):
    """A file in a package. Its size is known as soon as its name is."""

    source: Source
    package: Package
    path: str
    member: Member
    lasting = True

    def shown(self) -> Kept:
        return Kept(self.member.size, self.member.mtime)

    def open(self, caller: Caller) -> OpenMember:
        announced = _announced(self.source, self.package, caller)
        return self.source.packages.open_member(self.package, self.path, announced, caller)


def _member(source: Source, package: Package, index: Index, path: str) -> Node:
    found = index.find(path)
    if found is None:
        raise NoSuchName(path)
    if found is DIRECTORY:
        return MemberDirectory(source, package, index, path)
    return MemberFile(source, package, path, found)


def _entries(index: Index, path: str) -> list[Entry]:
    directories, files = index.entries(path)
    return [
        *map(Entry, directories, repeat(Kind.DIRECTORY)),
        *map(Entry, files, repeat(Kind.FILE)),
    ]


def _index(source: Source, package: Package, caller: Caller) -> Index:
    return source.packages.index(package, _announced(source, package, caller), caller)


def _announced(source: Source, package: Package, caller: Caller) -> int:
    """The size that the service announces of a package, which is asked for only where it is to be fetched."""
    if source.packages.is_here(package):
        return 0
    offer = source.offers(package.subject, caller).get(package.id)
    return offer.size or 0 if offer is not None else 0
