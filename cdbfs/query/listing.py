"""The fields of a data type as a table: what can be asked for, and where the same stands in the tree.

Used by the command `cdbfs fields`. Pure functions, any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cdbfs.query.fields import Fields
from cdbfs.xnat.models import SearchField

HEADER = ("id", "header", "type", "description", "path")
_PATH = re.compile(r"[\w-]+(/[\w-]+)*\Z")
_NOT_SCORES = ("id", "label", "project", "subject_id", "date", "time")
"""Of an experiment's root: attributes, and what stands in experiments.csv."""


def table(fields: Fields) -> Iterator[tuple[str, ...]]:
    """A row a field, in the server's order; `path` is the one below scores/, where there is one."""
    for field in fields.by_id.values():
        yield field.id, field.header, field.kind, field.description, score_path(field)


def score_path(field: SearchField) -> str:
    """The path below scores/ of the value that a field shows; "" where it shows no score, or more than one."""
    prefix, path = f"{field.element}/", field.path
    below = path[len(prefix) :] if path.lower().startswith(prefix.lower()) else ""
    if not _PATH.match(below) or below.lower() in _NOT_SCORES or below.startswith(("meta/", "sharing/")):
        return ""
    return below
