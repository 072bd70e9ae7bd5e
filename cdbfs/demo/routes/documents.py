"""Documents of projects, subjects, experiments and scans; the messages of refusals are those of XNAT 1.6.4."""

from __future__ import annotations

from werkzeug.wrappers import Response

from cdbfs.demo import documents, items, replies
from cdbfs.demo.dataset import Subject
from cdbfs.demo.routes.call import NO_EXPERIMENT, Call, Routes, experiment_of, scan_of

_BY_ID_ONLY = (
    "Unable to find the specified subject. When searching by subject ID only, you must specify the accession"
    " number and not the subject label, which is not unique across the XNAT system. {} is not a known subject"
    " accession ID."
)
_NOT_IN_PROJECT = (
    "Unable to find the specified subject. The project {} does not contain a subject identifiable by the ID or"
    " label {}."
)


def project_document(call: Call) -> Response:
    project = call.world.readable_project(call.account, call.values["project"])
    if project is None:
        return replies.not_made(404)
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
        quirk = call.dialect.first_type_for_all
        return replies.item_json(items.subject_json(data, subject, listed, first_type_for_all=quirk))
    return replies.xml(documents.subject_xml(data, subject, listed, hidden=call.hidden))


def experiment_document(call: Call) -> Response:
    experiment = experiment_of(call)
    if experiment is None:
        return replies.restlet(404, NO_EXPERIMENT)
    default = "html" if "subject" in call.values else call.dialect.experiment_format
    kind = replies.document_format(call.request, default)
    if kind == "json":
        return replies.item_json(items.experiment_json(call.world.data, experiment))
    if kind == "html":
        return replies.report(experiment.label)
    return replies.xml(documents.experiment_xml(call.world.data, experiment, hidden=call.hidden))


def scan_document(call: Call) -> Response:
    experiment = experiment_of(call)
    if experiment is None:
        return replies.restlet(404, NO_EXPERIMENT)
    scan = scan_of(call, experiment)
    if scan is None:
        return replies.restlet(404, "Unable to find the specified scan.")
    kind = replies.document_format(call.request, "html")
    if kind == "json":
        return replies.item_json(items.scan_json(experiment, scan))
    if kind == "html":
        return replies.report(scan.id)
    return replies.xml(documents.scan_xml(call.world.data, experiment, scan, hidden=call.hidden))


def experiment_history(call: Call) -> Response:
    experiment = experiment_of(call)
    if experiment is None:
        return replies.restlet(404, NO_EXPERIMENT)
    return replies.item_json(items.history_json(experiment))


def item_status(call: Call) -> Response:
    """Nothing here is in quarantine."""
    if "experiment" in call.values:
        return replies.text("active") if experiment_of(call) is not None else replies.restlet(404, NO_EXPERIMENT)
    found = subject_document(call)
    return replies.text("active") if found.status_code == 200 else found


def put_subject(call: Call) -> Response:
    """Refused: what is published here changes only as a whole.

    Seen on XNAT 1.6.4: one who cannot read the project is told that the record names none, and others who
    may not write get 403.
    """
    if call.project_readable():
        return replies.restlet(403)
    return replies.restlet(422, "Submitted subject record must include the project attribute.")


def unknown_below_project(call: Call) -> Response:
    return replies.restlet(400)


ROUTES: Routes = {
    "/data/projects/{project}": {"GET": project_document},
    "/data/projects/{project}/{unknown}": {"GET": unknown_below_project},
    "/data/projects/{project}/subjects/{subject}": {"GET": subject_document, "PUT": put_subject},
    "/data/projects/{project}/subjects/{subject}/status": {"GET": item_status},
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}": {"GET": experiment_document},
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}/scans/{scan}": {"GET": scan_document},
    "/data/projects/{project}/experiments/{experiment}": {"GET": experiment_document},
    "/data/projects/{project}/experiments/{experiment}/scans/{scan}": {"GET": scan_document},
    "/data/subjects/{subject}": {"GET": subject_document},
    "/data/subjects/{subject}/experiments": {"GET": subject_document},
    "/data/subjects/{subject}/status": {"GET": item_status},
    "/data/experiments/{experiment}": {"GET": experiment_document},
    "/data/experiments/{experiment}/history": {"GET": experiment_history},
    "/data/experiments/{experiment}/status": {"GET": item_status},
    "/data/experiments/{experiment}/scans/{scan}": {"GET": scan_document},
}
