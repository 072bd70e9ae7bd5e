"""Which labels and package ids the service can be asked for, and files named after.

Both come from the server. What passes here is one value in a comma-joined query, part of a file's name, and no
option to a program. Used by everything in hcp.

Threads: plain functions.
"""

from __future__ import annotations

from collections.abc import Iterable

from cdbfs.errors import NotFound
from cdbfs.hcp.models import Package

LONGEST_LABEL = 200
"""Bytes."""
LONGEST_ID = 100
_SHOWN = 100


def askable(label: str) -> bool:
    """Whether the service can be asked for a subject of that label."""
    return not _trouble(label)


def is_package_id(value: str) -> bool:
    """Whether that can be the id of a package."""
    return (
        0 < len(value) <= LONGEST_ID
        and value.isprintable()
        and value[0] not in "-."
        and not any(sign in value for sign in "/,")
    )


def check_labels(labels: Iterable[str]) -> None:
    """Raise NotFound for a label that the service cannot be asked for."""
    for label in labels:
        trouble = _trouble(label)
        if trouble:
            raise NotFound(f"the package service cannot be asked for the subject {label[:_SHOWN]!r}: {trouble}")


def check_packages(packages: Iterable[Package]) -> None:
    """Raise NotFound for a package that no service can have."""
    for package in packages:
        check_labels([package.subject])
        if not is_package_id(package.id):
            raise NotFound(f"no package can have the id {package.id[:_SHOWN]!r}")


def files_of(packages: Iterable[Package]) -> dict[str, Package]:
    """The files of packages, and which each is of."""
    return {file: package for package in packages for file in (package.zip, package.md5)}


def _trouble(label: str) -> str:
    """What is wrong with a label; empty where nothing is."""
    if not label:
        return "it has no label"
    if not label.isprintable():
        return "its label holds a control character, or one that cannot be printed"
    if any(sign in label for sign in ",/"):
        return "its label holds a comma or a slash"
    if label.startswith("-"):
        return "its label begins with a hyphen"
    if label in (".", ".."):
        return "its label is a step in a path"
    if len(label.encode("utf-8")) > LONGEST_LABEL:
        return f"its label is over {LONGEST_LABEL} bytes"
    return ""
