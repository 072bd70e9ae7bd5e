"""A program that reads a mount until it is told to end, and notes what was wrong: one of the soak's readers.

Usage: reader.py MOUNT TRUTH END SEED. TRUTH is a file of JSON: for each path its kind, the digests of all that may
be seen there, and whether it may be away. It ends when the file END is there, and prints one line of JSON.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, field

EVERY = 20
"""Operations between two looks for END."""


@dataclass(frozen=True)
class Truth:
    """What may be seen at a path: `kind` is file, directory or link."""

    kind: str
    seen: frozenset[str]
    away: bool

    @property
    def turns(self) -> bool:
        """Whether it is now a link, now a directory: for an inode that turns so the kernel gives EIO once."""
        return self.kind == "link" and digest(b"") in self.seen and len(self.seen) > 1


@dataclass
class Report:
    """What a reader saw: operations that succeeded, what was rightly away or had turned from link to directory,
    errors as (when, errno, path), and bytes nobody published."""

    done: int = 0
    away: int = 0
    turned: int = 0
    errors: list[tuple[float, int, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:20]


def seen(kind: str, path: str) -> bytes:
    """What is at a path. Raises OSError; ValueError where a size is not that of the bytes."""
    if kind == "directory":
        return "/".join(os.listdir(path)).encode()
    if kind == "link":
        try:
            return os.fsencode(os.readlink(path))
        except OSError as error:
            if error.errno == errno.EINVAL:  # a directory in its place
                return b""
            raise
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        data = b"".join(iter(lambda: os.read(descriptor, 4096), b""))
        if size != len(data) or os.pread(descriptor, 100, 50) != data[50:150]:
            raise ValueError(f"size {size}, {len(data)} bytes")
    finally:
        os.close(descriptor)
    return data


def look(report: Report, mount: str, path: str, truth: Truth, chance: random.Random) -> None:
    """One operation."""
    began = time.time()
    try:
        if chance.random() < 0.3:
            os.lstat(os.path.join(mount, path))
        elif digest(value := seen(truth.kind, os.path.join(mount, path))) not in truth.seen:
            report.wrong.append(f"{path}: never published: {value[:2000]!r}")
        report.done += 1
    except ValueError as error:
        report.wrong.append(f"{path}: {error}")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR) and truth.away:
            report.away += 1
        elif error.errno == errno.EIO and truth.turns:
            report.turned += 1
        else:
            report.errors.append((began, error.errno or 0, path))


def main(mount: str, truth_file: str, end: str, seed: str) -> None:
    with open(truth_file, encoding="utf-8") as file:
        truth = {
            path: Truth(told["kind"], frozenset(told["seen"]), told["away"])
            for path, told in json.load(file).items()
        }
    paths = sorted(truth)
    report = Report()
    chance = random.Random(int(seed))
    while not os.path.exists(end):
        for _ in range(EVERY):
            path = chance.choice(paths)
            look(report, mount, path, truth[path], chance)
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main(*sys.argv[1:])
