"""What members of packages cost through a mount: reading a large one, listing a hundred thousand, all in one run.

    python -m tests.benchmarks.unpacking [--pairs 5] [--mebibytes 1024] [--members 100000] [--ratarmount PROGRAM]

Prints medians and the ratio of each pair, since machines are noisy. The packages come from a directory, the peers
are a mount of ratarmount's, a local file, and a directory of empty files. Zips are dropped from the page cache
before each first reading, and so is what was unpacked.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cdbfs.credentials import Credentials
from tests.benchmarks.looking import fresh_mount, report, resident, seconds, stand_in
from tests.benchmarks.members import NAME, compare, large_zip, many_zip, ratarmount, read_all
from tests.benchmarks.packages import daemon

SUBJECT, LARGE, FLAT, DEEP = "100307", "3T_Structural_preproc", "3T_Structural_unproc", "3T_Diffusion_preproc"
RESULTS = "100307/MNINonLinear/Results"


def package(box: Path, name: str) -> Path:
    return box / f"{SUBJECT}_{name}.zip"


def fill(box: Path, mebibytes: int, members: int) -> None:
    """A directory with three packages: one large member, many in one directory, many by 100."""
    large_zip(package(box, LARGE), mebibytes)
    many_zip(package(box, FLAT), members, members)
    many_zip(package(box, DEEP), members, 100)
    for name in (LARGE, FLAT, DEEP):
        path = package(box, name)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
        Path(f"{path}.md5").write_text(f"{digest}  {path.name}\n")


def unpacked(point: Path, name: str) -> Path:
    return point / f"unpacked/HCP_Q2/{SUBJECT}_{name}"


def reading(point: Path, box: Path, chosen: argparse.Namespace) -> None:
    """A deflated member: the first time, and later."""
    member = unpacked(point, LARGE) / NAME
    size = member.stat().st_size
    cache = point.parent / "cache/packages"

    def forget() -> None:
        for path in cache.glob("*/objects/*/members/*"):
            path.unlink()
        for path in cache.glob("*/objects/*/package.zip"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def first() -> None:
        assert read_all(member) == size

    before = resident(daemon(point))
    if chosen.ratarmount:
        with ratarmount(chosen.ratarmount, package(box, LARGE), point.parent) as theirs:
            pairs = [(_after(forget, first), seconds(lambda: read_all(theirs))) for _ in range(chosen.pairs)]
            ours, others = (list(times) for times in zip(*pairs))
            report("a deflated member, first reading", ours, others, "ratarmount")
            print(f"    {size / 2**20 / statistics.median(ours):.0f} MiB/s")
    first()
    [kept] = cache.glob("*/objects/*/members/*")
    compare("a deflated member, again", first, lambda: read_all(kept), "a local file", kept, chosen.pairs, size)
    print(f"the daemon grew from {before} to {resident(daemon(point))} MB")


def _after(forget: object, work: object) -> float:
    forget()  # type: ignore[operator]
    return seconds(work)  # type: ignore[arg-type]


@contextmanager
def plain(members: int) -> Iterator[Path]:
    """A directory of so many empty files."""
    with tempfile.TemporaryDirectory() as directory:
        for number in range(members):
            Path(directory, f"file_{number:06d}.txt").touch()
        yield Path(directory)


def listing(told: dict[str, str], login: Credentials, box: Path, chosen: argparse.Namespace) -> None:
    """Names of a zip that is here: for the first time, again, and in another mount later."""
    for name, where, count in ((FLAT, f"{RESULTS}/run_0000", chosen.members), (DEEP, f"{RESULTS}/run_0007", 100)):
        with plain(count) as directory:
            rows = [_listed(told["url"], login, box, name, where, count) for _ in range(chosen.pairs)]
            native = [_names(directory, count) for _ in range(chosen.pairs)]
        for what, took in zip(("first", "again", "after a remount"), zip(*rows)):
            report(f"{count} of {chosen.members} members listed, {what}", list(took), native, "a plain directory")


def _listed(
    url: str, login: Credentials, box: Path, name: str, where: str, count: int
) -> tuple[float, float, float]:
    """Seconds: for the first time, again, and in another mount."""
    with fresh_mount(url, login, packages_dir=str(box)) as point:
        read_all(point / "packages/HCP_Q2" / SUBJECT / f"{SUBJECT}_{name}.zip")
        first, again = (_names(unpacked(point, name) / where, count) for _ in range(2))
        cache = {"cache_dir": str(point.parent / "cache"), "packages_dir": str(box)}
        with fresh_mount(url, login, **cache) as another:
            os.listdir(another / "unpacked/HCP_Q2")
            return first, again, _names(unpacked(another, name) / where, count)


def _names(directory: Path, count: int) -> float:
    began = time.monotonic()
    assert len(os.listdir(directory)) == count
    return time.monotonic() - began


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--mebibytes", type=int, default=1024)
    options.add_argument("--members", type=int, default=100_000)
    options.add_argument("--ratarmount", metavar="PROGRAM")
    chosen = options.parse_args()
    with stand_in("--subjects=2") as (told, _), tempfile.TemporaryDirectory() as scratch:
        box = Path(scratch)
        fill(box, chosen.mebibytes, chosen.members)
        login = Credentials(told["user"], told["password"])
        with fresh_mount(told["url"], login, packages_dir=scratch) as point:
            reading(point, box, chosen)
        listing(told, login, box, chosen)


if __name__ == "__main__":
    main()
