"""The package service below ``/spring/download``, of servers that have one.

Every question stands in the query. The same POST is a listing or an order, which starts a logged download: only
``view`` tells them apart. A server without packages answers as an XNAT without that servlet (seen on 1.6.4).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from werkzeug.wrappers import Response

from cdbfs.demo import replies
from cdbfs.demo.packages.desk import Place
from cdbfs.demo.packages.offers import Offer
from cdbfs.demo.packages.stock import Stock, labelled
from cdbfs.demo.packages.vault import Wanted
from cdbfs.demo.routes.call import Call, Routes

ROUTE = "/spring/download"


def index(call: Call) -> Response:
    """Everything that is offered, to whoever has a login."""
    if call.world.data.packages is None:
        return replies.container(404)
    return _json({"packages": [_offer(offer) for offer in _stock(call).offers()]})


def asked(call: Call) -> Response:
    """A listing, or an order."""
    if call.world.data.packages is None:
        return replies.container(404)
    view = call.request.args.get("view")
    if not _words(call, "subjects"):
        return replies.container(400, "Required request parameter 'subjects' is not present")
    if view is None:
        return _order(call)
    if view not in _VIEWS:
        return replies.container(400, f"Unknown view: {view}")
    return _json(_VIEWS[view](call, _held(call)))


def _by_package(call: Call, held: list[Wanted]) -> dict[str, Any]:
    """Each package that at least one of the subjects has, for all of them together."""
    known = sum(1 for label in _words(call, "subjects") or () if _is_known(call, label))
    stock = _stock(call)
    rows = []
    for offer in stock.offers(_words(call, "package")):
        of_it = [wanted for wanted in held if wanted.id == offer.id]
        if of_it:
            told = {"subjects_ok": len(of_it), "subjects_total": known}
            rows.append({**_offer(offer), **_sums(stock, of_it), **told})
    return {"packages": rows}


def _by_subject(call: Call, held: list[Wanted]) -> dict[str, Any]:
    """Not recorded anywhere: each subject, with what all its packages come to."""
    stock = _stock(call)
    rows = []
    for label in dict.fromkeys(wanted.label for wanted in held):
        of_it = [wanted for wanted in held if wanted.label == label]
        told = {"packages_ok": len(of_it), "packages_total": len(stock.offers(_words(call, "package")))}
        rows.append({"id": label, "label": label, **_sums(stock, of_it), **told})
    return {"subjects": rows}


_VIEWS = {"packages": _by_package, "subjects": _by_subject}


def _order(call: Call) -> Response:
    held = _held(call) if _words(call, "package") else []
    if not held:
        return replies.container(404, "No packages match the request")
    place = Place(call.request.host.partition(":")[0], int(call.request.environ["SERVER_PORT"]))
    target = call.request.args.get("destination", "")
    return _json(call.desk.order(call.account, _stock(call), held, place, target))


# --- what all of them need


def _stock(call: Call) -> Stock:
    packages = call.world.data.packages
    assert packages is not None  # noqa: S101 - both handlers have looked
    return call.desk.stock(packages)


def _held(call: Call) -> list[Wanted]:
    return call.desk.held(call.world, call.account, _words(call, "subjects") or (), _words(call, "package"))


def _is_known(call: Call, label: str) -> bool:
    return next(labelled(call.world, call.account, label), None) is not None


def _words(call: Call, name: str) -> list[str] | None:
    """The values of a parameter, which are joined by commas; None: it was not given."""
    given = call.request.args.getlist(name)
    return list(dict.fromkeys(word for value in given for word in value.split(",") if word)) if given else None


def _offer(offer: Offer) -> dict[str, Any]:
    return {**asdict(offer), "keywords": list(offer.keywords)}


def _sums(stock: Stock, held: Iterable[Wanted]) -> dict[str, int]:
    counted = [(stock.count(wanted), stock.announced(wanted)) for wanted in held]
    return {"count": sum(count for count, _ in counted), "size": sum(size for _, size in counted)}


def _json(value: object) -> Response:
    return Response(json.dumps(value), content_type="application/json;charset=UTF-8")


def kind(method: str, query: str) -> str:
    """How a request of this route is counted, and which faults hit it: by what it asks."""
    if method != "POST":
        return ROUTE
    view = next((part[len("view=") :] for part in query.split("&") if part.startswith("view=")), None)
    return f"{ROUTE} transfer" if view is None else f"{ROUTE} view={view}"


ROUTES: Routes = {ROUTE: {"GET": index, "POST": asked}}
