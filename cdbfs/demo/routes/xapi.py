"""The few paths of newer servers' ``/xapi`` that clients of /data need: which server this is, and who one is."""

from __future__ import annotations

import json

from werkzeug.wrappers import Response

from cdbfs.demo import replies
from cdbfs.demo.routes.call import Call, Routes


def build_info(call: Call) -> Response:
    info = {
        "version": call.dialect.version,
        "buildNumber": "1",
        "buildDate": "Wed Jan 01 00:00:00 UTC 2020",
        "commit": "0000000",
        "isDirty": "false",
    }
    return replies.plain(json.dumps(info), kind="application/json;charset=UTF-8")


def user_name(call: Call) -> Response:
    return replies.plain(call.account.user)


def site_setting(call: Call) -> Response:
    site = call.request.host_url.rstrip("/")
    values = {
        "siteId": call.world.data.site_id,
        "siteUrl": site,
        "siteHome": "/app/template/Index.vm",
        "siteLogoPath": "/images/logo.png",
    }
    name = call.values["name"]
    return replies.plain(values[name]) if name in values else replies.plain("", 404)


ROUTES: Routes = {
    "/xapi/siteConfig/buildInfo": {"GET": build_info},
    "/xapi/siteConfig/{name}": {"GET": site_setting},
    "/xapi/users/username": {"GET": user_name},
}
