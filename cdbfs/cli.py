"""The commands: demo, mount, umount, search, fields, save; fetch, evict and status stand in commands/.

Only this module and those in commands/ print.

What fails is told in one line on stderr, with exit status 1; a wrong command line gets click's usage and 2.

Threads: all of it is the main thread's.
"""

from __future__ import annotations

import csv
import logging
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NoReturn, TextIO

import click

from cdbfs import __version__, config, credentials
from cdbfs.commands.common import asked_server, server_option, settings_option, told
from cdbfs.commands.evict import evict
from cdbfs.commands.fetch import fetch
from cdbfs.commands.status import status
from cdbfs.config import Settings
from cdbfs.errors import CdbfsError, ConfigError
from cdbfs.mount import background, daemon, mounts, secrecy
from cdbfs.query import listing, saving
from cdbfs.query.catalog import Catalog
from cdbfs.query.run import MOST_BYTES, prepare, run
from cdbfs.query.shelf import Shelf
from cdbfs.runtime import Runtime, shelf_directory
from cdbfs.store.disk import make_private
from cdbfs.tree import names
from cdbfs.tree.saved import SAVED
from cdbfs.tree.search import SEARCH

START_SECONDS = 30.0
"""How long a mount may take to appear, beside what its login takes."""


def main() -> None:
    """The console script `cdbfs`."""
    _open_standard_streams()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of connections it drops and makes anew
    commands(prog_name="cdbfs")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="%(prog)s %(version)s")
def commands() -> None:
    """Mount ConnectomeDB, or any other XNAT server, as a directory.

    \b
    Try it, with no account and no network:    cdbfs demo
    Mount a server:                            cdbfs mount https://db.humanconnectome.org DIR
    How the mounts are:                        cdbfs status
    """


class _MountCommand(click.Command):
    """`cdbfs mount`, whose help ends with every setting there is."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Login"), formatter.indentation():
            formatter.write_text(
                "From CDBFS_USER and CDBFS_PASSWORD, else from ~/.netrc (or $NETRC), else as guest. "
                "A password is never taken from the command line."
            )
        with formatter.section("Settings (-o KEY=VALUE, CDBFS_KEY in the environment, or [profiles.NAME])"):
            formatter.write_text("Times are seconds, sizes bytes (or like 500M, 2G).")
            formatter.write_dl([(_key_and_default(key), key.metadata["help"]) for key in config.settings()])
        with formatter.section("Profiles"), formatter.indentation():
            formatter.write_text(f"They stand in {config.default_config_file(os.environ)}, for example:")
            formatter.write_text("[profiles.hcp]")
            formatter.write_text('url = "https://db.humanconnectome.org"')
            formatter.write_text('umask = "027"')


def _key_and_default(key: Any) -> str:
    return f"{key.name}={key.metadata['shown'] or _plain(key.default)}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


@commands.command(cls=_MountCommand)
@click.argument("server", metavar="PROFILE|URL")
@click.argument("directory", metavar="DIR")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground; Ctrl-C unmounts.")
@click.option("-o", "options", metavar="KEY=VALUE,...", multiple=True, help="Settings, see below.")
@click.option("--handshake", hidden=True)
def mount(server: str, directory: str, foreground: bool, options: tuple[str, ...], handshake: str | None) -> None:
    """Mount the server at URL, or of a PROFILE, on DIR.

    Returns when the mount answers, which then runs in the background until `cdbfs umount DIR`.

    All of it is read-only but DIR/search, which is yours and kept: a query that you save there as NAME.sql has its
    result in NAME.csv, or the reason why there is none in NAME.error. `cdbfs search --help` shows a query.
    """
    secrecy.leave_no_core()
    if handshake:
        _mount_for_parent(server, directory, options, background.parent(handshake))
    with told():
        settings = config.load(server, config.parse_options(options), os.environ)
        login = credentials.find(settings.url, os.environ, settings.user)
        secrecy.forget_login_variables()
        if foreground:
            _serve(settings, login, directory, lambda: click.echo(f"mounted on {directory}", err=True))
        daemon.prepare(directory, settings)
        flags = [f"-o{item}" for item in options]
        log_file = background.log_file(settings, directory)
        patience = settings.request_deadline + START_SECONDS
        background.start([*flags, "--", server, directory], login, log_file, patience).leave()


def _mount_for_parent(
    server: str, directory: str, options: tuple[str, ...], parent: background.Parent
) -> NoReturn:
    """The child's side of a mount in the background."""
    try:
        settings = config.load(server, config.parse_options(options), os.environ)
        parent.watch()
        _serve(settings, parent.credentials, directory, parent.answer)
    except CdbfsError as error:
        parent.answer(str(error))
        sys.exit(1)


