"""Item documents in XML, as XNAT 1.6 writes them.

Seen on XNAT 1.6.4: one element a line, no indentation; the namespace declarations of every registered
type on the root; comments ``hidden_fields[...]`` with database keys, left out on request; an experiment
inside a subject is ``xnat:experiment`` with ``xsi:type``. Used by the routes and by tests that compare.
Pure functions, any thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from cdbfs.demo.dataset import Content, DataSet, Experiment, Project, Resource, Scan, Subject

_NAMESPACES = (
    ("arc", "http://nrg.wustl.edu/arc", "project/project.xsd"),
    ("val", "http://nrg.wustl.edu/val", "validation/protocolValidation.xsd"),
    ("pipe", "http://nrg.wustl.edu/pipe", "pipeline/repository.xsd"),
    ("wrk", "http://nrg.wustl.edu/workflow", "pipeline/workflow.xsd"),
    ("scr", "http://nrg.wustl.edu/scr", "screening/screeningAssessment.xsd"),
    ("xdat", "http://nrg.wustl.edu/security", "security/security.xsd"),
    ("cat", "http://nrg.wustl.edu/catalog", "catalog/catalog.xsd"),
    ("prov", "http://www.nbirn.net/prov", "birn/birnprov.xsd"),
    ("xnat", "http://nrg.wustl.edu/xnat", "xnat/xnat.xsd"),
    ("xnat_a", "http://nrg.wustl.edu/xnat_assessments", "assessments/assessments.xsd"),
)
DEMOGRAPHICS = (
    *("dob", "yob", "age", "gender", "handedness", "ses", "education", "educationDesc"),
    *("race", "ethnicity", "weight", "height"),
)


def document(data: DataSet, experiment_id: str, *, hidden: bool = True) -> bytes:
    """The bytes the server sends for ``/data/experiments/{experiment_id}?format=xml``."""
    experiment = next(e for e in data.experiments if e.id == experiment_id)
    return experiment_xml(data, experiment, hidden=hidden)


def experiment_xml(data: DataSet, experiment: Experiment, *, hidden: bool = True) -> bytes:
    """An experiment's document, or the bytes that the data set gives in its place."""
    if experiment.document is not None:
        return experiment.document
    kind = data.type_of(experiment.type)
    element = kind.element if kind is not None else experiment.type
    attributes = (("ID", experiment.id), ("project", experiment.project), ("label", experiment.label))
    return _finish(_root(data, element, attributes, _experiment_lines(data, experiment)), hidden)


def subject_xml(
    data: DataSet, subject: Subject, experiments: Iterable[Experiment], *, hidden: bool = True
) -> bytes:
    """A subject's document with its experiments in full."""
    attributes = [("ID", subject.id), ("project", subject.project)]
    if subject.group:
        attributes.append(("group", subject.group))
    attributes.append(("label", subject.label))
    lines = _subject_lines(data, subject, experiments)
    return _finish(_root(data, "xnat:Subject", attributes, lines), hidden)


def project_xml(data: DataSet, project: Project, *, hidden: bool = True) -> bytes:
    attributes = (("ID", project.id), ("secondary_ID", project.secondary_id or project.id))
    return _finish(_root(data, "xnat:Project", attributes, _project_lines(project)), hidden)


def scan_xml(data: DataSet, experiment: Experiment, scan: Scan, *, hidden: bool = True) -> bytes:
    attributes = (("ID", scan.id), ("type", scan.type))
    return _finish(_root(data, scan.element, attributes, _scan_lines(experiment, scan)), hidden)


# --- inside


def _root(
    data: DataSet, element: str, attributes: Iterable[tuple[str, str]], lines: Iterable[str]
) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<{element}{_attributes(attributes)}{declarations(data)}>"
    yield from lines
    yield f"</{element}>"


def namespaces(data: DataSet) -> dict[str, tuple[str, str]]:
    """Prefix -> namespace and schema file, of every registered type."""
    known = {prefix: (uri, schema) for prefix, uri, schema in _NAMESPACES}
    for kind in data.types:
        known.setdefault(kind.prefix, (kind.namespace, kind.schema or f"{kind.prefix}/{kind.prefix}.xsd"))
    return known


def declarations(data: DataSet) -> str:
    """The namespaces that every document declares, and where their schemas are."""
    known = namespaces(data)
    declared = [(f"xmlns:{prefix}", uri) for prefix, (uri, _) in known.items()]
    declared.append(("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"))
    places = " ".join(f"{uri} {data.site_url}/schemas/{schema}" for uri, schema in known.values())
    return _attributes([*declared, ("xsi:schemaLocation", places)])


def _finish(lines: Iterable[str], hidden: bool) -> bytes:
    kept = lines if hidden else (line for line in lines if not line.startswith("<!--hidden_fields["))
    return "\n".join(kept).encode("utf-8")


def _attributes(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f' {name}="{escape(value, {chr(34): "&quot;"})}"' for name, value in pairs)


def _text(name: str, value: str) -> str:
    return f"<{name}>{escape(value)}</{name}>" if value else f"<{name}/>"


def _optional(name: str, value: str) -> Iterator[str]:
    if value:
        yield _text(name, value)


def _hidden(*pairs: tuple[str, object]) -> str:
    return f"<!--hidden_fields[{','.join(f'{name}={chr(34)}{value}{chr(34)}' for name, value in pairs)}]-->"


