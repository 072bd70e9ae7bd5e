"""`cdbfs demo`: the stand-in server, a mount of it, the tour, and an end that leaves nothing behind.

Used by cli, which hands in how to print. The server runs in this process, the mount in a child that ends with it.

Threads: the main thread's; the stand-in has threads of its own.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from cdbfs.credentials import Credentials
from cdbfs.errors import CdbfsError, ConfigError
from cdbfs.mount import background, daemon, mounts
from cdbfs.store.disk import make_private

if TYPE_CHECKING:
    from cdbfs.demo import DataSet, StandIn

TOUR_SECONDS = 120.0
END_SECONDS = 10.0
START_SECONDS = 60.0
SUBJECTS = 144
SMALLEST_PACKAGE = 250 * 2**10
ABOUT = "All its people and scores are synthetic; the subjects' names are those of the HCP tutorial."


@dataclass(frozen=True)
class Show:
    """How to print: `say(text, to_stderr)`; `title` makes a text stand out; `program` is what to type for us.

    `about` tells what data are shown.
    """

    say: Callable[..., None]
    title: Callable[[str], str]
    as_json: bool
    about: str = ABOUT
    program: str = "cdbfs"

    def tell(self, text: str) -> None:
        """For people: on stdout, or on stderr where stdout is JSON's."""
        self.say(text, self.as_json)


class _EndedError(BaseException):
    """Ctrl-C or SIGTERM."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end what is inside, through its own finally clauses, and are no failure."""

    def end(number: int, frame: Any) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)  # cleaning up is not to be interrupted
        raise _EndedError

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end)
    with suppress(_EndedError):
        yield


@contextmanager
def _extra_installed() -> Iterator[None]:
    """Raises ConfigError where the extra that the demo needs is not installed."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"the demo needs the package {error.name}: pip install 'cdbfs[demo]'") from None


def data_set(subjects: int | None, seed: int | None, file: str | None, package_size: str | None = None) -> DataSet:
    """What to serve: what a file describes, or the tutorial's subjects, with packages of about that size.

    Raises ConfigError.
    """
    with _extra_installed():
        from cdbfs.demo import connectomedb, fixture
    if file is None:
        sizes = {} if package_size is None else {"package_size": _bytes(package_size)}
        return connectomedb(SUBJECTS if subjects is None else subjects, seed or 0, **sizes)
    if (subjects, seed, package_size) != (None, None, None):
        raise ConfigError("--data takes no --subjects, --seed or --package-size: the file says what is there")
    try:
        return fixture.load(Path(file))
    except fixture.FixtureError as error:
        raise ConfigError(f"--data {file}: {error}") from None
    except OSError as error:
        raise ConfigError(f"--data {file}: {error.strerror}") from None


def _bytes(text: str) -> int:
    """A size like 3M or 5G. Raises ConfigError."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    unit = units.get(text[-1:].upper(), 1)
    number = text[:-1] if unit > 1 else text
    if not number.isdecimal() or int(number) * unit < SMALLEST_PACKAGE:
        raise ConfigError(f"--package-size {text}: a size of at least 250K, like 3M or 5G")
    return int(number) * unit


def stand_in(data: DataSet, dialect: str, latency: float, port: int) -> StandIn:
    """The server, not yet started. Raises ConfigError where the extra that it needs is not installed."""
    with _extra_installed():
        from cdbfs.demo import StandIn
    return StandIn(data, latency=latency, port=port, dialect=dialect)


@contextmanager
def _listening(server: StandIn, show: Show) -> Iterator[Credentials]:
    try:
        server.start()
    except OSError as error:
        raise CdbfsError(f"the demo's server cannot listen: {error}") from None
    try:
        account = server.data.accounts[0]
        if show.as_json:
            answer = {"url": server.url, "user": account.user, "password": account.password}
            show.say(json.dumps({**answer, "control": server.control, "ascp": server.ascp}))
        yield Credentials(account.user, account.password)
    finally:
        server.stop()


