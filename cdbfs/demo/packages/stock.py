"""Which packages subjects have in one state of the data, and what the service says of each.

Used by ``desk``. Any thread: nothing changes here but what is remembered of zips that were looked into.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from cdbfs.demo.dataset import Account, Subject, label_in
from cdbfs.demo.packages import layout
from cdbfs.demo.packages.offers import Offer, Packages, folder_of
from cdbfs.demo.packages.vault import Vault, Wanted
from cdbfs.demo.world import World


class Stock:
    """All packages of a data set, with the vault that holds their zips."""

    def __init__(self, packages: Packages, directory: Path) -> None:
        self.packages = packages
        self.vault = Vault(directory, packages)
        self._given = {(given.subject_id, given.id): given for given in packages.given}
        self._looked: dict[str, tuple[int, int]] = {}

    def offers(self, ids: Iterable[str] | None = None) -> list[Offer]:
        """The packages of these IDs, in the service's order; None: all."""
        wanted = None if ids is None else set(ids)
        return [offer for offer in self.packages.offers if wanted is None or offer.id in wanted]

    def wanted(self, world: World, subject: Subject, label: str, package: str) -> Wanted | None:
        """The subject's package; None: there is none."""
        given = self._given.get((subject.id, package))
        if given is None and not self._has(subject, package):
            return None
        return Wanted(label, package, given)

    def _has(self, subject: Subject, package: str) -> bool:
        """Whether the subject is one of those who have everything, but for what is lacking."""
        project = self.packages.everybody_of
        everything = bool(project) and label_in(subject, project) is not None
        return everything and (subject.id, package) not in self.packages.lacking

    def source(self, wanted: Wanted) -> str:
        """Where on the server the zip lies."""
        folder = wanted.given.folder if wanted.given is not None else None
        place = folder_of(wanted.id) if folder is None else folder
        return f"/packages/live/{self.packages.project}/{wanted.label}/{place}/{wanted.name}"

    def count(self, wanted: Wanted) -> int:
        """How many files a package has."""
        given = wanted.given
        if given is not None and given.count is not None:
            return given.count
        return layout.count(wanted.id) if given is None or given.held is None else self._look(wanted)[0]

    def announced(self, wanted: Wanted) -> int:
        """The size that the service tells, which is the zip's own only where it was told so."""
        given = wanted.given
        if given is not None and given.announced is not None:
            return given.announced
        if self.packages.announced == "exact":
            return self.vault.zip(wanted).stat().st_size
        size = self._members(wanted)
        return {"larger": size + size // 4, "smaller": size - size // 4}.get(self.packages.announced, size)

    def _members(self, wanted: Wanted) -> int:
        if wanted.given is not None and wanted.given.held is not None:
            return self._look(wanted)[1]
        packages = self.packages
        return layout.total(wanted.id, packages.size, packages.total(wanted.label, wanted.id))

    def _look(self, wanted: Wanted) -> tuple[int, int]:
        """Files and bytes in the zip of a test's."""
        if wanted.key not in self._looked:
            self._looked[wanted.key] = _inside(self.vault.zip(wanted))
        return self._looked[wanted.key]


def _inside(path: Path) -> tuple[int, int]:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = [member.file_size for member in archive.infolist() if not member.is_dir()]
            return len(sizes), sum(sizes)
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return 1, path.stat().st_size + 1


def labelled(world: World, account: Account | None, label: str) -> Iterator[Subject]:
    """The subjects that have a label in a project that the account may read; None: in any."""
    for project in world.projects:
        if account is None or account.may_read(project):
            found = world.subject_in(project, label)
            if found is not None and label_in(found, project) == label:
                yield found
