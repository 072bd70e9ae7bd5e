"""A result that stands in the tree by itself: looked at, it shows what is kept; opened, what a search finds.

Used by saved and tables. Threads: immutable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from cdbfs.caller import Caller
from cdbfs.errors import GivenUp
from cdbfs.query.runs import Job, Runs
from cdbfs.store.results import Kept, OnDisk
from cdbfs.tree.nodes import Result


@dataclass(frozen=True)
class StandingResult(Result):
    """The result of `job`, which is what `ask` gave to who looked it up; `path` is the file's in the mount."""

    runs: Runs
    path: str
    job: Job
    ask: Callable[[Caller], Job]
    changed: int
    """The file's time while there is no result: nanoseconds since the epoch."""

    def shown(self) -> Kept:
        return self.runs.kept(self.job.key) or Kept(0, self.changed)

    def open(self, caller: Caller) -> OnDisk:
        job = self.job
        while True:
            try:
                return self.runs.open(job, self.path, caller)
            except GivenUp:  # who opened it after us was told of a change, and asks something else
                job = self.ask(caller)
