"""A small server whose packages a test makes, and a mount of it with an Aspera of its own that can fail."""

from __future__ import annotations

import functools
import os
import random
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Callable

import pytest

from cdbfs.demo import DataSet, DataSetBuilder, StandIn
from cdbfs.demo.aspera import connect
from tests.conftest import LIBRARIES
from tests.mount.failing import Scene, wait_until
from tests.mount.packages.conftest import OPTIONS
from tests.ports import free_port
from tests.views import mounted
from tests.worlds import World

SUBJECT, PROJECT = "s", "P"
PASSWORD = "hunter2-secret"
LOGIN_NAME = "ana"
HALF = 300_000
"""About half of the bytes of a package of `content`."""
LAB_OPTIONS = {**OPTIONS, "bulk_limit": "0", "attr_timeout": "0.1"}
"""`.cdbfs/` is as old as what the kernel may remember."""


EACH_LIBRARY = pytest.mark.parametrize("library", LIBRARIES, ids=[f"libfuse{each}" for each in LIBRARIES])
"""Not the fixture `fuse`, for which pytest would leave a module, and what its tests share, and come back."""


@functools.cache
def content(name: str) -> bytes:
    """A zip that no other package has, with a stored and a deflated member."""
    whole = BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{SUBJECT}/noise.bin", random.Random(name).randbytes(2 * HALF))
        archive.writestr(f"{SUBJECT}/text.txt", f"{name}\n".encode() * 1000, compress_type=zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def data(packages: Mapping[str, bytes], md5s: Mapping[str, str] | None = None) -> DataSet:
    """A server with these packages of one subject; `md5s` are those that are told, where they are not right."""
    make = DataSetBuilder(site_id="Lab")
    make.project(PROJECT)
    subject = make.subject(SUBJECT, PROJECT)
    for name, held in packages.items():
        make.package(subject, name, held, md5=(md5s or {}).get(name))
    make.account(LOGIN_NAME, PASSWORD, [PROJECT])
    return make.build()


@dataclass
class Lab:
    """A mount, the server behind it, and its own Aspera Connect, which a test may damage."""

    server: StandIn
    point: Path
    cache: Path
    connect: Path

    def zip(self, name: str) -> Path:
        return self.point / "packages" / PROJECT / SUBJECT / f"{SUBJECT}_{name}.zip"

    def unpacked(self, name: str) -> Path:
        return self.point / "unpacked" / PROJECT / f"{SUBJECT}_{name}"

    def told(self, path: Path, pattern: str = ".") -> tuple[str, str]:
        """The errno and the reason of the last failure of a path, once the reason matches."""
        said = Scene(self.server, self.point).told(str(path.relative_to(self.point)), pattern)
        errno, _, reason = said.partition(" ")
        self.check_plain(reason)
        return errno, reason

    def check_plain(self, reason: str) -> None:
        """A reason is for people: no place of cdbfs's own, nothing of Python's, no secret."""
        for hidden in (str(self.cache), "Traceback", "Error(", "<class", "objects/", "arriving/", "0x", PASSWORD):
            assert hidden not in reason, reason
        for token in self.server.tokens():
            assert token not in reason
        assert len(reason) < 400

    def errors(self) -> list[str]:
        return Scene(self.server, self.point).errors()

    def left(self, name: str) -> list[str]:
        """What a transfer that did not end well has left, by the endings of the names."""
        found = self.cache.glob(f"packages/*/arriving/*/{SUBJECT}_{name}.zip*")
        return sorted(path.name[len(f"{SUBJECT}_{name}") :] for path in found)

    def is_kept(self, name: str) -> bool:
        return any(self.cache.glob(f"packages/*/objects/{SUBJECT},{name}/package.zip"))

    def usage(self) -> dict[str, int]:
        """Bytes that packages take, by mount."""
        found = Scene(self.server, self.point).status()["packages"]
        assert isinstance(found, dict)
        return found

    def check_tidy(self) -> None:
        """No transfer goes on, and none holds space."""
        wait_until(lambda: os.listdir(self.point / ".cdbfs/transfers") == [])
        wait_until(lambda: self.usage()["reserved"] == 0)
        active = [path.name for path in self.cache.glob("packages/*/active/*")]
        assert [name for name in active if not name.endswith(".failed")] == []
        assert list(self.cache.rglob(".part-*")) == []

    def replace_ascp(self, script: str) -> None:
        """Another ascp in the place of the good one, which lies beside it as ascp.good."""
        program = self.connect / "bin/ascp"
        good = program.with_name("ascp.good")
        if not good.exists():
            program.rename(good)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)

    def mend_ascp(self) -> None:
        (self.connect / "bin/ascp.good").rename(self.connect / "bin/ascp")


@contextmanager
def lab(
    scratch: Path,
    packages: Iterable[str] | DataSet,
    variables: Callable[[Path], Mapping[str, str]] | None = None,
    **options: str,
) -> Iterator[Lab]:
    """A lab with `packages` of `content`, or of a data set of the test's own.

    `variables` of the mount's environment are made of the directory of its Aspera Connect.
    """
    made = packages if isinstance(packages, DataSet) else data({name: content(name) for name in packages})
    world = World("lab", made)
    aspera = scratch / "connect"
    aspera.mkdir(parents=True)
    program = connect.lay_out(aspera)
    environment = {"ASCP": str(program)} if variables is None else variables(aspera)
    variables_of_all = {"HOME": str(scratch / "home"), **environment}
    settings = {**LAB_OPTIONS, **options}
    with (
        StandIn(world.data, port=free_port()) as server,
        mounted(server, world.login, scratch / "m", scratch / "cache", variables_of_all, **settings) as point,
    ):
        try:
            yield Lab(server, point, scratch / "cache", aspera)
        finally:
            server.resume_ascp()
            server.clear_faults()
