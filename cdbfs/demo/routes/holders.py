"""What a path to resources and files names, and the refusals that all routes below share.

Used by ``routes.files`` and ``routes.changes``. Nothing is kept; any thread.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from werkzeug.wrappers import Response

from cdbfs.demo import replies
from cdbfs.demo.dataset import Experiment, File, Resource, Scan
from cdbfs.demo.files import Entry, Holder
from cdbfs.demo.routes.call import Call, Handler, experiment_of
from cdbfs.demo.uploads import Home, named

NO_ENTRY = "Unable to find catalog entry for given uri."
INVALID = "Invalid URI"
NO_CATALOG = "Unable to find the specified catalog."


class NoProject(Exception):
    """The project of the path does not exist, or the caller may not read it."""


class Refused(Exception):
    """The request ends here, with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def holders_of(call: Call) -> list[Holder]:
    """What the path names above ``resources`` or ``files``; none if it is unknown or may not be read."""
    if "project" in call.values and not call.project_readable():
        raise NoProject
    if "experiment" in call.values:
        return _experiment_holders(call)
    found = _subject_holder(call) if "subject" in call.values else _project_holder(call)
    return [found] if found is not None else []


def _project_holder(call: Call) -> Holder:
    project = call.world.projects[call.values["project"]]
    home = Home("projects", project.id)
    return Holder(home, f"/data/projects/{project.id}", project.id, project.id, project.resources)


def _subject_holder(call: Call) -> Holder | None:
    world, name, project = call.world, call.values["subject"], call.values.get("project")
    subject = world.subjects.get(name) if project is None else world.subject_in(project, name)
    if subject is None or not world.readable(call.account, subject):
        return None
    if call.dialect.canonical_file_urls:
        project = subject.project
    url = f"/data/projects/{project}/subjects/{subject.id}" if project else f"/data/subjects/{subject.id}"
    return Holder(Home("subjects", subject.id), url, subject.label, subject.project, subject.resources)


def _experiment_holders(call: Call) -> list[Holder]:
    """The experiment, the scans that the path names, or (``all=true``) the experiment and all its scans."""
    experiment = experiment_of(call)
    if experiment is None:
        return []
    content = call.world.data.content_of(experiment)
    url = _experiment_url(call, experiment)
    if "scan" in call.values:
        return [_scan_holder(experiment, scan, url) for scan in _chosen(content.scans, call.values["scan"])]
    home = Home("experiments", experiment.id)
    own = Holder(home, url, experiment.label, experiment.project, content.resources)
    if not flag(call, "all"):
        return [own]
    return [own, *(_scan_holder(experiment, scan, url) for scan in content.scans)]


def _experiment_url(call: Call, experiment: Experiment) -> str:
    project = call.values.get("project")
    if project is None or call.dialect.canonical_file_urls:
        return f"/data/experiments/{experiment.id}"
    subject = f"/subjects/{experiment.subject_id}" if "subject" in call.values else ""
    return f"/data/projects/{project}{subject}/experiments/{experiment.id}"


def _scan_holder(experiment: Experiment, scan: Scan, url: str) -> Holder:
    home = Home("experiments", experiment.id, scan.id)
    return Holder(home, f"{url}/scans/{scan.id}", experiment.label, experiment.project, scan.resources, scan)


def _chosen(scans: Sequence[Scan], text: str) -> list[Scan]:
    """The scans of a comma list of IDs and types; ``*`` and ``ALL`` are all, ``NULL`` those without a type."""
    if text in ("*", "ALL"):
        return list(scans)
    names = {part.replace("[SLASH]", "/").replace("[COMMA]", ",") for part in text.split(",")}
    return [s for s in scans if s.id in names or s.type in names or (not s.type and "NULL" in names)]


def resources_of(call: Call, holders: Iterable[Holder]) -> list[tuple[Holder, Resource]]:
    """The resources as they are now, only those the path names; by number."""
    held = [(h, r) for h in holders for r in call.world.uploads.resources(h.home, h.published)]
    names = call.values["resource"].split(",") if "resource" in call.values else None
    if names is not None:
        held = [(h, r) for h, r in held if any(named([r], name) for name in names)]
    return sorted(held, key=lambda pair: pair[1].key)


def entries_of(call: Call, held: Iterable[tuple[Holder, Resource]]) -> list[Entry]:
    """The files of resources, less those that the query filters out."""
    found = [Entry(holder, resource, file) for holder, resource in held for file in resource.files]
    for name in ("file_format", "file_content"):
        if name in call.query:
            wanted = call.query[name].split(",")
            found = [e for e in found if _column(e.file, name) in wanted]
    return found


def _column(file: File, name: str) -> str:
    return file.format if name == "file_format" else file.content


def paths_of(call: Call) -> list[str]:
    """The path below ``files``: as it was sent, then decoded.

    Seen on XNAT 1.6.4: ``with%20space.txt`` is stored and found under that very name. One with ``..`` never
    arrives there, the container does not let it pass.
    """
    decoded = call.values["path"].rstrip("/") + ("/" if call.request.path.endswith("/") else "")
    if any(part in (".", "..") or "\0" in part for part in decoded.split("/")):
        raise Refused(replies.container(400, INVALID))
    sent = str(call.request.environ.get("REQUEST_URI", call.request.path)).partition("?")[0]
    raw = "/".join(sent.split("/")[-decoded.count("/") - 1 :])
    return [raw, decoded]


def flag(call: Call, name: str) -> bool:
    return call.query.get(name, "false").lower() not in ("false", "0")


def find(entries: Iterable[Entry], paths: Sequence[str]) -> File | None:
    known = {entry.file.path: entry.file for entry in reversed(list(entries))}
    return next((known[path] for path in paths if path in known), None)


def missing(message: str) -> Response:
    """The container's page, sent through Restlet."""
    response = replies.container(404, message)
    response.headers.update(replies.RESTLET)
    return response


def guarded(handler: Handler) -> Handler:
    @functools.wraps(handler)
    def answer(call: Call) -> Response:
        try:
            response = handler(call)
        except NoProject:
            response = replies.not_made(404, "Unable to identify project")
        except Refused as refusal:
            response = refusal.response
        if response.status_code == 404 and call.dialect.accepts_not_found and flag(call, "accept-not-found"):
            return Response(b"", 204, headers=replies.RESTLET)
        return response

    return answer
