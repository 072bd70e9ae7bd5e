"""Search documents as the server writes them: a type's default search, a project's, and saved ones.

Seen on XNAT 1.6.4: a project's default search is its type's ``project_bundle`` version with the project put
into the fields that take one, and finds what the project owns or has by sharing. Used by the routes. Pure
functions, any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from cdbfs.demo.dataset import DataSet
from cdbfs.demo.documents import declarations
from cdbfs.demo.search import standard
from cdbfs.demo.search.displays import Displays
from cdbfs.demo.search.engine import Wanted, resolved
from cdbfs.demo.search.fields import Display
from cdbfs.demo.search.query import CriteriaSet, Criterion, Search, SearchField

_FIELD_KEYS = '<!--hidden_fields[xdat_search_field_id="null",xdat_stored_search_id="null"]-->'
_SET_KEYS = '<!--hidden_fields[xdat_criteria_set_id="null",xdat_stored_search_id="null"]-->'
_CRITERION_KEYS = '<!--hidden_fields[xdat_criteria_id="null",xdat_criteria_set_xdat_criteria_set_id="null"]-->'


def project_search(display: Display, displays: Displays, project: str, counted: Iterable[str]) -> Search:
    """A project's default search of a type; of subjects it counts the experiments of the types ``counted``."""
    version = display.version(("project_bundle", "listing"))
    asked = [SearchField(element, name, value=project) for element, name in (version.fields if version else ())]
    if display.element == standard.SUBJECT:
        names = [f"CNT_{known.sql_name.upper()}" for known in displays if known.element in set(counted)]
        asked += [SearchField(display.element, name, value=project) for name in sorted(names)]
    criteria = tuple(
        Criterion(f"{display.element}/{field}", "=", project) for field in ("sharing/share/project", "PROJECT")
    )
    where = CriteriaSet("AND", children=(CriteriaSet("OR", criteria),))
    return Search(
        root=display.element,
        fields=tuple(_numbered(resolved(asked, displays))),
        where=(where,),
        id=f"{project}_{display.element}",
        brief_description=display.plural,
        tag=project,
        secure=False,
        allow_diff_columns=False,
    )


def default_search(display: Display, displays: Displays, version: str) -> Search:
    """The search behind a type's listing: ``@nt:scores``."""
    chosen = display.version((version, "listing"))
    asked = [SearchField(element, name) for element, name in (chosen.fields if chosen else ())]
    return Search(
        root=display.element,
        fields=tuple(_numbered(resolved(asked, displays))),
        id=f"@{display.element}",
        brief_description=display.plural,
        secure=False,
        allow_diff_columns=False,
    )


def _numbered(wanted: Iterable[Wanted]) -> Iterator[SearchField]:
    for number, one in enumerate(wanted):
        yield SearchField(one.display.element, one.id, number, one.field.type, one.field.header, one.value)


# --- writing


def written(search: Search, data: DataSet) -> bytes:
    return ("\n".join(_lines(search, data)) + "\n").encode()


def _lines(search: Search, data: DataSet) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<xdat:bundle{_attributes(search)}{declarations(data)}>"
    yield _element("root_element_name", search.root)
    for field in search.fields:
        yield from _field_lines(field)
    for where in search.where:
        yield from _set_lines("search_where", where)
    if search.sort_by[1]:
        names = ("element_name", "field_ID")
        yield "<xdat:sort_by>"
        yield from (_element(name, text) for name, text in zip(names, search.sort_by))
        yield "</xdat:sort_by>"
    for user in search.allowed_users:
        yield from ("<xdat:allowed_user>", _element("login", user), "</xdat:allowed_user>")
    yield "</xdat:bundle>"


def _attributes(search: Search) -> str:
    known = {
        "ID": search.id,
        "description": search.description,
        "allow-diff-columns": str(int(search.allow_diff_columns)),
        "secure": str(int(search.secure)),
        "brief-description": search.brief_description,
        "tag": search.tag,
    }
    return "".join(f" {name}={quoteattr(text)}" for name, text in known.items() if text)


def _field_lines(field: SearchField) -> Iterator[str]:
    parts = (("element_name", field.element), ("field_ID", field.id), ("sequence", str(field.sequence)))
    yield "<xdat:search_field>" if field.visible else '<xdat:search_field visible="false">'
    yield _FIELD_KEYS
    for name, text in (*parts, ("type", field.type), ("header", field.header), ("value", field.value)):
        if text:
            yield _element(name, text)
    yield "</xdat:search_field>"


def _set_lines(name: str, where: CriteriaSet) -> Iterator[str]:
    yield f'<xdat:{name} method="{where.method}">'
    yield _SET_KEYS
    for criterion in where.criteria:
        yield f'<xdat:criteria override_value_formatting="{int(criterion.raw)}">'
        yield _CRITERION_KEYS
        yield _element("schema_field", criterion.field)
        yield _element("comparison_type", criterion.comparison)
        yield _element("value", criterion.value)
        yield "</xdat:criteria>"
    for child in where.children:
        yield from _set_lines("child_set", child)
    yield f"</xdat:{name}>"


def _element(name: str, text: str) -> str:
    return f"<xdat:{name}>{escape(text)}</xdat:{name}>"
