"""The tour that `cdbfs demo` gives: shell commands for the mount's directory, each with what it shows.

Used by the demo command. Constant but for what the data set holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdbfs.demo.dataset import DataSet
from cdbfs.demo.tutorial import LABELS


@dataclass(frozen=True)
class Stop:
    """A command, and the sentence that introduces it."""

    about: str
    command: str


def stops(data: DataSet, project: str = "HCP_Q2") -> list[Stop]:
    """The tour through `project`, by the tutorial's first subject."""
    subject = f"projects/{project}/subjects/{LABELS[0]}"
    scores = f"{subject}/experiments/{LABELS[0]}_NonToolbox"
    every = f"projects/{project}/subjects/*/experiments/*_NonToolbox/scores"
    tour = [
        Stop("Projects are directories:", "ls projects"),
        Stop("and so are their subjects:", f"ls projects/{project}/subjects | wc -l"),
        Stop("Tables are CSV, for R and pandas:", f"head -n 4 projects/{project}/subjects.csv"),
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
    return tour
