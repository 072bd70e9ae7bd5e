"""`cdbfs fetch`: many packages at once, by a mount or without one.

Used by cli. Threads: the main thread's.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO

import click

from cdbfs import config
from cdbfs.commands import common, labels
from cdbfs.commands.common import Stop
from cdbfs.commands.display import display
from cdbfs.config import Settings
from cdbfs.errors import CdbfsError, ConfigError
from cdbfs.hcp.service import PackageService
from cdbfs.mount import asking
from cdbfs.mount.mounts import Mount
from cdbfs.runtime import package_store
from cdbfs.store.disk import own
from cdbfs.store.flight import Waiters
from cdbfs.store.packages.fetching import check_amount, fetch_all
from cdbfs.store.packages.packages import Packages
from cdbfs.store.packages.progress import event, last_event
from cdbfs.tree import selection
from cdbfs.tree.selection import Selection
from cdbfs.xnat.client import Client


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--project", metavar="P", help="Instead of PATHs: packages of subjects of this project.")
@click.option(
    "--subjects",
    metavar="FILE",
    type=click.File("rb"),
    help="Their labels, one a line, or the first column of a CSV; - is stdin.",
)
@click.option("--package", "ids", metavar="ID", multiple=True, help="Which packages; as often as you like.")
@click.option("--mount", "directory", metavar="DIR", help="Have the mount on DIR do it, with its login.")
@common.server_option
@common.settings_option
@click.option("--yes", "sure", is_flag=True, help="More than 100 packages, or more than there is room for.")
@common.json_option
def fetch(
    paths: tuple[str, ...],
    project: str | None,
    subjects: BinaryIO | None,
    ids: tuple[str, ...],
    directory: str | None,
    server: str | None,
    options: tuple[str, ...],
    sure: bool,
    as_json: bool,
) -> None:
    """Fetch packages: those at PATHs in a mount, or some of many subjects.

    \b
    cdbfs fetch ~/hcp/packages/HCP_Q2/100307/100307_3T_Structural_preproc.zip
    cdbfs fetch ~/hcp/packages/HCP_Q2/100307           all packages of a subject
    cdbfs fetch --project HCP_Q2 --subjects list.txt --package 3T_Structural_preproc

    A PATH is a zip, the md5 beside it, anything below unpacked/, or the directory of a subject or of a project.
    What is here already is not fetched again. Ctrl-C ends it; the same command again goes on where it ended. The
    exit status is 0 when all are here, and 1 when some cannot be had: each is named with its reason.
    """
    by_names = project is not None or subjects is not None or bool(ids)
    if bool(paths) == by_names:
        raise click.UsageError("Say either PATHs, or --project, --subjects and --package.")
    if by_names and not (project and subjects and ids):
        raise click.UsageError("--project, --subjects and --package go together.")
    if (paths or directory) and (server or options):
        raise click.UsageError("The mount says which server, and its settings.")
    if paths and directory:
        raise click.UsageError("PATHs tell the mount.")
    with common.ended_by_ctrl_c(), common.told():
        if paths:
            mount, inside = asking.one_mount(paths)
            sys.exit(_through(mount, {"paths": inside, "sure": sure}, as_json))
        named = labels.read(subjects, "--subjects") if subjects is not None else []
        wanted = _Wanted(str(project), named, list(dict.fromkeys(ids)))
        if directory:
            sys.exit(_through(asking.mount_on(directory), {**asdict(wanted), "sure": sure}, as_json))
        with common.asked_server(_named(server), options) as (client, settings):
            sys.exit(_by_itself(client, settings, wanted, sure, as_json))


@dataclass(frozen=True)
class _Wanted:
    """What is said by names."""

    project: str
    subjects: list[str]
    packages: list[str]


def _named(server: str | None) -> str:
    """The server that is meant. Raises ConfigError where none is."""
    try:
        return config.server(server, os.environ)
    except ConfigError as error:
        raise ConfigError(f"{error}; or have a mount do it, by --mount DIR") from None


def _through(mount: Mount, wanted: dict[str, Any], as_json: bool) -> int:
    """Have a mount fetch it; the exit status."""
    with common.stoppable() as stop, display(as_json) as shown:
        last: dict[str, Any] = {}
        try:
            for last in asking.ask(mount, {"do": "fetch", **wanted}, stop.asked):
                shown.show(last)
        except CdbfsError:
            if not stop.asked():
                raise
        return _status(last, stop)


def _by_itself(client: Client, settings: Settings, wanted: _Wanted, sure: bool, as_json: bool) -> int:
    """Fetch it in this process; the exit status."""
    own(settings.cache_dir, "cache_dir")
    service, packages = package_store(settings, client, Waiters(settings.max_waiters))
    try:
        found = _looked_up(client, service, wanted)
        if not sure:
            check_amount(packages, found.asked)
        return _here(packages, found, as_json)
    finally:
        packages.close()


def _looked_up(client: Client, service: PackageService, wanted: _Wanted) -> Selection:
    if not service.is_offered():
        raise ConfigError("this server has no packages")
    selection.check_project(wanted.project, (each.ID for each in client.projects()))
    labels_there = (each.label for each in client.subjects(wanted.project))
    selection.check_subjects(wanted.project, wanted.subjects, labels_there)
    return selection.by_names(wanted.subjects, wanted.packages, service.offers)


def _here(packages: Packages, found: Selection, as_json: bool) -> int:
    with common.stoppable() as stop, display(as_json) as shown:
        for each in found.lacking:
            shown.show(event(each))
        outcome = fetch_all(packages, found.asked, lambda progress: shown.show(event(progress)), stop.asked)
        last = last_event(replace(outcome, failed=(*found.lacking, *outcome.failed)))
        shown.show(last)
        return _status(last, stop)


def _status(last: dict[str, Any], stop: Stop) -> int:
    if stop.asked():
        return stop.status
    return 0 if last.get("event") == "end" and not last["failed"] and not last["missing"] else 1
