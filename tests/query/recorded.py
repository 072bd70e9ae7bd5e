"""What the recorded server lets one search, and queries checked against it."""

from __future__ import annotations

from functools import cache

from cdbfs.errors import NotFound
from cdbfs.query.check import check
from cdbfs.query.fields import Fields
from cdbfs.query.parse import parse
from cdbfs.query.search import Search
from cdbfs.xnat import searches
from cdbfs.xnat.models import SearchField
from tests.demo import recordings

ELEMENTS = {
    "nt:scores": "326-elements-nt_scores-json",
    "xnat:mrSessionData": "328-elements-xnat_mrSessionData-json",
    "xnat:subjectData": "330-elements-xnat_subjectData-json",
}


@cache
def types() -> tuple[str, ...]:
    return tuple(searches.types(recordings.read("320-elements-json").body.encode(), "the types"))


@cache
def fields(type_name: str) -> Fields:
    if type_name == "xnat:projectData":
        return Fields.of(type_name, _project_fields())
    if type_name not in ELEMENTS:
        raise NotFound(f"the server has no data type {type_name}")
    body = recordings.read(ELEMENTS[type_name]).body.encode()
    return Fields.of(type_name, searches.fields(body, type_name, "the fields"))


def _project_fields() -> list[SearchField]:
    """Only recorded as CSV."""
    return [
        SearchField(row["ELEMENT_NAME"], row["FIELD_ID"], row["HEADER"], row["SUMMARY"], row["TYPE"])
        for row in recordings.rows(recordings.read("333-elements-xnat_projectData-csv").body)
    ]


def checked(text: str) -> Search:
    return check(parse(text), types(), fields)
