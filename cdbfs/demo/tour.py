"""The tour that `cdbfs demo` gives: shell commands for the mount's directory, each with what it shows.

Used by the demo command. Constant but for what the data set holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdbfs.demo.dataset import DataSet, label_in
from cdbfs.demo.tutorial import LABELS

_PROJECT = "HCP_Q2"
_PACKAGE = "3T_Structural_preproc"
_LARGEST_PACKAGE = 100 * 2**20
"""Bytes: a larger package takes its time, and is not fetched by a tour."""


@dataclass(frozen=True)
class Stop:
    """A command, and the sentence that introduces it."""

    about: str
    command: str


def stops(data: DataSet) -> list[Stop]:
    """The tour through HCP_Q2, by the tutorial's first subject; a short one where there is no such."""
    has_it = any(label_in(subject, _PROJECT) == LABELS[0] for subject in data.subjects)
    return _tutorial(data) if has_it and data.accounts[0].may_read(_PROJECT) else _any()


def _any() -> list[Stop]:
    return [
        Stop("Projects are directories:", "ls projects"),
        Stop("Tables are CSV, for R and pandas:", "head -qn 2 projects/*/subjects.csv | head -n 20"),
    ]


def _tutorial(data: DataSet) -> list[Stop]:
    subject = f"projects/{_PROJECT}/subjects/{LABELS[0]}"
    scores = f"{subject}/experiments/{LABELS[0]}_NonToolbox"
    every = f"projects/{_PROJECT}/subjects/*/experiments/*_NonToolbox/scores"
    tour = [
        Stop("Projects are directories:", "ls projects"),
        Stop("and so are their subjects:", f"ls projects/{_PROJECT}/subjects | wc -l"),
        Stop("Tables are CSV, for R and pandas:", f"head -n 4 projects/{_PROJECT}/subjects.csv"),
        Stop("A subject's experiments:", f"ls {subject}/experiments"),
        Stop("One file a score, in groups:", f"ls {scores}/scores {scores}/scores/ER40"),
        Stop("Emotion recognition, correct answers of 40:", f"cat {scores}/scores/ER40/ER40_CR"),
        Stop("The whole experiment as a table, and as XML:", f"grep -c . {scores}/scores.csv"),
        Stop("", f"head -c 150 {scores}/experiment.xml; echo ..."),
    ]
    if len(data.subjects) <= len(LABELS):
        tour.append(
            Stop("Who is more agreeable than 40 of 48?", f"grep -lE '^4[1-9]$' {every}/NEO/NEOFAC_A"),
        )
    condition = f"project = '{_PROJECT}' AND NEO_NEOFAC_A > 40"
    query = f"SELECT subject, NEO_NEOFAC_A FROM nt:scores WHERE {condition}"  # noqa: S608 - of our own writing
    tour.append(Stop("The same as a search, a query file in search/:", f'echo "{query}" > search/agreeable.sql'))
    tour.append(Stop("", "cat search/agreeable.csv"))
    if data.packages is not None:
        tour += _packages(fetched=data.packages.size <= _LARGEST_PACKAGE)
    return tour


def _packages(*, fetched: bool) -> list[Stop]:
    subject = LABELS[0]
    folder, package = f"packages/{_PROJECT}/{subject}", f"{subject}_{_PACKAGE}"
    looked = [
        Stop("Images come in packages, zips of all sizes; to look costs nothing:", f"ls {folder} | head -n 4")
    ]
    if not fetched:
        return looked
    return [
        *looked,
        Stop("To read one has it fetched, by Aspera:", f"cd {folder} && md5sum -c {package}.zip.md5"),
        Stop("It is there unpacked as well:", f"ls unpacked/{_PROJECT}/{package}/{subject}/MNINonLinear"),
    ]
