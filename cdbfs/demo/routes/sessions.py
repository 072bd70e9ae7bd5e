"""Logging in and out, who one is, and which server this is."""

from __future__ import annotations

from werkzeug.wrappers import Response

from cdbfs.demo import replies
from cdbfs.demo.routes.call import Call, Routes
from cdbfs.demo.sessions import new_identifier


def jsession(call: Call) -> Response:
    return replies.text(call.caller.session if call.caller is not None else "")


def end_session(call: Call) -> Response:
    if call.caller is not None:
        call.guard.sessions.close(call.caller.session)
    return replies.nothing()


def auth(call: Call) -> Response:
    return replies.text(f"User '{call.account.user}' is logged in.")


def version(call: Call) -> Response:
    return replies.text(call.dialect.version)


def services_auth(call: Call) -> Response:
    """Seen on XNAT 1.6.4: 200 with an empty body and the cookie; a wrong password is a 500."""
    form = call.request.form
    user = form.get("username", form.get("j_username", ""))
    password = form.get("password", form.get("j_password", ""))
    made = call.guard.log_in(call.world.data, user, password, call.request.method, "/data/services/auth")
    response = replies.nothing() if made is not None else replies.restlet(500, "Bad credentials")
    call.guard.mark(response, made.session if made is not None else new_identifier())
    return response


ROUTES: Routes = {
    "/data/JSESSION": {"GET": jsession, "POST": jsession, "DELETE": end_session},
    "/data/auth": {"GET": auth},
    "/data/services/auth": {"PUT": services_auth, "POST": services_auth},
}
ROUTES_1_6: Routes = {"/data/version": {"GET": version}}
