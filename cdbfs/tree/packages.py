"""packages/<project>/<subject>/: the zips of ConnectomeDB's package service, and the md5 beside each.

Listing a subject asks the service what there is, once; only opening a file moves it here.

Threads: immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdbfs.caller import Caller
from cdbfs.errors import NoSuchName
from cdbfs.hcp.models import Package
from cdbfs.store.packages.layout import Wanted, sidecar, whole
from cdbfs.store.results import Kept, OnDisk
from cdbfs.tree.by_project import ByProject
from cdbfs.tree.nodes import Content, Directory, Entry, Kind, Made, Node, Result
from cdbfs.tree.source import Source

PACKAGES = "packages"
"""The directory's name in the mount."""
INDEX = "index.csv"
MD5_BEFORE_NAME = len("d41d8cd98f00b204e9800998ecf8427e  ")


class PackageProjects(ByProject):
    """packages/: the projects, whether or not their subjects have packages."""

    def of(self, project: str, name: str) -> Node:
        return PackageSubjects(self.source, project)


@dataclass(frozen=True)
class PackageSubjects(Directory):
    """packages/<project>/: index.csv, and the subjects by the label they have in this project."""

    source: Source
    project: str

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        subjects = self.source.subjects(self.project, caller).by_name
        names = [Entry(name, Kind.DIRECTORY) for name in subjects if name != INDEX]
        return [Entry(INDEX, Kind.FILE), *names]

    def child(self, name: str, caller: Caller) -> Node:
        if name == INDEX:
            return Made(self._index)
        subject = self.source.subjects(self.project, caller).by_name.get(name)
        if subject is None:
            raise NoSuchName(name)
        return SubjectPackages(self.source, subject.label)

    def _index(self, caller: Caller) -> Content:
        return self.source.package_index(self.project, caller)


@dataclass(frozen=True)
class SubjectPackages(Directory):
    """packages/<project>/<subject>/"""

    source: Source
    subject: str

    @property
    def mtime(self) -> int:
        return self.source.started

    def entries(self, caller: Caller) -> Iterable[Entry]:
        packages = [Package(self.subject, package_id) for package_id in self.source.offers(self.subject, caller)]
        return [Entry(name, Kind.FILE) for package in packages for name in (package.zip, package.md5)]

    def child(self, name: str, caller: Caller) -> Node:
        for package_id, offer in self.source.offers(self.subject, caller).items():
            package = Package(self.subject, package_id)
            if name == package.zip:
                return PackageFile(self.source, whole(package), offer.size or 0)
            if name == package.md5:
                # One line of md5sum's, so its size is known before it is here.
                return PackageFile(self.source, sidecar(package), MD5_BEFORE_NAME + len(package.zip.encode()) + 1)
        raise NoSuchName(name)


@dataclass(frozen=True)
class PackageFile(Result):
    """A zip, or the md5 beside it: what was announced until it is opened, exact from then on."""

    source: Source
    wanted: Wanted
    announced: int
    lasting = True

    def is_here(self) -> bool:
        """Whether it is whole and on this disk."""
        return self.source.packages.has(self.wanted)

    def shown(self) -> Kept:
        return self.source.packages.shown(self.wanted) or Kept(self.announced, self.source.started)

    def open(self, caller: Caller) -> OnDisk:
        return self.source.packages.open(self.wanted, self.announced, caller)
