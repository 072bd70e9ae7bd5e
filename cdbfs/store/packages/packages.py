"""The packages of one login on one server: shown, opened, fetched where they are not here, unpacked, evicted.

Used by tree/ and by `cdbfs fetch`. Whoever opens a package that is not here waits until it is, for as long as its
transfer moves on; what he gets is verified, and pinned until he closes it.

Threads: any.
"""

from __future__ import annotations

from collections.abc import Sequence

from cdbfs.caller import Caller
from cdbfs.errors import CdbfsError
from cdbfs.hcp.models import Package
from cdbfs.store.packages import marks
from cdbfs.store.packages.boards import Told
from cdbfs.store.packages.bulk import Bulk
from cdbfs.store.packages.kept import KeptPackages
from cdbfs.store.packages.layout import Wanted, whole
from cdbfs.store.packages.space import Space, Usage
from cdbfs.store.packages.transfer import Transfer
from cdbfs.store.packages.transfers import Transfers
from cdbfs.store.packages.unpacker import Unpacker
from cdbfs.store.results import Kept, OnDisk
from cdbfs.store.zips.index import Index
from cdbfs.store.zips.members import OpenMember

TRIES = 3
"""How often what was fetched may be evicted before it could be opened."""


class Packages:
    """Made by runtime."""

    def __init__(
        self, kept: KeptPackages, transfers: Transfers, space: Space, bulk: Bulk, unpacker: Unpacker
    ) -> None:
        self._kept = kept
        self._transfers = transfers
        self._space = space
        self._bulk = bulk
        self._unpacker = unpacker

    # -- looking, without waiting

    def shown(self, wanted: Wanted) -> Kept | None:
        """What is known of a file: of one that is here, or of a zip that was."""
        found = self._kept.find(wanted)
        return self.shown_zip(wanted.package) if found is None and wanted.is_zip else found

    def shown_zip(self, package: Package) -> Kept | None:
        """What is known of a package's zip, here or evicted."""
        state = self._kept.glance(package)
        return Kept(state.size, state.mtime) if state is not None else None

    def here(self) -> list[Package]:
        """The packages that are here."""
        return self._kept.here()

    def occupying(self) -> list[Package]:
        """The packages that take space, by their zips or by what was unpacked of them."""
        return self._kept.occupying()

    def has(self, wanted: Wanted) -> bool:
        """Whether a file is here."""
        return self._kept.find(wanted) is not None

    def is_here(self, package: Package) -> bool:
        """Whether a package's zip is here."""
        return self.has(whole(package))

    def is_known(self, package: Package) -> bool:
        """Whether it is here, or was."""
        return self._kept.glance(package) is not None

    def usage(self) -> Usage:
        """The space that all packages take."""
        return self._space.usage()

    def warnings(self) -> list[str]:
        """What is not wrong with the space, and may become so."""
        return self._space.warnings()

    def transfers(self) -> list[Told]:
        """How the transfers under way stand."""
        return self._transfers.told()

    # -- opening

    def open(self, wanted: Wanted, announced: int, caller: Caller) -> OnDisk:
        """A file, whole. Raises why it cannot be had, TooManyPackages, TooManyWaiters, or Interrupted."""
        for _ in range(TRIES):
            found = self._kept.open(wanted)
            if found is not None:
                return found
            self._fetch(wanted, announced, caller)
        raise CdbfsError(f"{wanted.file} was evicted as soon as it was here; try again")

    def cancel(self, file: str) -> None:
        """End the transfer of a file."""
        self._transfers.cancel(file)

    # -- members

    def known_index(self, package: Package, caller: Caller) -> Index | None:
        """The members of a package, if they are known without fetching it. Raises what reading a zip raises."""
        return self._unpacker.index(package, caller)

    def index(self, package: Package, announced: int, caller: Caller) -> Index:
        """The members of a package, which is fetched where they are not known. Raises what `open` raises."""
        for _ in range(TRIES):
            index = self.known_index(package, caller)
            if index is not None:
                return index
            self._fetch(whole(package), announced, caller)
        raise CdbfsError(f"{package.zip} was evicted as soon as it was here; try again")

    def open_member(self, package: Package, path: str, announced: int, caller: Caller) -> OpenMember:
        """A member, whole: by its path, since the zip that is fetched for it may be another than the one that was
        known. Raises why it cannot be had, and what `open` raises.
        """
        for _ in range(TRIES):
            found = self._unpacker.open(package, path, caller)
            if found is not None:
                return found
            self._fetch(whole(package), announced, caller)
        raise CdbfsError(f"{package.zip} was evicted as soon as it was here; try again")

    # -- many at once

    def begin(self, packages: Sequence[tuple[Package, int]]) -> list[Transfer]:
        """Fetch those that are not here, in one session; each with the size that is announced."""
        missing = [(whole(package), self._expected(whole(package), size)) for package, size in packages]
        return self._transfers.begin([each for each in missing if self._kept.find(each[0]) is None])

    def evict(self, package: Package) -> tuple[int, bool]:
        """Give back the space of a package; the bytes that became free, and whether something is in use."""
        found = self._kept.evict(package)
        self._space.changed()
        return found

    def evict_leftovers(self) -> int:
        """Remove what transfers left that are not under way; the bytes that became free."""
        return self._space.remove_all_leftovers()

    def close(self) -> None:
        """End all transfers."""
        self._unpacker.close()
        self._transfers.close()

    # -- parts

    def _fetch(self, wanted: Wanted, announced: int, caller: Caller) -> None:
        if wanted.is_zip:
            self._bulk.one_more(caller.pid, wanted.file)
        self._transfers.fetch(wanted, self._expected(wanted, announced), caller.unhurried())

    def _expected(self, wanted: Wanted, announced: int) -> int:
        """Bytes that it will take: what it took before, else what was announced."""
        shown = self.shown_zip(wanted.package) if wanted.is_zip else None
        return shown.size if shown is not None else announced

    # -- for `cdbfs fetch`

    def use(self, package: Package) -> int | None:
        """The size of a zip that is here, which counts as used just now; None where it is not."""
        found = self._kept.open(whole(package))
        if found is None:
            return None
        found.close()
        return found.size

    def give_up(self, transfers: Sequence[Transfer]) -> None:
        """End those transfers of this process that nobody waits for any more, without their grace."""
        for transfer in transfers:
            if transfer.unwanted_for() > 0 and not marks.is_fresh(self._kept.layout.mark(transfer.file)):
                transfer.cancelled = True
