"""`cdbfs evict`: gives back the space that packages take.

Used by cli. Threads: the main thread's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from cdbfs import amounts
from cdbfs.commands import common
from cdbfs.commands.common import one_line, tell_failure
from cdbfs.mount import asking


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1)
@click.option("--all", "directory", metavar="DIR", help="All packages that the mount on DIR has here.")
@common.json_option
def evict(paths: tuple[str, ...], directory: str | None, as_json: bool) -> None:
    """Give back the space of packages: the zips that are here, and what was unpacked of them.

    \b
    cdbfs evict ~/hcp/unpacked/HCP_Q2/100307_3T_Structural_preproc
    cdbfs evict ~/hcp/packages/HCP_Q2/100307           all of a subject
    cdbfs evict --all ~/hcp

    A PATH is as for `cdbfs fetch`. Whoever opens them later has them fetched again. What somebody has open is
    kept, told, and makes the exit status 1.
    """
    if bool(paths) == bool(directory):
        raise click.UsageError("Say either PATHs, or --all DIR.")
    with common.ended_by_ctrl_c(), common.told():
        wanted: dict[str, Any]
        if directory:
            mount, wanted = asking.mount_on(directory), {"all": True}
        else:
            mount, inside = asking.one_mount(paths)
            wanted = {"paths": inside}
        last: dict[str, Any] = {}
        for last in asking.ask(mount, {"do": "evict", **wanted}):
            _show(last, as_json)
        sys.exit(1 if last["in_use"] else 0)


def _show(event: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(event))
    elif event["event"] == "end":
        click.echo(f"{amounts.size(event['bytes'])} of {amounts.count(event['packages'], 'package')} given back")
    elif event["bytes"]:
        click.echo(f"{one_line(event['package'])}: {amounts.size(event['bytes'])} given back")
    if event["event"] == "evicted" and event["in_use"]:
        tell_failure(f"{event['package']} is in use, and what is open of it is kept")
