"""Which packages are meant: by paths in a mount, or by a project, its subjects and package ids.

Used by mount/answering, for `cdbfs fetch` and `cdbfs evict`, and by `cdbfs fetch` without a mount. Looking up what
is meant fetches no package.

Threads: plain functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Callable

from cdbfs import amounts
from cdbfs.caller import Caller
from cdbfs.errors import CdbfsError, NoSuchName, NotADirectory, NotFound
from cdbfs.hcp.models import Offer, Package
from cdbfs.hcp.service import askable
from cdbfs.query.fields import nearest
from cdbfs.store.packages.fetching import Asked
from cdbfs.store.packages.progress import Failed
from cdbfs.tree.nodes import Node
from cdbfs.tree.packages import PACKAGES, PackageFile, PackageProjects, PackageSubjects, SubjectPackages
from cdbfs.tree.source import Source
from cdbfs.tree.tree import Tree
from cdbfs.tree.unpacked import UNPACKED, UnpackedPackage, UnpackedPackages, UnpackedProjects

LACKING = "the package service does not have it"
MOST_TOLD = 5
"""Names that are wrong, in one message."""
LONGEST = 100
"""Characters of a name in a message."""
PACKAGE_DEPTH = 3
"""unpacked/<project>/<subject>_<package>: what stands below it is not looked at, which might fetch it."""

OffersOf = Callable[[Sequence[str]], Iterable[Offer]]
"""What the package service has of these subjects together."""


@dataclass(frozen=True)
class Selection:
    """Packages that are meant, and those that are and that the service does not have."""

    asked: Sequence[Asked]
    lacking: Sequence[Failed] = ()


# -- by paths


def to_fetch(tree: Tree, path: str, caller: Caller) -> list[Asked]:
    """The packages at a path: a zip, its md5, something unpacked, or the directory of a subject or a project.

    Raises CdbfsError, naming the path, where there are none, and what asking the server raises.
    """
    node = _node(tree, path, caller)
    if isinstance(node, PackageFile):
        return [_offered(node.source, node.wanted.package, caller)]
    if isinstance(node, UnpackedPackage):
        return [_offered(node.source, node.package, caller)]
    if isinstance(node, SubjectPackages):
        return _all_of(node.source, [node.subject], caller)
    if isinstance(node, PackageSubjects):
        labels = node.source.subjects(node.project, caller).labels
        return _all_of(node.source, sorted(filter(askable, labels)), caller)
    raise CdbfsError(_no_package(node, path))


def to_evict(tree: Tree, path: str, caller: Caller) -> list[Package]:
    """The packages at a path that take space. Raises as `to_fetch`."""
    node = _node(tree, path, caller)
    if isinstance(node, PackageFile):
        return [node.wanted.package]
    if isinstance(node, UnpackedPackage):
        return [node.package]
    if isinstance(node, SubjectPackages):
        return [package for package in node.source.packages.occupying() if package.subject == node.subject]
    if isinstance(node, (PackageSubjects, UnpackedPackages)):
        subjects = node.source.subjects(node.project, caller).labels
        return [package for package in node.source.packages.occupying() if package.subject in subjects]
    raise CdbfsError(_no_package(node, path))


def _node(tree: Tree, path: str, caller: Caller) -> Node:
    parts = [part for part in path.split("/") if part]
    if parts[:1] == [UNPACKED]:
        parts = parts[:PACKAGE_DEPTH]
    try:
        return tree.node("/" + "/".join(parts), caller)
    except (NoSuchName, NotADirectory):
        raise NotFound(f"there is no {_short(path)} in the mount") from None


def _no_package(node: Node, path: str) -> str:
    if isinstance(node, PackageProjects):
        return f"{_short(path)}: say which project, or which of its subjects"
    if isinstance(node, (UnpackedProjects, UnpackedPackages)):
        return f"{_short(path)} has only what is here: say which package, or what below {PACKAGES}/"
    return f"{_short(path) or 'the mount'} is no package: they stand below {PACKAGES}/ and {UNPACKED}/"


def _all_of(source: Source, subjects: Iterable[str], caller: Caller) -> list[Asked]:
    return [
        (Package(subject, package_id), offer.size or 0)
        for subject in subjects
        for package_id, offer in source.offers(subject, caller).items()
    ]


def _offered(source: Source, package: Package, caller: Caller) -> Asked:
    if source.packages.is_here(package):
        return package, 0
    offer = source.offers(package.subject, caller).get(package.id)
    if offer is None:
        raise NotFound(f"the package {_short(package.name)} is not on the server any more")
    return package, offer.size or 0


# -- by names


def check_project(project: str, projects: Iterable[str]) -> None:
    """Raises NotFound, with the nearest ones, unless it is one of them."""
    known = list(projects)
    if project not in known:
        raise NotFound(f"there is no project {_with_nearest(project, known)}")


def check_subjects(project: str, subjects: Iterable[str], labels: Iterable[str]) -> None:
    """Raises NotFound, naming them, where some have none of the `labels` of a project."""
    known = set(labels)
    _refuse([each for each in subjects if each not in known], "subject", f"in {project}", known)


def by_names(subjects: Sequence[str], ids: Sequence[str], offers: OffersOf) -> Selection:
    """The packages of these ids of these subjects. Raises NotFound where no subject has a package of an id.

    Costs one question where all subjects have all, else one more a subject.
    """
    together = {offer.id: offer for offer in offers(subjects)}
    known = [package_id for package_id, offer in together.items() if offer.subjects != 0]
    _refuse([each for each in ids if each not in known], "package", "offered", known)
    if all(together[each].subjects == len(subjects) for each in ids):
        sizes = {each: (together[each].size or 0) // len(subjects) for each in ids}
        return Selection([(Package(subject, each), sizes[each]) for subject in subjects for each in ids])
    return _one_by_one(subjects, ids, offers)


def _one_by_one(subjects: Sequence[str], ids: Sequence[str], offers: OffersOf) -> Selection:
    asked: list[Asked] = []
    lacking: list[Failed] = []
    for subject in subjects:
        found = {offer.id: offer for offer in offers([subject]) if offer.subjects != 0}
        asked += [(Package(subject, each), found[each].size or 0) for each in ids if each in found]
        lacking += [Failed(Package(subject, each), LACKING) for each in ids if each not in found]
    return Selection(asked, lacking)


def in_tree(tree: Tree, project: str, subjects: Sequence[str], ids: Sequence[str], caller: Caller) -> Selection:
    """As `by_names`, once project and subjects are checked. Raises NotFound, and what asking raises."""
    root = _node(tree, PACKAGES, caller)
    if not isinstance(root, PackageProjects):
        raise NotFound("this server has no packages")
    source = root.source
    check_project(project, source.projects(caller).by_name.values())
    check_subjects(project, subjects, source.subjects(project, caller).labels)

    def offers(labels: Sequence[str]) -> Iterable[Offer]:
        if len(labels) == 1:
            return source.offers(labels[0], caller).values()
        what = f"the packages of {len(labels)} subjects"
        return source.listings.get(
            ("packages of", tuple(labels)), lambda: source.service.offers(labels), caller, what
        )

    return by_names(subjects, ids, offers)


def _refuse(wrong: Sequence[str], what: str, where: str, known: Iterable[str]) -> None:
    if not wrong:
        return
    among = sorted(known)
    told = ", ".join(_with_nearest(each, among) for each in wrong[:MOST_TOLD])
    more = ", ..." if len(wrong) > MOST_TOLD else ""
    are = "is" if len(wrong) == 1 else "are"
    raise NotFound(f"{amounts.count(len(wrong), what)} {are} not {where}, so nothing was begun: {told}{more}")


def _with_nearest(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    return f"{_short(name)} (did you mean {' or '.join(near)}?)" if near else _short(name)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
