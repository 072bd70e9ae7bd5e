"""Opens members of a zip: their bytes are those that were put into the zip, or opening is refused.

Used by store/packages, which sees to it that a member is opened once for all who wait for it. A stored member is
read once to check it, and then where it lies; a deflated one is inflated into a file of its own, and read from
there.

Threads and processes: any. Who opens the same member twice at once does the work twice, and harms nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from cdbfs.store.zips.checked import Checked
from cdbfs.store.zips.index import Index, Member
from cdbfs.store.zips.inflate import inflate
from cdbfs.store.zips.inflated import InflatedFiles, boot_id
from cdbfs.store.zips.judging import STORED
from cdbfs.store.zips.local import data_offset
from cdbfs.store.zips.reading import Stop, disk_error, never

_WORTH_SYNCING = 16 * 2**20
_EXCERPT = 24
"""Letters of a zip's digest by which its members' files are named."""


@dataclass(frozen=True)
class OpenMember:
    """A member, open: its size, and when it changed (nanoseconds since the epoch). Whoever has it closes it."""

    size: int
    mtime: int
    descriptor: int
    """Its own: of the zip, or of the file it was inflated into."""
    offset: int
    """Where in that file its bytes begin."""
    identity: str = ""
    """What tells its versions apart."""
    volatile = False

    def read(self, size: int, offset: int) -> bytes:
        """The bytes from `offset`, at most `size`."""
        return os.pread(self.descriptor, max(0, min(size, self.size - offset)), self.offset + offset)

    def close(self) -> None:
        os.close(self.descriptor)


def _in_background(job: Callable[[], None]) -> None:
    threading.Thread(target=job, name="settle", daemon=True).start()


def _any_size(size: int) -> None:
    pass


class Members:
    """The members of the zip that `index` is of; what they need on the disk lies in `directory`."""

    def __init__(
        self,
        directory: Path,
        index: Index,
        open_zip: Callable[[], int],
        *,
        make_room: Callable[[int], None] = _any_size,
        later: Callable[[Callable[[], None]], object] = _in_background,
        boot: str | None = None,
    ) -> None:
        """`open_zip` gives a descriptor of the zip, which is ours to close, and which keeps the zip from going.

        `make_room` is told how many bytes a member will take before it is inflated, and raises NoSpace where it
        may not. `later` runs what may take its time, an fsync. `boot` is the machine's boot id, asked for by
        itself.
        """
        self._index = index
        self._open_zip = open_zip
        self._make_room = make_room
        self._later = later
        zip_name = hashlib.sha256(index.identity.encode("utf-8", "surrogatepass")).hexdigest()[:_EXCERPT]
        self._boot = boot_id() if boot is None else boot
        self._files = InflatedFiles(directory, zip_name, self._boot)
        self._checked = Checked(directory / f"checked-{zip_name}")

    def open(self, member: Member, stop: Stop = never) -> OpenMember:
        """The member, checked. Raises CdbfsError with the reason, or one of its kinds: AccessRefused, TooLarge,
        NoSpace, GivenUp where `stop` says so meanwhile, and what `open_zip` and `make_room` raise.
        """
        if member.refusal:
            raise member.refusal.error()
        if member.method == STORED:
            return self._stored(member, stop)
        return self._inflated(member, stop)

    def ready(self, member: Member) -> OpenMember | None:
        """The member, where it was inflated or checked before, so that nothing is left to do. Raises as `open`."""
        if not member.refusal and member.method != STORED:
            descriptor = self._files.open(member.number, member.size)
            return None if descriptor is None else self._opened(member, descriptor, 0)
        return self.open(member) if member.refusal or self._checked.is_right(member.number) else None

    def _stored(self, member: Member, stop: Stop) -> OpenMember:
        descriptor = self._open_zip()
        try:
            offset = data_offset(descriptor, member, self._index.end_of(member))
            self._checked.check(descriptor, offset, member, stop)
        except BaseException:
            os.close(descriptor)
            raise
        return self._opened(member, descriptor, offset)

    def _inflated(self, member: Member, stop: Stop) -> OpenMember:
        descriptor = self._files.open(member.number, member.size)
        if descriptor is None:
            descriptor = self._inflate(member, stop)
        return self._opened(member, descriptor, 0)

    def _opened(self, member: Member, descriptor: int, offset: int) -> OpenMember:
        identity = f"{self._index.identity} {member.number}"
        return OpenMember(member.size, member.mtime, descriptor, offset, identity)

    def _inflate(self, member: Member, stop: Stop) -> int:
        zip_descriptor = self._open_zip()
        try:
            offset = data_offset(zip_descriptor, member, self._index.end_of(member))
            self._make_room(member.size)
            with self._files.writing(member.number) as target:
                inflate(zip_descriptor, offset, member, target, stop)
        except OSError as error:
            raise disk_error(error, "this member cannot be unpacked") from None
        finally:
            os.close(zip_descriptor)
        if self._boot and member.size >= _WORTH_SYNCING:
            with contextlib.suppress(RuntimeError):  # of a pool of threads that has ended: the mount is ending too
                self._later(lambda: self._files.settle(member.number))
        return target
