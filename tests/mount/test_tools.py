"""Real tools on a real mount agree on every size and byte."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas
import pytest

from cdbfs.demo import document, tutorial
from tests.worlds import World

SUBJECT = "projects/HCP_Q2/subjects/100307"
SCORES = f"{SUBJECT}/experiments/100307_NonToolbox"
KINDS = [
    "README.txt",
    ".cdbfs/version",
    "projects/HCP_Q2/subjects.csv",
    "projects/HCP_Q2/experiments.csv",
    "projects/HCP_Q2/xml/project.xml",
    "projects/HCP_Q2/tables/nt:scores/fields.csv",
    "projects/HCP_Q2/tables/nt:scores/table.csv",
    "schema/nt:scores/schema.xsd",
    f"{SUBJECT}/xml/subject.xml",
    f"{SUBJECT}/experiments/100307_3T/experiment.xml",
    f"{SCORES}/experiment.xml",
    f"{SCORES}/scores.csv",
    f"{SCORES}/scores/ER40/ER40_CRT",
    "projects/HCP_Q2/experiments/100307_NonToolbox/scores/NEO/NEOFAC_A",
]
"""A file of every kind."""


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def shell(command: str, cwd: Path) -> str:
    return run("bash", "-c", command, cwd=cwd)


def test_the_tutorials_answers(mount_point: Path) -> None:
    assert shell("ls projects/HCP_Q2/subjects | wc -l", mount_point).strip() == "144"
    assert shell(f"cat {SCORES}/scores/ER40/ER40_CR", mount_point) == "39\n"
    pattern = "projects/HCP_Q2/subjects/*/experiments/*_NonToolbox/scores/NEO/NEOFAC_A"
    found = shell(f"grep -lE '^4[1-9]$' {pattern}", mount_point).split()
    assert {line.split("/")[3] for line in found} == set(tutorial.AGREEABLE)
    assert len(shell(f"cat {pattern}", mount_point).split()) == 143


@pytest.mark.parametrize("path", KINDS)
def test_every_tool_sees_the_same_bytes(path: str, mount_point: Path, tmp_path: Path) -> None:
    (mount_point / path).read_bytes()  # which runs the search, where it is the result of one
    size = int(shell(f"wc -c < '{path}'", mount_point))
    truth = (mount_point / path).read_bytes()
    assert size == len(truth) > 0
    assert os.stat(mount_point / path).st_size == size
    run("cp", path, str(tmp_path / "copied"), cwd=mount_point)
    assert (tmp_path / "copied").read_bytes() == truth
    run("tar", "-chf", str(tmp_path / "a.tar"), path, cwd=mount_point)
    with tarfile.open(tmp_path / "a.tar") as archive:
        member = archive.extractfile(path)
        assert member is not None
        assert member.read() == truth
    run("rsync", "-Lt", path, str(tmp_path / "synced"), cwd=mount_point)
    assert (tmp_path / "synced").read_bytes() == truth
    for count in (1, 5, size, size + 10):
        done = subprocess.run(["tail", "-c", str(count), path], cwd=mount_point, capture_output=True, check=True)
        assert done.stdout == truth[-count:]
    assert run("md5sum", path, cwd=mount_point).split()[0] == hashlib.md5(truth).hexdigest()
    mapped = (
        "import mmap,sys; f=open(sys.argv[1],'rb'); "
        "m=mmap.mmap(f.fileno(),0,flags=mmap.MAP_PRIVATE,prot=mmap.PROT_READ); sys.stdout.buffer.write(m[:])"
    )
    done = subprocess.run([sys.executable, "-c", mapped, path], cwd=mount_point, capture_output=True, check=True)
    assert done.stdout == truth


@pytest.mark.parametrize("command", ["cp '{}' {}", "tar -chOf - '{}' | tar -xOf - > {}", "rsync -L '{}' {}"])
@pytest.mark.parametrize(
    "path", [f"{SCORES}/experiment.xml", f"{SCORES}/scores.csv", f"{SCORES}/scores/CPW/IWRD_TOT"]
)
def test_the_first_touch_is_right(path: str, command: str, fresh_mount: Path, tmp_path: Path) -> None:
    """Nobody has asked for the document before: no stat has told its size, no read has fetched it."""
    shell(command.format(path, tmp_path / "copy"), fresh_mount)
    assert (tmp_path / "copy").read_bytes() == (fresh_mount / path).read_bytes()


def test_a_whole_subject_copies(mount_point: Path, tmp_path: Path) -> None:
    run("cp", "-r", SUBJECT, str(tmp_path / "cp"), cwd=mount_point)
    run("rsync", "-a", f"{SUBJECT}/", str(tmp_path / "rsync"), cwd=mount_point)
    shell(f"tar -cf - -C {SUBJECT} . | tar -xf - -C {tmp_path} --one-top-level=tar", mount_point)
    for copy in ("cp", "rsync", "tar"):
        assert run("diff", "-r", SUBJECT, str(tmp_path / copy), cwd=mount_point) == ""
    times = {(tmp_path / copy / "xml/subject.xml").stat().st_mtime_ns for copy in ("rsync", "tar")}
    assert len({time // 10**9 for time in times}) == 1
    shell(f"chmod -R u+w {tmp_path}", tmp_path)


def test_the_document_is_the_servers_and_valid(mount_point: Path, tutorial: World) -> None:
    assert (mount_point / SCORES / "experiment.xml").read_bytes() == document(tutorial.data, "ConnectomeDB_E00299")
    run("xmllint", "--noout", f"{SCORES}/experiment.xml", "projects/HCP_Q2/xml/project.xml", cwd=mount_point)


def test_pandas_reads_the_tables(mount_point: Path) -> None:
    project = mount_point / "projects/HCP_Q2"
    subjects = pandas.read_csv(project / "subjects.csv", dtype=str)
    assert len(subjects) == 144
    assert dict(zip(subjects["label"], subjects["ID"]))["100307"] == "ConnectomeDB_S00230"
    assert list(subjects.columns[:3]) == ["label", "ID", "project"]
    experiments = pandas.read_csv(project / "experiments.csv")
    assert len(experiments) == 5 * 144 - 1
    scores = pandas.read_csv(mount_point / SCORES / "scores.csv", index_col="score")["value"]
    assert scores["ER40/ER40_CR"] == 39


def test_a_table_of_all_experiments_joins_with_the_others(mount_point: Path) -> None:
    project = mount_point / "projects/HCP_Q2"
    scores = pandas.read_csv(project / "tables/nt:scores/table.csv", dtype={"subject": str})
    assert len(scores) == 143
    found = dict(zip(scores["subject"], scores["ER40_ER40_CR"]))
    assert found["100307"] == 39
    assert set(scores["subject"][scores["NEO_NEOFAC_A"] > 40]) == set(tutorial.AGREEABLE)
    experiments = pandas.read_csv(project / "experiments.csv")
    joined = scores.merge(experiments, on=["ID", "label"])
    assert len(joined) == 143
    fields = pandas.read_csv(project / "tables/nt:scores/fields.csv")
    assert set(scores.columns[3:]) < set(fields["id"])


def test_r_reads_the_tables(mount_point: Path) -> None:
    assert shutil.which("Rscript"), "R belongs to what the test command installs"
    program = f"""
        s <- read.csv("projects/HCP_Q2/subjects.csv"); e <- read.csv("projects/HCP_Q2/experiments.csv")
        v <- read.csv("{SCORES}/scores.csv"); f <- data.table::fread("projects/HCP_Q2/subjects.csv")
        cat(nrow(s), ncol(s), nrow(e), ncol(e), s$ID[s$label == 100307], v$value[v$score == "ER40/ER40_CR"])
        cat("", nrow(f), scan("{SCORES}/scores/ER40/ER40_CRT", quiet = TRUE))
        cat("", nrow(data.table::fread("{SCORES}/scores.csv")), nrow(v), readLines("{SCORES}/scores/ER40/ER40_CR"))
    """
    rows = len((mount_point / SCORES / "scores.csv").read_text().splitlines()) - 1
    answer = run("Rscript", "--vanilla", "-e", program, cwd=mount_point)
    assert answer == f"144 13 719 9 ConnectomeDB_S00230 39 144 1471 {rows} {rows} 39"


def test_the_readme_in_the_mount_tells_commands_that_work(mount_point: Path) -> None:
    text = (mount_point / "README.txt").read_text()
    commands = text.partition("Try this, in this directory:\n")[2].partition("\nIn R:")[0]
    answer = shell("set -e\n" + commands, mount_point)
    assert "HCP_Q2" in answer
    assert "score,value" in answer


def test_df_and_du_answer(mount_point: Path) -> None:
    assert int(shell("df --output=size . | tail -n 1", mount_point)) > 0
    assert int(shell(f"du -s --apparent-size -B1 {SUBJECT}/experiments | cut -f1", mount_point)) > 1000
