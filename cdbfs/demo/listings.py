"""The listings of projects, subjects, experiments and scans, with XNAT's rules for their columns.

Seen on XNAT 1.6.4: the key column comes first, then columns by table, not as requested; URI is last;
unknown names are dropped; project listings ignore filters but for ``xsiType`` and path columns, site
listings apply them; ``limit`` and ``offset`` do nothing. Where newer servers differ, a trait of the dialect says
so. Used by the routes. Pure functions, any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, TypeVar

from cdbfs.demo import columns as col
from cdbfs.demo.dataset import Account, DataType, Experiment, Project, Subject, label_in, projects_of
from cdbfs.demo.dialect import Dialect
from cdbfs.demo.filters import BadFilter, days_before, matcher
from cdbfs.demo.tables import Table
from cdbfs.demo.world import World

Query = Mapping[str, str]
_Row = TypeVar("_Row")

GENERIC_ROOTS = ("xnat:experimentData", "xnat:subjectAssessorData", "xnat:imageSessionData")
DEFAULT_PAGE = 100
"""Rows of a page when only ``offset`` is given."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a listing, of whom: ``project`` is "" for the whole site."""

    query: Query
    dialect: Dialect
    missing: frozenset[str] = frozenset()
    project: str = ""

    @property
    def filters(self) -> bool:
        return not self.project or self.dialect.filters_in_projects


class BadField(Exception):
    """A field that a known element does not have, or a filter's value that the field cannot have."""


class BadPage(Exception):
    """A ``limit`` or ``offset`` that is no number."""


def project_table(projects: Iterable[Project], asked: Asked, *, filtered: bool) -> Table:
    """``/data/projects``; insert_date and last_modified are no shortcuts of a project."""
    paths = col.shortcuts("project", asked.dialect)
    names = _requested(asked, col.PROJECT_DEFAULT, paths, "xnat:projectData")
    chosen = _unique(["ID", *names])
    if filtered:
        projects = _filtered(projects, asked.query, paths, col.project_value)
    rows = [(*(col.project_value(p, n) for n in chosen), f"/data/projects/{p.id}") for p in projects]
    return _sorted(Table((*chosen, "URI"), tuple(rows)), asked.query)


def subject_table(subjects: Iterable[Subject], asked: Asked) -> Table:
    """Subjects of a project, or of the site."""
    paths = col.shortcuts("subject", asked.dialect)
    names = _requested(asked, col.SUBJECT_DEFAULT, paths, "xnat:subjectData")
    chosen = _unique(["ID", *names])
    if asked.filters:
        subjects = _filtered(subjects, asked.query, paths, lambda s, n: col.subject_value(s, n, ""))
    listed, whole = _page(list(subjects), asked)
    rows = [(*(col.subject_value(s, n, asked.project) for n in chosen), f"/data/subjects/{s.id}") for s in listed]
    return _sorted(Table((*chosen, "URI"), tuple(rows), total=whole), asked.query)


def experiment_table(world: World, experiments: Iterable[Experiment], asked: Asked) -> Table:
    """Experiments of a project (or of one of its subjects), or of the site.

    Seen on XNAT 1.6.4: ``label`` is the project's own, but ``subject_label`` and ``project`` are the owner's.
    An empty listing is not formatted: raw database aliases for a header and no URI column.
    """
    paths = col.shortcuts("experiment", asked.dialect)
    names = _requested(asked, _experiment_default(asked), paths, "", world.types)
    filters = _experiment_filters(world, asked.query, paths) if asked.filters else {}
    root = root_type(world, asked.query, [*names, *filters])
    found = _filtered_experiments(_narrowed(experiments, root), world, filters)
    listed, whole = _page(found, asked)
    headers = _experiment_headers(root, names, asked)
    title = "" if asked.project else "Matching experiments"
    if not listed:
        return Table(_aliases(headers), (), title, total=whole)
    # A newer server puts the project's own labels in, if it was asked for labels at all.
    renamed = asked.project if asked.dialect.sharing_project and "label" in headers else ""
    rows = [
        (
            *(_experiment_cell(world, e, header, asked.project, renamed) for header in headers),
            f"/data/experiments/{e.id}",
        )
        for e in listed
    ]
    return _sorted(Table((*headers, "URI"), tuple(rows), title, total=whole), asked.query)


def scan_table(world: World, experiment: Experiment, asked: Asked) -> Table:
    """Scans of an image session; columns without ID are a BadField (a 500 on XNAT 1.6.4)."""
    names = _requested(asked, col.SCAN_DEFAULT, col.shortcuts("scan", asked.dialect), "xnat:imageScanData")
    chosen = _unique(["xnat_imagescandata_id", *names])
    if "ID" not in chosen:
        raise BadField("ID")
    scans = world.data.content_of(experiment).scans
    base = f"/data/experiments/{experiment.id}/scans/"
    rows = [(*(col.scan_value(s, n) for n in chosen), base + s.id) for s in scans]
    return _sorted(Table((*chosen, "URI"), tuple(rows)), asked.query)


