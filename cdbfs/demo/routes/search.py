"""Searches: the fields there are, running one, paging its cached results, and saved ones."""

from __future__ import annotations

import dataclasses
from http import HTTPStatus
from typing import Callable

from werkzeug.wrappers import Response

from cdbfs.demo import replies
from cdbfs.demo.dataset import Account
from cdbfs.demo.routes.call import Call, Routes
from cdbfs.demo.search import bundles, engine, fieldlists, query, results, standard
from cdbfs.demo.search.criteria import BadCriterion
from cdbfs.demo.search.displays import Displays
from cdbfs.demo.search.engine import Forbidden, Scope
from cdbfs.demo.search.query import NotASearch, Search
from cdbfs.demo.search.results import Results
from cdbfs.demo.search.shelf import Saved, View, shortened
from cdbfs.demo.tables import Table

_SAVED_COLUMNS = (
    *("root_element_name", "sort_by_element_name", "sort_by_field_id", "id", "description", "layeredsequence"),
    *("allow_diff_columns", "secure", "brief_description", "tag", "extension", "stored_search_info"),
)
_EXTENSION = "89"
"""Seen on XNAT 1.6.4: the database key of the type of stored searches."""


# --- elements


def elements(call: Call) -> Response:
    displays = _displays(call)
    readable = _readable_types(call) if _asked(call, "readable") else None
    table = fieldlists.elements_table(
        call.world, displays, secured=_asked(call, "secured"), used=_asked(call, "used"), readable=readable
    )
    return replies.table(call.request, table)


def _readable_types(call: Call) -> set[str]:
    """The types of which a user can read anything."""
    world, account = call.world, call.account
    found = {e.type for e in world.data.experiments if world.readable(account, e)}
    if any(world.readable(account, subject) for subject in world.data.subjects):
        found.add(standard.SUBJECT)
    return found | {standard.PROJECT}


def element_fields(call: Call) -> Response:
    """The fields of a type, or of several; the versions are those of the first."""
    displays = _displays(call)
    found = [displays.get(name) for name in call.values["elements"].split(",")]
    known = [display for display in found if display is not None]
    if not known or len(known) < len(found):
        return replies.restlet(400)
    projects = [p.id for p in call.world.data.projects if call.account.may_read(p.id)]
    table = fieldlists.fields_table(known, projects)
    kind = _format(call, "xml")
    if kind == "json":
        return _body(fieldlists.fields_json(table, known[0], displays), "application/json")
    if kind == "xml":
        return _body(fieldlists.fields_xml(table, known[0], displays), "text/xml")
    return replies.table(call.request, table)


def element_versions(call: Call) -> Response:
    displays = _displays(call)
    display = displays.get(call.values["elements"])
    if display is None:
        return replies.restlet(400)
    if _format(call, "xml") == "json":
        return replies.whole(fieldlists.versions_json(display, displays), "application/json")
    return replies.whole(fieldlists.versions_xml(display, displays), "text/xml")


# --- running


def search(call: Call) -> Response:
    try:
        asked = query.read(_document(call))
    except NotASearch:
        return replies.restlet(422)
    return _refusing(lambda: _answered(call, asked))


def _document(call: Call) -> bytes:
    """The request's body, or the file of its form that is named ``*.xml``."""
    body = call.request.get_data()
    if call.request.mimetype == "multipart/form-data":
        files = call.request.files.values()
        found = [bytes(file.read()) for file in files if (file.filename or "").endswith(".xml")]
        call.request.close()
        return found[0] if found else b""
    return body


def _refusing(answer: Callable[[], Response]) -> Response:
    try:
        return answer()
    except Forbidden:
        return replies.restlet(403)
    except _NoNumber:
        return replies.restlet(422)
    except (BadCriterion, KeyError):
        return replies.restlet(500)


def _answered(call: Call, asked: Search) -> Response:
    view = _reused(call, asked)
    if not _asked(call, "cache"):
        return _results(call, view.results if view is not None else _run(call, asked))
    if view is None:
        name = asked.id if call.dialect.reuses_views and not asked.id.startswith("@") else ""
        view = call.searches.keep(_run(call, asked).keyed(), call.account.user, name)
    wanted = _number(call, "limit")
    page = view.results.page(_number(call, "offset") or 0, wanted or 0)
    return _results(call, dataclasses.replace(page, id=view.id, total=len(view.results.rows)))


