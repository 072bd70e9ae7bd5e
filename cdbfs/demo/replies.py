"""The answers of the stand-in as werkzeug responses, with the headers XNAT 1.6 puts on each kind.

Seen on XNAT 1.6.4: tables and documents have no charset, no Content-Length and no ETag; Restlet's
answers carry its Server line and Accept-Ranges, the container's own pages carry neither. Used by the guard
and the routes. Pure functions, any thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone

from werkzeug.wrappers import Request, Response

from cdbfs.demo import pages, tables
from cdbfs.demo.tables import Table

RESTLET = {
    "Vary": "Accept-Charset, Accept-Encoding, Accept-Language, Accept",
    "Accept-Ranges": "bytes",
    "Server": "Noelios-Restlet-Engine/1.1.6",
}
_NO_CACHE = {
    "Expires": "Tue, 03 Jul 2001 06:00:00 GMT",
    "Cache-Control": "no-store, no-cache, must-revalidate, max-age=0, post-check=0, pre-check=0",
    "Pragma": "no-cache",
}
_TABLE_KINDS = {
    "json": ("application/json", tables.to_json),
    "csv": ("text/csv", tables.to_csv),
    "xml": ("text/xml", tables.to_xml),
    "html": ("text/html", tables.to_html),
}
_TABLE_ACCEPTS = {"application/json": "json", "text/html": "html", "text/xml": "xml"}
_DOCUMENT_ACCEPTS = {"text/xml": "xml", "text/html": "html"}


class ChunkedResponse(Response):
    """A response of unknown length: the HTTP layer sends it chunked."""

    automatically_set_content_length = False


class Unacceptable(Exception):
    """No representation suits the request's Accept header: 406."""


def table_format(request: Request) -> str:
    """``format=`` beats Accept, an unknown one means HTML; without either it is JSON."""
    asked = request.args.get("format")
    if asked is not None:
        short = {"application/json": "json", "text/csv": "csv", "text/xml": "xml"}.get(asked, asked)
        return short if short in _TABLE_KINDS else "html"
    return _negotiated(request, _TABLE_ACCEPTS)


def document_format(request: Request, default: str) -> str:
    """json, html or xml; ``format=csv`` gives XML, and so does every other one that is not known."""
    asked = request.args.get("format")
    if asked is not None:
        return {"json": "json", "application/json": "json", "html": "html"}.get(asked, "xml")
    if default == "xml" and request.accept_mimetypes.quality("text/xml") > 0:
        # Seen on XNAT 1.6.4: a browser gets XML here too, though it likes HTML better.
        return "xml"
    accepts = dict(sorted(_DOCUMENT_ACCEPTS.items(), key=lambda item: item[1] != default))
    return _negotiated(request, accepts)


def _negotiated(request: Request, variants: Mapping[str, str]) -> str:
    accept = request.accept_mimetypes
    if not accept:
        return next(iter(variants.values()))
    best = max(variants, key=lambda kind: accept.quality(kind))
    if accept.quality(best) <= 0:
        raise Unacceptable
    return variants[best]


def table(request: Request, listing: Table) -> Response:
    kind, encode = _TABLE_KINDS[table_format(request)]
    return ChunkedResponse(encode(listing), headers={**RESTLET, "Content-Type": kind})


def xml(body: bytes) -> Response:
    return ChunkedResponse(body, headers={**RESTLET, "Content-Type": "text/xml"})


def item_json(item: Mapping[str, object]) -> Response:
    body = json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()
    return ChunkedResponse(body, headers={**RESTLET, "Content-Type": "application/json"})


def report(title: str) -> Response:
    response = page(pages.report(title), fresh=True)
    response.headers.update(RESTLET)
    return response


def json_text(value: object) -> Response:
    """JSON of a known length, as the services give it; tables and documents are of unknown length."""
    return Response(
        json.dumps(value, separators=(",", ":")), headers={**RESTLET, "Content-Type": "application/json"}
    )


def plain(body: str, status: int = 200, kind: str = "text/plain;charset=UTF-8") -> Response:
    """An answer of newer servers' /xapi, which is not Restlet's; an empty one has no type."""
    response = Response(body, status, headers={"Content-Type": kind})
    if not body:
        response.headers.pop("Content-Type", None)
    return response


def schema(body: bytes) -> Response:
    """A schema as newer servers give it: XML that is not Restlet's."""
    return Response(body, headers={"Content-Type": "application/xml;charset=UTF-8"})


def text(body: str) -> Response:
    return Response(body, headers={**RESTLET, "Content-Type": "text/plain;charset=ISO-8859-1"})


def whole(body: str, kind: str) -> Response:
    """A body of known length, in XNAT's default character set."""
    headers = {**RESTLET, "Content-Type": f"{kind};charset=ISO-8859-1"}
    return Response(body.encode("iso-8859-1", "xmlcharrefreplace"), headers=headers)


def nothing(kind: str = "") -> Response:
    """A 200 with an empty body, typed or not."""
    response = Response(b"", headers=RESTLET)
    response.headers.pop("Content-Type", None)
    if kind:
        response.headers["Content-Type"] = kind
    return response


def not_made(status: int, message: str | None = None) -> Response:
    """Restlet's refusal where the resource could not even be made: no Vary, and no ranges if that failed."""
    response = restlet(status, message)
    response.headers.pop("Vary")
    if status >= 500:
        response.headers.pop("Accept-Ranges")
    return response


def restlet(status: int, message: str | None = None) -> Response:
    body = pages.restlet(status, message).encode("iso-8859-1", "xmlcharrefreplace")
    headers = {**RESTLET, "Content-Type": "text/html;charset=ISO-8859-1"}
    return Response(body, status, headers=headers)


def unacceptable() -> Response:
    """Restlet's 406, with the container's page."""
    response = container(406, pages.NOT_ACCEPTABLE)
    response.headers.update({name: RESTLET[name] for name in ("Accept-Ranges", "Server")})
    return response


def container(status: int, message: str | None = None) -> Response:
    headers = {"Content-Type": "text/html;charset=utf-8", "Content-Language": "en"}
    return Response(pages.container(status, message), status, headers=headers)


def redirect(location: str) -> Response:
    response = Response(b"", 302, headers={"Location": location})
    response.headers.pop("Content-Type", None)
    response.autocorrect_location_header = False
    return response


def page(html: str, *, fresh: bool) -> Response:
    """A page for people; a ``fresh`` one is not to be kept, and says when it was made in words of its own."""
    headers = {"Content-Type": "text/html;charset=ISO-8859-1", "Content-Language": "en-US"}
    if fresh:
        now = datetime.now(timezone.utc).strftime("%a %b %d %H:%M:%S UTC %Y")
        headers.update(_NO_CACHE, **{"Last-Modified": now})
    return ChunkedResponse(html.encode("iso-8859-1", "xmlcharrefreplace"), headers=headers)
