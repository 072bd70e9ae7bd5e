"""The control interface below ``/_control``: counts, faults and sessions over HTTP.

Not part of XNAT; never counted, never delayed, no login. Used by ``standin``, and by test scripts that run
in another process. Any thread.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from werkzeug.wrappers import Request, Response


class Controlled(Protocol):
    """What control needs of the stand-in."""

    def counts(self) -> dict[str, int]: ...

    def session_counts(self) -> dict[str, int]: ...

    def reset_counts(self) -> None: ...

    def fault(self, route: str, kind: str, *, times: int | None = None, **parameters: Any) -> None: ...

    def faults(self) -> list[dict[str, object]]: ...

    def clear_faults(self) -> None: ...

    def expire_sessions(self) -> None: ...


def respond(request: Request, server: Controlled) -> Response:
    """The answer to a control request."""
    action = (request.method, request.path)
    if action == ("GET", "/_control/counts"):
        return _json({"counts": server.counts(), **server.session_counts()})
    if action == ("GET", "/_control/faults"):
        return _json({"faults": server.faults()})
    if action == ("POST", "/_control/faults"):
        return _add_fault(request, server)
    actions = {
        ("POST", "/_control/reset"): server.reset_counts,
        ("DELETE", "/_control/faults"): server.clear_faults,
        ("POST", "/_control/expire"): server.expire_sessions,
    }
    if action not in actions:
        return _json({"error": f"no control {request.method} {request.path}"}, 404)
    actions[action]()
    return _json({})


def _add_fault(request: Request, server: Controlled) -> Response:
    try:
        given = json.loads(request.get_data())
        if not isinstance(given, dict) or not given.keys() >= {"route", "kind"}:
            raise ValueError('a fault is an object with at least "route" and "kind"')
        server.fault(**given)
    except (ValueError, TypeError) as error:
        return _json({"error": str(error)}, 400)
    return _json({})


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")
