"""What is not the REST interface: enough for a client to see that it is there, or not."""

from __future__ import annotations

from werkzeug.wrappers import Response

from cdbfs.demo import pages, replies


def site_page(route: str) -> Response:
    """What is not the REST interface: enough for a client to see that it is there, or not."""
    if route in ("/", "/app", "/j_spring_security_check"):
        return replies.html(pages.LOGIN_PAGE)
    return replies.container(404)
