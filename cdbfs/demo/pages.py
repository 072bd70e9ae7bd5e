"""The two kinds of error pages an XNAT 1.6 answers with, and its few other pages.

Restlet's status page starts with ``<html>`` and carries the message in ``<h3>``; the container's page
starts with ``<!doctype html>``. Seen on XNAT 1.6.4; the container's HTML belongs to the Tomcat it ran in.
Used by the routes and the faults. Pure functions, any thread.
"""

from __future__ import annotations

from html import escape
from http import HTTPStatus

_RESTLET = """<html>
<head>
   <title>Status page</title>
</head>
<body>
<h3>{message}</h3><p>You can get technical details <a href="{reference}">here</a>.<br>
Please continue your visit at our <a href="/">home page</a>.
</p>
</body>
</html>
"""

_RFC2616 = "http://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#sec10.{}.{}"

_RESTLET_MESSAGES = {
    400: "The request could not be understood by the server due to malformed syntax",
    401: "The request requires user authentication",
    403: "The server understood the request, but is refusing to fulfill it",
    404: "The server has not found anything matching the request URI",
    405: "The method specified in the request is not allowed for the resource identified by the request URI",
    422: "The server understands the content type of the request entity and the syntax of the request entity is"
    " correct but was unable to process the contained instructions",
    500: "The server encountered an unexpected condition which prevented it from fulfilling the request",
    501: "The server does not support the functionality required to fulfill the request",
    503: "The server is currently unable to handle the request due to a temporary overloading or maintenance"
    " of the server",
}

_STYLE = (
    "body {font-family:Tahoma,Arial,sans-serif;} h1, h2, h3, b {color:white;background-color:#525D76;} "
    "h1 {font-size:22px;} h2 {font-size:16px;} h3 {font-size:14px;} p {font-size:12px;} a {color:black;} "
    ".line {height:1px;background-color:#525D76;border:none;}"
)

_DESCRIPTIONS = {
    400: "The server cannot or will not process the request due to something that is perceived to be a client"
    " error (e.g., malformed request syntax, invalid request message framing, or deceptive request routing).",
    401: "The request has not been applied because it lacks valid authentication credentials for the target"
    " resource.",
    404: "The origin server did not find a current representation for the target resource or is not willing to"
    " disclose that one exists.",
    406: "The target resource does not have a current representation that would be acceptable to the user agent,"
    " according to the proactive negotiation header fields received in the request, and the server is unwilling"
    " to supply a default representation.",
    500: "The server encountered an unexpected condition that prevented it from fulfilling the request.",
}

LOGIN_FAILED = "Login attempt failed. Please try again."
NOT_ACCEPTABLE = (
    "The resource identified by the request is only capable of generating response entities which have content"
    " characteristics not acceptable according to the accept headers sent in the request"
)

LOGIN_PAGE = (
    '<!DOCTYPE html>\r\n<html><head><title>XNAT</title></head><body><form name="form1" method="post"'
    ' action="/j_spring_security_check">\r\n<label>User</label><input name="j_username">\r\n'
    '<label>Password</label><input type="password" name="j_password">\r\n</form></body></html>\r\n'
)


def home(user: str) -> str:
    """The page after a login, with what clients look for on it: who is logged in."""
    return (
        "<!DOCTYPE html>\r\n<html><head><title>XNAT</title></head><body>"
        f'<span id="user_info">Logged in as: &nbsp;<a>{escape(user)}</a></span></body></html>\r\n'
    )


def restlet(status: int, message: str | None = None) -> str:
    """Restlet's status page; the message is not escaped, as XNAT does not escape it either."""
    text = message if message is not None else _RESTLET_MESSAGES.get(status, reason(status))
    return _RESTLET.format(message=text, reference=_reference(status))


def container(status: int, message: str | None = None) -> str:
    """The servlet container's error page."""
    title = f"HTTP Status {status} \u2013 {reason(status)}"
    said = f"<p><b>Message</b> {_escaped(message)}</p>" if message else ""
    return (
        f'<!doctype html><html lang="en"><head><title>{title}</title><style type="text/css">{_STYLE}</style>'
        f'</head><body><h1>{title}</h1><hr class="line" /><p><b>Type</b> Status Report</p>{said}'
        f"<p><b>Description</b> {_DESCRIPTIONS.get(status, reason(status))}</p>"
        '<hr class="line" /><h3>Apache Tomcat/9.0.70 (Debian)</h3></body></html>'
    )


def report(title: str) -> str:
    """A stand-in for XNAT's HTML report of an item: what a request without ``format=`` gets."""
    name = escape(title)
    return f"<!DOCTYPE html>\r\n<html><head><title>{name}</title></head><body><h1>{name}</h1></body></html>\r\n"


def _escaped(message: str) -> str:
    """As Tomcat escapes: the slash too, and the apostrophe by its decimal number."""
    return escape(message).replace("&#x27;", "&#39;").replace("/", "&#47;")


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _reference(status: int) -> str:
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return "http://www.webdav.org/specs/rfc2518.html#STATUS_422"
    return _RFC2616.format(status // 100, status % 100 + 1)
