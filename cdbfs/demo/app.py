"""The WSGI application: routing, and what comes before and after every route.

Used by ``standin`` behind the HTTP layer. It keeps no state between requests but the published world,
which is replaced as a whole; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from cdbfs.demo import ranges, replies
from cdbfs.demo.dialect import DIALECTS, Dialect
from cdbfs.demo.guard import Caller, Guard, is_browser
from cdbfs.demo.packages.desk import Desk
from cdbfs.demo.routes import routes
from cdbfs.demo.routes.call import Call
from cdbfs.demo.routes.site import site_page
from cdbfs.demo.search.shelf import Shelf
from cdbfs.demo.sessions import new_identifier
from cdbfs.demo.world import World

_PREFIX = re.compile(r"^/(?:data|REST)(?:/archive)?(?=/|$)")
_NO_ROUTE = "*unknown*"


class Application:
    """XNAT's REST interface over a world, in one dialect."""

    def __init__(self, world: World, guard: Guard, desk: Desk) -> None:
        self.world = world
        self.guard = guard
        self.desk = desk
        self.dialect = guard.dialect
        self._routes = routes(self.dialect)
        self.searches = Shelf()
        self._urls = _URLS[self.dialect.name]

    def route(self, path: str) -> tuple[str, Mapping[str, str]]:
        """The route template of a decoded path, and the values of its placeholders."""
        plain = normal_path(path)
        if plain.startswith("/data/JSESSION"):
            return "/data/JSESSION", {}
        try:
            endpoint, values = self._urls.bind("").match(plain)
        except (NotFound, MethodNotAllowed):
            return _NO_ROUTE if plain.startswith("/data") else _top(plain), {}
        return str(endpoint), {name: str(value) for name, value in values.items()}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with Request(environ) as request:
            return self.respond(request)(environ, start_response)

    def respond(self, request: Request) -> Response:
        """The answer to one request."""
        raw = str(request.environ.get("REQUEST_URI", "")).partition("?")[0]
        if "%2f" in raw.lower():
            return replies.container(400, "Invalid URI")
        world = self.world
        path = normal_path(request.path)
        route, values = self.route(request.path)
        caller = self.guard.admit(request, world.data, path, route)
        if isinstance(caller, Response):
            return caller
        response = self._answered(
            Call(request, world, caller, values, self.guard, self.dialect, self.searches, self.desk), route
        )
        self._mark(response, caller)
        if request.method not in ("GET", "HEAD"):
            response.headers.pop("Vary", None)  # only what is read has variants
        if "Server" in response.headers:
            response.headers["Server"] = f"Noelios-Restlet-Engine/{self.dialect.restlet}"
        return response

    def _answered(self, call: Call, route: str) -> Response:
        request = call.request
        if request.method in ("POST", "PUT", "DELETE") and is_browser(request) and not _may_write(call):
            return replies.not_made(500, _csrf_message(request))
        if route not in self._routes:
            return replies.not_made(404) if route == _NO_ROUTE else site_page(call, route)
        handlers = self._routes[route]
        method = "GET" if request.method == "HEAD" else request.method
        if method not in handlers:
            return replies.restlet(405)
        try:
            response = handlers[method](call)
        except replies.Unacceptable:
            return replies.unacceptable()
        return ranges.of_stream(request, response) if response.status_code == 200 else response

    def _mark(self, response: Response, caller: Caller | None) -> None:
        if "Set-Cookie" in response.headers:
            return
        if caller is None:
            self.guard.mark(response, new_identifier())
        else:
            self.guard.mark(response, caller.session if caller.opened else None)


def normal_path(path: str) -> str:
    """The path with /REST and /data/archive written as /data, the same resources in XNAT."""
    return _PREFIX.sub("/data", path)


def _rule(route: str) -> str:
    """The template as werkzeug writes it; ``{path}`` is the one placeholder that takes slashes."""
    return re.sub(r"\{(\w+)\}", r"<\1>", route.replace("{path}", "<path:path>"))


def _url_map(dialect: Dialect) -> Map:
    rules = [Rule(_rule(route), endpoint=route) for route in routes(dialect)]
    return Map(rules, strict_slashes=False, merge_slashes=False)


# By name of the dialect. Made at import, not by each application: werkzeug compiles rules by way of `ast`, which
# in some CPythons (3.11 among them) fails where two threads do so at once, as tests with several servers would.
_URLS = {name: _url_map(dialect) for name, dialect in DIALECTS.items()}


def _top(path: str) -> str:
    return "/" + path.strip("/").partition("/")[0]


def _may_write(call: Call) -> bool:
    """A browser sends along the token of its session, lest another page's form write in its user's name."""
    if call.caller is None:
        return True
    token = call.guard.sessions.csrf(call.caller.session)
    return token is not None and call.request.values.get("XNAT_CSRF") == token


def _csrf_message(request: Request) -> str:
    lines = "\n".join(f"{name.lower()}: {value}" for name, value in request.headers.items())
    return (
        f"java.lang.Exception: Invalid submit value ({request.method} on URL: {request.base_url} from"
        f" {request.remote_addr} user: {request.remote_addr}\nHeaders:\n{lines}"
    )
