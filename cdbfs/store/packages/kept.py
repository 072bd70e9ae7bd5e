"""The packages that are here: found, opened, put in place once they were verified.

Used by packages and arrival. A zip that has its name is whole: it was synced, its md5 was right, and its state was
written before it was renamed. An open one is pinned. Its state (size, time, md5) outlives its eviction.

Threads and processes: any; rename is atomic, and who has a file open keeps it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from pathlib import Path

from cdbfs.errors import CdbfsError
from cdbfs.hcp.models import Package
from cdbfs.hcp.words import plain
from cdbfs.store.disk import make_private
from cdbfs.store.packages import space, states
from cdbfs.store.packages.layout import ZIP, Layout, Wanted, sidecar, whole
from cdbfs.store.packages.states import State
from cdbfs.store.results import Kept, OnDisk
from cdbfs.store.zips.inflated import remove

MOST_MD5 = 4096
MD5_LINE = re.compile(rb"\\?([0-9a-fA-F]{32}) [ *](.+?)\r?\n?\Z")
"""As md5sum writes it."""


class KeptPackages:
    """The objects of a layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def find(self, wanted: Wanted) -> Kept | None:
        """A file that is here."""
        try:
            found = os.stat(self.layout.kept(wanted), follow_symlinks=False)
        except OSError:
            return None
        return Kept(found.st_size, found.st_mtime_ns)

    def open(self, wanted: Wanted) -> OnDisk | None:
        """A file that is here, open and pinned."""
        descriptor = space.pin(self.layout.kept(wanted))
        if descriptor is None:
            return None
        found = os.fstat(descriptor)
        return OnDisk(found.st_size, found.st_mtime_ns, descriptor, self._version(wanted, descriptor))

    def state(self, package: Package) -> State | None:
        """What is known of the zip, here or evicted."""
        return _of(package, states.read(self.layout.object(package)))

    def glance(self, package: Package) -> State | None:
        """The same for who only looks: see states."""
        return _of(package, states.glance(self.layout.object(package)))

    def here(self) -> list[Package]:
        """The packages whose zips are here."""
        found = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.layout.objects):
                if os.path.lexists(os.path.join(entry.path, ZIP)):
                    package = self._named(Path(entry.path))
                    if package is not None:
                        found.append(package)
        return sorted(found)

    def occupying(self) -> list[Package]:
        """The packages that take space: whose zips are here, or members that were unpacked."""
        found = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.layout.objects):
                package = self._named(Path(entry.path))
                if package is not None and (self.find(whole(package)) or any(self.members(package).glob("*"))):
                    found.append(package)
        return sorted(found)

    def install(self, wanted: Wanted, arrived: Path, md5: str = "") -> None:
        """Make a synced file the one that is here; of a zip, `md5` is what was verified. Raises OSError."""
        place = self.layout.kept(wanted)
        make_private(place.parent)
        os.chmod(arrived, 0o600)
        found = arrived.stat()
        os.utime(arrived, ns=(time.time_ns(), found.st_mtime_ns))
        if wanted.is_zip:
            package = wanted.package
            new = State(package.subject, package.id, found.st_size, found.st_mtime_ns, md5)
            old = self.state(package)
            if old is not None and old.identity != new.identity:
                self.forget_members(package)
            states.write(place.parent, new)
        os.replace(arrived, place)
        _sync_directory(place.parent)

    def forget_members(self, package: Package) -> None:
        """Drop what was made of a version of the zip that is not the present one."""
        shutil.rmtree(self.members(package), ignore_errors=True)
        for path in (*self.layout.object(package).glob("index-*"), *self.layout.object(package).glob("checked-*")):
            with contextlib.suppress(OSError):
                path.unlink()

    def members(self, package: Package) -> Path:
        """The directory of its unpacked members."""
        return self.layout.object(package) / "members"

    def index(self, package: Package, identity: str) -> Path:
        """The index of its members, as it is by certain rules: mounts with other settings have others."""
        digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
        return self.layout.object(package) / f"index-{digest[:16]}"

    def evict(self, package: Package) -> tuple[int, bool]:
        """Remove its zip, md5 and unpacked members; the bytes that became free, and whether some is in use."""
        freed, busy = 0, False
        with contextlib.suppress(OSError):  # it may be another one when it comes again
            self.layout.kept(sidecar(package)).unlink()
        for wanted in (whole(package), sidecar(package)):
            freed += space.remove_leftovers(self.layout.board(wanted))
        for path in (self.layout.kept(whole(package)), *sorted(self.members(package).glob("*"))):
            size = path.stat().st_size if path.is_file() else 0
            if remove(path):
                freed += size
            else:
                busy = True
        return freed, busy

    def _version(self, wanted: Wanted, descriptor: int) -> str:
        """What tells the versions of an open file apart: of an md5, all that it says."""
        if not wanted.is_zip:
            return os.pread(descriptor, MOST_MD5, 0).hex()
        state = self.state(wanted.package)
        return state.identity if state is not None else ""

    def _named(self, directory: Path) -> Package | None:
        """The package that an object is of, which its state tells."""
        state = states.glance(directory)
        if state is None or f"{state.subject},{state.id}" != directory.name:
            return None
        return state.package


def _of(package: Package, state: State | None) -> State | None:
    return state if state is not None and state.package == package else None


def read_md5(path: Path, package: Package) -> str:
    """The md5 that the file beside a zip tells, in small letters. Raises CdbfsError, OSError."""
    with path.open("rb") as file:
        text = file.read(MOST_MD5)
    match = MD5_LINE.match(text)
    if match is None or os.fsdecode(match[2]).rpartition("/")[2] != package.zip:
        found = plain(text.decode("utf-8", "replace"), 80) or "it is empty"
        raise CdbfsError(f"{package.md5} is not as md5sum writes it: {found}")
    return match[1].decode("ascii").lower()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