def no_assessors() -> Table:
    """The empty listing of a session's image assessors."""
    names = ("xnat:imageassessordata/id", "session_ID", "session_label", "ID", "project", "label", "date")
    return Table(_aliases((*names, "xsiType", "insert_date")), ())


def fields_table(paths: Mapping[str, str]) -> Table:
    """What ``?fields=`` answers in place of a listing."""
    return Table(("key", "xpath"), tuple(paths.items()))


def project_access_table(projects: Iterable[Project], account: Account, number: int, *, owned: bool) -> Table:
    """``/data/projects?accessible=true`` and the like: display columns in lower case.

    ``number`` is the caller's xdat_user_id, which some columns are named after; ``owned`` leaves out what others
    own.
    """
    names = (
        "id,name,description,secondary_id,pi,project_invs,project_access,project_access_img,insert_date,"
        f"insert_user,user_role_{number},last_accessed_{number},quarantine_status"
    )
    seen = dict(account.last_accessed)
    rows = [
        (
            *(p.id, p.name, p.description, p.secondary_id or p.id),
            f"{p.pi_firstname} {p.pi_lastname}".strip(),
            f"{p.pi_lastname}, {p.pi_firstname}" if p.pi_lastname else "",
            *(p.access, "/@WEBAPPimages/key.gif", p.insert_date, p.insert_user),
            *("Owners" if p.insert_user == account.user else "Collaborators", seen.get(p.id, ""), "active"),
        )
        for p in projects
        if account.may_read(p.id) and (not owned or p.insert_user == account.user)
    ]
    meta = (("xdat_user_id", str(number)),)
    return Table(tuple(names.split(",")), tuple(sorted(rows)), "Projects", meta=meta)


_RECENT = (
    *("id", "label", "project", "date", "status", "insert_date", "activation_date", "last_modified"),
    *("workflow_date", "pipeline_name", "workflow_status", "action_date", "element_name", "type_desc"),
)


def recent_table(world: World, experiments: Iterable[Experiment], account: Account, days: int) -> Table:
    """``/data/experiments?recent=DAYS``: the image sessions of the last days, the latest first.

    Seen on XNAT 1.6.4: a report of its own, with the last workflow of each session, under one of the projects
    that have it; which one is the database's choice. Days count back from the latest session.
    """
    kinds = world.types
    listed = [e for e in experiments if e.type in kinds and kinds[e.type].image and e.insert_date]
    listed.sort(key=lambda e: e.insert_date, reverse=True)
    since = days_before(listed[0].insert_date, days) if listed else ""
    rows = [_recent_row(e, account) for e in listed if e.insert_date >= since]
    return Table(_RECENT, tuple(rows), "Recent Experiments")


def _recent_row(experiment: Experiment, account: Account) -> tuple[str, ...]:
    project = next(p for p in reversed(projects_of(experiment)) if account.may_read(p))
    made, changed = experiment.insert_date, experiment.last_modified
    action = "Configured project sharing" if experiment.shares else f"Created {experiment.type}"
    modality = experiment.type.partition(":")[2].upper().partition("SESSION")[0]
    return (
        *(experiment.id, label_in(experiment, project) or "", project, experiment.date, "active", made, made),
        *(changed, changed or made, action, "Complete", changed or made, experiment.type, modality),
    )


# --- columns


def _requested(
    asked: Asked,
    default: Sequence[str],
    paths: Mapping[str, str],
    element: str,
    types: Mapping[str, DataType] | None = None,
) -> list[str]:
    names: list[str] = []
    for name in asked.query.get("columns", "DEFAULT").split(","):
        if name == "DEFAULT":
            names += default
        elif "/" in name:
            names += _path_column(name, paths, element, types or {})
        elif name in paths:
            names.append(name)
    return [name for name in _unique(names) if name not in asked.missing]


def _experiment_default(asked: Asked) -> tuple[str, ...]:
    if asked.dialect.subject_columns and not asked.project and _single_type(asked.query):
        return (*col.EXPERIMENT_DEFAULT, "subject_ID", "subject_label")
    return col.EXPERIMENT_DEFAULT


def _single_type(query: Query) -> str:
    """The type that ``xsiType=`` names; a list of types is ignored."""
    asked = query.get("xsiType", "")
    return "" if "," in asked else asked


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
    """The type that ``xsiType=`` or a path among columns and filters narrows a listing of experiments to."""
    asked = _single_type(query)
    if asked:
        return world.types.get(asked) or DataType(asked, asked, "")
    return next((world.types[n.partition("/")[0]] for n in names if n.partition("/")[0] in world.types), None)


