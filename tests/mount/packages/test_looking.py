"""Looking at packages/ and unpacked/ moves nothing, whoever looks."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.mount.packages.conftest import IDS, PROJECT, SUBJECT, Site


def run(*command: str, at: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    at.stat()  # so that starting there waits for nothing: Popen holds this process's lock, which the server needs
    return subprocess.run(
        command,
        cwd=at,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_listing_tools_ask_for_no_transfer(site: Site) -> None:
    subject = site.zip().parent
    listed = run("ls", "-l", at=subject)
    assert len(listed.stdout.splitlines()) == 1 + 2 * IDS
    for command in (
        ("find", "packages", "unpacked", "-ls"),
        ("find", "packages", "unpacked", "-size", "+1G"),
        ("du", "-a", "packages"),
        ("ls", "-lR", "packages", "unpacked"),
        ("stat", str(site.zip())),
        ("bash", "-c", f"compgen -f unpacked/{PROJECT}/; compgen -f packages/{PROJECT}/{SUBJECT}/{SUBJECT}_3T"),
        ("grep", "-r", "nothing like it", "projects/HCP_Q2/subjects.csv", "projects/HCP_Q2/xml"),
    ):
        assert run(*command, at=site.point).returncode in (0, 1), command
    assert site.moved() == (0, 0)


@pytest.mark.parametrize("below", ["", "/" + SUBJECT])
def test_programs_that_look_around_them_ask_for_none(site: Site, below: str) -> None:
    """A git prompt, R, and what indexers and file managers look for."""
    here = Path(f"{site.unpacked()}{below}")
    assert run("git", "status", at=here).returncode == 128
    assert run("git", "rev-parse", "--git-dir", at=here).returncode == 128
    assert run("Rscript", "-e", "cat(1+1)", at=here).stdout == "2"
    assert run("R", "--quiet", "--no-save", "-e", "1", at=here).returncode == 0
    for name in (".hidden", ".DS_Store", "Thumbs.db", "autorun.inf", "desktop.ini"):
        assert not (here / name).exists()
    if not below:
        assert os.listdir(here) == [SUBJECT]
        assert (here / SUBJECT).is_dir()
    assert site.moved() == (0, 0)


def test_a_walk_as_updatedb_does_asks_for_none(site: Site) -> None:
    seen = 0
    for directory, folders, files in os.walk(site.point / "unpacked"):
        seen += 1
        for name in (*folders, *files):
            os.lstat(os.path.join(directory, name))
    assert seen > 1
    assert site.moved() == (0, 0)


def test_modes_are_private_and_nothing_can_be_written(site: Site) -> None:
    zip_file = site.zip()
    assert zip_file.stat().st_mode & 0o777 == 0o400
    assert zip_file.parent.stat().st_mode & 0o777 == 0o500
    for attempt in (
        lambda: zip_file.unlink(),
        lambda: zip_file.write_bytes(b""),
        lambda: (site.unpacked() / "x").mkdir(),
        lambda: (site.point / "packages" / "x").touch(),
    ):
        with pytest.raises(OSError, match=r"Read-only|Errno 30"):
            attempt()
    assert site.moved() == (0, 0)
