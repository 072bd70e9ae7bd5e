"""Packages as the service knows them.

Threads: frozen data.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Package:
    """One package of one subject: the subject's label, and the package's id, such as 3T_Structural_preproc."""

    subject: str
    id: str

    @property
    def name(self) -> str:
        return f"{self.subject}_{self.id}"

    @property
    def zip(self) -> str:
        """The file's name (facts: {subject}_{package id}.zip)."""
        return f"{self.name}.zip"

    @property
    def md5(self) -> str:
        """The name of the file beside it: one line of md5sum's."""
        return f"{self.zip}.md5"


@dataclass(frozen=True)
class Offer:
    """What the service says of a package: for all subjects that were asked for together."""

    id: str
    label: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()
    count: int | None = None
    """Files in it."""
    size: int | None = None
    """Bytes, as announced: perhaps of its members, not of the zip."""
    subjects: int | None = None
    """How many of the subjects have it."""
