"""What a mount answers to `cdbfs fetch`, `evict` and `status`.

Used by control, which has the connection. A question is an object: `do` says what, the rest what with. Every
answer ends in an event `end`, or an exception, which control tells.

Threads: any; each question is answered in a thread of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Protocol

from cdbfs.caller import Caller, name_of
from cdbfs.errors import CdbfsError, Interrupted
from cdbfs.hcp.models import Package
from cdbfs.runtime import Runtime
from cdbfs.store.packages.boards import Told
from cdbfs.store.packages.fetching import check_amount, fetch_all
from cdbfs.store.packages.progress import Progress, event, last_event, transfer
from cdbfs.tree import selection
from cdbfs.tree.selection import Selection


class Asker(Protocol):
    """Who asks; control's Client."""

    process: int

    def tell(self, event: Mapping[str, Any]) -> None: ...

    def ended(self) -> bool:
        """Whether he wants no more of it; raises where he is gone."""


class Answering:
    """Answers for one mount."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._answers: dict[str, Callable[[Mapping[str, Any], Asker], None]] = {
            "fetch": self._fetch,
            "evict": self._evict,
            "status": self._status,
        }

    def answer(self, question: Mapping[str, Any], asker: Asker) -> None:
        """Raises CdbfsError for what cannot be answered, and what `asker` raises."""
        what = question.get("do")
        if not isinstance(what, str) or what not in self._answers:
            raise CdbfsError(f"this mount does not know what to do: {str(what)[:100]}")
        self._answers[what](question, asker)

    # -- fetch

    def _fetch(self, question: Mapping[str, Any], asker: Asker) -> None:
        packages = self._runtime.packages
        found = self._asked(question, asker)
        if question.get("sure") is not True:
            check_amount(packages, found.asked)
        for each in found.lacking:
            asker.tell(event(each))
        outcome = fetch_all(packages, found.asked, partial(_tell, asker), asker.ended, asker.process)
        packages.give_up(outcome.left)  # he said that he wants no more: who is gone leaves them their grace
        asker.tell(last_event(replace(outcome, failed=(*found.lacking, *outcome.failed))))

    def _asked(self, question: Mapping[str, Any], asker: Asker) -> Selection:
        tree, caller = self._runtime.tree, self._caller(asker)
        if "paths" in question:
            paths = _texts(question, "paths")
            return Selection([each for path in paths for each in selection.to_fetch(tree, path, caller)])
        project, subjects = _text(question, "project"), _texts(question, "subjects")
        return selection.in_tree(tree, project, subjects, _texts(question, "packages"), caller)

    # -- evict

    def _evict(self, question: Mapping[str, Any], asker: Asker) -> None:
        freed, given, in_use = 0, 0, []
        wanted = self._to_evict(question, asker)
        for package in wanted:
            size, busy = self._runtime.packages.evict(package)
            freed += size
            given += size > 0
            if busy:
                in_use.append(package.name)
            asker.tell({"event": "evicted", "package": package.name, "bytes": size, "in_use": busy})
            if asker.ended():
                raise Interrupted("ended before all was given back")
        if question.get("all") is True:
            freed += self._runtime.packages.evict_leftovers()
        asker.tell({"event": "end", "packages": given, "bytes": freed, "in_use": in_use})

    def _to_evict(self, question: Mapping[str, Any], asker: Asker) -> list[Package]:
        if question.get("all") is True:
            return self._runtime.packages.occupying()
        tree, caller = self._runtime.tree, self._caller(asker)
        paths = _texts(question, "paths")
        return list(dict.fromkeys(each for path in paths for each in selection.to_evict(tree, path, caller)))

    # -- status

    def _status(self, question: Mapping[str, Any], asker: Asker) -> None:
        transfers = [_under_way(told) for told in self._runtime.packages.transfers()]
        asker.tell({"event": "end", **self._runtime.status(), "transfers": transfers})

    # -- parts

    def _caller(self, asker: Asker) -> Caller:
        patience = self._runtime.settings.request_deadline
        return Caller(asker.process, os.getuid(), patience, asker.ended)


def _tell(asker: Asker, progress: Progress) -> None:
    asker.tell(event(progress))


def _under_way(told: Told) -> dict[str, Any]:
    waiting = [{"pid": process, "program": name_of(process)} for process in told.waiting]
    return {**transfer(told), "waiting": waiting}


def _text(question: Mapping[str, Any], key: str) -> str:
    value = question.get(key)
    if not isinstance(value, str):
        raise CdbfsError(f"a question about packages says {key}, a text")
    return value


def _texts(question: Mapping[str, Any], key: str) -> Sequence[str]:
    value = question.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise CdbfsError(f"a question about packages says {key}, a list of texts")
    return list(dict.fromkeys(value))
