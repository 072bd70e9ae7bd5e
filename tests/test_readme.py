"""README.md tells what is so: its transcript is typed again, and its commands and settings exist."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from cdbfs import config
from cdbfs.demo import StandIn
from cdbfs.xnat import models
from tests.views import cdbfs
from tests.worlds import World

CHECKOUT = Path(__file__).resolve().parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_the_transcript_is_what_the_demo_shows(mount_point: Path) -> None:
    transcript = README.partition("```console\n")[2].partition("```")[0]
    commands = re.findall(r"^\$ (.*)$", transcript, re.MULTILINE)
    assert len(commands) > 5
    script = "\n".join(f"printf '$ %s\\n' {_quoted(command)}\n{command}" for command in commands)
    done = subprocess.run(
        ["bash", "-c", script], cwd=mount_point, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stderr == ""
    assert done.stdout == transcript


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def test_the_two_commands_are_there() -> None:
    for command in (".ci/demo", ".ci/test"):
        assert f"```sh\n{command}" in README
        assert os.access(CHECKOUT / command, os.X_OK)
    assert "/.ci/test" in (CHECKOUT / ".ci/run").read_text()


def test_the_profile_is_one_that_loads(tmp_path: Path) -> None:
    profile = README.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "config.toml").write_text(profile)
    settings = config.load("hcp", {}, {}, tmp_path / "config.toml")
    assert settings.umask == 0o027
    assert str(settings.zone) == "America/Chicago"


def test_the_tables_have_the_columns_it_names() -> None:
    words = re.sub(r"\s+", "", README)
    for model in (models.Subject, models.Experiment):
        assert ",".join(model.__annotations__) in words


def test_figures_it_gives_are_the_defaults() -> None:
    settings = config.Settings()
    assert f"trusted for {settings.listing_ttl:g} s" in README
    assert f"waits {settings.lookup_deadline:g} s at the most" in README
    assert f"goes on for up to {settings.request_deadline:g} s" in README
    assert f"Where {settings.max_waiters} programs wait" in README
    assert f"waits up to {settings.save_wait:g} s for the result" in README
    assert settings.result_ttl == 24 * 60 * 60
    assert "After a day (`-o result_ttl=`)" in README


SEARCHING = README.partition("## Searching\n")[2].partition("```console\n")[2].partition("```")[0]
SAVING, _, RESULT = SEARCHING.partition("$ cat search/agreeable.csv\n")


def test_the_search_it_shows_gives_what_it_shows(fresh_mount: Path) -> None:
    assert RESULT.count("\n") > 2
    script = SAVING.removeprefix("$ ") + "cat search/agreeable.csv\n"
    done = subprocess.run(
        ["bash", "-c", script], cwd=fresh_mount, capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == (RESULT, "")


def test_the_same_search_without_a_mount_gives_the_same(server: StandIn, tutorial: World, tmp_path: Path) -> None:
    query = SAVING.partition("<<'END'\n")[2].removesuffix("END\n")
    (tmp_path / "agreeable.sql").write_text(query)
    done = cdbfs(
        *("search", "-s", server.url, "-o", f"cache_dir={tmp_path}/cache", str(tmp_path / "agreeable.sql")),
        login=tutorial.login,
    )
    assert (done.stdout, done.stderr) == (RESULT, "")