def serve(server: StandIn, show: Show) -> None:
    """Only the server, until a signal ends it."""
    with _listening(server, show) as login:
        show.tell(f"A stand-in ConnectomeDB listens at {server.url}")
        show.tell(show.about)
        variables = f"{_variables(login)} ASCP={shlex.quote(server.ascp)}"
        show.tell(f"Mount it:  {variables} {show.program} mount {server.url} DIR")
        show.tell("Ctrl-C ends it.")
        threading.Event().wait()


def mount(server: StandIn, show: Show, directory: str | None) -> None:
    """The server, mounted on `directory` (made where missing), with the tour; until a signal or an unmount."""
    with ExitStack() as stack:
        login = stack.enter_context(_listening(server, show))
        scratch = Path(tempfile.mkdtemp(prefix="cdbfs-demo-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        point = stack.enter_context(_mount_point(directory))
        child = stack.enter_context(_mounted(server, point, login, scratch))
        show.tell(f"A stand-in ConnectomeDB is mounted on {show.title(point)}")
        show.tell(show.about)
        _give_tour(server, point, show)
        show.tell(f"\nLook around in another terminal:  {show.title('cd ' + shlex.quote(point))}")
        show.tell("README.txt there says what is where.")
        show.tell(
            f"{show.program} search, fields, save and fetch work with it once you have pasted this line there:"
        )
        places = {"CDBFS_SEARCH_DIR": _search_dir(scratch), "CDBFS_CACHE_DIR": scratch, "ASCP": server.ascp}
        variables = " ".join(f"{name}={shlex.quote(str(place))}" for name, place in places.items())
        show.tell(show.title(f"export CDBFS_SERVER={server.url} {_variables(login)} {variables}"))
        show.tell("The demo's end removes the queries that you wrote in search/, too: copy what you want to keep.")
        show.tell(f"To end it: Ctrl-C here, or  {show.program} umount {shlex.quote(point)}")
        child.process.wait()


def _variables(login: Credentials) -> str:
    """The login as a shell takes it."""
    return f"CDBFS_USER={shlex.quote(login.user)} CDBFS_PASSWORD={shlex.quote(login.password)}"


def _search_dir(scratch: Path) -> Path:
    return scratch / "search"


@contextmanager
def _mount_point(directory: str | None) -> Iterator[str]:
    """The absolute path of a directory to mount on; what was made for it here is removed afterwards."""
    point = (
        daemon.clear(directory) if directory is not None else mounts.real_path(tempfile.mkdtemp(prefix="cdbfs-"))
    )
    made = [point] if directory is None else [path for path in _upwards(point) if not os.path.lexists(path)]
    try:
        if made:
            make_private(Path(point))
    except OSError as error:
        raise ConfigError(f"{directory} cannot be made: {error.strerror}") from None
    try:
        yield point
    finally:
        with suppress(OSError):
            for path in made:
                os.rmdir(path)


def _upwards(path: str) -> list[str]:
    return [path, *map(str, Path(path).parents)]


@contextmanager
def _mounted(server: StandIn, point: str, login: Credentials, scratch: Path) -> Iterator[background.Child]:
    """A mount in a child that ends with this block, or with this process. It finds the stand-in's ascp."""
    arguments = [f"-ocache_dir={scratch}", f"-osearch_dir={_search_dir(scratch)}", "--", server.url, point]
    child = background.start(arguments, login, scratch / "log", START_SECONDS, {"ASCP": server.ascp})
    try:
        yield child
    finally:
        child.end(END_SECONDS)
        if mounts.is_mounted(point):
            with suppress(CdbfsError):
                mounts.unmount(point, lazy=True)


def _give_tour(server: StandIn, point: str, show: Show) -> None:
    from cdbfs.demo import tour

    for stop in tour.stops(server.data):
        show.tell(f"\n{stop.about}" if stop.about else "")
        show.tell(show.title(f"$ {stop.command}"))
        show.tell(_output(stop.command, point))


def _output(command: str, directory: str) -> str:
    try:
        done = subprocess.run(  # noqa: S602  a tour is made of shell commands, all of our own writing
            command,
            shell=True,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TOUR_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"(not done in {TOUR_SECONDS:g} s)"
    return done.stdout.decode("utf-8", "replace").rstrip("\n")
