"""A stand-in for ConnectomeDB: an XNAT server, as 1.6 or as 1.8, on loopback with synthetic data.

Used by the demo command and by tests. Importing this package is cheap and needs nothing but the standard
library; ``StandIn`` needs werkzeug (the extra ``cdbfs[demo]``) and is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdbfs.demo.builder import DataSetBuilder
from cdbfs.demo.dataset import (
    Account,
    Content,
    DataSet,
    DataType,
    Experiment,
    File,
    Project,
    Resource,
    Scan,
    Subject,
)
from cdbfs.demo.documents import document
from cdbfs.demo.packages.offers import Packages
from cdbfs.demo.synthetic import connectomedb

if TYPE_CHECKING:
    from cdbfs.demo.standin import StandIn

__all__ = [
    "Account",
    "Content",
    "DataSet",
    "DataSetBuilder",
    "DataType",
    "Experiment",
    "File",
    "Packages",
    "Project",
    "Resource",
    "Scan",
    "StandIn",
    "Subject",
    "connectomedb",
    "document",
]


def __getattr__(name: str) -> Any:
    if name == "StandIn":
        from cdbfs.demo.standin import StandIn

        return StandIn
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
