"""Alias tokens below ``/data/services/tokens``.

Seen on XNAT 1.6.4: a token is told as plain text; it can neither be shown nor validated, and an invalidated one
still logs in.
"""

from __future__ import annotations

import json

from werkzeug.wrappers import Response

from cdbfs.demo import replies
from cdbfs.demo.guard import account_of
from cdbfs.demo.routes.call import Call, Routes
from cdbfs.demo.tokens import Token


def issue(call: Call) -> Response:
    return _issued(call, call.account.user)


def issue_for(call: Call) -> Response:
    """For another user: administrators only."""
    user = call.values["user"]
    if user != call.account.user and call.account.reads is not None:
        return replies.restlet(403, "Only admins can create proxy tokens.")
    if account_of(call.world.data, user) is None:
        return replies.restlet(404, f"Couldn't find a user with the login {user}.")
    return _issued(call, user)


def _issued(call: Call, user: str) -> Response:
    token = call.guard.tokens.issue(user, digits=not call.dialect.token_service)
    if not call.dialect.token_service:
        return replies.text(json.dumps({"alias": token.alias, "secret": token.secret}, separators=(",", ":")))
    return replies.json_text(_shown(call, token))


def _shown(call: Call, token: Token) -> dict[str, object]:
    """As newer servers describe a token; times are milliseconds since 1970."""
    made = int(token.made * 1000)
    return {
        "id": token.number,
        "enabled": token.enabled,
        "created": made,
        "timestamp": made,
        "disabled": 0,
        "alias": token.alias,
        "secret": token.secret,
        "singleUse": False,
        "estimatedExpirationTime": made + int(call.guard.tokens.seconds * 1000),
        "xdatUserId": token.user,
    }


def show(call: Call) -> Response:
    if not call.dialect.token_service:
        return unknown(call)
    return replies.json_text([_shown(call, token) for token in call.guard.tokens.of(call.account.user)])


def validate(call: Call) -> Response:
    if not call.dialect.token_service:
        return replies.restlet(401, "You must specify both token and secret to validate a token.")
    token = call.guard.tokens.find(call.values["alias"])
    if token is None:
        return replies.restlet(404)
    return replies.json_text({"valid": token.user if token.secret == call.values["secret"] else None})


def invalidate(call: Call) -> Response:
    if not call.dialect.token_service:
        return replies.text('{"result": "OK"}')
    token = call.guard.tokens.find(call.values["alias"])
    if token is None:
        return replies.restlet(404)
    if token.user != call.account.user and call.account.reads is not None:
        return replies.restlet(403)
    call.guard.tokens.invalidate(token.alias)
    return replies.json_text({"result": "OK"})


def unknown(call: Call) -> Response:
    return replies.restlet(400, f"Unknown operation: {call.values.get('operation', 'show')}")


ROUTES: Routes = {
    "/data/services/tokens/issue": {"GET": issue},
    "/data/services/tokens/issue/user/{user}": {"GET": issue_for},
    "/data/services/tokens/show": {"GET": show},
    "/data/services/tokens/validate/{alias}/{secret}": {"GET": validate},
    "/data/services/tokens/invalidate/{alias}": {"GET": invalidate},
    "/data/services/tokens/{operation}": {"GET": unknown},
}
