"""The listings of projects, subjects, experiments and scans, with XNAT 1.6's rules for their columns.

Seen on XNAT 1.6.4: the key column comes first, then columns by table, not as requested; URI is last;
unknown names are dropped; project listings ignore filters but for ``xsiType`` and path columns, site
listings apply them; ``limit`` and ``offset`` do nothing. Used by the routes. Pure functions, any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable, TypeVar

from cdbfs.demo import columns as col
from cdbfs.demo.dataset import DataType, Experiment, Project, Subject, projects_of
from cdbfs.demo.tables import Table
from cdbfs.demo.world import World

Query = Mapping[str, str]
_Row = TypeVar("_Row")

GENERIC_ROOTS = ("xnat:experimentData", "xnat:subjectAssessorData", "xnat:imageSessionData")


class BadField(Exception):
    """A field that a known element does not have: subjects answer 500, experiments an empty 200."""


def project_table(projects: Iterable[Project], query: Query, missing: frozenset[str]) -> Table:
    """``/data/projects``; insert_date and last_modified are no shortcuts of a project."""
    names = _requested(query, col.PROJECT_DEFAULT, col.PROJECT_PATHS, missing, "xnat:projectData")
    chosen = _unique(["ID", *names])
    rows = [(*(col.project_value(p, n) for n in chosen), f"/data/projects/{p.id}") for p in projects]
    return _sorted(Table((*chosen, "URI"), tuple(rows)), query)


def subject_table(subjects: Iterable[Subject], query: Query, missing: frozenset[str], project: str) -> Table:
    """Subjects of a project, or of the site when ``project`` is ""."""
    names = _requested(query, col.SUBJECT_DEFAULT, col.SUBJECT_PATHS, missing, "xnat:subjectData")
    chosen = _unique(["ID", *names])
    if not project:
        subjects = _filtered(subjects, query, col.SUBJECT_PATHS, lambda s, n: col.subject_value(s, n, ""))
    rows = [(*(col.subject_value(s, n, project) for n in chosen), f"/data/subjects/{s.id}") for s in subjects]
    return _sorted(Table((*chosen, "URI"), tuple(rows)), query)


def experiment_table(world: World, experiments: Iterable[Experiment], query: Query, project: str) -> Table:
    """Experiments of a project (or of one of its subjects), or of the site when ``project`` is "".

    Seen on XNAT 1.6.4: ``label`` is the project's own, but ``subject_label`` and ``project`` are the owner's.
    An empty listing is not formatted: raw database aliases for a header and no URI column.
    """
    missing = world.data.missing_columns
    names = _requested(query, col.EXPERIMENT_DEFAULT, col.EXPERIMENT_PATHS, missing, "", world.types)
    root = root_type(world, query, names)
    listed = _narrowed(experiments, root)
    if not project:
        listed = _filtered_experiments(world, listed, query)
    headers = _experiment_headers(world, root, names, missing, bool(project), bool(query.get("columns")))
    title = "" if project else "Matching experiments"
    if not listed:
        return Table(_aliases(headers), (), title)
    rows = [
        (*(_experiment_cell(world, e, header, project) for header in headers), f"/data/experiments/{e.id}")
        for e in listed
    ]
    return _sorted(Table((*headers, "URI"), tuple(rows), title), query)


def scan_table(world: World, experiment: Experiment, query: Query) -> Table:
    """Scans of an image session; columns without ID are a BadField (a 500 on XNAT 1.6.4)."""
    names = _requested(query, col.SCAN_DEFAULT, col.SCAN_PATHS, world.data.missing_columns, "xnat:imageScanData")
    chosen = _unique(["xnat_imagescandata_id", *names])
    if "ID" not in chosen:
        raise BadField("ID")
    scans = world.data.content_of(experiment).scans
    base = f"/data/experiments/{experiment.id}/scans/"
    rows = [(*(col.scan_value(s, n) for n in chosen), base + s.id) for s in scans]
    return _sorted(Table((*chosen, "URI"), tuple(rows)), query)


def no_assessors() -> Table:
    """The empty listing of a session's image assessors."""
    names = ("xnat:imageassessordata/id", "session_ID", "session_label", "ID", "project", "label", "date")
    return Table(_aliases((*names, "xsiType", "insert_date")), ())


def fields_table(paths: Mapping[str, str]) -> Table:
    """What ``?fields=`` answers in place of a listing."""
    return Table(("key", "xpath"), tuple(paths.items()))


def project_access_table(
    projects: Iterable[Project], readable: Callable[[str], bool], user: str, title: str
) -> Table:
    """``/data/projects?accessible=true`` and the like: display columns in lower case."""
    names = (
        "id,name,description,secondary_id,pi,project_invs,project_access,project_access_img,insert_date,"
        "insert_user,user_role_3,last_accessed_3,quarantine_status"
    )
    rows = [
        (
            *(p.id, p.name, p.description, p.secondary_id or p.id),
            f"{p.pi_firstname} {p.pi_lastname}".strip(),
            f"{p.pi_lastname}, {p.pi_firstname}" if p.pi_lastname else "",
            *(p.access, "/@WEBAPPimages/key.gif", p.insert_date, p.insert_user),
            *("Owners" if p.insert_user == user else "Collaborators", "", "active"),
        )
        for p in projects
        if readable(p.id)
    ]
    return Table(tuple(names.split(",")), tuple(sorted(rows)), title)


# --- columns


