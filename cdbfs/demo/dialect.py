"""The two XNATs that the stand-in can be: what differs between them, by name.

1.6 is what ConnectomeDB ran when the tutorial was written, and is held against recorded answers; 1.8 is
written after the source of newer servers. Routes ask for a trait, never for a version. Constants, any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """The traits of one line of XNAT versions."""

    name: str
    version: str


V1_6 = Dialect(name="1.6", version="1.6.3")
V1_8 = Dialect(name="1.8", version="1.8.10")
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (V1_6, V1_8)}
