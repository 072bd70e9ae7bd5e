"""What the suite runs on: the data of the tutorial, with another seed, and of another laboratory; two dialects."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cdbfs.credentials import Credentials
from cdbfs.demo import DataSet, DataSetBuilder, Experiment, StandIn, Subject, connectomedb
from cdbfs.demo.dataset import label_in

ODD_DOCUMENT = b"""<?xml version="1.0" encoding="UTF-8"?>
<cog:Battery ID="Lab_E_ODD" project="ALPHA" label="odd" xmlns:cog="http://example.org/cog"
  xmlns:xnat="http://nrg.wustl.edu/xnat" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<xnat:sharing><xnat:share label="odd" project="beta-2"/></xnat:sharing>
<xnat:date>2014-01-01</xnat:date>
<xnat:subject_ID>Lab_S1</xnat:subject_ID>
<cog:note lang="de">K\xc3\xa4se, "frisch"</cog:note>
<cog:trials><cog:trial ID="a/1" score="3">7</cog:trial>
<cog:trial ID="b"><!-- c --><cog:rt>1.50</cog:rt></cog:trial>
</cog:trials>
<cog:item>x</cog:item><cog:item>y</cog:item>
<cog:flag on="yes" xsi:type="cog:flag"/><cog:empty/>
</cog:Battery>
"""


def placed(data: DataSet) -> DataSet:
    """The data with documents that are the same from whichever port they come: the site's URL set by hand."""
    return data if data.site_url else dataclasses.replace(data, site_url="http://db.example.invalid")


@dataclass(frozen=True)
class World:
    """A data set, the dialect of the server that has it, and the login that looks at it."""

    name: str
    data: DataSet
    dialect: str = "1.6"

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", placed(self.data))

    def server(self) -> StandIn:
        """A server of it, not yet started."""
        return StandIn(self.data, dialect=self.dialect)

    @property
    def login(self) -> Credentials:
        account = self.data.accounts[0]
        return Credentials(account.user, account.password)

    @property
    def projects(self) -> list[str]:
        return sorted(p.id for p in self.data.projects if self.data.accounts[0].may_read(p.id))

    def subjects(self, project: str) -> list[tuple[str, Subject]]:
        """(label in the project, subject), sorted as the tables are."""
        found = [(label_in(subject, project), subject) for subject in self.data.subjects]
        named = [(label, subject) for label, subject in found if label is not None]
        return sorted(named, key=lambda pair: (pair[0], pair[1].id))

    def listed_project(self, experiment: Experiment, project: str) -> str:
        """The project that a project's listing names for an experiment: newer servers do not tell its owner."""
        return experiment.project if self.dialect == "1.6" else project

    def experiments(self, project: str) -> list[tuple[str, Experiment]]:
        """(label in the project, experiment), sorted as the tables are."""
        found = [(label_in(experiment, project), experiment) for experiment in self.data.experiments]
        named = [(label, experiment) for label, experiment in found if label is not None]
        return sorted(named, key=lambda pair: (pair[0], pair[1].id))


def elsewhere() -> DataSet:
    """Another laboratory's server: other labels, another data type, rows in no order, names that are awkward."""
    make = DataSetBuilder(site_id="Lab")
    make.project("beta-2", "Beta &amp; more")
    make.project("ALPHA")
    make.project("void")
    make.project("secret")
    make.type("cog:battery", "cog:Battery", "http://example.org/cog")
    labels = ["zeta", "dup", "s/1", "dup", "..", "K\u00e4se 7", "two\nlines", "L" * 300, "50%41", "alpha"]
    subjects = [
        make.subject(label, "ALPHA", id=f"Lab_S{number}", gender="female" if number % 2 else "")
        for number, label in enumerate(labels, 1)
    ]
    make.subject("hidden", "secret", id="Lab_S99")
    shared = make.subject(
        "own", "ALPHA", id="Lab_S50", shares={"beta-2": "renamed"}, last_modified="2015-02-03 04:05:06.7"
    )
    for subject in (*subjects, shared):
        make.experiment(
            f"{subject.id}_bat",
            subject,
            "cog:battery",
            shares={"beta-2": f"{subject.id}_b2"} if subject.id in ("Lab_S50", "Lab_S1") else None,
            groups={
                "": {"total": f"{len(subject.label)}.50"},
                "memory": {"recall": str(len(subject.id)), "remark": 'a, "b"\nc', "gone": None, "blank": ""},
            },
            last_modified="" if subject.id != "Lab_S2" else "2016-01-01 00:00:00",
            insert_date="" if subject.id == "Lab_S3" else "2014-05-06 07:08:09.123",
        )
    make.experiment("twin", subjects[0], "cog:battery", id="Lab_T1", groups={"memory": {"recall": "1"}})
    make.experiment("twin", subjects[0], "cog:battery", id="Lab_T2", groups={"memory": {"recall": "2"}})
    make.experiment("twin", subjects[4], "cog:battery", id="Lab_T3", groups={"memory": {"recall": "3"}})
    make.experiment("odd", subjects[0], "cog:battery", id="Lab_E_ODD", document=ODD_DOCUMENT)
    make.account("ana", "p\u00e4ss:word", ["ALPHA", "beta-2", "void"])
    return make.build()


def worlds() -> list[World]:
    return [
        World("tutorial", connectomedb(24), "1.6"),
        World("tutorial", connectomedb(24), "1.8"),
        World("seed7", connectomedb(10, seed=7), "1.8"),
        World("elsewhere", elsewhere(), "1.6"),
        World("elsewhere", elsewhere(), "1.8"),
    ]
