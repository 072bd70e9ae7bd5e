"""A server with packages, and mounts of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cdbfs.demo import StandIn
from tests.views import mounted
from tests.worlds import World

SUBJECT = "100307"
PROJECT = "HCP_Q2"
STRUCTURAL = "3T_Structural_preproc"
DIFFUSION = "3T_Diffusion_preproc"
IDS = 22


@dataclass(frozen=True)
class Site:
    """A server, and a mount of it; `another` is one more, over the same cache."""

    server: StandIn
    world: World
    point: Path
    cache: Path

    def zip(self, package: str = STRUCTURAL, subject: str = SUBJECT) -> Path:
        return self.point / "packages" / PROJECT / subject / f"{subject}_{package}.zip"

    def unpacked(self, package: str = STRUCTURAL, subject: str = SUBJECT) -> Path:
        return self.point / "unpacked" / PROJECT / f"{subject}_{package}"

    def original(self, package: str = STRUCTURAL, subject: str = SUBJECT) -> bytes:
        """What the server has."""
        return self.server.package(subject, package).read_bytes()

    def errors(self) -> str:
        return (self.point / ".cdbfs/errors").read_text()

    def specs(self) -> int:
        """Transfer specifications that were asked for."""
        return self.server.counts().get("POST /spring/download transfer", 0)

    def moved(self) -> tuple[int, int]:
        """Transfer specifications, and sessions of ascp."""
        return self.specs(), self.server.ascp_sessions

    def another(self, point: Path, **options: str) -> AbstractContextManager[Path]:
        """One more mount of the server, over the same cache."""
        return mounted(self.server, self.world.login, point, self.cache, **options)


OPTIONS = {"packages_free": "0", "retry_pause": "0", "transfer_stall": "3"}
"""What tests want otherwise: any disk will do, and nobody waits for long."""


@pytest.fixture
def site(server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str) -> Iterator[Site]:
    """A mount of the test's own, with each libfuse and both dialects in turn."""
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache", **OPTIONS) as point:
        yield Site(server, tutorial, point, tmp_path / "cache")
