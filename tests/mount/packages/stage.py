"""What tests of transfers under way share: readers, a hold in the middle of a package, and how it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path

from cdbfs.demo import StandIn, connectomedb
from tests.mount.failing import SOON, wait_until
from tests.mount.packages.conftest import OPTIONS, STRUCTURAL, SUBJECT, Site
from tests.mount.test_interruption import start
from tests.views import mounted
from tests.worlds import World

MIB = 2**20
FEW = World("few", connectomedb(3))
"""Three subjects, each with the 22 packages of Q2, of 2 MiB each."""
PATIENT = {**OPTIONS, "transfer_stall": "120"}
"""So that a transfer may be held for as long as a test looks."""
READ = """
import hashlib, os, sys, threading
failed = []
def read(path):
    try:
        with open(path, "rb") as file:
            os.write(1, f"{hashlib.md5(file.read()).hexdigest()}\\n".encode())
    except OSError as error:
        failed.append(str(error))
threads = [threading.Thread(target=read, args=(path,)) for path in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit("; ".join(failed) or None)
"""
"""Reads each file in a thread of its own, and tells its md5."""

Program = subprocess.Popen[str]


@contextmanager
def site_of(server: StandIn, world: World, scratch: Path, **options: str) -> Iterator[Site]:
    """A mount in `scratch`, and its cache."""
    chosen = {**PATIENT, **options}
    with mounted(server, world.login, scratch / "m", scratch / "cache", **chosen) as point:
        try:
            yield Site(server, world, point, Path(chosen.get("cache_dir", scratch / "cache")))
        finally:
            server.resume_ascp()


def digest(site: Site, package: str = STRUCTURAL, subject: str = SUBJECT) -> str:
    """The md5 of a package as the server has it."""
    return md5(site.original(package, subject), usedforsecurity=False).hexdigest()


def reads(*paths: Path) -> Program:
    """A process that tells the md5 of each, read at once."""
    return start([sys.executable, "-c", READ, *map(str, paths)], paths[0].parents[4])


def cat(path: Path) -> Program:
    """A process that reads it, and tells its md5."""
    return start(["md5sum", str(path)], path.parents[4])


def told_md5s(*programs: Program) -> list[str]:
    """What they tell, once they have ended well."""
    found = []
    for program in programs:
        out, complaints = program.communicate(timeout=SOON * 3)
        assert (program.returncode, complaints) == (0, "")
        found += [line.split()[0] for line in out.splitlines()]
    return found


def complaint(program: Program) -> str:
    """What it says of its failure."""
    _, said = program.communicate(timeout=SOON)
    assert program.returncode != 0
    return said


def status(point: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((point / ".cdbfs/status.json").read_text())
    return found


def daemon(point: Path) -> int:
    """Its process."""
    return int(str(status(point)["pid"]))


def transfer(point: Path, package: str = STRUCTURAL, subject: str = SUBJECT) -> Path:
    """The file that tells of a transfer."""
    return point / ".cdbfs/transfers" / f"{subject}_{package}.zip"


def told(point: Path, package: str = STRUCTURAL, subject: str = SUBJECT) -> dict[str, str]:
    """How a transfer stands; nothing where there is none."""
    try:
        lines = transfer(point, package, subject).read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split(": ", 1) for line in lines)


def arrived(point: Path, package: str = STRUCTURAL, subject: str = SUBJECT) -> int:
    """Bytes of a package that are here so far."""
    found = re.match(r"\d+", told(point, package, subject).get("bytes", ""))
    return int(found[0]) if found else 0


def transfers(point: Path) -> list[str]:
    return sorted(os.listdir(point / ".cdbfs/transfers"))


def held(site: Site, at: int = MIB, package: str = STRUCTURAL, subject: str = SUBJECT) -> None:
    """Wait until a package stands still there, and the mount has heard of it."""
    name = f"{subject}_{package}.zip"
    wait_until(lambda: name in site.server.held(), SOON * 2)
    wait_until(lambda: arrived(site.point, package, subject) >= at)


def waits(program: Program, point: Path, package: str = STRUCTURAL) -> None:
    """Wait until a mount tells that a program waits for a package."""
    wait_until(lambda: f"{program.pid} (" in told(point, package).get("waiting", ""))


def resumed_from(site: Site) -> int:
    """The byte from which the transfer goes on that has been started while everything is held."""
    name = f"{SUBJECT}_{STRUCTURAL}.zip"
    wait_until(lambda: name in site.server.held() and "fetching" in told(site.point).get("state", ""), SOON * 2)
    wait_until(lambda: arrived(site.point) > 0 or bool(told(site.point).get("percent", "?") != "?"))
    return arrived(site.point)


def no_ascp(server: StandIn, seconds: float = SOON) -> None:
    """Wait until none runs."""
    wait_until(lambda: server.ascp_running == (), seconds)


def is_gone(process: int) -> bool:
    """Whether it has ended; one that nobody has waited for yet counts as gone."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def left_over(cache: Path) -> list[str]:
    """What transfers left in a cache; that one failed is remembered, and takes no space to speak of."""
    found = [*cache.glob("packages/*/arriving/*/*"), *cache.glob("packages/*/active/*")]
    return sorted(path.name for path in found if not path.name.endswith(".failed"))


def parts(cache: Path) -> dict[str, int]:
    """What has arrived of packages that are not whole, by name."""
    return {path.name: path.stat().st_size for path in cache.glob("packages/*/arriving/zip/*.zip*")}


def here(cache: Path) -> list[str]:
    """The packages whose zips are in a cache."""
    return sorted(path.parent.name.replace(",", "_", 1) for path in cache.glob("packages/*/objects/*/package.zip"))
