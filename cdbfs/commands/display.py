"""How `cdbfs fetch` shows what happens: bars on a terminal, plain lines without one, or JSON.

Used by fetch. What cannot be had is told on stderr by each.

Threads: the main thread's; rich redraws its bars in one of its own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from cdbfs import amounts
from cdbfs.commands.common import one_line, tell_failure

LINE_SECONDS = 10.0
"""Between two lines that only tell how far it is."""
LINES_LEFT = 4
"""Of the terminal, for what is not a bar."""
BAR_WIDTH = 24
SMOOTH = ("waiting", "fetching", "checking")
"""The states of a transfer that need no word."""


class Display(Protocol):
    """Shows events of store/packages/progress."""

    def show(self, event: Mapping[str, Any]) -> None: ...


@contextmanager
def display(as_json: bool) -> Iterator[Display]:
    """The one for where stdout and stderr lead."""
    if as_json:
        yield Objects()
    elif _is_terminal():
        with Bars() as bars:
            yield bars
    else:
        yield Lines()


def _is_terminal() -> bool:
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


class Objects:
    """A line of JSON an event."""

    def show(self, event: Mapping[str, Any]) -> None:
        click.echo(json.dumps(event))
        sys.stdout.flush()
        if event["event"] == "failed":
            tell_failure(_failure(event))


class Lines:
    """A line a package, one every LINE_SECONDS, and one for each reason to try a package again."""

    def __init__(self) -> None:
        self._count = Count()
        self._told = time.monotonic()
        self._troubles: dict[str, str] = {}
        """The last that was told of each file."""

    def show(self, event: Mapping[str, Any]) -> None:
        self._count.heed(event)
        if event["event"] == "failed":
            tell_failure(_failure(event))
        elif event["event"] == "progress":
            self._tell_troubles(event)
            if time.monotonic() - self._told >= LINE_SECONDS:
                self._told = time.monotonic()
                click.echo(f"{self._count}: {_amount(event)}, {amounts.pace(dict(event)) or 'waiting'}")
        else:
            for line in _lines(event):
                click.echo(line)
        sys.stdout.flush()

    def _tell_troubles(self, event: Mapping[str, Any]) -> None:
        for file, state in ((each["file"], each["state"]) for each in event["packages"]):
            if state not in SMOOTH and state != self._troubles.get(file):
                self._troubles[file] = state
                click.echo(one_line(f"{file}: {state}"))


class Bars:
    """A bar for each package that comes in, and one for all."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR_WIDTH),
            TextColumn("{task.fields[amount]}", markup=False),
            TextColumn("{task.fields[pace]}", markup=False),
        )
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._all: TaskID | None = None
        self._bars: dict[str, TaskID] = {}
        self._count = Count()

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, event: Mapping[str, Any]) -> None:
        self._count.heed(event)
        if event["event"] == "progress":
            self._move(event)
        elif event["event"] == "failed":
            self._print(Text(f"cdbfs: {_failure(event)}", style="red"))
        else:
            for line in _lines(event):
                self._print(Text(line))
        if event["event"] == "planned" and event["packages"]:
            self._all = self._bar(event)

    def _move(self, event: Mapping[str, Any]) -> None:
        if self._all is not None:
            self._update(self._all, str(self._count), event)
        room = max(1, self._console.height - LINES_LEFT)
        coming = [each for each in event["packages"] if each["done"] or each["state"] not in SMOOTH][:room]
        for file in {*self._bars} - {each["file"] for each in coming}:
            self._progress.remove_task(self._bars.pop(file))
        for each in coming:
            if each["file"] not in self._bars:
                self._bars[each["file"]] = self._bar(each)
            self._update(self._bars[each["file"]], one_line(each["file"]), each)

    def _bar(self, event: Mapping[str, Any]) -> TaskID:
        return self._progress.add_task("", total=event["bytes"], amount="", pace="")

    def _update(self, bar: TaskID, name: str, event: Mapping[str, Any]) -> None:
        state = event.get("state", "fetching")
        if state == "fetching":
            arrived = event["bytes"] and event["done"] >= event["bytes"]
            state = "arrived" if arrived else amounts.pace(dict(event))
        self._progress.update(
            bar,
            description=name,
            completed=event["done"],
            total=event["bytes"],
            amount=_amount(event),
            pace=one_line(str(state)),
        )

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


class Count:
    """How many packages are here, of how many."""

    def __init__(self) -> None:
        self._here = self._all = 0

    def heed(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "planned":
            self._here, self._all = 0, event["packages"]
        elif event["event"] == "here":
            self._here += 1

    def __str__(self) -> str:
        return f"{self._here} of {amounts.count(self._all, 'package')}"


def _lines(event: Mapping[str, Any]) -> list[str]:
    kind = event["event"]
    if kind == "here":
        already = "" if event["fetched"] else " already"
        return [f"{one_line(event['package'])} is here{already} ({amounts.size(event['bytes'])})"]
    if kind == "planned" and event["packages"]:
        what = amounts.count(event["packages"], "package")
        about = f", about {amounts.size(event['bytes'])}" if event["bytes"] else ""
        return [f"fetching {what}{about}"]
    return _summary(event) if kind == "end" else []


def _summary(event: Mapping[str, Any]) -> list[str]:
    fetched = f"fetched {amounts.count(event['fetched'], 'package')} ({amounts.size(event['bytes'])})"
    parts = [fetched if event["fetched"] else "fetched nothing", f"{event['here']} here"]
    if event["failed"]:
        parts.append(f"{len(event['failed'])} failed")
    if event["missing"]:
        parts.append(f"{len(event['missing'])} still to come: the same command again goes on with them")
    return [", ".join(parts)]


def _failure(event: Mapping[str, Any]) -> str:
    return f"{event['package']}: {event['reason']}"


def _amount(event: Mapping[str, Any]) -> str:
    whole = event["bytes"]
    return amounts.size(event["done"]) + (f" of {amounts.size(whole)}" if whole else "")
