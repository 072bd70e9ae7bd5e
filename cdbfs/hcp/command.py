"""Packages by a command of the user's: whatever fetches one file, such as rsync, curl or a script.

packages_command is split like a shell's command line, but no shell runs it: in each argument {subject}, {package},
{file} and {into} stand for what is wanted and for the directory to put it in; a brace that is meant is doubled. It
is to leave {into}/{file} there and end with status 0. Used by transports.

Threads: any; each call of `fetch` works in the thread that calls it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import string
import threading
from collections.abc import Mapping
from pathlib import Path

from cdbfs.errors import CdbfsError, ConfigError, NoSpace
from cdbfs.hcp import child
from cdbfs.hcp.child import Ended, Program, environment
from cdbfs.hcp.disk import is_full
from cdbfs.hcp.models import Package
from cdbfs.hcp.names import check_packages, files_of
from cdbfs.hcp.transport import Again, Order, Watch
from cdbfs.hcp.words import last_line

PLACEHOLDERS = ("subject", "package", "file", "into")
SETTING = "packages_command"
MOST_REMEMBERED = 1000

Stamp = tuple[int, int, int]
"""What tells a file from another: inode, size, mtime."""


class CommandTransport:
    """A Transport that runs `command` once for each file."""

    def __init__(self, command: str, stall: float, environ: Mapping[str, str] | None = None) -> None:
        """Raises ConfigError for a command that cannot be understood."""
        self._arguments = _split(command)
        self._stall = stall
        self._environ = os.environ if environ is None else environ
        self._lock = threading.Lock()
        self._fetched: dict[Path, Stamp] = {}
        """What the command fetched, so that it is not run again for it where another file of the order failed."""

    def fetch(self, order: Order, watch: Watch) -> None:
        check_packages(order.packages)
        packages = files_of(order.packages)
        for file in order.files:
            path = order.into / file
            if not self._is_fetched(path):
                self._fetch(packages[file], path, order.hold, watch)
                self._remember(path)

    def _fetch(self, package: Package, path: Path, hold: tuple[int, ...], watch: Watch) -> None:
        values = {
            "subject": package.subject,
            "package": package.id,
            "file": path.name,
            "into": str(path.parent),
        }
        arguments = tuple(argument.format(**values) for argument in self._arguments)
        program = Program((self._program(), *arguments[1:]), environment(self._environ), path.parent, hold)
        ended = child.run(program, watch, self._stall, _Growth(path, watch).mark)
        if ended.status != 0 and is_full(path.parent):
            raise NoSpace(f"the disk that packages are kept on is full ({SETTING}: {_said(ended)})")
        if ended.status != 0:
            raise Again(CdbfsError(f"{SETTING} failed with {_how(ended)} for {path.name}: {_said(ended)}"))
        if not path.is_file():
            raise CdbfsError(f"{SETTING} ended well, but there is no {path.name} in {{into}}: {_said(ended)}")

    def _program(self) -> str:
        name = os.path.expanduser(self._arguments[0])
        found = shutil.which(name, path=self._environ.get("PATH", os.defpath))
        if found is None:
            raise CdbfsError(f"{SETTING} names {name}, which is no program here")
        return os.path.abspath(found)

    def _is_fetched(self, path: Path) -> bool:
        with self._lock:
            known = self._fetched.get(path)
        return known is not None and known == _stamp(path)

    def _remember(self, path: Path) -> None:
        stamp = _stamp(path)
        with self._lock:
            while len(self._fetched) >= MOST_REMEMBERED:
                del self._fetched[next(iter(self._fetched))]
            if stamp is not None:
                self._fetched[path] = stamp


class _Growth:
    """How a file grows, or what the command calls it while it is not whole: its name, with something behind it or
    with a dot in front, as rsync, curl and wget do."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self._path = path
        self._watch = watch
        self._done = -1

    def mark(self) -> object:
        """What changes while the file grows; tells the watch of it."""
        found = self._found()
        done = max((size for _, size, _ in found.values()), default=0)
        if self._path.name in found:
            done = found[self._path.name][1]
        if done > self._done:
            self._done = done
            self._watch.moved(self._path.name, done, None)
        return found

    def _found(self) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        try:
            names = os.listdir(self._path.parent)
        except OSError:
            return found
        for name in names:
            own = name.lstrip(".")
            if own.startswith(self._path.name) and not own.startswith(f"{self._path.name}.md5"):
                stamp = _stamp(self._path.parent / name)
                if stamp is not None:
                    found[name] = stamp
        return found


def _split(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"{SETTING} cannot be split into arguments: {error}") from None
    if not arguments or not arguments[0]:
        raise ConfigError(f"{SETTING} names no program")
    for place, argument in enumerate(arguments):
        if _placeholders(argument) and place == 0:
            raise ConfigError(f"{SETTING} must name a program, without a placeholder in its name")
    arguments[0] = arguments[0].format()
    return arguments


def _placeholders(argument: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(argument))
    except ValueError:
        raise ConfigError(f"{SETTING} has a single brace in {argument!r}; double it") from None
    names = [name for _, name, _, _ in parts if name is not None]
    for _, name, form, conversion in parts:
        if name is not None and (name not in PLACEHOLDERS or form or conversion):
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise ConfigError(f"{SETTING} has {{{name}}} in {argument!r}; there are {known}, and {{{{ for a brace")
    return names


def _stamp(path: Path) -> Stamp | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _how(ended: Ended) -> str:
    return f"status {ended.status}" if ended.status >= 0 else f"signal {-ended.status}"


def _said(ended: Ended) -> str:
    return last_line(ended.errors) or last_line(ended.output) or "it said nothing"