def _experiment_headers(root: DataType | None, names: Sequence[str], asked: Asked) -> tuple[str, ...]:
    """The columns in the server's order: key, subject assessor, subject, type, experiment."""
    paths = col.shortcuts("experiment", asked.dialect)
    wanted = list(names)
    if asked.query.get("columns") and (root is None or root.name in GENERIC_ROOTS):
        # Rows of any type: the server needs both to tell who may see each.
        wanted += [n for n in ("xsiType", "project") if n not in wanted and n not in asked.missing]
    if root is None:
        key = "xnat:subjectassessordata/id" if asked.project else "ID"
    else:
        key = "ID" if root.name == "xnat:experimentData" else f"{root.name.lower()}/id"
        if root.image and "subject_label" in wanted and "subject_ID" not in wanted:
            wanted.append(f"{root.name.lower()}/subject_id")
        wanted = [n.lower() if "/" in n else n for n in wanted]
    return tuple(_unique([key, *sorted(wanted, key=lambda name: _rank(name, paths))]))


def _rank(name: str, paths: Mapping[str, str]) -> int:
    if "/" in name:
        return 0 if name.endswith("/subject_id") else 3
    path = paths[name].lower()
    for rank, element in enumerate(("xnat:subjectassessordata/", "xnat:subjectdata/")):
        if path.startswith(element):
            return rank + 1
    return 4 if path.startswith("xnat:experimentdata/") else 3


def _experiment_cell(world: World, experiment: Experiment, header: str, project: str, renamed: str = "") -> str:
    """A value; ``renamed``: show this project and its subjects' labels in place of the owner's."""
    name = header.partition("/")[2] if "/" in header else header
    if renamed and name == "project":
        return renamed
    subject = world.subjects.get(experiment.subject_id) if name.startswith("subject_") else None
    if renamed and name == "subject_label" and subject is not None:
        return col.subject_value(subject, "label", renamed)
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


_SHARED_INTO = "xnat:experimentdata/sharing/share/project"


def _experiment_filters(world: World, query: Query, paths: Mapping[str, str]) -> dict[str, str]:
    """The parameters that filter, by column name; unknown ones are none, as are paths on unknown elements."""
    found = {}
    for name, wanted in query.items():
        if name.lower() == _SHARED_INTO:
            found[_SHARED_INTO] = wanted
        elif "/" in name:
            found.update((column, wanted) for column in _path_column(name, paths, "", world.types))
        elif name in paths and name != "xsiType":
            found[name] = wanted
    return found


def _filtered_experiments(
    experiments: list[Experiment], world: World, filters: Mapping[str, str]
) -> list[Experiment]:
    for name, wanted in filters.items():
        if name == _SHARED_INTO:
            experiments = [e for e in experiments if set(wanted.split(",")) & set(projects_of(e)[1:])]
        else:
            test = _test(name, wanted, world.types)
            experiments = [e for e in experiments if test(_experiment_cell(world, e, name, ""))]
    return experiments


def _filtered(
    rows: Iterable[_Row], query: Query, paths: Mapping[str, str], value: Callable[[_Row, str], str]
) -> Iterable[_Row]:
    for given, wanted in query.items():
        for name in [n for n, path in paths.items() if given == n or given.lower() == path.lower()][:1]:
            test = _test(name, wanted)
            rows = [row for row in rows if test(value(row, name))]
    return rows


def _test(name: str, wanted: str, types: Mapping[str, DataType] | None = None) -> Callable[[str], bool]:
    """Whether a value of a column passes a filter. Raises BadField for a filter that cannot be."""
    root, _, inner = name.partition("/")
    kind = types[root].kind(inner) if types and root in types and inner else col.kind_of(name)
    try:
        return matcher(wanted, kind)
    except BadFilter as error:
        raise BadField(f"{name}={wanted}") from error


def _page(rows: list[_Row], asked: Asked) -> tuple[list[_Row], bool]:
    """The rows of the page that is asked for, and whether they are all: then the total is told."""
    limit, offset = asked.query.get("limit"), asked.query.get("offset")
    if not asked.dialect.pages or limit == offset is None or "*" in (limit, offset):
        return rows, True
    try:
        begin, most = int(offset or 0), int(limit or DEFAULT_PAGE)
    except ValueError:
        raise BadPage(f"limit={limit} offset={offset}") from None
    return rows[begin : begin + most] if begin >= 0 and most >= 0 else [], False


def _sorted(table: Table, query: Query) -> Table:
    by = query.get("sortBy")
    return table.sorted(by, query.get("sortOrder", "").upper() == "DESC") if by else table


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
