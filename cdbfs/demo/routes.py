"""What each route answers.

Used by ``app``. Every handler is a plain function of one call and keeps nothing; any thread. The messages
of refusals are those seen on XNAT 1.6.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable

from werkzeug.wrappers import Request, Response

from cdbfs.demo import columns, documents, items, listings, pages, replies
from cdbfs.demo.dataset import Account, Experiment, Scan, Subject, label_in
from cdbfs.demo.guard import Caller, Guard
from cdbfs.demo.sessions import new_identifier
from cdbfs.demo.tables import Table
from cdbfs.demo.world import World

NO_EXPERIMENT = "Unable to find the specified experiment."
_BY_ID_ONLY = (
    "Unable to find the specified subject. When searching by subject ID only, you must specify the accession"
    " number and not the subject label, which is not unique across the XNAT system. {} is not a known subject"
    " accession ID."
)
_NOT_IN_PROJECT = (
    "Unable to find the specified subject. The project {} does not contain a subject identifiable by the ID or"
    " label {}."
)
_ACCESS_FLAGS = ("accessible", "owner", "member", "collaborator", "recent", "favorite", "data")


@dataclass(frozen=True)
class Call:
    """One request with what was found out about it; ``caller`` is None on the open routes."""

    request: Request
    world: World
    caller: Caller | None
    values: Mapping[str, str]
    guard: Guard

    @property
    def account(self) -> Account:
        return self.caller.account if self.caller is not None else Account("", "", frozenset())

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.args.to_dict()

    @property
    def hidden(self) -> bool:
        """Whether documents keep their comments with database keys."""
        return self.query.get("concealHiddenFields", "false") in ("false", "0")

    def project_readable(self) -> bool:
        return self.world.readable_project(self.account, self.values["project"]) is not None

    def project_visible(self) -> bool:
        found = self.world.projects.get(self.values["project"])
        return found is not None and found.access != "private"


Handler = Callable[[Call], Response]


# --- sessions


def jsession(call: Call) -> Response:
    return replies.text(call.caller.session if call.caller is not None else "")


def end_session(call: Call) -> Response:
    if call.caller is not None:
        call.guard.sessions.close(call.caller.session)
    return replies.nothing()


def auth(call: Call) -> Response:
    return replies.text(f"User '{call.account.user}' is logged in.")


def version(call: Call) -> Response:
    return replies.text(call.world.data.version)


def services_auth(call: Call) -> Response:
    """Seen on XNAT 1.6.4: 200 with an empty body and the cookie; a wrong password is a 500."""
    form = call.request.form
    user = form.get("username", form.get("j_username", ""))
    password = form.get("password", form.get("j_password", ""))
    made = call.guard.log_in(call.world.data, user, password, call.request.method, "/data/services/auth")
    response = replies.nothing() if made is not None else replies.restlet(500, "Bad credentials")
    call.guard.mark(response, made.session if made is not None else new_identifier())
    return response


# --- listings


def project_list(call: Call) -> Response:
    if "fields" in call.query:
        return replies.table(call.request, listings.fields_table(columns.PROJECT_PATHS))
    if any(flag in call.query for flag in _ACCESS_FLAGS):
        table = listings.project_access_table(
            call.world.data.projects, call.account.may_read, call.account.user, "Projects"
        )
        return replies.table(call.request, table)
    visible = [p for p in call.world.data.projects if call.account.may_read(p.id) or p.access != "private"]
    return _listing(call, lambda: listings.project_table(visible, call.query, _missing(call)))


def subject_list(call: Call) -> Response:
    subjects = [s for s in call.world.data.subjects if call.world.readable(call.account, s)]
    return _subjects(call, subjects, "")


def project_subject_list(call: Call) -> Response:
    if not call.project_readable():
        return replies.restlet(500 if call.project_visible() else 404)
    project = call.values["project"]
    return _subjects(call, call.world.subjects_in[project], project)


def _subjects(call: Call, subjects: list[Subject], project: str) -> Response:
    if "fields" in call.query:
        return replies.table(call.request, listings.fields_table(columns.SUBJECT_PATHS))
    return _listing(call, lambda: listings.subject_table(subjects, call.query, _missing(call), project))


def experiment_list(call: Call) -> Response:
    """Seen on XNAT 1.6.4: without a type a user sees only what his own projects own, not what is shared."""
    world, account = call.world, call.account
    if call.query.get("xsiType"):
        listed = [e for e in world.data.experiments if world.readable(account, e)]
    else:
        listed = [e for e in world.data.experiments if account.may_read(e.project)]
    return _experiments(call, listed, "")


def project_experiment_list(call: Call) -> Response:
    project = call.values["project"]
    if not call.project_readable():
        return _no_project(call)
    return _experiments(call, call.world.experiments_in[project], project)


def subject_experiment_list(call: Call) -> Response:
    project, name = call.values["project"], call.values["subject"]
    if not call.project_readable():
        return _no_project(call)
    subject = call.world.subject_in(project, name)
    if subject is None:
        return replies.restlet(404, f"Unable to identify subject {name}")
    own = call.world.experiments_of.get(subject.id, [])
    return _experiments(call, [e for e in own if label_in(e, project) is not None], project)


def _no_project(call: Call) -> Response:
    if call.project_visible():
        return replies.restlet(403)
    return replies.restlet(404, f"Unable to identify project {call.values['project']}")


def _experiments(call: Call, listed: list[Experiment], project: str) -> Response:
    if "fields" in call.query:
        return replies.table(call.request, listings.fields_table(columns.EXPERIMENT_PATHS))
    try:
        table = listings.experiment_table(call.world, listed, call.query, project)
    except listings.BadField:
        kind = {"csv": "text/csv", "xml": "text/xml", "html": "text/html"}
        chosen = kind.get(replies.table_format(call.request), "application/json")
        return replies.nothing(f"{chosen};charset=ISO-8859-1")
    return replies.table(call.request, table)


def scan_list(call: Call) -> Response:
    """Seen on XNAT 1.6.4: an unknown, an unreadable and a non-image experiment are all a 500."""
    experiment = _experiment(call)
    if experiment is None or not _is_image(call, experiment):
        return replies.restlet(500)
    found = experiment
    return _listing(call, lambda: listings.scan_table(call.world, found, call.query))


def assessor_list(call: Call) -> Response:
    """Image assessors: there are none here, and XNAT 1.6.4 does not format an empty listing of them."""
    experiment = _experiment(call)
    if experiment is None or not _is_image(call, experiment):
        return replies.restlet(500)
    return replies.table(call.request, listings.no_assessors())


def _listing(call: Call, make: Callable[[], Table]) -> Response:
    try:
        table = make()
    except listings.BadField:
        return replies.restlet(500)
    return replies.table(call.request, table)


def _missing(call: Call) -> frozenset[str]:
    return call.world.data.missing_columns


def _is_image(call: Call, experiment: Experiment) -> bool:
    kind = call.world.types.get(experiment.type)
    return kind is not None and kind.image


# --- documents


def project_document(call: Call) -> Response:
    project = call.world.readable_project(call.account, call.values["project"])
    if project is None:
        return replies.restlet(404)
    kind = replies.document_format(call.request, "html")
    if kind == "json":
        return replies.item_json(items.project_json(project))
    if kind == "html":
        return replies.report(project.name or project.id)
    return replies.xml(documents.project_xml(call.world.data, project, hidden=call.hidden))


def subject_document(call: Call) -> Response:
    name, project = call.values["subject"], call.values.get("project")
    if project is None or not call.project_readable():
        subject = call.world.subjects.get(name)
        if subject is None or not call.world.readable(call.account, subject):
            return replies.restlet(404, _BY_ID_ONLY.format(name))
    else:
        subject = call.world.subject_in(project, name)
        if subject is None:
            return replies.restlet(404, _NOT_IN_PROJECT.format(project, name))
    return _subject(call, subject)


def _subject(call: Call, subject: Subject) -> Response:
    kind = replies.document_format(call.request, "html")
    if kind == "html":
        return replies.report(subject.label)
    data = call.world.data
    listed = [e for e in call.world.experiments_of.get(subject.id, []) if call.world.readable(call.account, e)]
    if kind == "json":
        return replies.item_json(items.subject_json(data, subject, listed))
    return replies.xml(documents.subject_xml(data, subject, listed, hidden=call.hidden))


def experiment_document(call: Call) -> Response:
    experiment = _experiment(call)
    if experiment is None:
        return replies.restlet(404, NO_EXPERIMENT)
    kind = replies.document_format(call.request, "html" if "subject" in call.values else "xml")
    if kind == "json":
        return replies.item_json(items.experiment_json(call.world.data, experiment))
    if kind == "html":
        return replies.report(experiment.label)
    return replies.xml(documents.experiment_xml(call.world.data, experiment, hidden=call.hidden))


def scan_document(call: Call) -> Response:
    experiment = _experiment(call)
    if experiment is None:
        return replies.restlet(404, NO_EXPERIMENT)
    scan = _scan(call, experiment)
    if scan is None:
        return replies.restlet(404, "Unable to find the specified scan.")
    kind = replies.document_format(call.request, "html")
    if kind == "json":
        return replies.item_json(items.scan_json(experiment, scan))
    if kind == "html":
        return replies.report(scan.id)
    return replies.xml(documents.scan_xml(call.world.data, experiment, scan, hidden=call.hidden))


def _scan(call: Call, experiment: Experiment) -> Scan | None:
    scans = call.world.data.content_of(experiment).scans
    return next((scan for scan in scans if scan.id == call.values["scan"]), None)


def _experiment(call: Call) -> Experiment | None:
    """The experiment of the path, if it exists and the caller may read it."""
    world, name, project = call.world, call.values["experiment"], call.values.get("project")
    if project is None or not call.project_readable():
        found = world.experiments.get(name)
    else:
        subject = world.subject_in(project, call.values["subject"]) if "subject" in call.values else None
        if "subject" in call.values and subject is None:
            found = world.experiments.get(name)
        else:
            found = world.experiment_in(project, name, subject)
    return found if found is not None and world.readable(call.account, found) else None


def item_projects(call: Call) -> Response:
    """The projects that have a subject: the owner first, then the shares."""
    subject = call.world.subject_in(call.values["project"], call.values["subject"])
    if subject is None or not call.world.readable(call.account, subject):
        return replies.restlet(404)
    rows = []
    for project in (subject.project, *(p for p, _ in subject.shares)):
        known = call.world.projects.get(project)
        secondary, name = (known.secondary_id or known.id, known.name) if known else (project, "")
        rows.append((label_in(subject, project) or "", project, secondary, name))
    table = Table(("label", "ID", "Secondary_ID", "Name"), tuple(rows), total=False)
    return replies.table(call.request, table)


def unknown_below_project(call: Call) -> Response:
    return replies.restlet(400)


def site_page(route: str) -> Response:
    """What is not the REST interface: enough for a client to see that it is there, or not."""
    if route in ("/", "/app", "/j_spring_security_check"):
        return replies.html(pages.LOGIN_PAGE)
    return replies.container(404)


ROUTES: Mapping[str, Mapping[str, Handler]] = {
    "/data/JSESSION": {"GET": jsession, "POST": jsession, "DELETE": end_session},
    "/data/auth": {"GET": auth},
    "/data/version": {"GET": version},
    "/data/services/auth": {"PUT": services_auth, "POST": services_auth},
    "/data/projects": {"GET": project_list},
    "/data/projects/{project}": {"GET": project_document},
    "/data/projects/{project}/{unknown}": {"GET": unknown_below_project},
    "/data/projects/{project}/subjects": {"GET": project_subject_list},
    "/data/projects/{project}/subjects/{subject}": {"GET": subject_document},
    "/data/projects/{project}/subjects/{subject}/projects": {"GET": item_projects},
    "/data/projects/{project}/subjects/{subject}/experiments": {"GET": subject_experiment_list},
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}": {"GET": experiment_document},
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}/scans": {"GET": scan_list},
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}/scans/{scan}": {"GET": scan_document},
    "/data/projects/{project}/experiments": {"GET": project_experiment_list},
    "/data/projects/{project}/experiments/{experiment}": {"GET": experiment_document},
    "/data/projects/{project}/experiments/{experiment}/scans": {"GET": scan_list},
    "/data/projects/{project}/experiments/{experiment}/scans/{scan}": {"GET": scan_document},
    "/data/subjects": {"GET": subject_list},
    "/data/subjects/{subject}": {"GET": subject_document},
    "/data/subjects/{subject}/experiments": {"GET": subject_document},
    "/data/experiments": {"GET": experiment_list},
    "/data/experiments/{experiment}": {"GET": experiment_document},
    "/data/experiments/{experiment}/assessors": {"GET": assessor_list},
    "/data/experiments/{experiment}/scans": {"GET": scan_list},
    "/data/experiments/{experiment}/scans/{scan}": {"GET": scan_document},
}
