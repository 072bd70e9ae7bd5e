"""`cdbfs status`: how the mounts are, whether or not they answer.

Used by cli. Each mount is asked in a thread of its own, so that those that hang are waited for together.

Threads: the main thread's, and one a mount, which ends with the process.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from cdbfs import amounts
from cdbfs.commands import common
from cdbfs.commands.common import one_line
from cdbfs.errors import CdbfsError
from cdbfs.mount import asking, mounts
from cdbfs.mount.mounts import Mount

SECONDS = 3.0
"""After which a mount counts as one that does not answer."""
ANSWER_SECONDS = 2.5
"""Of these, for what it says itself: what comes too late is not told."""


@click.command()
@click.argument("directories", metavar="[DIR]...", nargs=-1)
@common.json_option
def status(directories: tuple[str, ...], as_json: bool) -> None:
    """Tell how the mounts on DIRs are, or all of yours.

    A mount that is dead or does not answer is told as such, and makes the exit status 1.
    """
    with common.ended_by_ctrl_c(), common.told():
        asked = [asking.one_mount([each])[0] for each in directories] or mounts.all_of(os.geteuid())
        found = _states(list(dict.fromkeys(asked)))
        if as_json:
            click.echo(json.dumps({"mounts": found}))
        else:
            text = "\n".join("\n".join(_lines(each)) for each in found) or "no cdbfs is mounted"
            click.echo(text)
        sys.exit(1 if any("error" in each for each in found) else 0)


def _states(asked: Sequence[Mount]) -> list[dict[str, Any]]:
    answers: queue.Queue[tuple[Mount, dict[str, Any]]] = queue.Queue()
    for mount in asked:
        threading.Thread(target=lambda each=mount: answers.put((each, _state(each))), daemon=True).start()
    found: dict[Mount, dict[str, Any]] = {}
    ends = time.monotonic() + SECONDS
    while len(found) < len(asked):
        try:
            mount, state = answers.get(timeout=max(0.0, ends - time.monotonic()))
        except queue.Empty:
            break
        found[mount] = state
    silent = {"error": "it does not answer; cdbfs umount --lazy takes it away"}
    return [{**_known(mount), **found.get(mount, silent)} for mount in asked]


def _known(mount: Mount) -> dict[str, Any]:
    """What needs no answer."""
    return {"mount": mount.point, "server": {"url": mount.source}}


def _state(mount: Mount) -> dict[str, Any]:
    """What it says of itself, or an `error`."""
    try:
        (last,) = asking.ask(mount, {"do": "status"}, silence=ANSWER_SECONDS)
    except CdbfsError as error:
        return {"error": str(error)}
    return {key: value for key, value in last.items() if key != "event"}


def _lines(state: dict[str, Any]) -> Iterator[str]:
    server = state["server"]
    yield one_line(f"{state['mount']}: {server['url']}")
    if "error" in state:
        yield _row("error", state["error"])
        return
    reachable = "reachable" if state["reachable"] else "not reachable"
    yield _row("server", f"XNAT {server['version']}, {reachable}, as {server['user']}")
    up, requests = amounts.time(state["seconds_up"]), amounts.count(sum(state["requests"].values()), "request")
    yield _row("daemon", f"process {state['pid']}, up {up}, {requests}, {state['waiting']} waiting")
    kept, reserved, cap = (amounts.size(state["packages"][key]) for key in ("bytes", "reserved", "cap"))
    yield _row("packages", f"{kept} on disk, {reserved} reserved for transfers, of {cap}")
    for each in state["transfers"]:
        yield _row("transfer", _transfer(each))
    for warning in state["warnings"]:
        yield _row("warning", warning)
    if state["failures"]:
        failures = amounts.count(state["failures"], "failure")
        yield _row("failures", f"{failures}, with their reasons in {state['mount']}/.cdbfs/errors")


def _transfer(each: dict[str, Any]) -> str:
    percent = f"{100 * each['done'] / each['bytes']:.0f} %" if each["bytes"] else amounts.size(each["done"])
    waiting = [f"{one['program'] or 'process'} ({one['pid']})" for one in each["waiting"]]
    waiters = f"{', '.join(waiting)} waiting" if waiting else "nobody waiting"
    return ", ".join(part for part in (each["file"], each["state"], percent, amounts.pace(each), waiters) if part)


def _row(name: str, text: str) -> str:
    return f"  {name:<10}{one_line(text)}"
