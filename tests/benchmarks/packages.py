"""What packages cost: the first open beside ascp alone, and reading beside a filesystem in C, all in one run.

    python -m tests.benchmarks.packages [--pairs 5] [--size 512M] [--rate MB/S]

Prints medians and the ratio of each pair, since machines are noisy. The server and its ascp are the stand-in's.
The first open is measured as fast as it goes, and with ascp kept to `--rate`. The filesystem in C is native_fs.c,
which needs a compiler, pkg-config and libfuse3-dev; it shows the cache of the mount. Pages of both are dropped
before each reading.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from cdbfs.credentials import Credentials
from tests.benchmarks.looking import fresh_mount, report, resident, seconds, stand_in

SUBJECT, PACKAGE = "100307", "3T_Structural_preproc"
NAME = f"{SUBJECT}_{PACKAGE}.zip"
BLOCK = 1 << 20
READERS = 4
SOURCE = Path(__file__).with_name("native_fs.c")


def by_ascp(told: dict[str, str]) -> None:
    """As a careful user does it: ask for leave, run ascp, check the md5."""
    query = f"subjects={SUBJECT}&package={PACKAGE}"
    answer = requests.post(
        f"{told['url']}/spring/download?{query}", auth=(told["user"], told["password"]), timeout=600
    )
    answer.raise_for_status()
    spec: dict[str, Any] = answer.json()
    key = Path(told["ascp"]).parents[1] / "etc/asperaweb_id_dsa.openssh"
    with tempfile.TemporaryDirectory(dir=Path(told["scratch"])) as into:
        limit = f"{spec['target_rate_kbps']}K"  # by itself it takes 10 Mbit/s
        command = [told["ascp"], "-q", "-p", "-i", str(key), "-l", limit, "-k", "2", "-P", str(spec["ssh_port"])]
        command += [f"--user={spec['remote_user']}", f"--host={spec['remote_host']}", "--mode=recv"]
        sources = [path["source"] for path in spec["paths"]]
        environment = {**os.environ, "ASPERA_SCP_TOKEN": spec["token"]}
        subprocess.run([*command, *sources, into], env=environment, stdout=subprocess.DEVNULL, check=True)
        subprocess.run(["md5sum", "-c", "--quiet", f"{NAME}.md5"], cwd=into, check=True)


def first_open(told: dict[str, str], login: Credentials, pairs: int, rate: int) -> None:
    """Opening a package that is not here; `rate` is what a session of ascp may have, MB/s."""
    limited = {"rate": rate * 1e6} if rate else {}
    requests.post(f"{told['control']}/rate", json=limited, timeout=60).raise_for_status()
    ours, theirs = [], []
    with fresh_mount(told["url"], login, told["ascp"]) as point:
        path = point / f"packages/HCP_Q2/{SUBJECT}/{NAME}"
        path.stat()
        for _ in range(pairs):
            theirs.append(seconds(lambda: by_ascp(told)))
            ours.append(seconds(lambda: os.close(os.open(path, os.O_RDONLY))))
            for kept in (point.parent / "cache/packages").glob("*/objects/*"):
                shutil.rmtree(kept)
    limit = f" at {rate:g} MB/s" if rate else ""
    report(f"first open of a package{limit}", ours, theirs, "ascp and md5sum")


@contextmanager
def native(directory: Path) -> Iterator[Path]:
    """`directory` through the filesystem in C."""
    with tempfile.TemporaryDirectory() as scratch:
        program, point = Path(scratch, "native_fs"), Path(scratch, "m")
        point.mkdir()
        flags = subprocess.run(
            ["pkg-config", "--cflags", "--libs", "fuse3"], capture_output=True, text=True, check=True
        ).stdout.split()
        subprocess.run(["cc", "-O2", "-o", str(program), str(SOURCE), *flags], check=True)
        subprocess.run([str(program), str(directory), str(point)], check=True)
        try:
            yield point
        finally:
            subprocess.run(["fusermount3", "-uz", str(point)], check=True)


def read_all(path: Path) -> None:
    """From end to end, with no page in memory to begin with."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        block = bytearray(BLOCK)
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            while file.readinto(block):
                pass
    finally:
        os.close(descriptor)


def read_by_four(path: Path) -> None:
    """Each reads a quarter."""
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    quarter = -(-path.stat().st_size // READERS)

    def read(number: int) -> None:
        block = bytearray(BLOCK)
        for offset in range(number * quarter, (number + 1) * quarter, BLOCK):
            os.preadv(descriptor, [block], offset)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(READERS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    os.close(descriptor)


def reading(told: dict[str, str], login: Credentials, pairs: int) -> None:
    """A zip and a stored member of it that are here, by one reader and by four."""
    with fresh_mount(told["url"], login, told["ascp"]) as point:
        zip_file = point / f"packages/HCP_Q2/{SUBJECT}/{NAME}"
        read_all(zip_file)
        [kept] = (point.parent / "cache/packages").glob("*/objects/*/package.zip")
        top = point / f"unpacked/HCP_Q2/{SUBJECT}_{PACKAGE}"
        member = max((path for path in top.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        read_all(member)
        before = resident(daemon(point))
        with native(kept.parent) as peer:
            for what, path in (("zip", zip_file), ("stored member", member)):
                for how, work in (("one reader", read_all), ("four readers", read_by_four)):
                    ours, theirs = [], []
                    for _ in range(pairs):
                        theirs.append(seconds(lambda work=work: work(peer / kept.name)))  # type: ignore[misc]
                        ours.append(seconds(lambda work=work, path=path: work(path)))  # type: ignore[misc]
                    size = path.stat().st_size
                    scaled = [each * size / kept.stat().st_size for each in theirs]
                    report(f"{what} of {size // BLOCK} MiB, {how}", ours, scaled, "the zip through C")
        print(f"the daemon grew from {before} to {resident(daemon(point))} MB")


def daemon(point: Path) -> int:
    """The process that serves a mount."""
    return int(json.loads((point / ".cdbfs/status.json").read_text())["pid"])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--size", default="512M")
    options.add_argument("--rate", type=int, default=100, help="MB/s of the second run")
    chosen = options.parse_args()
    with (
        stand_in(f"--package-size={chosen.size}", "--subjects=2") as (told, _),
        tempfile.TemporaryDirectory() as scratch,
    ):
        login = Credentials(told["user"], told["password"])
        told["scratch"] = scratch
        by_ascp(told)  # the server makes its zip when it is first asked for
        for rate in (0, chosen.rate):
            first_open(told, login, chosen.pairs, rate)
        reading(told, login, chosen.pairs)


if __name__ == "__main__":
    main()
