""".cdbfs/: the daemon about itself. No network, no waiting, no secrets.

Threads: immutable; `status` must be safe for any thread.
"""

from __future__ import annotations

import json
import time
from typing import Any, Callable

from cdbfs.caller import Caller
from cdbfs.events import Journal
from cdbfs.store.packages.packages import Packages
from cdbfs.tree.nodes import Content, Directory, Fixed, Kind, Made
from cdbfs.tree.transfers import TRANSFERS, TransferDirectory

CONTROL = ".cdbfs"
"""The directory's name in the mount."""


def control_directory(
    journal: Journal, version: str, status: Callable[[], dict[str, Any]], packages: Packages, started: int
) -> Directory:
    """.cdbfs/ with `errors` from the journal, `version`, `status.json` from `status`, and transfers/."""

    def errors(caller: Caller) -> Content:
        failures = journal.failures()
        changed = int(failures[-1].when * 10**9) if failures else started
        return Content("".join(failure.line() + "\n" for failure in failures).encode(), changed, volatile=True)

    def status_json(caller: Caller) -> Content:
        return Content((json.dumps(status(), indent=2) + "\n").encode(), time.time_ns(), volatile=True)

    def version_text(caller: Caller) -> Content:
        return Content((version + "\n").encode(), started)

    children = {
        "errors": (Kind.FILE, lambda: Made(errors)),
        "status.json": (Kind.FILE, lambda: Made(status_json)),
        TRANSFERS: (Kind.DIRECTORY, lambda: TransferDirectory(packages, started)),
        "version": (Kind.FILE, lambda: Made(version_text)),
    }
    return Fixed(children, started)
