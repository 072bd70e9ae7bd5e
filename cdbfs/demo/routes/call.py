"""One request on its way through a route, and the look-ups that routes share.

Used by every module of this package. Nothing is kept; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable

from werkzeug.wrappers import Request, Response

from cdbfs.demo.dataset import Account, Experiment, Scan
from cdbfs.demo.dialect import Dialect
from cdbfs.demo.guard import Caller, Guard
from cdbfs.demo.packages.desk import Desk
from cdbfs.demo.search.shelf import Shelf
from cdbfs.demo.world import World

NO_EXPERIMENT = "Unable to find the specified experiment."


@dataclass(frozen=True)
class Call:
    """One request with what was found out about it; ``caller`` is None on the open routes."""

    request: Request
    world: World
    caller: Caller | None
    values: Mapping[str, str]
    guard: Guard
    dialect: Dialect
    searches: Shelf
    desk: Desk

    @property
    def account(self) -> Account:
        return self.caller.account if self.caller is not None else Account("", "", frozenset())

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.args.to_dict()

    @property
    def hidden(self) -> bool:
        """Whether documents keep their comments with database keys."""
        return self.query.get("concealHiddenFields", "false") in ("false", "0")

    def project_readable(self) -> bool:
        return self.world.readable_project(self.account, self.values["project"]) is not None

    def project_visible(self) -> bool:
        found = self.world.projects.get(self.values["project"])
        return found is not None and found.access != "private"


Handler = Callable[[Call], Response]
Routes = Mapping[str, Mapping[str, Handler]]
"""Route template -> method -> handler; HEAD is answered by GET's."""


def experiment_of(call: Call) -> Experiment | None:
    """The experiment of the path, if it exists and the caller may read it."""
    world, name, project = call.world, call.values["experiment"], call.values.get("project")
    if project is None or not call.project_readable():
        found = world.experiments.get(name)
    else:
        subject = world.subject_in(project, call.values["subject"]) if "subject" in call.values else None
        if "subject" in call.values and subject is None:
            found = world.experiments.get(name)
        else:
            found = world.experiment_in(project, name, subject)
    return found if found is not None and world.readable(call.account, found) else None


def scan_of(call: Call, experiment: Experiment) -> Scan | None:
    scans = call.world.data.content_of(experiment).scans
    return next((scan for scan in scans if scan.id == call.values["scan"]), None)


def is_image(call: Call, experiment: Experiment) -> bool:
    kind = call.world.types.get(experiment.type)
    return kind is not None and kind.image