def database_key(*names: str) -> int:
    """A database key for what has none here: stable, and no more to a client than a number."""
    return zlib.crc32("/".join(names).encode("utf-8")) % 1_000_000


def _experiment_lines(data: DataSet, experiment: Experiment) -> Iterator[str]:
    content = data.content_of(experiment)
    if experiment.shares:
        yield "<xnat:sharing>"
        for project, label in experiment.shares:
            yield f"<xnat:share{_attributes((('label', label or experiment.label), ('project', project)))}>"
            yield _hidden(
                ("xnat_experimentData_share_id", database_key(experiment.id, project)),
                ("sharing_share_xnat_experimentDa_id", experiment.id),
            )
            yield "</xnat:share>"
        yield "</xnat:sharing>"
    yield from _optional("xnat:date", experiment.date)
    if content.resources:
        yield "<xnat:resources>"
        for resource in content.resources:
            yield from _resource_lines("xnat:resource", resource, "null")
        yield "</xnat:resources>"
    yield _text("xnat:subject_ID", experiment.subject_id)
    yield from _optional("xnat:scanner", content.scanner)
    yield from _scans_lines(experiment, content)
    yield from _group_lines(experiment.type.partition(":")[0], content)


def _scans_lines(experiment: Experiment, content: Content) -> Iterator[str]:
    if not content.scans:
        return
    yield "<xnat:scans>"
    for scan in content.scans:
        attributes = (("ID", scan.id), ("type", scan.type), ("xsi:type", scan.type_name))
        yield f"<xnat:scan{_attributes(attributes)}>"
        yield from _scan_lines(experiment, scan)
        yield "</xnat:scan>"
    yield "</xnat:scans>"


def _scan_lines(experiment: Experiment, scan: Scan) -> Iterator[str]:
    yield _hidden(("xnat_imageScanData_id", scan.key))
    yield _text("xnat:image_session_ID", experiment.id)
    yield from _optional("xnat:note", scan.note)
    yield from _optional("xnat:quality", scan.quality)
    yield from _optional("xnat:series_description", scan.series_description)
    for resource in scan.resources:
        yield from _resource_lines("xnat:file", resource, str(scan.key))
    yield from _optional("xnat:fieldStrength", scan.field_strength)


def _resource_lines(element: str, resource: Resource, scan_key: str) -> Iterator[str]:
    attributes = (
        ("label", resource.label),
        ("file_count", str(resource.file_count)),
        ("file_size", str(resource.file_size)),
        ("URI", "/archive-path"),
        *((name, value) for name, value in (("format", resource.format), ("content", resource.content)) if value),
        ("xsi:type", "xnat:resourceCatalog"),
    )
    yield f"<{element}{_attributes(attributes)}>"
    yield _hidden(
        ("xnat_abstractResource_id", resource.key), ("xnat_imageScanData_xnat_imagescandata_id", scan_key)
    )
    yield f"</{element}>"


def _group_lines(prefix: str, content: Content) -> Iterator[str]:
    for group, scores in content.groups:
        present = [(name, value) for name, value in scores if value is not None]
        if not present:
            continue
        if group:
            yield f"<{prefix}:{group}>"
        for name, value in present:
            yield _text(f"{prefix}:{name}", value)
        if group:
            yield f"</{prefix}:{group}>"


def _subject_lines(data: DataSet, subject: Subject, experiments: Iterable[Experiment]) -> Iterator[str]:
    if subject.shares:
        yield "<xnat:sharing>"
        for project, label in subject.shares:
            attributes = (
                ("label", label or subject.label),
                ("project", project),
                ("subject_ID", subject.id),
            )
            yield f"<xnat:share{_attributes(attributes)}>"
            yield _hidden(("xnat_projectParticipant_id", database_key(subject.id, project)))
            yield "</xnat:share>"
        yield "</xnat:sharing>"
    present = list(demographics(subject))
    if present:
        yield '<xnat:demographics xsi:type="xnat:demographicData">'
        yield _hidden(("xnat_abstractDemographicData_id", database_key(subject.id)))
        for name, value in present:
            yield _text(f"xnat:{name}", value)
        yield "</xnat:demographics>"
    yield from _embedded(data, experiments)


def _embedded(data: DataSet, experiments: Iterable[Experiment]) -> Iterator[str]:
    listed = list(experiments)
    if not listed:
        return
    yield "<xnat:experiments>"
    for experiment in listed:
        attributes = (
            ("ID", experiment.id),
            ("project", experiment.project),
            ("label", experiment.label),
            ("xsi:type", experiment.type),
        )
        yield f"<xnat:experiment{_attributes(attributes)}>"
        yield from _experiment_lines(data, experiment)
        yield "</xnat:experiment>"
    yield "</xnat:experiments>"


def demographics(subject: Subject) -> Iterator[tuple[str, str]]:
    """The demographic values a subject has, in the schema's order."""
    for name in DEMOGRAPHICS:
        value = subject.detail(name)
        if value:
            yield name, value


def _project_lines(project: Project) -> Iterator[str]:
    yield from _optional("xnat:name", project.name)
    yield from _optional("xnat:description", project.description)
    yield from _optional("xnat:keywords", project.keywords)
    if project.pi_lastname:
        yield "<xnat:PI>"
        yield _hidden(("xnat_investigatorData_id", database_key(project.id)))
        yield from _optional("xnat:firstname", project.pi_firstname)
        yield from _optional("xnat:lastname", project.pi_lastname)
        yield "</xnat:PI>"
