"""Servers over a small laboratory, in both dialects, and their users."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdbfs.demo import DataSet, DataSetBuilder, StandIn
from cdbfs.demo.dataset import Scan

from .asking import Client


def laboratory() -> DataSet:
    """Six subjects of two projects with scores of every kind, sessions, and gaps of both sorts."""
    make = DataSetBuilder(site_id="Lab")
    for project in ("A", "B", "Hidden"):
        make.project(project, f"Project {project}", pi_firstname="Ann", pi_lastname="Example")
    kinds = {"memory/recall": "int", "memory/seconds": "float", "memory/remark": "string", "memory/day": "date"}
    make.type("cog:battery", "cog:Battery", "http://example.org/cog", fields=kinds)
    make.type("cog:probe", "cog:Probe", "http://example.org/cog")
    scores = (
        ("12", "1.5", "Fine", "2014-01-02"),
        ("7", "10.25", "fine", "2014-02-28"),
        ("100", "2.0", "a_b", "2015-12-31"),
        (None, None, None, None),
        ("", "", "", ""),
        ("-3", "1e3", 'with "quotes", a comma', "2013-01-01"),
    )
    for number, row in enumerate(scores, 1):
        owner = "Hidden" if number == 6 else "A"
        subject = make.subject(
            f"s{number}",
            owner,
            shares={"B": f"b{number}"} if number in (1, 2) else None,
            gender=("female", "male")[number % 2],
            handedness="right" if number < 4 else "",
            yob=str(1980 + number),
        )
        held = dict(zip(("recall", "seconds", "remark", "day"), row))
        shares = {"B": ""} if number == 1 else None
        groups = {"memory": {name: value for name, value in held.items() if value is not None}}
        make.experiment(f"bat{number}", subject, "cog:battery", groups=groups, shares=shares, date="2014-03-10")
        if number in (1, 2):
            dates = ("2014-03-01", "2014-03-20")[: 3 - number]
            for visit, date in enumerate(dates, 1):
                scans = [Scan("1", "T1w"), Scan("2", "T1w"), Scan("3", "rest")]
                make.experiment(f"mr{number}{visit}", subject, "xnat:mrSessionData", scans=scans, date=date)
    make.experiment(
        "probe", "Lab_S00001", "cog:probe", project="A", groups={"": {"level": "3"}, "x": {"y": "0.5"}}
    )
    make.account("ana", "anapw", ["A", "B"])
    make.account("bob", "bobpw", ["B"])
    make.account("eve", "evepw", [])
    return make.build()


@pytest.fixture(scope="package")
def lab() -> DataSet:
    return laboratory()


@pytest.fixture
def older(lab: DataSet) -> Iterator[Client]:
    """A user of a 1.6."""
    with StandIn(lab) as server:
        client = Client(server, "ana", "anapw")
        yield client
        client.close()


@pytest.fixture
def newer(lab: DataSet) -> Iterator[Client]:
    """A user of a 1.8."""
    with StandIn(lab, dialect="1.8") as server:
        client = Client(server, "ana", "anapw")
        yield client
        client.close()
