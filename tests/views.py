"""The two subjects of the suite: the tree in memory, and a real mount, asked in the same words."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from cdbfs import config
from cdbfs.credentials import Credentials
from cdbfs.demo import StandIn
from cdbfs.errors import CdbfsError
from cdbfs.mount import background, mounts
from cdbfs.runtime import Runtime
from cdbfs.tree.nodes import Attributes, Kind

FUSE = "CDBFS_FUSE"


class Served(Protocol):
    """A server in these tests: a StandIn, or one that sends what a test scripts."""

    @property
    def url(self) -> str: ...


class View(ABC):
    """A tree of files. What fails raises OSError with its errno."""

    @abstractmethod
    def listdir(self, path: str) -> list[str]: ...

    @abstractmethod
    def read(self, path: str) -> bytes: ...

    @abstractmethod
    def stat(self, path: str) -> Attributes: ...

    @abstractmethod
    def readlink(self, path: str) -> str: ...


class MemoryView(View):
    """The tree itself."""

    def __init__(self, runtime: Runtime) -> None:
        self.tree = runtime.tree

    def listdir(self, path: str) -> list[str]:
        with _as_os_error():
            return [entry.name for entry in self.tree.entries(path)]

    def read(self, path: str) -> bytes:
        with _as_os_error():
            return self.tree.content(path).data

    def stat(self, path: str) -> Attributes:
        with _as_os_error():
            return self.tree.attributes(path)

    def readlink(self, path: str) -> str:
        with _as_os_error():
            return self.tree.target(path) or ""


class MountView(View):
    """The tree as the kernel shows it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def listdir(self, path: str) -> list[str]:
        return os.listdir(self._at(path))

    def read(self, path: str) -> bytes:
        with open(self._at(path), "rb") as file:
            return file.read()

    def stat(self, path: str) -> Attributes:
        found = os.lstat(self._at(path))
        kinds = {0o040000: Kind.DIRECTORY, 0o100000: Kind.FILE, 0o120000: Kind.LINK}
        return Attributes(kinds[found.st_mode & 0o170000], found.st_size, found.st_mtime_ns)

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def _at(self, path: str) -> str:
        return os.path.join(self.root, path)


@contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except CdbfsError as error:
        raise OSError(error.errno, str(error)) from error


def _directories(cache: Path) -> dict[str, str]:
    """The settings that keep a mount of a test's to the test's own directories."""
    return {"cache_dir": str(cache), "search_dir": f"{cache}-search"}


@contextmanager
def in_memory(server: Served, login: Credentials, cache: Path, **options: str) -> Iterator[Runtime]:
    """A runtime without a mount."""
    settings = config.load(server.url, {**_directories(cache), **options}, {})
    runtime = Runtime(settings, login)
    try:
        yield runtime
    finally:
        runtime.close()


def cdbfs(*arguments: str, login: Credentials | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, with `login` in the environment."""
    return subprocess.run(
        [sys.executable, "-m", "cdbfs", *arguments],
        env=environment(login, **extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment(login: Credentials | None = None, **extra: str) -> dict[str, str]:
    """What reaches cdbfs of this process's environment: nothing by accident, the libfuse to test, and `login`."""
    foreign = ("CDBFS_", "NETRC")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign) or key == FUSE}
    if login:
        kept.update(CDBFS_USER=login.user, CDBFS_PASSWORD=login.password)
    cache = os.path.join(tempfile.gettempdir(), f"cdbfs-tests-{os.geteuid()}")  # not the user's own
    return {
        **kept,
        "NETRC": os.devnull,
        "PYTHONWARNINGS": "error",
        "XDG_CACHE_HOME": cache,
        "XDG_DATA_HOME": cache,
        **extra,
    }


@contextmanager
def mounted(
    server: Served,
    login: Credentials,
    directory: Path,
    cache: Path,
    variables: Mapping[str, str] | None = None,
    /,
    **options: str,
) -> Iterator[Path]:
    """A mount in the background, which ends with this process; its log must be empty in the end.

    `variables` are further ones of its environment: ASCP, unless a test says otherwise.
    """
    with suppress(FileExistsError):  # not exist_ok: that looks into the directory, where a mount may have died
        directory.mkdir(parents=True)
    flags = ",".join(f"{key}={value}" for key, value in {**_directories(cache), **options}.items())
    arguments = ["-o", flags, "--", server.url, str(directory)]
    if variables is None:
        variables = {"ASCP": server.ascp} if isinstance(server, StandIn) else {}
    child = background.start(arguments, login, cache / "log/daemon.log", 60, variables)
    try:
        yield directory
    finally:
        child.end(10)
        if mounts.is_mounted(str(directory)):
            mounts.unmount(str(directory), lazy=True)
    assert log_lines(cache) == []


def log_lines(cache: Path) -> list[str]:
    """What daemons wrote."""
    return [line for log in cache.glob("log/*.log") for line in log.read_text().splitlines()]
