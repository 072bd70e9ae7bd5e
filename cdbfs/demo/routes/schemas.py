"""Schemas and display documents: static files in XNAT 1.6, a service of newer servers, which hides the latter."""

from __future__ import annotations

import json

from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import http_date
from werkzeug.wrappers import Response

from cdbfs.demo import replies, schemas
from cdbfs.demo.routes.call import Call, Routes
from cdbfs.demo.schemas import displays

_DEPLOYED = 1345420800.0
"""When the server's files were put there, in seconds since 1970."""


def static_file(call: Call) -> Response:
    """A schema or a display document, with what a servlet container says of a file."""
    path = call.request.path.partition("/schemas/")[2]
    body = schemas.schema(call.world, path)
    if body is None and "/display/" in path:
        body = displays.document(call.world, call.searches.of(call.world)[0], path)
    if body is None:
        return replies.container(404, f"The requested resource [{call.request.path}] is not available")
    headers = {"Content-Type": "text/xml", "Last-Modified": http_date(_DEPLOYED)}
    response = Response(body, headers=headers)
    response.set_etag(f"{len(body)}-{int(_DEPLOYED * 1000)}", weak=True)
    try:
        return response.make_conditional(call.request, accept_ranges=True, complete_length=len(body))
    except RequestedRangeNotSatisfiable:
        return replies.container(416)


def served_schema(call: Call) -> Response:
    """``/xapi/schemas/xnat``, ``/xapi/schemas/pipeline/workflow``; ``/schemas/..`` with ``.xsd`` is the same."""
    name = call.values["name"].removesuffix(".xsd")
    body = schemas.schema(call.world, f"{call.values.get('folder', name)}/{name}.xsd")
    return replies.plain("", 404) if body is None else replies.schema(body)


def schema_names(call: Call) -> Response:
    """The names of all schemas; a folder and its file of the same name are one name."""
    pairs = [path.removesuffix(".xsd").split("/") for path in schemas.paths(call.world)]
    names = [folder if folder == name else f"{folder}/{name}" for folder, name in pairs]
    return replies.plain(json.dumps(names), kind="application/json;charset=UTF-8")


STATIC_ROUTES: Routes = {
    "/schemas/{folder}/{name}": {"GET": static_file},
    "/schemas/{folder}/display/{name}": {"GET": static_file},
}
SERVICE_ROUTES: Routes = {
    "/schemas/{name}": {"GET": served_schema},
    "/schemas/{folder}/{name}": {"GET": served_schema},
    "/xapi/schemas": {"GET": schema_names},
    "/xapi/schemas/{name}": {"GET": served_schema},
    "/xapi/schemas/{folder}/{name}": {"GET": served_schema},
}