def _run(call: Call, asked: Search) -> Results:
    return engine.run(asked, _scope(call, call.account), *_sorting(call))


def _reused(call: Call, asked: Search) -> View | None:
    """The cached results that a search of their name gets, however old they are."""
    if not call.dialect.reuses_views or not asked.id or asked.id.startswith("@") or _asked(call, "refresh"):
        return None
    view = call.searches.view(asked.id)
    return view if view is not None and view.user == call.account.user else None


def _scope(call: Call, account: Account | None) -> Scope:
    displays, reader = call.searches.of(call.world)
    long_name = call.searches.alias if call.dialect.long_aliases else shortened
    return Scope(displays, reader, call.dialect, account, long_name)


def _displays(call: Call) -> Displays:
    return call.searches.of(call.world)[0]


def _sorting(call: Call) -> tuple[str, bool]:
    return call.query.get("sortBy", ""), call.query.get("sortOrder", "").upper() == "DESC"


# --- cached results


def cached(call: Call) -> Response:
    view = call.searches.view(call.values["view"])
    if view is None:
        return replies.restlet(call.dialect.no_view)
    if view.user == call.account.user:
        return _refusing(lambda: _page(call, view))
    if call.dialect.others_view == HTTPStatus.OK:
        return replies.nothing("application/json;charset=ISO-8859-1")
    return replies.restlet(call.dialect.others_view)


def _page(call: Call, view: View) -> Response:
    offset, limit = _number(call, "offset") or 0, _number(call, "limit")
    sort_by, descending = _sorting(call)
    found = view.results.sorted(sort_by, descending=descending) if sort_by else view.results
    return _results(call, dataclasses.replace(found.page(offset, limit), id=view.id, whole=False))


def cached_column(call: Call) -> Response:
    """The distinct values of a column and how often each occurs."""
    view = call.searches.view(call.values["view"])
    if view is None or view.user != call.account.user:
        return replies.restlet(call.dialect.no_view)
    return _refusing(lambda: _column(call, view, call.values["column"]))


def _column(call: Call, view: View, name: str) -> Response:
    listed = view.results.sorted(name, descending=False)
    place = [column.key for column in listed.columns].index(name)
    counts: dict[str, int] = {}
    for _, cells in listed.rows:
        counts[cells[place] or ""] = counts.get(cells[place] or "", 0) + 1
    rows = tuple((value, str(count)) for value, count in counts.items())
    table = Table(("values", "count"), rows, total=False)
    if _format(call, "json") != "json":
        return replies.table(call.request, table)
    return _body(results.values_json(table, view.id, name), "application/json")


# --- saved searches


def saved_list(call: Call) -> Response:
    tag = call.query.get("includeTag", "")
    listed = [
        saved
        for saved in call.searches.all_saved()
        if saved.open_to(call.account.user) and (not saved.search.tag or tag in ("true", saved.search.tag))
    ]
    users = call.dialect.saved_users
    columns = (*_SAVED_COLUMNS, "users") if users else _SAVED_COLUMNS
    rows = [(*_saved_row(one), *((_users(one),) if users else ())) for one in listed]
    return replies.table(call.request, Table(columns, tuple(rows), "Stored Searches", total=False))


def _saved_row(saved: Saved) -> tuple[str, ...]:
    search = saved.search
    named = (search.root, *search.sort_by, search.id, search.description, "")
    flags = (str(int(search.allow_diff_columns)), str(int(search.secure)))
    return (*named, *flags, search.brief_description, search.tag, _EXTENSION, str(saved.key))


def _users(saved: Saved) -> str:
    return "{" + ",".join(saved.search.allowed_users) + "}"


def saved_document(call: Call) -> Response:
    found = _saved(call, call.values["id"], call.dialect.no_search)
    if isinstance(found, Response):
        return found
    if call.query.get("format", "xml") != "xml":
        return replies.restlet(404)
    return replies.xml(bundles.written(found, call.world.data))


def _saved(call: Call, name: str, missing: int) -> Search | Response:
    """A saved search, or a type's default one (``@nt:scores``); else the refusal."""
    if name.startswith("@"):
        displays = _displays(call)
        display = displays.get(name[1:])
        if display is None:
            refusal = replies.restlet(call.dialect.no_search)
            refusal.headers.pop("Accept-Ranges")  # as all that Restlet's server side threw out
            return refusal
        return bundles.default_search(display, displays, call.query.get("dv", "listing"))
    saved = call.searches.saved(name)
    if saved is None:
        return replies.restlet(missing)
    return saved.search if saved.open_to(call.account.user) else replies.restlet(403)


