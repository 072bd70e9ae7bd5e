"""Display fields: those that follow from a type's own fields, and what a type is that does not name them."""

from __future__ import annotations

import pytest

from cdbfs.demo import DataSet, DataSetBuilder, connectomedb
from cdbfs.demo.search.displays import Displays
from cdbfs.demo.search.fields import Display
from cdbfs.demo.world import World
from tests.worlds import elsewhere


def display(data: DataSet, element: str) -> Display:
    found = Displays(World(data)).get(element)
    assert found is not None
    return found


def own(found: Display) -> dict[str, tuple[str, str]]:
    """id -> (header, type) of the fields below the type's own groups."""
    inherited = {"subject_ID", "ID", "date", "project", "meta/insert_date", "meta/insert_user/login"}
    fields = [f for f in found.fields if f.path and f.path not in inherited and "sharing" not in f.path]
    return {field.id: (field.header, field.type) for field in fields}


def test_ids_follow_from_paths(lab: DataSet) -> None:
    found = display(lab, "cog:battery")
    assert own(found) == {
        "MEMORY_RECALL": ("recall", "int"),
        "MEMORY_SECONDS": ("seconds", "float"),
        "MEMORY_REMARK": ("remark", "string"),
        "MEMORY_DAY": ("day", "date"),
    }
    assert (found.singular, found.plural, found.label_field) == (
        "Battery",
        "Batterys",
        "COG_BATTERY_PROJECT_IDENTIFIER",
    )


def test_a_type_that_names_no_fields_has_those_that_its_experiments_hold(lab: DataSet) -> None:
    assert own(display(lab, "cog:probe")) == {"LEVEL": ("level", "int"), "X_Y": ("y", "float")}
    assert own(display(elsewhere(), "cog:battery")) == {
        "TOTAL": ("total", "float"),
        "MEMORY_RECALL": ("recall", "int"),
        "MEMORY_REMARK": ("remark", "string"),
        "MEMORY_GONE": ("gone", "string"),
        "MEMORY_BLANK": ("blank", "string"),
    }


def test_the_demos_other_types() -> None:
    data = connectomedb(12)
    assert own(display(data, "hcp:toolboxData"))["MOTOR_STRENGTH_AGEADJ"] == ("Strength_AgeAdj", "float")
    assert own(display(data, "hcp:alertnessData"))["PSQI_PSQI_SCORE"] == ("PSQI_Score", "int")
    assert own(display(data, "hcp:subjectMetadata"))["RELEASE"] == ("Release", "string")


def test_a_laboratorys_own_sessions_are_as_mr_sessions_are() -> None:
    make = DataSetBuilder()
    make.type("lab:wellSessionData", "lab:Well", "http://example.org/lab", image=True, fields={"dose": "int"})
    found = display(make.build(), "lab:wellSessionData")
    assert found.label_field == "WELL_PROJECT_IDENTIFIER"
    assert found.by_id["WELL_SCAN_COUNT_AGG"].header == "Scans"
    assert found.by_id["DOSE"].type == "int"
    version = found.version(("listing",))
    assert version is not None
    assert ("lab:wellSessionData", "WELL_SCAN_COUNT_AGG") in version.fields


@pytest.mark.parametrize("element", ["xnat:petSessionData", "xnat:ctSessionData"])
def test_xnats_other_sessions_are_as_generated_types_are(lab: DataSet, element: str) -> None:
    ids = [field.id for field in display(lab, element).fields]
    assert ids[0] == "SUBJECT_ID"
    assert "SESSION_ID" not in ids


def test_no_word_is_left_unfilled(lab: DataSet) -> None:
    for found in Displays(World(lab)):
        shown = [repr(field) for field in found.fields] + [repr(version) for version in found.versions]
        assert not any(word in text for text in shown for word in ("{e}", "{s}", "{P}", "{SQL}", "{COL}"))


def test_every_id_of_a_version_that_is_a_field_is_known() -> None:
    """What the versions of XNAT's own documents name and nothing has, is what XNAT's own documents lack."""
    displays = Displays(World(connectomedb(3)))
    missing = {
        name
        for found in displays
        for version in found.versions
        for element, name in version.fields
        if name not in (displays.get(element) or found).by_id
    }
    assert missing == {"COHORT", "PREARCHIVE"}
