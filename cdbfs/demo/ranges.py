"""Byte ranges as XNAT's Restlet answers them, which is not as the RFC says.

Seen on XNAT 1.6.4: one range of a file is a 206 whatever the size of the file. Nothing is clamped and
nothing is a 416: an end past the end of the file is announced as asked and the body is short; a start past it,
or a reversed range, announces a negative length. The connection then hangs (the HTTP layer plays that). Two
ranges are a 501. Where the size of an answer is not known, a bounded range is ignored and any other one is
a 500. If-Range is ignored. Used by the application and the routes of files. Pure functions, any thread.
"""

from __future__ import annotations

import re

from werkzeug.wrappers import Request, Response

from cdbfs.demo import replies

_ONE = re.compile(r"^bytes=(\d*)-(\d*)$")
_SEVERAL = re.compile(r"^bytes=\d*-\d*(?:,\s*\d*-\d*)+$")


def of_file(request: Request, response: Response) -> Response:
    """The answer with a file, or the part of it that was asked for."""
    asked = request.headers.get("Range", "")
    if _SEVERAL.match(asked):
        return _refused(501, response, "Cache-Control")
    bounds = _bounds(asked, len(response.get_data()))
    if bounds is None:
        return response
    first, last, size = *bounds, len(response.get_data())
    response.set_data(response.get_data()[max(0, first) : max(0, last + 1)])
    response.status_code = 206
    response.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    response.headers["Content-Length"] = str(last - first + 1)
    return response


def of_stream(request: Request, response: Response) -> Response:
    """The answer whose size is not known, or the refusal of a range that needs to know it."""
    found = _ONE.match(request.headers.get("Range", ""))
    if found is None or (found[1] and found[2]) or found[0] == "bytes=-":
        return response
    return _refused(500, response, "Content-Disposition")


def _bounds(asked: str, size: int) -> tuple[int, int] | None:
    """First and last byte as asked, not clamped; None: no range of bytes."""
    found = _ONE.match(asked)
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:
        return size - int(found[2]), size - 1
    return int(found[1]), int(found[2]) if found[2] else size - 1


def _refused(status: int, response: Response, kept: str) -> Response:
    """The error page, with one header of the answer that it replaces: Restlet has set it already."""
    refusal = replies.restlet(status)
    if kept in response.headers:
        refusal.headers[kept] = response.headers[kept]
    return refusal
