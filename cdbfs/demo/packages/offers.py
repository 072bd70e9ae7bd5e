"""What a data set says of its packages: which there are, who has them, and how large they are said to be.

Used by ``dataset``, the builder and everything in this package. Frozen data; any thread.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Literal, Union

Held = Union[bytes, Path, Callable[[], bytes]]
"""The bytes of a zip, a file that has them, or what makes them: the same ones whenever it is called."""

Announced = Literal["members", "exact", "larger", "smaller"]
"""What the service says of a size: the sum of a zip's members (as the real one may), the zip's own length, or more
or less than it."""

SIZE = 2 * 2**20
"""Bytes in the members of a package, about."""
_SPREAD = 16
"""A package is up to a 16th larger or smaller than the size that was asked for."""


@dataclass(frozen=True)
class Offer:
    """A package as the service lists it, of whichever subject."""

    id: str
    label: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """A package that one subject has; what is None here is made up.

    ``announced`` is the size that the service tells, ``md5`` the digest in the file beside the zip (""
    for an empty file). ``folder`` is where on the server it lies, between the subject and the file.
    """

    subject_id: str
    id: str
    held: Held | None = field(default=None, compare=False)
    announced: int | None = None
    count: int | None = None
    md5: str | None = None
    folder: str | None = None


@dataclass(frozen=True)
class Packages:
    """All packages of a server.

    All subjects of the project ``everybody_of`` have every offer but for those (subject ID, package) that are
    ``lacking``; what others have, or with a difference, is ``given``. ``project`` is named in the paths of all.
    """

    offers: tuple[Offer, ...] = ()
    everybody_of: str = ""
    given: tuple[Given, ...] = ()
    lacking: frozenset[tuple[str, str]] = frozenset()
    project: str = "HCP_Q2"
    size: int = SIZE
    announced: Announced = "members"
    seed: int = 0

    def total(self, subject: str, package: str) -> int:
        """Bytes in the members of a package that is made up."""
        span = max(1, 2 * self.size // _SPREAD)
        return self.size - self.size // _SPREAD + zlib.crc32(f"{self.seed}:{subject}_{package}".encode()) % span


def folder_of(package: str) -> str:
    """Where on the server a package lies, by the end of its ID (3T_tfMRI_WM_analysis_s2: analysis_s2)."""
    for ending in ("_unproc", "_preproc", "_fixextended", "_fix"):
        if package.endswith(ending):
            return ending[1:]
    for part in ("_analysis_s", "_volume_s"):
        if part in package:
            return part[1:-1] + package.rpartition("_")[2]
    return "preproc"
