"""Zips by hand: whatever the format can say, true or not. Also opens them as the store does."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timezone
from itertools import repeat
from pathlib import Path

from cdbfs.errors import CdbfsError
from cdbfs.store.zips.index import DIRECTORY, Index, Member
from cdbfs.store.zips.members import Members

STORED, DEFLATED = 0, 8
UNIX, DOS = 3, 0
FULL = 0xFFFFFFFF
NOON = 45 << 25 | 6 << 21 | 7 << 16 | 12 << 11 | 30 << 5 | 4
"""2025-06-07 12:30:08, as DOS has it."""
RATIO = 1000


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def extra(kind: int, content: bytes) -> bytes:
    """An extra field."""
    return struct.pack("<HH", kind, len(content)) + content


def numbers(*values: int) -> bytes:
    """The content of a zip64 field."""
    return struct.pack(f"<{len(values)}Q", *values)


@dataclass
class Part:
    """A member. What is None is as it should be."""

    name: bytes
    data: bytes = b""
    method: int = DEFLATED
    flags: int = 0
    host: int = UNIX
    mode: int = 0o100644
    dos: int = NOON
    disk: int = 0
    extra: bytes = b""
    comment: bytes = b""
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    start: int | None = None
    body: bytes | None = None
    """The packed bytes."""
    local_name: bytes | None = None
    local_flags: int | None = None
    local_method: int | None = None
    local_extra: bytes = b""
    mark: bytes = b"PK\x03\x04"
    descriptor: bool = False
    """Whether sizes come after the bytes, and the local header has none."""
    absent: bool = False
    """Whether only the directory has it."""
    placed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.body is None:
            self.body = deflated(self.data) if self.method == DEFLATED else self.data
        self.crc = zlib.crc32(self.data) if self.crc is None else self.crc
        self.size = len(self.data) if self.size is None else self.size
        self.packed = len(self.body) if self.packed is None else self.packed
        self.flags |= 8 if self.descriptor else 0

    def local(self) -> bytes:
        """Local header, bytes, and data descriptor."""
        assert self.body is not None
        name = self.name if self.local_name is None else self.local_name
        flags = self.flags if self.local_flags is None else self.local_flags
        method = self.method if self.local_method is None else self.local_method
        sums = (0, 0, 0) if self.descriptor else self._sums()
        head = struct.pack(
            "<4sHHHLLLLHH", self.mark, 20, flags, method, self.dos, *sums, len(name), len(self.local_extra)
        )
        after = b"PK\x07\x08" + struct.pack("<LLL", *self._sums()) if self.descriptor else b""
        return head + name + self.local_extra + self.body + after

    def entry(self) -> bytes:
        """Its entry in the directory."""
        start = self.placed if self.start is None else self.start
        lengths = (len(self.name), len(self.extra), len(self.comment))
        return (
            struct.pack("<4sBBHHH", b"PK\x01\x02", 30, self.host, 20, self.flags, self.method)
            + struct.pack("<LLLL", self.dos, *self._sums())
            + struct.pack("<HHHHHLL", *lengths, self.disk, 0, self.mode << 16, start)
            + self.name + self.extra + self.comment
        )  # fmt: skip

    def _sums(self) -> tuple[int, int, int]:
        assert self.crc is not None
        assert self.packed is not None
        assert self.size is not None
        return self.crc, self.packed, self.size


def end_record(
    count: int, size: int, offset: int, comment: bytes = b"", disk: int = 0, length: int | None = None
) -> bytes:
    length = len(comment) if length is None else length
    return struct.pack("<4sHHHHLLH", b"PK\x05\x06", disk, disk, count, count, size, offset, length) + comment


def end_64(count: int, size: int, offset: int, place: int, more: bytes = b"", disks: int = 1) -> bytes:
    """The zip64 end record, which lies at `place`, and its locator."""
    record = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44 + len(more), 45, 45, 0, 0, count, count, size, offset)
    return record + more + struct.pack("<4sLQL", b"PK\x06\x07", 0, place, disks)


def zipped(*parts: Part, comment: bytes = b"", before: bytes = b"", wide: bool = False) -> bytes:
    """A zip of the parts; `before` lies before it, not counted in its offsets. `wide`: with zip64 end records."""
    pieces, length = [], 0
    for part in parts:
        part.placed = length
        if not part.absent:
            pieces.append(part.local())
            length += len(pieces[-1])
    made = b"".join(pieces)
    directory = b"".join(part.entry() for part in parts)
    offset, count = len(made), len(parts)
    made += directory
    if wide:
        made += end_64(count, len(directory), offset, len(made))
        return before + made + end_record(0xFFFF, FULL, FULL, comment)
    return before + made + end_record(count, len(directory), offset, comment)


def _identity(path: Path) -> str:
    """Of its first and last bytes: zips may be of gigabytes."""
    with path.open("rb") as file:
        begin = file.read(2**20)
        file.seek(max(0, path.stat().st_size - 2**20))
        return hashlib.sha256(begin + file.read()).hexdigest()


class Opened:
    """A zip on disk, indexed, with its members to be opened."""

    def __init__(self, zip_path: Path, directory: Path) -> None:
        self.zip_path = zip_path
        self.directory = directory
        identity = _identity(zip_path)
        descriptor = self.open_zip()
        try:
            size = os.fstat(descriptor).st_size
            self.index = Index.build(descriptor, size, directory / "index", identity, timezone.utc, RATIO)
        finally:
            os.close(descriptor)
        self.members = self.members_anew()

    def members_anew(self, **options: object) -> Members:
        return Members(self.directory, self.index, self.open_zip, later=lambda job: job(), **options)  # type: ignore[arg-type]

    def open_zip(self) -> int:
        return os.open(self.zip_path, os.O_RDONLY | os.O_CLOEXEC)

    def member(self, path: str) -> Member:
        found = self.index.find(path)
        assert isinstance(found, Member), (path, found)
        return found

    def read(self, path: str) -> bytes:
        """All of a member; what it says of its size is true."""
        member = self.member(path)
        found = self.members.open(member)
        try:
            content = found.read(found.size + 10, 0)
            assert len(content) == found.size == member.size
            assert found.read(10, found.size) == b""
            assert found.mtime == member.mtime
            return content
        finally:
            found.close()

    def outcome(self, path: str) -> bytes | type[CdbfsError]:
        """What reading a member gives: its bytes, or the kind of error."""
        try:
            return self.read(path)
        except CdbfsError as error:
            return type(error)

    def tree(self, directory: str = "") -> dict[str, bool]:
        """Every path that is listed, and whether it is a directory; found as it is listed."""
        paths = {}
        directories, files = self.index.entries(directory)
        for name, is_directory in [*zip(directories, repeat(True)), *zip(files, repeat(False))]:
            path = f"{directory}/{name}" if directory else name
            assert path not in paths
            paths[path] = is_directory
            assert (self.index.find(path) is DIRECTORY) is is_directory
            if is_directory:
                paths.update(self.tree(path))
        return paths

    def files(self) -> list[str]:
        return sorted(path for path, is_directory in self.tree().items() if not is_directory)

    def everything(self) -> dict[str, bytes | type[CdbfsError]]:
        return {path: self.outcome(path) for path in self.files()}

    def refused(self) -> dict[str, str]:
        return dict(self.index.refused())

    def left_over(self) -> list[str]:
        """Parts that nobody cleared away."""
        return [path.name for path in self.directory.rglob(".part-*")]


@contextlib.contextmanager
def opened(content: bytes, scratch: Path) -> Iterator[Opened]:
    """A zip of these bytes."""
    scratch.mkdir(exist_ok=True)
    path = scratch / "it.zip"
    path.write_bytes(content)
    found = Opened(path, scratch / "kept")
    try:
        yield found
    finally:
        found.index.close()
        assert found.left_over() == []