def _serve(settings: Settings, login: credentials.Credentials | None, directory: str, on_ready: Any) -> NoReturn:
    """Mount and serve until the end, then leave without waiting for requests under way."""
    path = daemon.prepare(directory, settings)
    runtime = Runtime(settings, login)
    try:
        daemon.serve(runtime, path, on_ready)
    finally:
        runtime.close()
    logging.shutdown()
    os._exit(0)


@commands.command()
@click.argument("directory", metavar="DIR")
@click.option("--lazy", is_flag=True, help="Take it away at once, though somebody still uses it.")
def umount(directory: str, lazy: bool) -> None:
    """Unmount DIR."""
    with told():
        mounts.unmount(mounts.real_path(directory), lazy=lazy)


@commands.command()
@click.argument("file", type=click.File("rb"))
@server_option
@settings_option
def search(file: BinaryIO, server: str | None, options: tuple[str, ...]) -> None:
    """Run the query in FILE (- is stdin) and write its result as CSV.

    \b
    SELECT subject, NEO_NEOFAC_A AS agreeableness
    FROM nt:scores
    WHERE project = 'HCP_Q2' AND NEO_NEOFAC_A > 40
    ORDER BY agreeableness DESC

    `cdbfs fields` lists the data types, `cdbfs fields TYPE` what can be asked of one. Nothing is written where
    the query is wrong or the answer is not whole: the reason is told, and the exit status is 1.
    """
    with told():
        query = file.read(MOST_BYTES + 1)
        with asked_server(server, options) as (client, settings), _result(settings) as result:
            run(prepare(query, Catalog(client)), client, settings.cache_dir, result)
            result.seek(0)
            shutil.copyfileobj(result, _stdout())
            sys.stdout.flush()


@commands.command()
@click.argument("type_name", metavar="[TYPE]", required=False)
@server_option
@settings_option
def fields(type_name: str | None, server: str | None, options: tuple[str, ...]) -> None:
    """List the fields of a data TYPE as CSV: id, header, type, description, and the path below scores/.

    Without a TYPE, list the data types.
    """
    with told(), asked_server(server, options) as (client, _):
        if type_name is None:
            rows: list[tuple[str, ...]] = [("type",), *((name,) for name in client.search_types())]
        else:
            rows = [listing.HEADER, *listing.table(Catalog(client).named(type_name))]
        csv.writer(_stdout(), lineterminator="\n").writerows(rows)
        sys.stdout.flush()


@commands.command()
@click.argument("name", metavar="NAME")
@server_option
@settings_option
@click.option("--shared", is_flag=True, help="Let everybody on the server run it, and see all rows that it finds.")
@click.option("--replace", is_flag=True, help="Replace a search of yours that was not saved from this query.")
def save(name: str, server: str | None, options: tuple[str, ...], shared: bool, replace: bool) -> None:
    """Store the query NAME of search/ on the server, and tell where saved/ has it.

    NAME is as in search/, with directories, with or without .sql or .xml; a path into the search/ of a mount is
    understood as well. Only you can see and run the stored search, unless it is --shared. Saving a query again
    replaces what was stored of it, and nothing of anybody else's. What a server cannot hold of a query, such as
    ORDER BY and LIMIT, is left out, and told.
    """
    with told(), asked_server(server, options) as (client, settings):
        owner = saving.Owner(client.session.user, shared)
        shelf = Shelf(shelf_directory(settings, owner.user), settings.umask)
        search = saving.to_be_stored(*saving.find(shelf, name, SEARCH), owner, Catalog(client))
        saving.save(search, owner, client, replace=replace)
        for line in search.left_out:
            click.echo(f"cdbfs: {line}", err=True)
        for_all = " (everybody on the server may run it)" if shared else ""
        click.echo(f"{SAVED}/{names.fit(names.encode(search.id))}{for_all}")


