"""Listings of projects, subjects, experiments and scans; the messages of refusals are those of XNAT 1.6.4."""

from __future__ import annotations

from typing import Callable

from werkzeug.wrappers import Response

from cdbfs.demo import columns, listings, replies
from cdbfs.demo.dataset import Experiment, Subject, label_in, projects_of
from cdbfs.demo.listings import Asked
from cdbfs.demo.routes.call import NO_EXPERIMENT, Call, Routes, experiment_of, is_image
from cdbfs.demo.tables import Table

_ACCESS_FLAGS = ("accessible", "owner", "member", "collaborator", "recent", "favorite", "data", "activeSince")


def project_list(call: Call) -> Response:
    if "fields" in call.query:
        return _fields(call, "project")
    if any(flag in call.query for flag in _ACCESS_FLAGS):
        number = call.world.number_of(call.account)
        table = listings.project_access_table(
            call.world.data.projects, call.account, number, owned="owner" in call.query
        )
        return replies.table(call.request, table)
    visible = [p for p in call.world.data.projects if call.account.may_read(p.id) or p.access != "private"]
    filtered = call.dialect.filters_projects or call.account.reads is None
    return _listing(call, lambda: listings.project_table(visible, _asked(call), filtered=filtered))


def subject_list(call: Call) -> Response:
    subjects = [s for s in call.world.data.subjects if call.world.readable(call.account, s)]
    return _subjects(call, subjects, "")


def project_subject_list(call: Call) -> Response:
    if not call.project_readable():
        return replies.restlet(call.dialect.hidden_subjects) if call.project_visible() else replies.not_made(404)
    project = call.values["project"]
    return _subjects(call, call.world.subjects_in[project], project)


def _subjects(call: Call, subjects: list[Subject], project: str) -> Response:
    if "fields" in call.query:
        return _fields(call, "subject")
    return _listing(call, lambda: listings.subject_table(subjects, _asked(call, project)))


def experiment_list(call: Call) -> Response:
    """Seen on XNAT 1.6.4: without a type a user sees only what his own projects own, not what is shared."""
    world, account = call.world, call.account
    if "recent" in call.query:
        return _recent(call)
    if call.query.get("xsiType"):
        listed = [e for e in world.data.experiments if world.readable(account, e)]
    else:
        listed = [e for e in world.data.experiments if account.may_read(e.project)]
    return _experiments(call, listed, "")


def _recent(call: Call) -> Response:
    days = call.query["recent"]
    listed = [e for e in call.world.data.experiments if call.world.readable(call.account, e)]
    table = listings.recent_table(call.world, listed, call.account, int(days) if days.isdecimal() else 30)
    return replies.table(call.request, table)


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
        return replies.not_made(404, f"Unable to identify subject {name}")
    own = call.world.experiments_of.get(subject.id, [])
    return _experiments(call, [e for e in own if label_in(e, project) is not None], project)


def _no_project(call: Call) -> Response:
    if call.project_visible():
        return replies.restlet(403)
    return replies.not_made(404, f"Unable to identify project {call.values['project']}")


def _experiments(call: Call, listed: list[Experiment], project: str) -> Response:
    if "fields" in call.query:
        return _fields(call, "experiment")

    def make() -> Table:
        return listings.experiment_table(call.world, listed, _asked(call, project))

    return _listing(call, make) if call.dialect.bad_field != 200 else _listing_or_nothing(call, make)


def _listing_or_nothing(call: Call, make: Callable[[], Table]) -> Response:
    """Seen on XNAT 1.6.4: a listing of experiments with a bad field is 200, typed, and empty."""
    try:
        return replies.table(call.request, make())
    except listings.BadField:
        kind = {"csv": "text/csv", "xml": "text/xml", "html": "text/html"}
        chosen = kind.get(replies.table_format(call.request), "application/json")
        return replies.nothing(f"{chosen};charset=ISO-8859-1")


def scan_list(call: Call) -> Response:
    """Seen on XNAT 1.6.4: an unknown, an unreadable and a non-image experiment are answered alike."""
    experiment = experiment_of(call)
    if experiment is None or not is_image(call, experiment):
        return replies.not_made(call.dialect.no_scans)
    found = experiment
    return _listing(call, lambda: listings.scan_table(call.world, found, _asked(call)))


def assessor_list(call: Call) -> Response:
    """Image assessors: there are none here, and XNAT 1.6.4 does not format an empty listing of them."""
    experiment = experiment_of(call)
    if experiment is None or not is_image(call, experiment):
        return replies.not_made(call.dialect.no_scans)
    return replies.table(call.request, listings.no_assessors())


def _listing(call: Call, make: Callable[[], Table]) -> Response:
    try:
        table = make()
    except listings.BadField:
        return replies.restlet(500)
    except listings.BadPage:
        return replies.restlet(400)
    return replies.table(call.request, table)


def _fields(call: Call, kind: str) -> Response:
    return replies.table(call.request, listings.fields_table(columns.shortcuts(kind, call.dialect)))


def _asked(call: Call, project: str = "") -> Asked:
    return Asked(call.query, call.dialect, call.world.data.missing_columns, project)


def subject_projects(call: Call) -> Response:
    project = call.values.get("project")
    name = call.values["subject"]
    subject = call.world.subject_in(project, name) if project else call.world.subjects.get(name)
    if subject is None or not call.world.readable(call.account, subject):
        return replies.restlet(404)
    return _projects(call, subject)


def experiment_projects(call: Call) -> Response:
    experiment = experiment_of(call)
    return _projects(call, experiment) if experiment is not None else replies.restlet(404, NO_EXPERIMENT)


def _projects(call: Call, item: Subject | Experiment) -> Response:
    """The projects that have an item: the owner first, then the shares."""
    rows = []
    for project in projects_of(item):
        known = call.world.projects.get(project)
        secondary, name = (known.secondary_id or known.id, known.name) if known else (project, "")
        rows.append((label_in(item, project) or "", project, secondary, name))
    table = Table(("label", "ID", "Secondary_ID", "Name"), tuple(rows), total=False)
    return replies.table(call.request, table)


ROUTES: Routes = {
    "/data/projects": {"GET": project_list},
    "/data/projects/{project}/subjects": {"GET": project_subject_list},
    "/data/projects/{project}/subjects/{subject}/projects": {"GET": subject_projects},
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}/projects": {"GET": experiment_projects},
    "/data/subjects/{subject}/projects": {"GET": subject_projects},
    "/data/experiments/{experiment}/projects": {"GET": experiment_projects},
    "/data/projects/{project}/subjects/{subject}/experiments": {"GET": subject_experiment_list},
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}/scans": {"GET": scan_list},
    "/data/projects/{project}/experiments": {"GET": project_experiment_list},
    "/data/projects/{project}/experiments/{experiment}/scans": {"GET": scan_list},
    "/data/subjects": {"GET": subject_list},
    "/data/experiments": {"GET": experiment_list},
    "/data/experiments/{experiment}/assessors": {"GET": assessor_list},
    "/data/experiments/{experiment}/scans": {"GET": scan_list},
}
