"""Where the files of a scope lie: paths, and nothing else.

Used by store/packages. Threads: frozen data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cdbfs.errors import NotFound
from cdbfs.hcp.models import Package
from cdbfs.store.disk import make_private

LONGEST = 255 - len(".zip.md5.partial")
"""Bytes in a package's name: what transports and md5 append to it must still be names."""
ZIP, MD5 = "package.zip", "package.md5"


@dataclass(frozen=True, order=True)
class Wanted:
    """A file of a package: its zip, or the md5 beside it."""

    package: Package
    file: str

    @property
    def is_zip(self) -> bool:
        return self.file == self.package.zip


def whole(package: Package) -> Wanted:
    """The zip of a package."""
    return Wanted(package, package.zip)


def sidecar(package: Package) -> Wanted:
    """The md5 of a package."""
    return Wanted(package, package.md5)


@dataclass(frozen=True)
class Layout:
    """The directory of a scope."""

    root: Path

    def prepare(self) -> None:
        """Make its directories, private. Raises OSError."""
        for path in (self.objects, self.arriving(True), self.arriving(False), self.locks, self.active):
            make_private(path)

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def active(self) -> Path:
        return self.root / "active"

    def arriving(self, is_zip: bool) -> Path:
        return self.root / "arriving" / ("zip" if is_zip else "md5")

    def object(self, package: Package) -> Path:
        """What is kept of a package. Raises NotFound for a name that no file can have.

        Neither part holds a comma (hcp/names), so that no two packages share an object: a_b of c, and b of a_c.
        """
        if not fits(package):
            raise NotFound(f"no file can have the name of the package {package.name[:100]!r}")
        return self.objects / f"{package.subject},{package.id}"

    def kept(self, wanted: Wanted) -> Path:
        """Where a file lies once it is whole."""
        return self.object(wanted.package) / (ZIP if wanted.is_zip else MD5)

    def lock(self, wanted: Wanted) -> Path:
        return self.locks / wanted.file

    def board(self, wanted: Wanted) -> Path:
        return self.active / f"{wanted.file}.json"

    def failed(self, wanted: Wanted) -> Path:
        return self.active / f"{wanted.file}.failed"

    def cancel(self, file: str) -> Path:
        return self.active / f"{file}.cancel"

    def mark(self, file: str) -> Path:
        """Touched by other processes for as long as they want a file that this one transfers."""
        return self.active / f"{file}.wanted"


def fits(package: Package) -> bool:
    """Whether files can have the names that a package gives them."""
    name = package.name
    return "/" not in name and "\0" not in name and len(_bytes(name)) <= LONGEST


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
