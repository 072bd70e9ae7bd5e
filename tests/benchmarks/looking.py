"""What looking costs, beside a plain directory and beside a script over the REST API, all in one run.

    python -m tests.benchmarks.looking [--pairs 5] [--subjects 10000]

Prints medians and the ratio of each pair, since machines are noisy. Everything runs on this machine: the server is
the stand-in, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

import requests

from cdbfs.credentials import Credentials
from cdbfs.mount import mounts
from tests.views import cdbfs, environment


@contextmanager
def stand_in(*options: str) -> Iterator[tuple[dict[str, str], int]]:
    """A stand-in in a process of its own: what it tells of itself, and its process id."""
    running = subprocess.Popen(
        [sys.executable, "-m", "cdbfs", "demo", "--no-mount", "--json", *options],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert running.stdout is not None
    try:
        yield json.loads(running.stdout.readline()), running.pid
    finally:
        running.terminate()
        running.communicate(timeout=10)


@contextmanager
def demo_server(subjects: int) -> Iterator[tuple[str, Credentials, int]]:
    """A stand-in: its address, its login, its process id. Prints what its start took."""
    began = time.monotonic()
    with stand_in(f"--subjects={subjects}") as (told, pid):
        login = Credentials(told["user"], told["password"])
        requests.get(
            f"{told['url']}/data/projects/HCP_Q2/experiments", auth=(login.user, login.password), timeout=60
        ).raise_for_status()
        took = time.monotonic() - began
        print(f"stand-in with {subjects} subjects: {took:.1f} s to its first listing, {resident(pid)} MB resident")
        yield told["url"], login, pid


def resident(pid: int) -> int:
    """Its memory, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


@contextmanager
def fresh_mount(url: str, login: Credentials, ascp: str = "", **options: str) -> Iterator[Path]:
    """A mount, and nothing in its cache, the directory `cache` beside it, unless `options` have another."""
    with tempfile.TemporaryDirectory() as scratch:
        point = Path(scratch, "m")
        point.mkdir()
        settings = {
            "cache_dir": f"{scratch}/cache",
            "search_dir": f"{scratch}/search",
            "packages_free": "0",
            **options,
        }
        flags = ",".join(f"{key}={value}" for key, value in settings.items())
        done = cdbfs("mount", "-o", flags, url, str(point), login=login, ASCP=ascp)
        assert done.returncode == 0, done.stderr
        try:
            yield point
        finally:
            mounts.unmount(str(point), lazy=True)


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def shell(command: str, cwd: Path) -> Callable[[], object]:
    return lambda: subprocess.run(["bash", "-c", command], cwd=cwd, stdout=subprocess.DEVNULL, check=True)


def report(what: str, ours: list[float], theirs: list[float], peer: str) -> None:
    ratios = sorted(a / b for a, b in zip(ours, theirs))
    print(
        f"{what}: {statistics.median(ours):.2f} s; {peer}: {statistics.median(theirs):.2f} s; "
        f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def listing(pairs: int, subjects: int) -> None:
    """ls -l of a project's subjects, beside a plain directory with as many directories."""
    with demo_server(subjects) as (url, login, _), tempfile.TemporaryDirectory() as plain:
        for number in range(subjects):
            os.mkdir(f"{plain}/{100000 + number}")
        first, again, native = [], [], []
        for _ in range(pairs):
            with fresh_mount(url, login) as point:
                first.append(seconds(shell("ls -l projects/HCP_Q2/subjects", point)))
                again.append(seconds(shell("ls -l projects/HCP_Q2/subjects", point)))
            native.append(seconds(shell("ls -l", Path(plain))))
        report(f"ls -l of {subjects} subjects, first time (one request)", first, native, "plain directory")
        report(f"ls -l of {subjects} subjects, again", again, native, "plain directory")


def by_script(url: str, login: Credentials) -> None:
    """One score of every subject, as a user's script gets it: list, then a document each, over one session."""
    with requests.Session() as session:
        session.auth = (login.user, login.password)
        rows = session.get(f"{url}/data/projects/HCP_Q2/experiments?xsiType=nt:scores", timeout=60).json()
        for row in rows["ResultSet"]["Result"]:
            answer = session.get(f"{url}/data/experiments/{row['ID']}?format=xml", timeout=60)
            assert b"NEOFAC_A" in answer.content


def scores(pairs: int) -> None:
    """One score of all 143 experiments, beside a script over the REST API."""
    command = "cat projects/HCP_Q2/subjects/*/experiments/*_NonToolbox/scores/NEO/NEOFAC_A"
    with demo_server(144) as (url, login, _):
        first, again, script = [], [], []
        for _ in range(pairs):
            with fresh_mount(url, login) as point:
                first.append(seconds(shell(command, point)))
                again.append(seconds(shell(command, point)))
            script.append(seconds(lambda: by_script(url, login)))
        report("one score of 143 experiments, first time", first, script, "requests script")
        report("one score of 143 experiments, again", again, script, "requests script")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--subjects", type=int, default=10_000)
    chosen = options.parse_args()
    listing(chosen.pairs, chosen.subjects)
    scores(chosen.pairs)


if __name__ == "__main__":
    main()
