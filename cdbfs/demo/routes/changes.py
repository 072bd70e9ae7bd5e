"""Uploads: files and resources put and deleted, kept by the world's ``uploads``.

Seen on XNAT 1.6.4: a name that is there already keeps its content, and the answer, a 200, lists it as a
duplicate. Used by ``routes.files``.
"""

from __future__ import annotations

import json

from werkzeug.wrappers import Response

from cdbfs.demo import archives, replies
from cdbfs.demo.dataset import File, Resource
from cdbfs.demo.files import Entry, Holder
from cdbfs.demo.routes.call import Call
from cdbfs.demo.routes.holders import (
    INVALID,
    NO_CATALOG,
    NO_ENTRY,
    Refused,
    find,
    flag,
    holders_of,
    missing,
    paths_of,
    resources_of,
)


def put_file(call: Call) -> Response:
    """Upload a file or the members of a zip (``extract=true``); without ``overwrite=true`` what is there stays."""
    holder = _writable(call)
    path, body = _sent(call)
    sent = [_file(call, path, body)]
    if flag(call, "extract"):
        sent = [_file(call, name, data) for name, data in _extracted(body)]
    name, overwrite = call.values["resource"], flag(call, "overwrite")
    there = call.world.uploads.put(holder.home, holder.published, name, sent, overwrite=overwrite)
    if not there:
        return replies.text("")
    listed = json.dumps({"duplicates": there}, ensure_ascii=False, separators=(",", ":"))
    return replies.ChunkedResponse(listed, headers={**replies.RESTLET, "Content-Type": "text/html"})


def _sent(call: Call) -> tuple[str, bytes]:
    """Path and content: the first part of a form, or (always with ``inbody=true``) the body as it is."""
    path = paths_of(call)[0] if "path" in call.values else ""
    if flag(call, "inbody") or call.request.mimetype != "multipart/form-data":
        return path, call.request.get_data()
    part = next(iter(call.request.files.values()), None)
    if part is None:
        raise Refused(replies.restlet(400, "Unable to identify file to upload."))
    return path or str(part.filename or ""), part.read()


def _file(call: Call, path: str, body: bytes) -> File:
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise Refused(replies.container(400, INVALID))
    tags = tuple(tag for tag in call.query.get("tags", "").split(",") if tag)
    kinds = call.query.get("format", ""), call.query.get("content", "")
    return File(path, len(body), body, *kinds, tags, created_by=call.account.user)


def _extracted(body: bytes) -> list[tuple[str, bytes]]:
    try:
        return archives.read_all(body)
    except archives.NotAZip as error:
        raise Refused(replies.restlet(400, str(error))) from error


def delete_file(call: Call) -> Response:
    holder = _writable(call)
    for _, resource in resources_of(call, [holder]):
        file = find([Entry(holder, resource, f) for f in resource.files], paths_of(call))
        if file is not None:
            call.world.uploads.remove(holder.home, holder.published, resource.key, file.path)
            return replies.nothing()
    return missing(NO_ENTRY)


def put_resource(call: Call) -> Response:
    holder = _writable(call)
    kinds = call.query.get("format", ""), call.query.get("content", ""), call.query.get("tags", "")
    empty = Resource(0, call.values["resource"], (), *kinds)
    if not call.world.uploads.make(holder.home, holder.published, empty):
        return replies.restlet(409, "Specified resource already exists.")
    return replies.nothing()


def delete_resource(call: Call) -> Response:
    holder = _writable(call)
    held = resources_of(call, [holder])
    for _, resource in held:
        call.world.uploads.remove(holder.home, holder.published, resource.key, None)
    return replies.nothing() if held else replies.restlet(404, NO_CATALOG)


def _writable(call: Call) -> Holder:
    """The one holder of the path, which the caller may change."""
    holders = holders_of(call)
    if len(holders) != 1:
        raise Refused(replies.restlet(404))
    if not call.account.may_write(holders[0].project):
        raise Refused(replies.restlet(403))
    return holders[0]
