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
    restlet: str
    """Restlet's version, as its Server header tells it."""

    # sessions
    data_paths: tuple[str, ...]
    """Where a script without a login gets 401; a browser, and everybody elsewhere, is sent to the login page."""
    open_paths: tuple[str, ...]
    """Beginnings of the paths that need no login."""
    challenge: bool
    """The container's 401 names the site in WWW-Authenticate."""
    logged_in: str
    """What /data/auth answers."""
    csrf: bool
    """``?CSRF=true`` adds a token, which lets a browser write."""
    services_auth_tells: bool
    """/data/services/auth answers with the session's id, and 401 to a wrong password, not 500."""
    failed_logins: int
    """So many wrong passwords in a row lock the account; 0: it is never locked."""
    token_service: bool
    """Alias tokens can be shown and validated, and end when they are invalidated or too old."""
    xapi: bool
    """There is /xapi, and no /data/version."""

    # listings
    pages: bool
    """``limit`` and ``offset`` page the listings of subjects and experiments."""
    filters_in_projects: bool
    """Filters narrow the listings inside a project; where not, the project's clause overwrites them."""
    filters_projects: bool
    """Filters narrow the list of projects, for all; where not, for administrators only."""
    sharing_project: bool
    """An experiment shared into a project is listed there with that project, and its subject's label there."""
    more_columns: bool
    """Listings know further column names."""
    subject_columns: bool
    """The site's experiments of one type have subject_ID and subject_label among the default columns."""
    bad_field: int
    """What a field that does not exist makes of a listing of experiments: 500, or 200 with an empty body."""
    hidden_subjects: int
    """The status of the subjects of a project that is listed for everyone, to those who may not read it."""
    no_scans: int
    """The status of the scans of an experiment that is not there, not readable or no image session."""

    # documents
    experiment_format: str
    """What /data/experiments/{ID} is without a ``format=``."""
    first_type_for_all: bool
    """A subject's JSON gives all experiments the type of the first, and no children to the others."""

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
    restlet="1.1.6",
    data_paths=("/data",),
    open_paths=("/data/version", "/data/services/auth", "/app/template/Login.vm", "/j_spring_security_check"),
    challenge=False,
    logged_in="User '{}' is logged in.",
    csrf=False,
    services_auth_tells=False,
    failed_logins=0,
    token_service=False,
    xapi=False,
    pages=False,
    filters_in_projects=False,
    filters_projects=True,
    sharing_project=False,
    more_columns=False,
    subject_columns=False,
    bad_field=200,
    hidden_subjects=500,
    no_scans=500,
    experiment_format="xml",
    first_type_for_all=True,
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
    restlet="1.1.10",
    data_paths=("/data", "/REST", "/xapi", "/fs"),
    open_paths=(
        *("/data/JSESSION", "/data/services/auth", "/app/template/Login.vm", "/j_spring_security_check"),
        *(f"/xapi/siteConfig/{name}" for name in ("buildInfo", "siteId", "siteUrl", "siteHome", "siteLogoPath")),
    ),
    challenge=True,
    logged_in="User '{}' is logged in",
    csrf=True,
    services_auth_tells=True,
    failed_logins=20,
    token_service=True,
    xapi=True,
    pages=True,
    filters_in_projects=True,
    filters_projects=False,
    sharing_project=True,
    more_columns=True,
    subject_columns=True,
    bad_field=500,
    hidden_subjects=403,
    no_scans=404,
    experiment_format="html",
    first_type_for_all=False,
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
