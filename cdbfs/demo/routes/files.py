"""Resources, their catalogs and their files; the messages of refusals are those of XNAT 1.6.4."""

from __future__ import annotations

import re
from collections.abc import Sequence

from werkzeug.http import http_date
from werkzeug.wrappers import Response

from cdbfs.demo import archives, ranges, replies
from cdbfs.demo.dataset import File, Resource
from cdbfs.demo.files import Entry, Holder, catalog_xml, content_type, file_table, member, modified, resource_table
from cdbfs.demo.routes import changes
from cdbfs.demo.routes.call import Call, Routes
from cdbfs.demo.routes.holders import (
    NO_CATALOG,
    NO_ENTRY,
    NoProject,
    entries_of,
    find,
    flag,
    guarded,
    holders_of,
    missing,
    paths_of,
    resources_of,
)

_NO_FILE = "Unable to find file."
_LOCATORS = ("absolutePath", "projectPath")
_BUFFERED = 8192
"""Seen on XNAT 1.6.4: the container knows the length of a zip that fits into its buffer."""


def resource_list(call: Call) -> Response:
    try:
        held = resources_of(call, holders_of(call))
    except NoProject:
        return replies.not_made(404)
    return replies.table(call.request, resource_table(held))


def catalog(call: Call) -> Response:
    """Seen on XNAT 1.6.4: XML even with ``format=json``, and of a known length."""
    try:
        held = resources_of(call, holders_of(call))
    except NoProject:
        return replies.not_made(404)
    if not held:
        return replies.restlet(404, NO_CATALOG)
    body = catalog_xml(call.world.data, held[0][1], sizes=call.dialect.catalog_sizes)
    return Response(body, headers={**replies.RESTLET, "Content-Type": "text/xml"})


def file_list(call: Call) -> Response:
    """Seen on XNAT 1.6.4: of an unknown resource or an unreadable experiment it is empty, not a 404."""
    holders = holders_of(call)
    entries = entries_of(call, resources_of(call, holders))
    if "index" in call.query:
        return _indexed(call, entries)
    return _listing(call, holders, entries)


def _listing(call: Call, holders: Sequence[Holder], entries: Sequence[Entry]) -> Response:
    if call.query.get("format") in archives.FORMATS:
        return _archive(call, holders, entries)
    locator = call.query.get("locator", "URI")
    table = file_table(entries, locator if locator in _LOCATORS else "URI", digests=call.dialect.file_digests)
    return replies.table(call.request, table)


def _archive(call: Call, holders: Sequence[Holder], entries: Sequence[Entry]) -> Response:
    kind, make = archives.FORMATS[call.query["format"]]
    structure = call.query.get("structure", "")
    members = {member(e, structure, typed="scan" in call.values): e.file for e in entries}
    label = holders[0].label if holders else "files"
    disposition = f'attachment; filename="{_header_safe(label)}.{call.query["format"]}";'
    if not members:
        response = replies.restlet(404)
    else:
        body = make(members.items())
        known = call.query["format"] == "zip" and len(body) <= _BUFFERED and call.request.method != "HEAD"
        answer = Response if known else replies.ChunkedResponse
        response = answer(body, headers={**replies.RESTLET, "Content-Type": kind})
    response.headers["Content-Disposition"] = disposition
    return response


def _header_safe(name: str) -> str:
    return re.sub(r'[\x00-\x1f"\x7f]', "_", name).encode("ascii", "replace").decode()


def _indexed(call: Call, entries: Sequence[Entry]) -> Response:
    """The file at a place in the listing. Seen on XNAT 1.6.4: ``index=0`` of two files is not found."""
    place = call.query["index"]
    if not call.dialect.files_by_index or not place.isdecimal() or int(place) >= len(entries):
        return missing(NO_ENTRY)
    return _file(call, entries[int(place)].file)


# --- files


