"""What a member of a zip costs: inflating a large one, and knowing a hundred thousand, all in one run.

    python -m tests.benchmarks.members [--pairs 5] [--mebibytes 1024] [--members 100000]
                                       [--ratarmount PROGRAM] [--mounted FILE] [--before COMMAND] [--keep ZIP]

Prints medians and the ratio of each pair, since machines are noisy. The peers are Python's zipfile and, with
--ratarmount, a mount of that program's. What is ours is cdbfs/store/zips, or a file in a mount of cdbfs with
--mounted, the large member of the zip that --keep left; --before is run before each first read, to have its
unpacked bytes forgotten (`cdbfs evict ...`). Zips are dropped from the page cache before each reading.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from datetime import timezone
from pathlib import Path
from typing import Callable

import numpy
from isal import isal_zlib

from cdbfs.store.zips.index import Index, Member
from cdbfs.store.zips.members import Members
from tests.benchmarks.looking import report, seconds
from tests.store.zips.handmade import STORED, Part, zipped

MEBIBYTE = 2**20
CHUNK = MEBIBYTE
BLOCK = 32 * MEBIBYTE
"""A deflate stream knows 32 KiB back, so a block that comes again does not make it shorter."""
NAME = "100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR.nii"


def volume() -> bytes:
    """Like an image without its background: 16-bit noise. Deflates about 3:1."""
    return numpy.random.default_rng(3).normal(9000, 4, BLOCK // 2).astype("<i2").tobytes()


def large_zip(path: Path, mebibytes: int) -> None:
    """A zip with one deflated member, at zip's own level 6."""
    block = volume()
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    once = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    times = max(1, mebibytes * MEBIBYTE // BLOCK)
    crc = 0
    for _ in range(times):
        crc = isal_zlib.crc32(block, crc)
    size = times * BLOCK
    path.write_bytes(zipped(Part(NAME.encode(), body=once * times + packer.flush(), size=size, crc=crc)))
    print(f"a member of {size // MEBIBYTE} MiB, deflated {size / path.stat().st_size:.1f}:1")


def read_all(path: Path) -> int:
    """As `cp` reads it; how many bytes."""
    with path.open("rb", buffering=0) as file:
        total = 0
        while chunk := file.read(CHUNK):
            total += len(chunk)
    return total


def forget(path: Path) -> None:
    """Drop a file from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


class Ours:
    """The library's members of a zip."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self._path = path
        self._scratch = scratch

    def first(self) -> None:
        """Index, open and read, where nothing is kept of it."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        descriptor = self._open_zip()
        Index.build(descriptor, self._path.stat().st_size, self._index, "it", timezone.utc, 1000).close()
        os.close(descriptor)
        self.again()

    def again(self) -> None:
        """Open and read."""
        index = Index.load(self._index, "it")
        assert index is not None
        member = index.find(NAME)
        assert isinstance(member, Member)
        found = Members(self._scratch, index, self._open_zip).open(member)
        offset = 0
        while chunk := found.read(CHUNK, offset):
            offset += len(chunk)
        assert offset == member.size
        found.close()
        index.close()

    def kept(self) -> Path:
        """The file the member was inflated into."""
        (path,) = {entry.path for entry in os.scandir(self._scratch / "members")}
        return Path(path)

    @property
    def _index(self) -> Path:
        return self._scratch / "index"

    def _open_zip(self) -> int:
        return os.open(self._path, os.O_RDONLY)


def by_zipfile(path: Path) -> None:
    with zipfile.ZipFile(path) as archive, archive.open(NAME) as file:
        while file.read(CHUNK):
            pass


@contextlib.contextmanager
def ratarmount(program: str, path: Path, scratch: Path) -> Iterator[Path]:
    """The member in a mount of ratarmount."""
    point = scratch / "ratarmount"
    point.mkdir(exist_ok=True)
    subprocess.run([program, str(path), str(point)], check=True, stdout=subprocess.DEVNULL)
    try:
        yield point / NAME
    finally:
        subprocess.run(["fusermount3", "-u", str(point)], check=True)


def compare(
    what: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    peer: str,
    path: Path,
    pairs: int,
    size: int,
) -> None:
    """One after the other, in pairs, the zip not in the page cache."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for work, times in zip((ours, theirs), took):
            forget(path)
            times.append(seconds(work))
    report(what, *took, peer)
    rates = [size / MEBIBYTE / statistics.median(times) for times in took]
    print(f"    {rates[0]:.0f} MiB/s; {peer}: {rates[1]:.0f} MiB/s; {rates[0] / rates[1]:.1f} times as fast")


def inflating(chosen: argparse.Namespace, path: Path, scratch: Path) -> None:
    """First reading of a deflated member, and a later one."""
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(NAME).file_size
    ours = Ours(path, scratch / "kept")
    first, again = ours.first, ours.again
    if chosen.mounted:

        def first() -> None:
            if chosen.before:
                subprocess.run(["bash", "-c", chosen.before], check=True, stdout=subprocess.DEVNULL)
            assert read_all(Path(chosen.mounted)) == size

        def again() -> None:
            assert read_all(Path(chosen.mounted)) == size

    def against(what: str, theirs: Callable[[], object], peer: str, work: Callable[[], object]) -> None:
        compare(what, work, theirs, peer, path, chosen.pairs, size)

    against("a deflated member, first reading", lambda: by_zipfile(path), "zipfile", first)
    if chosen.ratarmount:
        with ratarmount(chosen.ratarmount, path, scratch) as member:
            against("a deflated member, first reading", lambda: read_all(member), "ratarmount", first)
            against("a deflated member, again", lambda: read_all(member), "ratarmount", again)
    local = scratch / "local"
    shutil.copyfile(chosen.mounted or ours.kept(), local)
    against("a deflated member, again", lambda: read_all(local), "a local file", again)


def many_zip(path: Path, number: int, a_directory: int) -> None:
    """A zip of small members, so many to a directory."""
    times = b"UT\x05\x00\x01\x01\x02\x03\x04"
    names = (b"100307/MNINonLinear/Results/run_%04d/file_%06d.txt" % (n // a_directory, n) for n in range(number))
    path.write_bytes(zipped(*[Part(name, b"x", STORED, extra=times) for name in names], wide=True))


def indexing(what: str, a_directory: int, pairs: int, number: int, scratch: Path) -> None:
    """Knowing the members of a zip: for the first time, later, and the names in a directory."""
    path, kept = scratch / "many.zip", scratch / "index"
    many_zip(path, number, a_directory)
    indexes: list[Index] = []

    def build() -> None:
        with path.open("rb") as file:
            indexes.append(Index.build(file.fileno(), path.stat().st_size, kept, "it", timezone.utc, 1000))

    def load() -> None:
        index = Index.load(kept, "it")
        assert index is not None
        indexes.append(index)

    def entries() -> None:
        found = indexes[-1].entries("100307/MNINonLinear/Results/run_0000")
        assert len(found.files) == min(a_directory, number)

    works = (build, load, entries, lambda: zipfile.ZipFile(path).close())
    took = zip(*[[seconds(work) for work in works] for _ in range(pairs)])
    built, loaded, listed, theirs = (list(times) for times in took)
    report(f"index of {number} members {what}, made", built, theirs, "zipfile")
    print(
        f"    loaded: {statistics.median(loaded) * 1000:.1f} ms; "
        f"a directory of {min(a_directory, number)} listed: {statistics.median(listed) * 1000:.1f} ms"
    )
    for index in indexes:
        index.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--mebibytes", type=int, default=1024, help="of the large member")
    options.add_argument("--members", type=int, default=100_000, help="of the zip with many")
    options.add_argument("--ratarmount", metavar="PROGRAM", help="compare with this ratarmount")
    options.add_argument("--mounted", metavar="FILE", help="the large member, in a mount of cdbfs")
    options.add_argument("--before", metavar="COMMAND", help="run before each first reading of --mounted")
    options.add_argument("--keep", metavar="ZIP", type=Path, help="the large zip: used if it is there, else made")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        path = chosen.keep or scratch / "large.zip"
        if not path.exists():
            large_zip(path, chosen.mebibytes)
        inflating(chosen, path, scratch)
        indexing("in one directory", chosen.members, chosen.pairs, chosen.members, scratch)
        indexing("by 100 in a directory", 100, chosen.pairs, chosen.members, scratch)


if __name__ == "__main__":
    main()
