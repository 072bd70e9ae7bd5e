"""What the tree raises, as the OSError that the binding expects, and as a line in `.cdbfs/errors`.

Used by operations. Threads: any.
"""

from __future__ import annotations

import errno as codes
import functools
import logging
from typing import Any, Callable, Protocol, TypeVar

from cdbfs.errors import CdbfsError, Interrupted, NoSuchName, ReadOnly, TooManyPackages, ours
from cdbfs.events import Journal

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

UNREPORTED = (NoSuchName, ReadOnly, Interrupted)
"""Everyday answers, which would bury real failures in `.cdbfs/errors`."""


class Reporting(Protocol):
    """What operations that report must have."""

    journal: Journal
    logged: set[str]

    def named(self, path: str | None, arguments: tuple[Any, ...]) -> str:
        """The path that an operation is about, which libfuse leaves out where there is a handle."""


def reports(operation: F) -> F:
    """Turn what an operation raises into an OSError, and note it in the journal."""

    @functools.wraps(operation)
    def wrapper(self: Reporting, path: str | None, *arguments: Any) -> Any:
        try:
            return operation(self, path, *arguments)
        except CdbfsError as error:
            if not isinstance(error, UNREPORTED):
                # A program that is stopped goes on asking: one line tells of all that it asked for.
                what = "packages" if isinstance(error, TooManyPackages) else self.named(path, arguments)
                self.journal.record(error, what)
            raise OSError(error.errno, str(error)) from None
        except OSError:
            raise
        except BaseException as error:  # SystemExit too: no call may end the mount, and fusepy cannot pass it on
            _log_once(self, operation.__name__, error)
            self.journal.record(ours(error), self.named(path, arguments))
            raise OSError(codes.EIO, "a fault in cdbfs itself") from None

    return wrapper  # type: ignore[return-value]


def _log_once(operations: Reporting, name: str, error: BaseException) -> None:
    """The traceback of a fault of our own, once for each kind: a log of years must stay small."""
    kind = f"{name} {type(error).__name__}"
    if kind not in operations.logged:
        operations.logged.add(kind)
        log.exception("a fault in cdbfs itself in %s", name)
