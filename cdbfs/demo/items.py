"""Item documents in JSON (``format=json``), as XNAT 1.6 writes them.

Seen on XNAT 1.6.4: ``{"items": [{"children", "meta", "data_fields"}]}``; inline groups are slash paths
(``ER40/ER40_CR``), numbers are numbers, nulls are absent. Used by the routes. Pure functions, any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from cdbfs.demo.dataset import DataSet, Event, Experiment, Project, Resource, Scan, Subject
from cdbfs.demo.documents import database_key, demographics


def experiment_json(data: DataSet, experiment: Experiment) -> dict[str, object]:
    """``{"items": [...]}`` of an experiment: inline groups as slash paths, typed values, and no nulls."""
    return {"items": [_experiment_item(data, experiment)]}


def subject_json(
    data: DataSet, subject: Subject, experiments: Iterable[Experiment], *, first_type_for_all: bool
) -> dict[str, object]:
    """``{"items": [...]}`` of a subject with its experiments.

    ``first_type_for_all``, seen on XNAT 1.6.4: the experiments after the first get its type, and no children.
    """
    inside = [_experiment_item(data, e) for e in experiments]
    if first_type_for_all:
        inside[1:] = [{**item, "children": [], "meta": inside[0]["meta"]} for item in inside[1:]]
    known = {n: _number(v) for n, v in demographics(subject)}
    children = [
        _child("demographics", [_item("xnat:demographicData", known)]) if known else None,
        _child("sharing/share", [_subject_share_item(subject, p, label) for p, label in subject.shares]),
        _child("experiments/experiment", inside),
    ]
    fields = {"project": subject.project, "ID": subject.id, "label": subject.label, "group": subject.group}
    return {"items": [_item("xnat:subjectData", fields, children)]}


def project_json(project: Project) -> dict[str, object]:
    investigator = {
        "firstname": project.pi_firstname,
        "lastname": project.pi_lastname,
        "xnat_investigatorData_id": database_key(project.id),
    }
    children = [_child("PI", [_item("xnat:investigatorData", investigator)])] if project.pi_lastname else []
    fields = {
        "ID": project.id,
        "secondary_ID": project.secondary_id or project.id,
        "name": project.name,
        "description": project.description,
        "keywords": project.keywords,
    }
    return {"items": [_item("xnat:projectData", fields, children)]}


def scan_json(experiment: Experiment, scan: Scan) -> dict[str, object]:
    return {"items": [_scan_item(experiment, scan)]}


def history_json(experiment: Experiment) -> dict[str, object]:
    """``{"events": [...]}``: what was done to an experiment, the latest first; times are milliseconds."""
    return {
        "events": [
            {
                "event_action": event.action,
                "event_id": event.number,
                "event_type": "WEB_SERVICE",
                "event_date": event.date,
                "changesets": [],
                "event_user": event.user or experiment.insert_user,
                "event_category": "DATA",
                "event_status": "Complete",
            }
            for event in experiment.events or _told_by_dates(experiment)
        ]
    }


def _told_by_dates(experiment: Experiment) -> Iterator[Event]:
    made = _milliseconds(experiment.insert_date)
    changed = _milliseconds(experiment.last_modified)
    if changed > made:
        yield Event(database_key(experiment.id, "changed"), changed, "Modified " + experiment.type)
    for project, _ in reversed(experiment.shares):
        yield Event(database_key(experiment.id, project), made, "Configured project sharing")
    yield Event(database_key(experiment.id), made, "Added " + experiment.type)


def _milliseconds(timestamp: str) -> int:
    """Since 1970, of XNAT's ``2012-11-03 14:22:10.123``; 0 of what is none."""
    try:
        return int(datetime.fromisoformat(timestamp[:19]).replace(tzinfo=timezone.utc).timestamp() * 1000)
    except ValueError:
        return 0


def _item(
    type_name: str, fields: dict[str, object] | dict[str, str], children: Iterable[object] = ()
) -> dict[str, object]:
    return {
        "children": [child for child in children if child],
        "meta": {"create_event_id": 1, "xsi:type": type_name, "isHistory": False},
        "data_fields": {name: value for name, value in fields.items() if value not in ("", None)},
    }


def _child(name: str, items: list[dict[str, object]]) -> dict[str, object] | None:
    return {"field": name, "items": items} if items else None


def _experiment_item(data: DataSet, experiment: Experiment) -> dict[str, object]:
    content = data.content_of(experiment)
    fields: dict[str, object] = {
        "ID": experiment.id,
        "id": experiment.id,
        "project": experiment.project,
        "label": experiment.label,
        "subject_ID": experiment.subject_id,
        "date": experiment.date,
        "scanner": content.scanner,
    }
    kind = data.type_of(experiment.type)
    for group, scores in content.groups:
        for name, value in scores:
            path = f"{group}/{name}" if group else name
            fields[path] = _typed(kind.kind(path) if kind else "string", value)
    children = [
        _child("resources/resource", [_resource_item(resource) for resource in content.resources]),
        _child("sharing/share", [_share_item(experiment, p, label) for p, label in experiment.shares]),
        _child("scans/scan", [_scan_item(experiment, scan) for scan in content.scans]),
    ]
    return _item(experiment.type, fields, children)


def _share_item(experiment: Experiment, project: str, label: str) -> dict[str, object]:
    fields: dict[str, object] = {
        "project": project,
        "label": label or experiment.label,
        "xnat_experimentData_share_id": database_key(experiment.id, project),
    }
    return _item("xnat:experimentData_share", fields)


def _subject_share_item(subject: Subject, project: str, label: str) -> dict[str, object]:
    fields: dict[str, object] = {
        "subject_ID": subject.id,
        "project": project,
        "label": label or subject.label,
        "xnat_projectParticipant_id": database_key(subject.id, project),
    }
    return _item("xnat:projectParticipant", fields)


def _scan_item(experiment: Experiment, scan: Scan) -> dict[str, object]:
    fields: dict[str, object] = {
        "xnat_imagescandata_id": scan.key,
        "xnat_imageScanData_id": scan.key,
        "ID": scan.id,
        "type": scan.type,
        "quality": scan.quality,
        "series_description": scan.series_description,
        "note": scan.note,
        "fieldStrength": scan.field_strength,
        "image_session_ID": experiment.id,
    }
    files = [_resource_item(resource) for resource in scan.resources]
    return _item(scan.type_name, fields, [_child("file", files)])


def _resource_item(resource: Resource) -> dict[str, object]:
    fields: dict[str, object] = {
        "xnat_abstractresource_id": resource.key,
        "xnat_abstractResource_id": resource.key,
        "label": resource.label,
        "file_count": resource.file_count,
        "file_size": resource.file_size,
        "URI": "/archive-path",
        "format": resource.format,
        "content": resource.content,
    }
    return _item("xnat:resourceCatalog", fields)


def _typed(kind: str, value: str | None) -> object:
    """Seen on XNAT 1.6.4: numbers are JSON numbers, and a whole float loses its ``.0``."""
    if value and kind in ("int", "float"):
        return _number(value)
    return value


def _number(value: str) -> object:
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else number
