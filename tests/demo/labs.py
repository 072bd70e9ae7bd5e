"""A small data set with resources at every level, and a client of it. Used by the tests of files and ranges."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import requests

from cdbfs.demo import DataSet, DataSetBuilder, Scan, StandIn

BYTES = bytes(range(256)) * 4
MADE: list[str] = []
"""The files whose bytes were made, once for each time."""


def a_zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("inner/one.txt", "one\n")
        archive.writestr("two.bin", "22")
    return made.getvalue()


def _made() -> bytes:
    MADE.append("made.bin")
    return b"made" * 25


def lab() -> DataSet:
    """Session ``s1_MR`` of ``COHORT``, shared into ``PILOT`` as ``p1_MR``; ann changes all, bob reads PILOT."""
    make = DataSetBuilder(site_id="Lab")
    plan = make.resource("plan", make.file("plan.txt", b"plan\n", format="TXT", tags=("x", "y=1")), key=10)
    make.project("COHORT", resources=[plan])
    make.project("PILOT")
    consent = make.resource("consent", make.file("f\u00f6rm 1.pdf", b"%PDF"), key=20)
    subject = make.subject("s1", "COHORT", shares={"PILOT": "p1"}, resources=[consent])
    data = make.resource(
        "DATA",
        make.file("data.bin", BYTES, created="2013-04-05 06:07:08.9"),
        make.file("made.bin", _made, size=100, content="RAW"),
        make.file("none.bin", b"", digest="", created=""),
        key=30,
    )
    odd = make.resource(
        "ODD",
        make.file("a b/c d.txt", b"blank\n"),
        make.file("with space.txt", b"decoded\n"),
        make.file("with%20space.txt", b"literal\n"),
        make.file("x.zip", a_zip()),
        make.file("not.zip", b"no zip"),
        key=31,
    )
    image = make.resource("NIFTI", make.file("t1.nii.gz", b"\1" * 3000, format="NIFTI"), key=40)
    other = make.resource("NIFTI", make.file("t2.nii.gz", b"\2" * 9000, format="NIFTI"), key=41)
    scans = [
        Scan("1", "T1 w", resources=(image,)),
        Scan("2", "a/b,c", resources=(other,)),
        Scan("3", "", resources=(make.resource("NIFTI", make.file("t3.nii.gz", b"\3"), key=42),)),
    ]
    make.experiment(
        "s1_MR", subject, "xnat:mrSessionData", shares={"PILOT": "p1_MR"}, resources=[data, odd], scans=scans
    )
    make.experiment("lone", make.subject("s2", "COHORT"), "xnat:mrSessionData")
    make.account("ann", "secret", writes=None)
    make.account("bob", "secret", reads=["PILOT"])
    return make.build()


SESSION = "/data/experiments/Lab_E00001"
DATA = SESSION + "/resources/DATA/files"
ODD = SESSION + "/resources/ODD/files"


def ask(standin: StandIn, path: str, user: str = "ann", method: str = "GET", **more: Any) -> requests.Response:
    return requests.request(method, standin.url + path, auth=(user, "secret"), timeout=10, **more)


def listed(standin: StandIn, path: str, user: str = "ann") -> list[dict[str, str]]:
    """The rows of a listing."""
    rows: list[dict[str, str]] = ask(standin, path, user).json()["ResultSet"]["Result"]
    return rows


def names(standin: StandIn, path: str, user: str = "ann") -> list[str]:
    """The names in a listing of files."""
    return [row["Name"] for row in listed(standin, path, user)]
