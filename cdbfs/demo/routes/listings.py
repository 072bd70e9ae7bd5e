"""Listings of projects, subjects, experiments and scans; the messages of refusals are those of XNAT 1.6.4."""

from __future__ import annotations

from typing import Callable

from werkzeug.wrappers import Response

from cdbfs.demo import columns, listings, replies
from cdbfs.demo.dataset import Experiment, Subject, label_in
from cdbfs.demo.routes.call import Call, Routes, experiment_of, is_image
from cdbfs.demo.tables import Table

_ACCESS_FLAGS = ("accessible", "owner", "member", "collaborator", "recent", "favorite", "data")


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
    experiment = experiment_of(call)
    if experiment is None or not is_image(call, experiment):
        return replies.restlet(500)
    found = experiment
    return _listing(call, lambda: listings.scan_table(call.world, found, call.query))


def assessor_list(call: Call) -> Response:
    """Image assessors: there are none here, and XNAT 1.6.4 does not format an empty listing of them."""
    experiment = experiment_of(call)
    if experiment is None or not is_image(call, experiment):
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


ROUTES: Routes = {
    "/data/projects": {"GET": project_list},
    "/data/projects/{project}/subjects": {"GET": project_subject_list},
    "/data/projects/{project}/subjects/{subject}/projects": {"GET": item_projects},
    "/data/projects/{project}/subjects/{subject}/experiments": {"GET": subject_experiment_list},
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}/scans": {"GET": scan_list},
    "/data/projects/{project}/experiments": {"GET": project_experiment_list},
    "/data/projects/{project}/experiments/{experiment}/scans": {"GET": scan_list},
    "/data/subjects": {"GET": subject_list},
    "/data/experiments": {"GET": experiment_list},
    "/data/experiments/{experiment}/assessors": {"GET": assessor_list},
    "/data/experiments/{experiment}/scans": {"GET": scan_list},
}
