"""Resources and their files as XNAT lists them: the two listings, and the catalog of a resource.

Seen on XNAT 1.6.4: a file's URI starts as the path it was asked by, with IDs for labels; newer servers
always give the shortest one. A catalog is XML whatever the format asked. Used by the routes. Pure functions,
any thread.
"""

from __future__ import annotations

import datetime
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from cdbfs.demo.dataset import DataSet, File, Resource, Scan
from cdbfs.demo.documents import namespaces
from cdbfs.demo.tables import Table
from cdbfs.demo.uploads import Home

_SERVER_PATH = "/archive-path"
"""What stands for the server's own directories: the recordings do not tell them."""

_KINDS = {
    "bmp": "image/bmp",
    "gif": "image/gif",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "xml": "text/xml",
}


@dataclass(frozen=True)
class Holder:
    """What has the resources that a path names.

    ``url`` is where its resources are, ``label`` the owner's name for it (of the session, for a scan),
    ``project`` the owning project.
    """

    home: Home
    url: str
    label: str
    project: str
    published: tuple[Resource, ...]
    scan: Scan | None = None


@dataclass(frozen=True)
class Entry:
    """A file, and where it is."""

    holder: Holder
    resource: Resource
    file: File

    @property
    def url(self) -> str:
        return f"{self.holder.url}/resources/{self.resource.key}/files/{self.file.path}"


def resource_table(held: Iterable[tuple[Holder, Resource]]) -> Table:
    names = "xnat_abstractresource_id,label,element_name,category,cat_id,cat_desc,file_count,file_size,tags"
    rows = [
        (
            *(str(resource.key), resource.label, "xnat:resourceCatalog", *_category(holder)),
            *(str(resource.file_count), str(resource.file_size)),
            *(resource.tags, resource.content, resource.format),
        )
        for holder, resource in held
    ]
    return Table((*names.split(","), "content", "format"), tuple(rows), "Resources")


def _category(holder: Holder) -> tuple[str, str, str]:
    if holder.scan is not None:
        return "scans", holder.scan.id, holder.scan.type
    return "resources", holder.home.id if holder.home.kind == "experiments" else "", " "


def file_table(entries: Iterable[Entry], locator: str, *, digests: bool) -> Table:
    """The listing of files; ``locator`` is the column that says where each is."""
    columns = ("Name", "Size", locator, "collection", "file_tags", "file_format", "file_content", "cat_ID")
    rows = [
        (
            *(entry.file.name, str(entry.file.size), _place(entry, locator), entry.resource.label),
            *(",".join(entry.file.tags), entry.file.format, entry.file.content, str(entry.resource.key)),
            *((entry.file.md5(),) if digests else ()),
        )
        for entry in entries
    ]
    described = ({"key": "URI", "serverRoot": ""},) if locator == "URI" else ()
    names = (*columns, "digest") if digests else columns
    return Table(names, tuple(rows), "Files", total=False, described=described)


def _place(entry: Entry, locator: str) -> str:
    if locator == "URI":
        return entry.url
    if locator == "absolutePath":
        return _SERVER_PATH
    return member(entry, "legacy", typed=False)


def member(entry: Entry, structure: str, *, typed: bool) -> str:
    """The path of a file inside an archive.

    Seen on XNAT 1.6.4: a scan's folder is its ID, with its type behind it when scans were asked for
    (``typed``); simplified leaves out the fixed folders, legacy has the names of the server's disk.
    """
    label, scan, resource = entry.holder.label, entry.holder.scan, entry.resource.label
    if structure == "legacy":
        parts = ["SCANS", scan.id, resource] if scan else ["RESOURCES", resource]
    elif structure == "simplified":
        parts = ["scans", scan.id, resource] if scan else [resource]
    else:
        above = ["scans", _scan_folder(scan, typed=typed)] if scan else []
        parts = [*above, "resources", resource, "files"]
    return "/".join((label, *parts, entry.file.path))


def _scan_folder(scan: Scan, *, typed: bool) -> str:
    kind = "".join(c if c.isalnum() else "_" for c in scan.type)
    return f"{scan.id}-{kind}" if typed and kind else scan.id


def content_type(name: str) -> str:
    """The type of an answer with a file, by its name alone."""
    return _KINDS.get(posixpath.splitext(name)[1][1:].lower(), "application/octet-stream")


def modified(file: File) -> datetime.datetime:
    """When the file was written, UTC; the epoch if its time is not known."""
    plain, _, fraction = file.created.partition(".")
    if not plain:
        return datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
    when = datetime.datetime.strptime(plain, "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return when + datetime.timedelta(milliseconds=int(fraction.ljust(3, "0")[:3]))


# --- catalogs


def catalog_xml(data: DataSet, resource: Resource, *, sizes: bool) -> bytes:
    """A resource's catalog; ``sizes``: entries tell them, as on newer servers."""
    declared = {prefix: uri for prefix, (uri, _) in namespaces(data).items()}
    declared["xsi"] = "http://www.w3.org/2001/XMLSchema-instance"
    spaces = "".join(f" xmlns:{prefix}={quoteattr(uri)}" for prefix, uri in sorted(declared.items()))
    lines = (
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<cat:Catalog ID={quoteattr(resource.label)}{spaces}>",
        *_audit(resource.files),
        "<cat:entries>",
        *(line for file in resource.files for line in _entry_lines(resource, file, sizes=sizes)),
        "</cat:entries>",
        "</cat:Catalog>",
    )
    return "\n".join(lines).encode()


def _audit(files: Sequence[File]) -> Iterator[str]:
    if files:
        added = "|".join(f"{file.event}:{modified(file):%a %b %d %H:%M:%S UTC %Y}=Added:1" for file in files)
        yield f'<cat:metaFields>\n\t<cat:metaField name="AUDIT">{added}</cat:metaField>\n</cat:metaFields>'


def _entry_lines(resource: Resource, file: File, *, sizes: bool) -> Iterator[str]:
    when = modified(file)
    known = (
        ("ID", f"{resource.label}/{file.name}"),
        ("URI", file.path),
        ("content", file.content),
        ("createdBy", file.created_by),
        ("createdEventId", str(file.event)),
        ("createdTime", f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}"),
        ("digest", file.md5()),
        ("format", file.format),
        ("name", file.name),
    )
    start = "\t<cat:entry" + "".join(f" {name}={quoteattr(value)}" for name, value in known if value)
    size = f'<cat:metaField name="SIZE">{file.size}</cat:metaField>'
    tags = "".join(f"<cat:tag>{escape(tag)}</cat:tag>" for tag in file.tags)
    inner = [f"\t\t<cat:metaFields>{size}</cat:metaFields>"] if sizes else []
    inner += [f"\t\t<cat:tags>{tags}</cat:tags>"] if tags else []
    if inner:
        yield from (f"{start}>", *inner, "\t</cat:entry>")
    else:
        yield f"{start}/>"
