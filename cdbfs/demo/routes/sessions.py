"""Logging in and out, who one is, and which server this is."""

from __future__ import annotations

from collections.abc import Iterator

from werkzeug.wrappers import Response

from cdbfs.demo import replies
from cdbfs.demo.routes.call import Call, Routes
from cdbfs.demo.sessions import new_identifier
from cdbfs.demo.tables import Table


def jsession(call: Call) -> Response:
    """The session's id; on a newer server anybody gets one, a guest's, which opens nothing."""
    if call.caller is not None:
        return replies.text(call.caller.session + _csrf(call))
    identifier = new_identifier()
    response = replies.text(identifier)
    call.guard.mark(response, identifier)
    return response


def end_session(call: Call) -> Response:
    if call.caller is not None:
        call.guard.sessions.close(call.caller.session)
    return replies.nothing()


def auth(call: Call) -> Response:
    return replies.text(call.dialect.logged_in.format(call.account.user) + _csrf(call))


def _csrf(call: Call) -> str:
    asked = call.query.get("CSRF", "false") not in ("false", "0")
    if not asked or not call.dialect.csrf or call.caller is None:
        return ""
    return f"; XNAT_CSRF={call.guard.sessions.csrf(call.caller.session)}"


def version(call: Call) -> Response:
    """Newer servers tell it at /xapi/siteConfig/buildInfo only."""
    return replies.text(call.dialect.version) if not call.dialect.xapi else replies.not_made(404)


def services_auth(call: Call) -> Response:
    """Seen on XNAT 1.6.4: 200 with an empty body and the cookie; a wrong password is a 500."""
    form = call.request.form
    user = form.get("username", form.get("j_username", ""))
    password = form.get("password", form.get("j_password", ""))
    made = call.guard.log_in(call.world.data, user, password, call.request.method, "/data/services/auth")
    if call.dialect.services_auth_tells:
        response = replies.text(made.session) if made is not None else replies.restlet(401, _FAILED)
    else:
        response = replies.nothing() if made is not None else replies.not_made(500, "Bad credentials")
    call.guard.mark(response, made.session if made is not None else new_identifier())
    return response


_FAILED = "Authentication failed: Login attempt failed. Please try again."


def no_services_auth(call: Call) -> Response:
    return replies.not_made(500 if call.dialect.services_auth_tells else 404)


def user_list(call: Call) -> Response:
    """Seen on XNAT 1.6.4: everybody who is logged in may see all users, the built-in guest among them."""
    columns = ("firstname", "xdat_user_id", "login", "email", "lastname")
    return replies.table(call.request, Table(columns, tuple(sorted(_users(call))), "Projects"))


def _users(call: Call) -> Iterator[tuple[str, ...]]:
    accounts = call.world.data.accounts
    admin = next((a for a in accounts if a.reads is None), None)
    yield "XNAT", "2", "guest", admin.email if admin is not None else "", "Guest"
    for account in accounts:
        number = str(call.world.number_of(account))
        yield account.first_name, number, account.user, account.email, account.last_name


ROUTES: Routes = {
    "/data/JSESSION": {"GET": jsession, "POST": jsession, "DELETE": end_session},
    "/data/auth": {"GET": auth},
    "/data/services/auth": {"PUT": services_auth, "POST": services_auth, "GET": no_services_auth},
    "/data/users": {"GET": user_list},
    "/data/version": {"GET": version},
}