@contextmanager
def _result(settings: Settings) -> Iterator[TextIO]:
    """Where a result stands until it is whole. It has no name, since it may tell of people."""
    make_private(settings.cache_dir)
    with tempfile.TemporaryFile(
        "w+", dir=settings.cache_dir, encoding="utf-8", errors="backslashreplace", newline=""
    ) as file:
        yield file


def _stdout() -> TextIO:
    """CSV is UTF-8 with LF, whatever the locale."""
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")  # type: ignore[union-attr]
    return sys.stdout


@commands.command()
@click.argument("directory", metavar="[DIR]", required=False)
@click.option("--subjects", type=click.IntRange(1, 1_000_000), help="In HCP_Q2.  [default: 144]")
@click.option("--seed", type=int, help="Other synthetic scores, other people.  [default: 0]")
@click.option("--package-size", metavar="SIZE", help="Of each package, like 20M or 5G.  [default: 2M]")
@click.option(
    "--data", metavar="FILE", help="Serve what FILE describes: see README, or tests/recorded/fixture.json."
)
@click.option(
    "--dialect",
    default="1.6",
    show_default=True,
    type=click.Choice(("1.6", "1.8")),
    help="Which XNAT it answers as.",
)
@click.option("--latency", default=0, show_default=True, type=click.IntRange(0), help="Milliseconds a request.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Where it listens.  [default: a free one]")
@click.option("--no-mount", is_flag=True, help="Only the server; mount it yourself.")
@click.option("--json", "as_json", is_flag=True, help="Tell url, login, control and ascp as a line of JSON.")
def demo(
    directory: str | None,
    subjects: int | None,
    seed: int | None,
    package_size: str | None,
    data: str | None,
    dialect: str,
    latency: int,
    port: int,
    no_mount: bool,
    as_json: bool,
) -> None:
    """Mount a stand-in ConnectomeDB on DIR (or a temporary directory) and show around.

    It needs no account and no network: a server on this machine answers as ConnectomeDB's does, with the
    subjects of the HCP tutorial. All scores and people are synthetic. Ctrl-C ends it and cleans up.
    """
    with told():
        if no_mount and directory:
            raise ConfigError("--no-mount takes no DIR")
        from cdbfs import demonstration  # it needs the extra `demo`

        held = demonstration.data_set(subjects, seed, data, package_size)
        stand_in = demonstration.stand_in(held, dialect, latency / 1000, port)
        about = f"It holds what {data} describes." if data else demonstration.ABOUT
        show = demonstration.Show(_say, _title, as_json, about, _program())
        with demonstration.ended_by_signals():
            if no_mount:
                demonstration.serve(stand_in, show)
            else:
                demonstration.mount(stand_in, show, directory)


def _program() -> str:
    """What to type for this program: its name where the shell finds it by that, else its path."""
    path = os.path.abspath(sys.argv[0])
    return "cdbfs" if shutil.which("cdbfs") == path or not os.access(path, os.X_OK) else shlex.quote(path)


def _say(text: str, to_stderr: bool = False) -> None:
    click.echo(text, err=to_stderr)
    (sys.stderr if to_stderr else sys.stdout).flush()


def _title(text: str) -> str:
    return click.style(text, bold=True)


def _open_standard_streams() -> None:
    """Give 0, 1 and 2 to /dev/null where they are closed: else the next file opened would be taken for them."""
    for descriptor, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r"))


for command in (fetch, evict, status):
    commands.add_command(command)
