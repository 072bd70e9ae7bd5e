"""Who asks, and whether he may: what stands before every route.

Seen on XNAT 1.6.4: a live cookie wins over a wrong Basic header; a dead cookie with a right one logs in
anew; without a login JSESSION is Restlet's 401, other data paths the container's 401 (for a browser a
redirect to the login page), and all other paths a redirect. Newer servers give out a guest's session at
JSESSION and name the site in their 401. Used by ``app``. Any thread.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from werkzeug.wrappers import Request, Response

from cdbfs.demo import pages, replies
from cdbfs.demo.dataset import Account, DataSet
from cdbfs.demo.dialect import Dialect
from cdbfs.demo.faults import Faults
from cdbfs.demo.sessions import MalformedBasic, Sessions, credentials, new_identifier
from cdbfs.demo.tokens import Tokens

_BROWSER = re.compile(r"MSIE|Mozilla|AppleWebKit|Opera")


@dataclass(frozen=True)
class Caller:
    """A logged-in user; ``opened`` when this very request logged him in."""

    account: Account
    session: str
    opened: bool


class Guard:
    """Logs requests in, and sets the session's cookies on answers."""

    def __init__(self, sessions: Sessions, tokens: Tokens, faults: Faults, dialect: Dialect) -> None:
        self.sessions = sessions
        self.tokens = tokens
        self.faults = faults
        self.dialect = dialect

    def admit(self, request: Request, data: DataSet, path: str, route: str) -> Caller | Response | None:
        """The caller; a refusal; or None on the few paths that are open to all."""
        try:
            given = credentials(request.headers.get("Authorization"))
        except MalformedBasic as error:
            return with_session(replies.container(500, str(error)), new_identifier())
        cookie = request.cookies.get("JSESSIONID")
        user = self.sessions.user(cookie)
        if user is not None and (given is None or self._name(data, given[0]) == user):
            account = account_of(data, user)
            if account is not None:
                return Caller(account, cookie or "", opened=False)
        if given is not None:
            return self.log_in(data, given[0], given[1], request.method, route) or _refused()
        if path.startswith(self.dialect.open_paths):
            return None
        return self._unknown(request, data, path, cookie)

    def log_in(self, data: DataSet, name: str, password: str, method: str, route: str) -> Caller | None:
        """A new session, or None: wrong password, locked, too many sessions, or a scripted refusal.

        The name may be an alias, and the password its secret.
        """
        account = account_of(data, name)
        right = account.password if account is not None else self._secret(data, name)
        account = account or account_of(data, self._name(data, name))
        if account is None or self.sessions.locked(account.user) or self.faults.refuses_login(method, route):
            self.sessions.refuse()
            return None
        if password != right:
            self.sessions.fail(account.user)
            return None
        session = self.sessions.open(account.user)
        return Caller(account, session, opened=True) if session is not None else None

    def _name(self, data: DataSet, name: str) -> str:
        """The user that a login's name stands for: an alias's owner, else the name itself."""
        token = self.tokens.find(name)
        if token is not None:
            return token.user
        return next((a.user for a in data.accounts for alias, _ in a.tokens if alias == name), name)

    def _secret(self, data: DataSet, alias: str) -> str | None:
        token = self.tokens.find(alias)
        if token is not None:
            return token.secret
        return next((secret for a in data.accounts for known, secret in a.tokens if known == alias), None)

    def _unknown(self, request: Request, data: DataSet, path: str, cookie: str | None) -> Response:
        identifier = new_identifier()
        if path.startswith("/data/JSESSION"):
            response = replies.not_made(401)
            response.headers["WWW-Authenticate"] = 'Basic realm="XNAT Protected Area"'
            self.mark(response, identifier)
            return response
        raw = request.environ.get("REQUEST_URI", request.path)
        if raw.startswith(self.dialect.data_paths) and not is_browser(request):
            response = replies.container(401)
            if self.dialect.challenge:
                response.headers["WWW-Authenticate"] = f'Basic realm="{data.site_id}"'
            return with_session(response, identifier)
        suffix = f";jsessionid={identifier}" if cookie is None else ""
        location = f"{request.host_url.rstrip('/')}/app/template/Login.vm{suffix}"
        return with_session(replies.redirect(location), identifier)

    def mark(self, response: Response, opened: str | None) -> None:
        """The cookies of an answer that passed the guard; ``opened`` is a new session's id."""
        if opened is not None:
            with_session(response, opened)
        now, most = int(time.time() * 1000), int(self.sessions.seconds * 1000)
        response.headers.add("Set-Cookie", f'SESSION_EXPIRATION_TIME="{now},{most}"; Version=1; Path=/')


def account_of(data: DataSet, user: str) -> Account | None:
    return next((account for account in data.accounts if account.user == user), None)


def is_browser(request: Request) -> bool:
    """XNAT's own test of the User-Agent; a blank one is no browser."""
    agent = request.headers.get("User-Agent", "")
    return _BROWSER.search(agent) is not None and "XNATDesktopClient" not in agent


def _refused() -> Response:
    return with_session(replies.container(401, pages.LOGIN_FAILED), new_identifier())


def with_session(response: Response, identifier: str) -> Response:
    """The response, which now hands out a session's cookie."""
    response.headers.add("Set-Cookie", f"JSESSIONID={identifier}; Path=/; HttpOnly")
    return response