def _requested(
    query: Query,
    default: Sequence[str],
    paths: Mapping[str, str],
    missing: frozenset[str],
    element: str,
    types: Mapping[str, DataType] | None = None,
) -> list[str]:
    asked = query.get("columns", "DEFAULT")
    names: list[str] = []
    for name in asked.split(","):
        if name == "DEFAULT":
            names += default
        elif "/" in name:
            names += _path_column(name, paths, element, types or {})
        elif name in paths:
            names.append(name)
    return [name for name in _unique(names) if name not in missing]


def _path_column(path: str, paths: Mapping[str, str], element: str, types: Mapping[str, DataType]) -> list[str]:
    """The header of a path column: the shortcut behind it, or the path in lower case.

    Seen on XNAT 1.6.4: a path on an unknown element is dropped; one that the element lacks is an error.
    """
    for name, known in paths.items():
        if known.lower() == path.lower():
            return [name]
    root, _, inner = path.partition("/")
    if root in types:
        if not col.knows_field(types[root], inner):
            raise BadField(path)
        return [path]
    if root == "xnat:projectData" and element == root and inner == "meta/insert_date":
        return [path.lower()]
    if element == root or (not element and root in GENERIC_ROOTS):
        raise BadField(path)
    return []


def root_type(world: World, query: Query, names: Iterable[str]) -> DataType | None:
    """The type that ``xsiType=`` or a path column narrows a listing of experiments to."""
    asked = query.get("xsiType", "")
    if asked:
        return world.types.get(asked) or DataType(asked, asked, "")
    return next((world.types[n.partition("/")[0]] for n in names if "/" in n), None)


def _experiment_headers(
    world: World,
    root: DataType | None,
    names: Sequence[str],
    missing: frozenset[str],
    in_project: bool,
    chosen: bool,
) -> tuple[str, ...]:
    """The columns in the server's order: key, subject assessor, subject, type, experiment."""
    wanted = list(names)
    if root is None:
        key = "xnat:subjectassessordata/id" if in_project else "ID"
        if chosen:
            wanted += [n for n in ("xsiType", "project") if n not in wanted and n not in missing]
    else:
        key = f"{root.name.lower()}/id"
        if root.image and "subject_label" in wanted and "subject_ID" not in wanted:
            wanted.append(f"{root.name.lower()}/subject_id")
        wanted = [n.lower() if "/" in n else n for n in wanted]
    return tuple(_unique([key, *sorted(wanted, key=_rank)]))


def _rank(name: str) -> int:
    if "/" in name:
        return 0 if name.endswith("/subject_id") else 3
    path = col.EXPERIMENT_PATHS[name].lower()
    for rank, element in enumerate(("xnat:subjectassessordata/", "xnat:subjectdata/")):
        if path.startswith(element):
            return rank + 1
    return 4 if path.startswith("xnat:experimentdata/") else 3


def _experiment_cell(world: World, experiment: Experiment, header: str, project: str) -> str:
    name = header.partition("/")[2] if "/" in header else header
    subject = world.subjects.get(experiment.subject_id) if name.startswith("subject_") else None
    return col.experiment_value(world.data, experiment, subject, name, project)


def _aliases(headers: Iterable[str]) -> tuple[str, ...]:
    """The raw database aliases of columns, as seen on XNAT 1.6.4 for its default ones."""
    return tuple(_ALIASES.get(name, f"xnat_experimentdata{number}") for number, name in enumerate(headers, 40))


_ALIASES = {
    "xnat:subjectassessordata/id": "xnat_subjectassessordata0",
    "xnat:imageassessordata/id": "xnat_imageassessordata0",
    "session_ID": "xnat_imagesessiondata0",
    "session_label": "xnat_experimentdata34",
    "ID": "xnat_experimentdata9",
    "project": "xnat_experimentdata10",
    "date": "xnat_experimentdata0",
    "label": "xnat_experimentdata16",
    "xsiType": "xdat_meta_element136",
    "insert_date": "xnat_experimentdata_meta_data143",
}


# --- rows


def _narrowed(experiments: Iterable[Experiment], root: DataType | None) -> list[Experiment]:
    if root is None or root.name in GENERIC_ROOTS:
        return list(experiments)
    return [e for e in experiments if e.type == root.name]


def _filtered_experiments(world: World, experiments: Iterable[Experiment], query: Query) -> list[Experiment]:
    shared = query.get("xnat:experimentData/sharing/share/project")
    if shared is not None:
        experiments = [e for e in experiments if shared in projects_of(e)[1:]]
    return list(
        _filtered(
            experiments,
            {n: v for n, v in query.items() if n != "xsiType"},
            col.EXPERIMENT_PATHS,
            lambda e, n: _experiment_cell(world, e, n, ""),
        )
    )


def _filtered(
    rows: Iterable[_Row], query: Query, paths: Mapping[str, str], value: Callable[[_Row, str], str]
) -> Iterable[_Row]:
    for name, wanted in query.items():
        if name in paths:
            tests = [_matcher(text) for text in wanted.split(",")]
            rows = [row for row in rows if any(test(value(row, name)) for test in tests)]
    return rows


def _matcher(wanted: str) -> Callable[[str], bool]:
    """Seen on XNAT 1.6.4: ``*`` and ``%`` make a LIKE, without regard to case; else equality."""
    if "*" in wanted or "%" in wanted:
        parts = [re.escape(part) for part in re.split(r"[*%]", wanted)]
        pattern = re.compile(".*".join(parts), re.IGNORECASE | re.DOTALL)
        return lambda value: pattern.search(value) is not None
    return lambda value: value == wanted


def _sorted(table: Table, query: Query) -> Table:
    by = query.get("sortBy")
    return table.sorted(by, query.get("sortOrder", "").upper() == "DESC") if by else table


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
