"""What the tree shows, on three data sets, in memory and mounted."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
from dataclasses import fields
from datetime import datetime, timezone

import pytest
import requests

from cdbfs.demo import StandIn, document
from cdbfs.tree import names
from cdbfs.tree.nodes import Kind
from cdbfs.xnat import models
from tests.views import View
from tests.worlds import ODD_DOCUMENT, World

PLAIN = re.compile(r"[\w-]+\Z", re.ASCII)


def table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def subject_path(view: View, project: str, subject_id: str) -> str:
    """The directory of a subject, found through the link that goes by its ID."""
    subjects = f"projects/{project}/subjects"
    return f"{subjects}/{view.readlink(f'{subjects}/{subject_id}')}"


def plain_experiments(world: World, project: str) -> list[tuple[str, str, str]]:
    """(directory, ID, label) of the experiments whose names need no care."""
    labels = {subject.id: label for label, subject in world.subjects(project)}
    every = [label for label, _ in world.experiments(project)]
    found = []
    for label, experiment in world.experiments(project):
        subject = labels.get(experiment.subject_id, "")
        if (
            PLAIN.match(subject)
            and len(subject) < 256
            and list(labels.values()).count(subject) == 1
            and every.count(label) == 1
        ):
            path = f"projects/{project}/subjects/{subject}/experiments/{label}"
            found.append((path, experiment.id, label))
    return found


def test_the_top_level(view: View, world: World) -> None:
    packages = {"packages", "unpacked"} if world.data.packages is not None else set()
    assert set(view.listdir("")) == {".cdbfs", "README.txt", "projects", "saved", "schema", "search"} | packages


def test_projects_are_those_the_login_may_see(view: View, world: World) -> None:
    assert view.listdir("projects") == world.projects


def test_a_project(view: View, world: World) -> None:
    for project in world.projects:
        assert set(view.listdir(f"projects/{project}")) == {
            "experiments",
            "experiments.csv",
            "subjects",
            "subjects.csv",
            "tables",
            "xml",
        }


def test_every_subject_is_a_directory_named_by_its_label_here(view: View, world: World) -> None:
    for project in world.projects:
        labels = [label for label, _ in world.subjects(project)]
        shown = view.listdir(f"projects/{project}/subjects")
        assert len(set(shown)) == len(shown) == len(labels)
        plain = [label for label in labels if PLAIN.match(label) and labels.count(label) == 1 and len(label) < 256]
        assert set(plain) <= set(shown)
        for name in shown:
            assert set(view.listdir(f"projects/{project}/subjects/{name}")) == {"experiments", "xml"}


def test_a_subject_is_found_by_its_id_too_as_an_unlisted_link(view: View, world: World) -> None:
    for project in world.projects:
        for label, subject in world.subjects(project):
            target = view.readlink(f"projects/{project}/subjects/{subject.id}")
            assert names.decode(target.split("~")[0]).startswith(label[:200])
            assert set(view.listdir(f"projects/{project}/subjects/{target}")) == {"experiments", "xml"}
            assert subject.id not in view.listdir(f"projects/{project}/subjects")


def test_subjects_csv(view: View, world: World) -> None:
    for project in world.projects:
        rows = table(view.read(f"projects/{project}/subjects.csv"))
        details = ("gender", "handedness", "age", "yob", "race", "ethnicity", "education")
        assert rows == [
            {
                "label": label,
                "ID": subject.id,
                "project": subject.project,
                "group": subject.group,
                **{name: subject.detail(name) for name in details},
                "insert_date": subject.insert_date,
                "last_modified": subject.last_modified,
            }
            for label, subject in world.subjects(project)
        ]


def test_tables_have_their_header_even_when_empty(view: View, world: World) -> None:
    for project in world.projects:
        assert view.read(f"projects/{project}/subjects.csv").splitlines()[0] == (
            b"label,ID,project,group,gender,handedness,age,yob,race,ethnicity,education,insert_date,last_modified"
        )
        assert view.read(f"projects/{project}/experiments.csv").splitlines()[0] == (
            b"label,ID,subject_label,subject_ID,xsiType,project,date,insert_date,last_modified"
        )


def test_experiments_csv(view: View, world: World) -> None:
    for project in world.projects:
        rows = table(view.read(f"projects/{project}/experiments.csv"))
        here = {subject.id: label for label, subject in world.subjects(project)}
        owners = {subject.id: subject.label for subject in world.data.subjects}
        expected = [
            (
                label,
                e.id,
                here.get(e.subject_id, owners[e.subject_id]),
                e.subject_id,
                *(e.type, world.listed_project(e, project), e.date, e.insert_date, e.last_modified),
            )
            for label, e in world.experiments(project)
        ]
        columns = [field.name for field in fields(models.Experiment)]
        assert [tuple(row[column] for column in columns) for row in rows] == expected


def test_each_experiment_stands_under_its_subject(view: View, world: World) -> None:
    for project in world.projects:
        for _, subject in world.subjects(project):
            own = [label for label, e in world.experiments(project) if e.subject_id == subject.id]
            shown = view.listdir(f"{subject_path(view, project, subject.id)}/experiments")
            assert len(shown) == len(own)
            assert {label for label in own if PLAIN.match(label) and own.count(label) == 1} <= set(shown)


def test_each_experiment_is_reached_from_the_project_too(view: View, world: World) -> None:
    for project in world.projects:
        subjects = {subject.id for _, subject in world.subjects(project)}
        shown = view.listdir(f"projects/{project}/experiments")
        assert len(set(shown)) == len(shown) == len(world.experiments(project))
        for label, experiment in world.experiments(project):
            name = label if label in shown else f"{label}~{experiment.id}"
            path = f"projects/{project}/experiments/{name}"
            if experiment.subject_id in subjects:
                assert view.stat(path).kind is Kind.LINK
                path = os.path.normpath(f"projects/{project}/experiments/{view.readlink(path)}")
            assert view.read(f"{path}/experiment.xml") == document(world.data, experiment.id)


def test_the_document_is_the_servers_byte_for_byte(view: View, world: World) -> None:
    for project in world.projects:
        for path, experiment_id, _ in plain_experiments(world, project):
            assert view.read(f"{path}/experiment.xml") == document(world.data, experiment_id)


def test_scores_are_those_of_the_data_set(view: View, world: World) -> None:
    seen = 0
    by_id = {experiment.id: experiment for experiment in world.data.experiments}
    for project in world.projects:
        for path, experiment_id, _ in plain_experiments(world, project):
            experiment = by_id[experiment_id]
            content = world.data.content_of(experiment)
            if not content.groups or experiment.document:
                continue
            expected = {
                (f"{group}/{name}" if group else name): value
                for group, values in content.groups
                for name, value in values
                if value
            }
            rows = table(view.read(f"{path}/scores.csv"))
            assert {row["score"]: row["value"] for row in rows} == expected
            for score, value in expected.items():
                assert view.read(f"{path}/scores/{score}") == f"{value}\n".encode()
            seen += 1
    assert seen > 3


def test_an_imaging_session_has_its_scans_by_id(view: View, world: World) -> None:
    for project in world.projects:
        for label, experiment in world.experiments(project):
            scans = world.data.content_of(experiment).scans
            if len(scans) > 1:
                subject = subject_path(view, project, experiment.subject_id)
                path = f"{subject}/experiments/{label}/scores/scans"
                assert set(view.listdir(path)) == {f"scan.{scan.id}" for scan in scans}
                assert view.read(f"{path}/scan.{scans[0].id}/quality") == f"{scans[0].quality}\n".encode()
                assert view.read(f"{path}/scan.{scans[0].id}/@type") == f"{scans[0].type}\n".encode()


def files(view: View, path: str) -> list[str]:
    """Every file below `path`."""
    found = []
    for name in view.listdir(path):
        below = f"{path}/{name}".lstrip("/")
        kind = view.stat(below).kind
        found += files(view, below) if kind is Kind.DIRECTORY else [below] if kind is Kind.FILE else []
    return found


def test_every_size_is_exact(view: View, world: World) -> None:
    project = world.projects[0]
    some = view.listdir(f"projects/{project}/subjects")[0]
    paths = files(view, f"projects/{project}/subjects/{some}")
    paths += [f"projects/{project}/{name}" for name in ("subjects.csv", "experiments.csv", "xml/project.xml")]
    paths += ["README.txt", ".cdbfs/version", ".cdbfs/errors", ".cdbfs/status.json"]
    for path in paths:
        size = view.stat(path).size
        if path != ".cdbfs/status.json":  # it tells the time
            assert size == len(view.read(path)), path


def test_times_are_the_servers(view: View, world: World) -> None:
    for project in world.projects:
        for path, experiment_id, _ in plain_experiments(world, project):
            experiment = next(e for e in world.data.experiments if e.id == experiment_id)
            text = experiment.last_modified or experiment.insert_date
            if text:
                moment = datetime.fromisoformat((text + ("" if "." in text else ".0")).ljust(26, "0"))
                expected = round(moment.replace(tzinfo=timezone.utc).timestamp() * 10**6) * 10**3
                assert view.stat(path).mtime == expected
                assert view.stat(f"{path}/scores.csv").mtime == expected


def test_project_and_subject_documents_are_the_servers(view: View, world: World, world_server: StandIn) -> None:
    account = world.login
    with requests.Session() as session:
        # requests would send the password as latin-1
        login = base64.b64encode(f"{account.user}:{account.password}".encode()).decode()
        session.headers["Authorization"] = f"Basic {login}"
        session.trust_env = False
        for project in world.projects:
            answer = session.get(f"{world_server.url}/data/projects/{project}", params={"format": "xml"})
            assert view.read(f"projects/{project}/xml/project.xml") == answer.content
            for _, subject in world.subjects(project)[:3]:
                answer = session.get(f"{world_server.url}/data/subjects/{subject.id}", params={"format": "xml"})
                path = subject_path(view, project, subject.id)
                assert view.read(f"{path}/xml/subject.xml") == answer.content


@pytest.mark.parametrize("path", ["nothing", "projects/nothing", ".git", "projects/.Rprofile"])
def test_what_is_not_there(view: View, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        view.stat(path)


def test_files_are_no_directories_and_directories_no_files(view: View) -> None:
    with pytest.raises(NotADirectoryError):
        view.listdir("README.txt")
    with pytest.raises(NotADirectoryError):
        view.stat("README.txt/x")
    with pytest.raises(IsADirectoryError):
        view.read("projects")


def test_awkward_names(view: View, world: World) -> None:
    if world.name != "elsewhere":
        assert all(PLAIN.match(name) for name in view.listdir(f"projects/{world.projects[0]}/subjects"))
        return
    shown = set(view.listdir("projects/ALPHA/subjects"))
    assert {"zeta", "s%2F1", "%2E%2E", "K\u00e4se 7", "two\nlines", "50%2541", "dup~Lab_S2", "dup~Lab_S4"} <= shown
    assert "dup" not in shown
    long_name = next(name for name in shown if name.startswith("LLL"))
    assert len(long_name) == 255
    assert view.listdir(f"projects/ALPHA/subjects/{long_name}/experiments") == ["Lab_S8_bat"]
    assert set(view.listdir("projects/ALPHA/subjects/zeta/experiments")) == {
        "Lab_S1_bat",
        "odd",
        "twin~Lab_T1",
        "twin~Lab_T2",
    }
    assert view.listdir("projects/ALPHA/subjects/%2E%2E/experiments") == ["Lab_S5_bat", "twin"]
    assert "twin~Lab_T3" in view.listdir("projects/ALPHA/experiments")


def test_shared_items_go_by_their_label_in_the_sharing_project(view: View, world: World) -> None:
    if world.name != "elsewhere":
        assert view.listdir(f"projects/{world.projects[0]}/subjects")
        return
    assert view.listdir("projects/beta-2/subjects") == ["renamed"]
    assert view.listdir("projects/beta-2/subjects/renamed/experiments") == ["Lab_S50_b2"]
    # The subject of this one is not in the project: a directory instead of a link.
    assert view.stat("projects/beta-2/experiments/Lab_S1_b2").kind is Kind.DIRECTORY
    assert view.read("projects/beta-2/experiments/Lab_S1_b2/scores/memory/recall") == b"6\n"


def test_any_document_becomes_scores(view: View, world: World) -> None:
    if world.name != "elsewhere":
        assert ODD_DOCUMENT not in [e.document for e in world.data.experiments]
        return
    path = "projects/ALPHA/subjects/zeta/experiments/odd"
    assert view.read(f"{path}/scores.csv").decode() == (
        "score,value\n"
        'note,"K\u00e4se, ""frisch"""\n'
        "note@lang,de\n"
        "trials/trial.a%2F1,7\n"
        "trials/trial.a%2F1@score,3\n"
        "trials/trial.b/rt,1.50\n"
        "item.1,x\n"
        "item.2,y\n"
        "flag/@on,yes\n"
    )
    assert set(view.listdir(f"{path}/scores")) == {"note", "note@lang", "trials", "item.1", "item.2", "flag"}


def test_the_daemon_tells_about_itself(view: View, world: World, world_server: StandIn) -> None:
    assert view.read(".cdbfs/version").decode().startswith("cdbfs ")
    status = view.read(".cdbfs/status.json").decode()
    assert world_server.url in status
    assert world.login.password not in status