def saved_results(call: Call) -> Response:
    """Seen on XNAT 1.6.4: a search that is not secure shows everybody all rows that it finds."""
    found = _saved(call, call.values["id"], 404)
    if isinstance(found, Response):
        return found
    open_to_all = not found.secure and not found.id.startswith("@")
    scope = _scope(call, None if open_to_all else call.account)
    return _refusing(lambda: _saved_answer(call, engine.run(found, scope, *_sorting(call))))


def _saved_answer(call: Call, found: Results) -> Response:
    response = _results(call, dataclasses.replace(found, root=""))
    if response.headers["Content-Type"] == "text/csv":
        response.headers["Content-Disposition"] = 'attachment; filename="results.csv";'
    return response


def save(call: Call) -> Response:
    try:
        asked = query.read(_document(call))
    except NotASearch:
        return replies.restlet(422)
    display = _displays(call).get(asked.root)
    if display is None or not display.secured:
        return replies.restlet(403)
    saved = call.searches.save(dataclasses.replace(asked, id=call.values["id"]), call.account.user)
    return replies.nothing() if saved else replies.restlet(403)


def forget(call: Call) -> Response:
    if call.searches.saved(call.values["id"]) is None:
        return replies.restlet(404)
    return (
        replies.nothing() if call.searches.forget(call.values["id"], call.account.user) else replies.restlet(403)
    )


def project_search(call: Call) -> Response:
    """A project's default search of a type (``@nt:scores``), or one that was saved for the project."""
    project, name = call.values["project"], call.values["id"]
    if not call.project_readable():
        return replies.restlet(404)
    if not name.startswith("@"):
        saved = call.searches.saved(name)
        if saved is None or saved.search.tag != project or not saved.open_to(call.account.user):
            return replies.restlet(404)
        return replies.xml(bundles.written(saved.search, call.world.data))
    displays = _displays(call)
    display = displays.get(name[1:])
    if display is None:
        return replies.restlet(call.dialect.no_search)
    counted = {e.type for e in call.world.experiments_in.get(project, [])}
    made = bundles.project_search(display, displays, project, counted)
    return replies.xml(bundles.written(made, call.world.data))


# --- answers


def _results(call: Call, found: Results) -> Response:
    kind = replies.table_format(call.request)
    if kind == "json":
        return _body(results.to_json(found, links=call.query.get("format") == "json"), "application/json")
    encoders = {"csv": results.to_csv, "xml": results.to_xml, "html": results.to_html}
    return _body(encoders[kind](found), f"text/{kind}")


def _body(body: bytes, kind: str) -> Response:
    return replies.ChunkedResponse(body, headers={**replies.RESTLET, "Content-Type": kind})


def _format(call: Call, default: str) -> str:
    """The format of an answer whose first variant is not JSON."""
    anything = call.request.headers.get("Accept", "*/*").strip() in ("", "*/*")
    return default if anything and "format" not in call.query else replies.table_format(call.request)


def _asked(call: Call, flag: str) -> bool:
    return call.query.get(flag, "false") not in ("false", "0")


class _NoNumber(Exception):
    """A query parameter that is no number: 422."""


def _number(call: Call, name: str) -> int | None:
    """A number of the query. Raises _NoNumber for what is none."""
    text = call.query.get(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 9:
        raise _NoNumber(f"{name}={text}")
    return int(text)


ROUTES: Routes = {
    "/data/search": {"POST": search},
    "/data/search/elements": {"GET": elements},
    "/data/search/elements/{elements}": {"GET": element_fields},
    "/data/search/elements/{elements}/versions": {"GET": element_versions},
    "/data/search/saved": {"GET": saved_list},
    "/data/search/saved/{id}": {"GET": saved_document, "PUT": save, "DELETE": forget},
    "/data/search/saved/{id}/results": {"GET": saved_results},
    "/data/search/{view}": {"GET": cached},
    "/data/search/{view}/{column}": {"GET": cached_column},
    "/data/projects/{project}/searches/{id}": {"GET": project_search},
}
