"""What is not the REST interface: pages for people, and the login of browsers."""

from __future__ import annotations

from werkzeug.wrappers import Response

from cdbfs.demo import pages, replies
from cdbfs.demo.guard import with_session
from cdbfs.demo.routes.call import Call, Routes
from cdbfs.demo.sessions import new_identifier

_LOGIN = "/app/template/Login.vm"


def site_page(call: Call, route: str) -> Response:
    """The page of a path that is no route of ours."""
    path = call.request.path
    if route in ("/", "/app"):
        if call.caller is None or path.startswith(_LOGIN):
            return replies.page(pages.LOGIN_PAGE, fresh=False)
        return replies.page(pages.home(call.account.user), fresh=True)
    if call.dialect.xapi and route == "/xapi":
        return replies.plain("", 404)
    # Seen on XNAT 1.6.4: below /spring it is another servlet that answers, which does not name the resource.
    return replies.container(
        404, None if route == "/spring" else f"The requested resource [{path}] is not available"
    )


def log_out(call: Call) -> Response:
    if call.caller is not None:
        call.guard.sessions.close(call.caller.session)
    return with_session(replies.redirect(_LOGIN), new_identifier())


def form_login(call: Call) -> Response:
    """The login form of browsers: a redirect to where they want to go, or back to the form."""
    form = call.request.form
    user, password = form.get("j_username", ""), form.get("j_password", "")
    made = call.guard.log_in(call.world.data, user, password, "POST", "/j_spring_security_check")
    if made is None:
        return with_session(replies.redirect(f"{_LOGIN}?failed=true"), new_identifier())
    target = f"/app/template/Index.vm;jsessionid={made.session}?login=true"
    return with_session(replies.redirect(target), made.session)


ROUTES: Routes = {
    "/app/action/LogoutUser": {"GET": log_out},
    "/j_spring_security_check": {"POST": form_login},
}
