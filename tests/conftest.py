"""Fixtures for the whole suite: worlds, servers over them, and the two views of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cdbfs.demo import StandIn, connectomedb
from tests.tables import TABLES
from tests.views import MemoryView, MountView, View, in_memory, mounted
from tests.worlds import World, worlds

LIBRARIES = ("3", "2")
DIALECTS = ("1.6", "1.8")
VIEWS = ("memory", "mount", "mount-libfuse2")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs tests with each dialect, libfuse, world and view that they ask for, where they do not say which.

    Not with each pair: the server's dialect and the kernel's library do not know of each other, so libfuse 2 is
    run with the 1.6 dialect only.
    """
    asked = set(metafunc.fixturenames)
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0]
        asked -= {name.strip() for name in names.split(",")} if isinstance(names, str) else set(names)
    _parametrize(metafunc, asked, ("dialect", DIALECTS), ("fuse", LIBRARIES))
    _parametrize(metafunc, asked, ("world", worlds()), ("view", VIEWS))


def _parametrize(
    metafunc: pytest.Metafunc,
    asked: set[str],
    server: tuple[str, Sequence[str | World]],
    library: tuple[str, Sequence[str]],
) -> None:
    names = [name for name, _ in (server, library) if name in asked]
    choices = [values for name, values in (server, library) if name in asked]
    if names:
        sets = [each for each in itertools.product(*choices) if not {"1.8", "2"} <= set(map(_short, each))]
        ids = ["-".join(map(_id, each)) for each in sets]
        metafunc.parametrize(names, sets, indirect=True, ids=ids, scope="session")


def _short(value: str | World) -> str:
    """The dialect, or the libfuse, that a value means; another text for others."""
    return value.dialect if isinstance(value, World) else value.removeprefix("mount-libfuse")


def _id(value: str | World) -> str:
    if isinstance(value, World):
        return f"{value.name}-{value.dialect}"
    return f"libfuse{value}" if value in LIBRARIES else value


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> World:
    found: World = request.param
    return found


@pytest.fixture(scope="session")
def world_server(world: World) -> Iterator[StandIn]:
    """A server that nobody changes."""
    with world.server() as server:
        yield server


@pytest.fixture(scope="session")
def fuse(request: pytest.FixtureRequest) -> str:
    """Each libfuse in turn, as the setting `fuse` names it.

    One is enough: @pytest.mark.parametrize("fuse", ["3"], indirect=True).
    """
    found: str = request.param
    return found


@pytest.fixture
def each_fuse(fuse: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Mounts that the test makes itself are made with each libfuse in turn."""
    monkeypatch.setenv("CDBFS_FUSE", fuse)
    return fuse


@pytest.fixture(scope="session")
def view(
    request: pytest.FixtureRequest, world: World, world_server: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[View]:
    """The tree of `world`, in memory or mounted."""
    fuse = "2" if request.param == "mount-libfuse2" else "3"
    scratch = tmp_path_factory.mktemp(f"{world.name}-{world.dialect}-{request.param}")
    if request.param == "memory":
        with in_memory(world_server, world.login, scratch / "cache") as runtime:
            yield MemoryView(runtime)
    else:
        with mounted(world_server, world.login, scratch / "m", scratch / "cache", fuse=fuse) as directory:
            yield MountView(directory)


@pytest.fixture(scope="session")
def dialect(request: pytest.FixtureRequest) -> str:
    """Each dialect of the stand-in in turn: what uses a server of the tutorial's data runs on both.

    One is enough: @pytest.mark.parametrize("dialect", ["1.6"], indirect=True).
    """
    found: str = request.param
    return found


@pytest.fixture(scope="session")
def tutorial(dialect: str) -> World:
    """The tutorial's 144 subjects."""
    return World("tutorial", connectomedb(), dialect)


@pytest.fixture
def server(tutorial: World) -> Iterator[StandIn]:
    """A server of the tutorial's data of the test's own."""
    with tutorial.server() as running:
        yield running


@pytest.fixture
def fresh_mount(server: StandIn, tutorial: World, tmp_path: Path, each_fuse: str) -> Iterator[Path]:
    """A mount of `server` of the test's own, with each libfuse in turn."""
    with mounted(server, tutorial.login, tmp_path / "m", tmp_path / "cache") as directory:
        yield directory


@pytest.fixture(scope="session")
def mount_point(tutorial: World, tmp_path_factory: pytest.TempPathFactory, fuse: str) -> Iterator[Path]:
    """A mount of the tutorial's data that all tests share: they only look. With each libfuse in turn."""
    scratch = tmp_path_factory.mktemp("shared")
    with (
        tutorial.server() as server,
        mounted(server, tutorial.login, scratch / "m", scratch / "cache", fuse=fuse) as directory,
    ):
        yield directory


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for made in TABLES:
        if made.rows:
            terminalreporter.section(made.title)
            for line in made.lines():
                terminalreporter.write_line(line)
