"""packages/ and unpacked/ as they are looked at: names and announced sizes, and nothing that moves.

A server without the package service (the other laboratory's) shows neither.
"""

from __future__ import annotations

import csv
import io

import pytest

from cdbfs.demo import StandIn
from cdbfs.tree.nodes import Kind
from tests.views import View
from tests.worlds import World

PROJECT = "HCP_Q2"
HEADER = ["id", "label", "description", "keywords", "count", "size"]


def offered(world: World) -> list[str]:
    """The packages that every subject of PROJECT has; none on a server that has no service."""
    return [offer.id for offer in world.data.packages.offers] if world.data.packages is not None else []


def subjects(world: World) -> list[str]:
    return [label for label, _ in world.subjects(PROJECT)][:2] if offered(world) else []


def test_projects_and_subjects_are_those_of_projects(view: View, world: World) -> None:
    if not offered(world):
        for name in ("packages", "unpacked"):
            with pytest.raises(FileNotFoundError):
                view.listdir(name)
        return
    assert view.listdir("packages") == view.listdir("unpacked") == world.projects
    labels = [label for label, _ in world.subjects(PROJECT)]
    assert sorted(view.listdir(f"packages/{PROJECT}")) == sorted(["index.csv", *labels])
    assert view.listdir(f"unpacked/{PROJECT}") == []


def test_a_subject_has_a_zip_and_an_md5_of_each_package(view: View, world: World, world_server: StandIn) -> None:
    for subject in subjects(world):
        names = [f"{subject}_{package}.zip{end}" for package in offered(world) for end in ("", ".md5")]
        assert sorted(view.listdir(f"packages/{PROJECT}/{subject}")) == sorted(names)
        for package in offered(world)[:3]:
            name = f"{subject}_{package}.zip"
            found = view.stat(f"packages/{PROJECT}/{subject}/{name}")
            assert (found.kind, found.size) == (Kind.FILE, world_server.announced(subject, package))
            # one line of md5sum's, whose length is known
            assert view.stat(f"packages/{PROJECT}/{subject}/{name}.md5").size == 32 + 2 + len(name) + 1


def test_what_there_is_not(view: View, world: World) -> None:
    for subject in subjects(world):
        package = offered(world)[0]
        for path in (
            f"packages/{PROJECT}/nobody",
            f"packages/{PROJECT}/{subject}/{subject}_{package}",
            f"packages/{PROJECT}/{subject}/{subject}_none.zip",
            f"packages/{PROJECT}/{subject}/other_{package}.zip",
            f"unpacked/{PROJECT}/{subject}",
            f"unpacked/{PROJECT}/{subject}_none",
            f"unpacked/{PROJECT}/nobody_{package}",
            f"unpacked/{PROJECT}/.git",
            "unpacked/nowhere",
        ):
            with pytest.raises(FileNotFoundError):
                view.stat(path)


def test_index_csv_adds_up_what_all_subjects_have(view: View, world: World, world_server: StandIn) -> None:
    for _ in subjects(world)[:1]:
        rows = list(csv.reader(io.StringIO(view.read(f"packages/{PROJECT}/index.csv").decode())))
        assert rows[0] == HEADER
        assert [row[0] for row in rows[1:]] == sorted(offered(world))
        sizes = {row[0]: int(row[5]) for row in rows[1:]}
        package = offered(world)[0]
        every = [label for label, _ in world.subjects(PROJECT)]
        assert sizes[package] == sum(world_server.announced(label, package) for label in every)
        empty = [project for project in world.projects if not world.subjects(project)]
        assert [view.read(f"packages/{each}/index.csv") for each in empty] == [
            ",".join(HEADER).encode() + b"\n"
        ] * len(empty)


def test_a_package_that_is_not_here_shows_its_subject_and_nothing_else(
    view: View, world: World, world_server: StandIn
) -> None:
    for subject in subjects(world):
        top = f"unpacked/{PROJECT}/{subject}_{offered(world)[0]}"
        assert view.listdir(top) == [subject]
        assert view.stat(f"{top}/{subject}").kind is Kind.DIRECTORY
        for name in (
            ".git",
            ".Rprofile",
            ".RData",
            "HEAD",
            "x",
            f"{subject}2",
            f"{subject}/.git",
            f"{subject}/HEAD",
        ):
            with pytest.raises(FileNotFoundError):
                view.stat(f"{top}/{name}")
    assert world_server.ascp_sessions == 0
    assert world_server.counts().get("POST /spring/download transfer", 0) == 0
