"""The control interface below ``/_control``: counts, faults, sessions and transfers over HTTP.

Not part of XNAT; never counted, never delayed, no login. Used by ``standin``, and by test scripts that run
in another process. Any thread.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Protocol

from werkzeug.wrappers import Request, Response

from cdbfs.demo.packages.desk import Change


class Controlled(Protocol):
    """What control needs of the stand-in."""

    def counts(self) -> dict[str, int]: ...

    def session_counts(self) -> dict[str, int]: ...

    def reset_counts(self) -> None: ...

    def fault(self, route: str, kind: str, *, times: int | None = None, **parameters: Any) -> None: ...

    def faults(self) -> list[dict[str, object]]: ...

    def clear_faults(self) -> None: ...

    def expire_sessions(self) -> None: ...

    def ascp_fault(self, kind: str, *, times: int | None = None, file: str | None = None, **more: Any) -> None: ...

    def downloads(self) -> list[str]: ...

    def transfers(self) -> dict[str, Any]: ...

    def hold(self, at: int | None, file: str) -> None: ...

    def change_specs(self, change: Change | None, *, times: int | None = None) -> None: ...

    ascp_rate: float | None


def respond(request: Request, server: Controlled) -> Response:
    """The answer to a control request."""
    action = (request.method, request.path)
    if action == ("GET", "/_control/counts"):
        return _json({"counts": server.counts(), **server.session_counts()})
    if action == ("GET", "/_control/faults"):
        return _json({"faults": server.faults()})
    if action == ("GET", "/_control/downloads"):
        return _json({"downloads": server.downloads()})
    if action == ("GET", "/_control/ascp"):
        return _json(server.transfers())
    if action in _TOLD:
        return _told(request, server, _TOLD[action])
    actions = {
        ("POST", "/_control/reset"): server.reset_counts,
        ("DELETE", "/_control/faults"): server.clear_faults,
        ("POST", "/_control/expire"): server.expire_sessions,
    }
    if action not in actions:
        return _json({"error": f"no control {request.method} {request.path}"}, 404)
    actions[action]()
    return _json({})


def _told(request: Request, server: Controlled, obey: Callable[[Controlled, dict[str, Any]], None]) -> Response:
    try:
        given = json.loads(request.get_data())
        if not isinstance(given, dict):
            raise ValueError("what is told is an object")
        obey(server, given)
    except (ValueError, TypeError) as error:
        return _json({"error": str(error)}, 400)
    return _json({})


def _add_fault(server: Controlled, given: dict[str, Any]) -> None:
    if not given.keys() >= {"route", "kind"}:
        raise ValueError('a fault is an object with at least "route" and "kind"')
    if given["route"] == "ascp":
        server.ascp_fault(**{name: value for name, value in given.items() if name != "route"})
    else:
        server.fault(**given)


def _change_specs(server: Controlled, given: dict[str, Any]) -> None:
    """{"merge": fields} or {"replace": anything}, with "times" (1 unless said, null: all); {}: true ones again."""
    times = given.get("times", 1)
    if "replace" in given:
        server.change_specs(lambda _: given["replace"], times=times)
    elif "merge" in given:
        server.change_specs(dict(given["merge"]), times=times)
    else:
        server.change_specs(None)


def _set_hold(server: Controlled, given: dict[str, Any]) -> None:
    """{"at": bytes, "file": pattern}; {} lets all go on."""
    at = given.get("at")
    server.hold(None if at is None else int(at), str(given.get("file", "*.zip")))


def _set_rate(server: Controlled, given: dict[str, Any]) -> None:
    """{"rate": bytes a second}; {}: any."""
    rate = given.get("rate")
    server.ascp_rate = None if rate is None else float(rate)


_TOLD = {
    ("POST", "/_control/faults"): _add_fault,
    ("POST", "/_control/specs"): _change_specs,
    ("POST", "/_control/hold"): _set_hold,
    ("POST", "/_control/rate"): _set_rate,
}


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")