def file_get(call: Call) -> Response:
    paths = paths_of(call)
    holders = holders_of(call)
    held = resources_of(call, holders)
    if not held:
        return replies.restlet(404, _NO_FILE)
    entries = entries_of(call, held)
    if paths[0].endswith("/"):
        return _listing(call, holders, [e for e in entries if e.file.path.startswith(tuple(paths))])
    found = find(entries, paths)
    if found is None:
        return _inside_zip(call, held, paths)
    if flag(call, "listContents"):
        return _zip_listing(call, found)
    return _file(call, found)


def _file(call: Call, file: File) -> Response:
    when = modified(file).replace(microsecond=0)
    since = call.request.if_modified_since
    headers = {**replies.RESTLET, "Cache-Control": "must-revalidate"}
    if since is not None and when <= since:
        response = Response(b"", 304, headers=headers)
        response.headers.pop("Content-Type", None)
        return response
    response = Response(file.data(), headers={**headers, "Content-Type": content_type(file.name)})
    response.headers["Last-Modified"] = http_date(when)
    if call.dialect.file_disposition:
        response.headers["Content-Disposition"] = f'attachment; filename="{_header_safe(file.name)}";'
    return ranges.of_file(call.request, response)


def _zip_listing(call: Call, file: File) -> Response:
    try:
        return replies.table(call.request, archives.members_table(file.data()))
    except archives.NotAZip:
        return _not_a_zip(call)


def _inside_zip(call: Call, held: Sequence[tuple[Holder, Resource]], paths: Sequence[str]) -> Response:
    """A member of a zip file. Seen on XNAT 1.6.4: its length is not told, and a leading slash does not work."""
    if len(held) != 1:
        return missing(NO_ENTRY)
    entries = entries_of(call, held)
    places = [place for place in map(archives.split, paths) if place is not None]
    file = find(entries, [place[0] for place in places])
    if file is None:
        plain = [path.partition("!")[0] for path in paths if "!" in path]
        return _not_a_zip(call) if find(entries, plain) is not None else missing(NO_ENTRY)
    try:
        found = (archives.read_member(file.data(), name) for _, name in places)
        data = next((member for member in found if member is not None), None)
    except archives.NotAZip:
        return _not_a_zip(call)
    if data is None:
        return missing(_NO_FILE)
    kind = content_type(places[0][1])
    return replies.ChunkedResponse(data, headers={**replies.RESTLET, "Content-Type": kind})


def _not_a_zip(call: Call) -> Response:
    """Seen on XNAT 1.6.4: what is not a zip file has no entry of that name; newer servers refuse its type."""
    return replies.restlet(415) if call.dialect.refuses_what_is_no_zip else missing(NO_ENTRY)


_METHODS = {
    "resources": {"GET": resource_list},
    "resources/{resource}": {
        "GET": catalog,
        "PUT": changes.put_resource,
        "DELETE": changes.delete_resource,
    },
    "resources/{resource}/files": {"GET": file_list, "PUT": changes.put_file, "POST": changes.put_file},
    "resources/{resource}/files/{path}": {
        "GET": file_get,
        "PUT": changes.put_file,
        "POST": changes.put_file,
        "DELETE": changes.delete_file,
    },
    "files": {"GET": file_list},
    "files/{path}": {"GET": file_get},
}
_EXPERIMENTS = (
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}",
    "/data/projects/{project}/experiments/{experiment}",
    "/data/experiments/{experiment}",
)
_HOLDERS = (
    "/data/projects/{project}",
    "/data/projects/{project}/subjects/{subject}",
    "/data/subjects/{subject}",
    *_EXPERIMENTS,
    *(f"{experiment}/scans/{{scan}}" for experiment in _EXPERIMENTS),
)
ROUTES: Routes = {
    f"{holder}/{rest}": {method: guarded(handler) for method, handler in methods.items()}
    for holder in _HOLDERS
    for rest, methods in _METHODS.items()
}
