"""Archives: those that the server makes of files, and zip files that it looks into.

Seen on XNAT 1.6.4: a zip's members are stored, not compressed. Used by the routes of files. Pure functions,
any thread.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable
from typing import Callable

from cdbfs.demo import files
from cdbfs.demo.dataset import File
from cdbfs.demo.tables import Table

Members = Iterable[tuple[str, File]]
_ZIP_EXTENSIONS = ("zip", "jar", "rar", "ear", "gar", "mrb")
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""A zip file knows no time before."""


class NotAZip(ValueError):
    """The file cannot be read as a zip archive."""


def to_zip(members: Members) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, file in members:
            when = max(_EARLIEST, files.modified(file).timetuple()[:6])
            archive.writestr(zipfile.ZipInfo(name, when), file.data())
    return made.getvalue()


def to_tar(members: Members) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, file in members:
            data = file.data()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), int(files.modified(file).timestamp())
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def to_tar_gz(members: Members) -> bytes:
    return gzip.compress(to_tar(members), mtime=0)


FORMATS: dict[str, tuple[str, Callable[[Members], bytes]]] = {
    "zip": ("application/zip", to_zip),
    "tar": ("application/x-tar", to_tar),
    "tar.gz": ("application/x-gtar", to_tar_gz),
}
"""``format=`` -> content type, and what makes it."""


def split(name: str) -> tuple[str, str] | None:
    """``a.zip!inner/x`` and ``a.zip/inner/x`` as the archive's path and the member's; None: neither."""
    lower = name.lower()
    marks = [f".{extension}{mark}" for extension in _ZIP_EXTENSIONS for mark in "!/"]
    found = min((lower.find(mark) + len(mark) for mark in marks if mark in lower), default=0)
    return (name[: found - 1], name[found:]) if found else None


def read_all(data: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of the files in a zip archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(m.filename, archive.read(m)) for m in archive.infolist() if not m.is_dir()]
    except zipfile.BadZipFile as error:
        raise NotAZip(str(error)) from error


def read_member(data: bytes, name: str) -> bytes | None:
    """What a member of a zip archive holds; None: there is no such member."""
    return dict(read_all(data)).get(name)


def members_table(data: bytes) -> Table:
    """The listing of a zip archive: ``?listContents=true``."""
    rows = tuple((name, str(len(held))) for name, held in read_all(data))
    return Table(("File Name", "Size"), rows, "Files", total=False)
