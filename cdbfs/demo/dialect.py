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

    # searches
    empty_where_is_all: bool
    """A search_where without criteria finds everything; where not, it is an error of the server's."""
    in_alone: bool
    """An IN straight in a search_where makes what stands beside it count for nothing; where not, that is a 500."""
    refuses_attacks: bool
    """A value that looks like an SQL injection is an error of the server's; where not, it is only a value."""
    default_columns: tuple[str, ...]
    """The display versions whose columns a search has that names none; the first that there is."""
    reuses_views: bool
    """A search whose ID is that of a cached one is answered with the rows of that one."""
    no_view: int
    """The status of a cached search that is gone."""
    others_view: int
    """The status of another user's cached search; a 200 is empty."""
    no_search: int
    """The status of a saved search's document that is not there."""
    long_aliases: bool
    """A column name over 63 characters is an alias with a number; where not, it ends there."""
    saved_users: bool
    """The list of saved searches names their users."""

    # files
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


V1_6 = Dialect(
    name="1.6",
    version="1.6.3",
    empty_where_is_all=False,
    in_alone=False,
    refuses_attacks=False,
    default_columns=("detailed", "listing"),
    reuses_views=False,
    no_view=500,
    others_view=200,
    no_search=500,
    long_aliases=False,
    saved_users=False,
)
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
    empty_where_is_all=True,
    in_alone=True,
    refuses_attacks=True,
    default_columns=("listing",),
    reuses_views=True,
    no_view=410,
    others_view=410,
    no_search=404,
    long_aliases=True,
    saved_users=True,
)
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (V1_6, V1_8)}
