"""Which columns a listing can have: XNAT's shortcut names, the schema paths behind them, the values.

Used by ``listings``. The shortcut tables are what ``?fields=`` answers on XNAT 1.6.4, and what newer servers
add to it. Pure functions and constants, any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

from cdbfs.demo.dataset import DataSet, DataType, Experiment, Project, Scan, Subject, label_in
from cdbfs.demo.dialect import Dialect
from cdbfs.demo.documents import DEMOGRAPHICS

_DEMOGRAPHIC = "xnat:subjectData/demographics[@xsi:type=xnat:demographicData]/"

PROJECT_PATHS = {
    "ID": "xnat:projectData/ID",
    "secondary_ID": "xnat:projectData/secondary_ID",
    "name": "xnat:projectData/name",
    "description": "xnat:projectData/description",
    "keywords": "xnat:projectData/keywords",
    "pi_firstname": "xnat:projectData/PI/firstname",
    "pi_lastname": "xnat:projectData/PI/lastname",
}
SUBJECT_PATHS = {
    "ID": "xnat:subjectData/ID",
    "project": "xnat:subjectData/project",
    "label": "xnat:subjectData/label",
    "group": "xnat:subjectData/group",
    "src": "xnat:subjectData/src",
    "pi_firstname": "xnat:subjectData/investigator/firstname",
    "pi_lastname": "xnat:subjectData/investigator/lastname",
    **{name: _DEMOGRAPHIC + name for name in (*DEMOGRAPHICS, "gestational_age", "post_menstrual_age")},
    "birth_weight": _DEMOGRAPHIC + "birth_weight",
    "insert_date": "xnat:subjectData/meta/insert_date",
    "last_modified": "xnat:subjectData/meta/last_modified",
    "insert_user": "xnat:subjectData/meta/insert_user/login",
}
_PET = {
    "patientName": "patientname",
    "patientID": "patientid",
    "studyType": "studytype",
    "stabilization": "stabilization",
    "scan_start_time": "start_time_scan",
    "injection_start_time": "start_time_injection",
    "tracer_name": "tracer/name",
    "tracer_dose": "tracer/dose",
    "tracer_sa": "tracer/specificactivity",
    "tracer_totalmass": "tracer/totalmass",
    "tracer_startTime": "tracer/starttime",
    "tracer_isotope": "tracer/isotope/half-life",
    "tracer_intermediate": "tracer/intermediate",
    "tracer_transmissions": "tracer/transmissions",
    "tracer_transmissions_start": "tracer/transmissions_starttime",
}
_IMAGE = {
    "session_ID": "id",
    "session_label": "label",
    "session_project": "project",
    "scanner": "scanner",
    "operator": "operator",
    "modality": "modality",
    "session_type": "session_type",
    "UID": "uid",
    "studyInstanceUID": "uid",
    "dcmAccessionNumber": "dcmaccessionnumber",
    "dcmPatientId": "dcmpatientid",
    "dcmPatientName": "dcmpatientname",
}
_EXPERIMENT = {
    "ID": "id",
    "project": "project",
    "label": "label",
    "date": "date",
    "time": "time",
    "note": "note",
    "visit": "visit",
    "visit_id": "visit_id",
    "pi_firstname": "investigator/firstname",
    "pi_lastname": "investigator/lastname",
    "validation_method": "validation/method",
    "validation_status": "validation/status",
    "validation_date": "validation/date",
    "validation_notes": "validation/notes",
}
EXPERIMENT_PATHS = {
    **{name: f"xnat:experimentdata/{path}" for name, path in _EXPERIMENT.items()},
    **{name: f"xnat:imagesessiondata/{path}" for name, path in _IMAGE.items()},
    **{name: f"xnat:petsessiondata/{path}" for name, path in _PET.items()},
    **{name: f"xnat:mrsessiondata/{name.lower()}" for name in ("coil", "fieldStrength", "marker")},
    "subject_ID": "xnat:subjectassessordata/subject_id",
    "subject_label": "xnat:subjectdata/label",
    "subject_project": "xnat:subjectdata/project",
    "insert_date": "xnat:experimentData/meta/insert_date",
    "last_modified": "xnat:experimentData/meta/last_modified",
    "insert_user": "xnat:experimentData/meta/insert_user/login",
    "xsiType": "xnat:experimentData/extension_item/element_name",
}
_SCAN = (
    *("xnat_imagescandata_id", "ID", "type", "UID", "note", "quality", "condition", "series_description"),
    *("documentation", "scanner", "modality", "frames", "xsiType", "fieldStrength"),
)
SCAN_PATHS = {name: f"xnat:imageScanData/{name}" for name in _SCAN}
_SHORTCUTS: Mapping[str, Mapping[str, str]] = {
    "project": PROJECT_PATHS,
    "subject": SUBJECT_PATHS,
    "experiment": EXPERIMENT_PATHS,
    "scan": SCAN_PATHS,
}
_NEWER: Mapping[str, Mapping[str, str]] = {
    "project": {"alias": "xnat:projectData/aliases/alias/alias", "note": "xnat:projectData/note"},
    "subject": {},
    "experiment": {"protocol": "xnat:experimentdata/protocol"},
    "scan": {
        name: f"xnat:imageScanData/{name}"
        for name in ("scanTime", "coil", "marker", "stabilization", "insert_date", "insert_user", "last_modified")
    },
}


def shortcuts(kind: str, dialect: Dialect) -> dict[str, str]:
    """Column name -> schema path, of a kind of listing: project, subject, experiment or scan."""
    older = {
        "project": PROJECT_PATHS,
        "subject": SUBJECT_PATHS,
        "experiment": EXPERIMENT_PATHS,
        "scan": SCAN_PATHS,
    }
    return {**older[kind], **(_NEWER[kind] if dialect.more_columns else {})}


_NUMBERS = frozenset(
    {"yob", "age", "education", "weight", "height", "gestational_age", "post_menstrual_age", "birth_weight"}
)
_DATES = frozenset({"date", "dob", "validation_date", "insert_date", "last_modified"})


def kind_of(name: str) -> str:
    """What a filter compares a column as: int, date or string."""
    return "int" if name in _NUMBERS else "date" if name in _DATES else "string"


PROJECT_DEFAULT = ("ID", "secondary_ID", "name", "description", "pi_firstname", "pi_lastname")
SUBJECT_DEFAULT = ("ID", "project", "label", "insert_date", "insert_user")
EXPERIMENT_DEFAULT = ("ID", "project", "date", "xsiType", "label", "insert_date")
SCAN_DEFAULT = ("xnat_imagescandata_id", "ID", "type", "quality", "xsiType", "note", "series_description")


def project_value(project: Project, name: str) -> str:
    values = {
        "ID": project.id,
        "secondary_ID": project.secondary_id or project.id,
        "name": project.name,
        "description": project.description,
        "keywords": project.keywords,
        "pi_firstname": project.pi_firstname,
        "pi_lastname": project.pi_lastname,
        "xnat:projectdata/meta/insert_date": project.insert_date,
    }
    return values.get(name, "")


def subject_value(subject: Subject, name: str, project: str) -> str:
    """A subject's value; its label is the one in the listing's project ("": the owner's)."""
    if name == "label":
        return (label_in(subject, project) if project else None) or subject.label
    getter = _SUBJECT_VALUES.get(name)
    return str(getter(subject)) if getter is not None else subject.detail(name)


def experiment_value(
    data: DataSet, experiment: Experiment, subject: Subject | None, name: str, project: str
) -> str:
    """An experiment's value; ``name`` is a shortcut or the lower-case path below its type."""
    if name == "label":
        return (label_in(experiment, project) if project else None) or experiment.label
    getter = _EXPERIMENT_VALUES.get(name)
    if getter is not None:
        return str(getter(experiment))
    if name.startswith("subject_"):
        return subject_value(subject, name[len("subject_") :], "") if subject is not None else ""
    return content_value(data, experiment, name)


_SUBJECT_VALUES = {
    "ID": attrgetter("id"),
    **{n: attrgetter(n) for n in ("project", "group", "insert_date", "last_modified", "insert_user")},
}
_EXPERIMENT_VALUES = {
    "ID": attrgetter("id"),
    "id": attrgetter("id"),
    "xsiType": attrgetter("type"),
    "subject_ID": attrgetter("subject_id"),
    "subject_id": attrgetter("subject_id"),
    **{n: attrgetter(n) for n in ("project", "date", "insert_date", "last_modified", "insert_user")},
}


def content_value(data: DataSet, experiment: Experiment, path: str) -> str:
    """A value inside the document, by its path below the root without regard to case."""
    content = data.content_of(experiment)
    if path.lower() == "scanner":
        return content.scanner
    for group, scores in content.groups:
        for name, value in scores:
            if (f"{group}/{name}" if group else name).lower() == path.lower():
                return value or ""
    return ""


def scan_value(scan: Scan, name: str) -> str:
    values = {
        "xnat_imagescandata_id": str(scan.key),
        "ID": scan.id,
        "type": scan.type,
        "quality": scan.quality,
        "xsiType": scan.type_name,
        "note": scan.note,
        "series_description": scan.series_description,
        "fieldStrength": scan.field_strength,
    }
    return values.get(name, "")


def knows_field(kind: DataType, path: str) -> bool:
    """Whether a type has a field at a path, an inherited one included."""
    inherited = {p.partition("/")[2].lower() for p in EXPERIMENT_PATHS.values() if "experiment" in p.lower()}
    return path.lower() in {*inherited, "subject_id"} or bool(kind.kind(path))
