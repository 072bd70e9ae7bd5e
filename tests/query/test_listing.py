"""The table of a type's fields, and where the same stands below scores/."""

from __future__ import annotations

import pytest

from cdbfs.query import listing
from cdbfs.query.listing import score_path
from cdbfs.xnat.models import SearchField
from tests.query.recorded import fields


def test_the_fields_that_the_recorded_server_lists() -> None:
    rows = {row[0]: row for row in listing.table(fields("nt:scores"))}
    assert rows["NEO_NEOFAC_A"] == ("NEO_NEOFAC_A", "NEOFAC_A", "int", "NEOFAC_A", "NEO/NEOFAC_A")
    assert rows["ER40_ER40_CRT"][4] == "ER40/ER40_CRT"
    others = ("SUBJECT_ID", "EXPT_ID", "DATE", "AGE", "PROJECT", "INSERT_DATE", "INSERT_USER", "LABEL", "PROJECTS")
    assert [name for name in others if rows[name][4]] == []
    assert rows["NT_COL_SCORESSHARINGSHAREPROJECT"][4] == ""


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("x:t/a/b", "a/b"),
        ("X:T/a", "a"),
        ("x:t/age", "age"),
        ("x:other/a", ""),
        ("x:t/a + x:t/b", ""),
        ("CAST(x:t/a AS int)", ""),
        ("x:t/a[@xsi:type=y]/b", ""),
        ("x:t/ID", ""),
        ("x:t/meta/insert_date", ""),
        ("x:t/sharing/share/project", ""),
        ("x:t/", ""),
        ("", ""),
    ],
)
def test_the_path_below_scores(path: str, below: str) -> None:
    assert score_path(SearchField("x:t", "F", path=path)) == below
