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
    file_digests: bool = False
    """Listings of files have a column with MD5 digests."""
    file_disposition: bool = False
    """Every file is sent as an attachment of its name."""
    canonical_file_urls: bool = False
    """A file has one URL however it was asked for."""
    files_by_index: bool = False
    """``index=`` gives the file at a place of the listing."""
    catalog_sizes: bool = False
    """Entries of a catalog tell the size."""
    refuses_what_is_no_zip: bool = False
    """Looking into a file that is no zip archive is a 415, not a 404."""
    accepts_not_found: bool = False
    """``accept-not-found=true`` makes a 404 a 204."""


V1_6 = Dialect(name="1.6", version="1.6.3")
V1_8 = Dialect(
    name="1.8",
    version="1.8.10",
    file_digests=True,
    file_disposition=True,
    canonical_file_urls=True,
    files_by_index=True,
    catalog_sizes=True,
    refuses_what_is_no_zip=True,
    accepts_not_found=True,
)
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (V1_6, V1_8)}
