"""What commands have in common: how failure is told, the server that is meant, and how Ctrl-C is taken.

Used by cli and the modules beside this one. Threads: the main thread's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from cdbfs import config, credentials
from cdbfs.config import Settings
from cdbfs.errors import CdbfsError
from cdbfs.xnat.client import Client

LONGEST_REASON = 1000
"""Characters."""

server_option = click.option(
    "-s", "--server", metavar="PROFILE|URL", help="The server.  [default: CDBFS_SERVER, or the only profile]"
)
settings_option = click.option(
    "-o", "options", metavar="KEY=VALUE,...", multiple=True, help="Settings, as `cdbfs mount --help` lists them."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")


@contextmanager
def told() -> Iterator[None]:
    """Tell what goes wrong in one line, and exit with 1."""
    try:
        yield
    except CdbfsError as error:
        tell_failure(str(error))
        sys.exit(1)
    except BrokenPipeError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        tell_failure(str(error))
        sys.exit(1)


def tell_failure(reason: str) -> None:
    """One line on stderr."""
    click.echo(f"cdbfs: {one_line(reason)}", err=True)


def one_line(reason: str) -> str:
    """A reason may quote the server, which may say anything of any length, also to a terminal."""
    text = "".join(c if c.isprintable() else "?" for c in reason)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


@contextmanager
def asked_server(server: str | None, options: tuple[str, ...]) -> Iterator[tuple[Client, Settings]]:
    """The server, asked without a mount."""
    target = config.server(server, os.environ)
    settings = config.load(target, config.parse_options(options), os.environ)
    client = Client(settings, credentials.find(settings.url, os.environ, settings.user))
    try:
        yield client, settings
    finally:
        client.session.close()


class Stop:
    """Whether a signal asked for an end."""

    number = 0

    def asked(self) -> bool:
        return self.number != 0

    @property
    def status(self) -> int:
        """The exit status that a shell expects."""
        return 128 + self.number


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP ask for an end, which is to be seen there; a second one is the end."""
    stop = Stop()

    def ask(number: int, frame: Any) -> None:
        if stop.asked():
            os._exit(128 + number)
        stop.number = number

    heeded = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # nohup, or in the background of a script
    ]
    before = {number: signal.signal(number, ask) for number in heeded}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Ctrl-C, where nothing else sees to it, is no failure, and exits as a shell expects it."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
