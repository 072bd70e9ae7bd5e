"""The results of a search, and their encodings.

Seen on XNAT 1.6.4: JSON tells the columns before the rows, with links only where ``format=json`` asks for it;
in XML the columns carry the same as attributes. Used by ``engine`` and the routes. Frozen, any thread.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from cdbfs.demo import tables
from cdbfs.demo.search.criteria import sort_key
from cdbfs.demo.search.values import Value
from cdbfs.demo.tables import Table

Row = tuple[str, tuple[Value, ...]]
"""(ID of the root item, cells)."""


@dataclass(frozen=True)
class Column:
    """A column of the table; ``kind`` rules how it is sorted."""

    key: str
    kind: str


@dataclass(frozen=True)
class Shown:
    """What clients are told of a column; one that only comes along has a key and a path."""

    key: str
    path: str = ""
    type: str = ""
    element: str = ""
    header: str = ""
    id: str = ""
    visible: bool = True
    told: bool = False
    """A header is told though it is empty."""
    links: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = ()

    def attributes(self) -> dict[str, str]:
        """Without the key and the links."""
        known = {"type": self.type, "xPATH": self.path, "element_name": self.element}
        known["visible"] = "" if self.visible else "false"
        known = {**known, "header": self.header, "id": self.id}
        return {name: text for name, text in known.items() if text or (name == "header" and self.told)}

    def json(self, *, links: bool) -> dict[str, object]:
        linked: dict[str, object] = {}
        if links and self.links:
            linked = {"clickable": "true", "linkProps": [_link(*link) for link in self.links]}
        return {"key": self.key, **linked, **self.attributes()}


def _link(name: str, value: str, inserts: Iterable[tuple[str, str]]) -> dict[str, object]:
    inserted = [{"name": label, "value": target} for label, target in inserts]
    return {"name": name, "value": value, **({"inserts": inserted} if inserted else {})}


@dataclass(frozen=True)
class Results:
    """The table of a search. A page of a cached one has its view's ``id`` and tells no columns or total.

    Without a ``root``, as of a saved search, none is told.
    """

    root: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    shown: tuple[Shown, ...] = ()
    id: str = ""
    total: int | None = None
    whole: bool = True

    @property
    def count(self) -> int:
        return len(self.rows) if self.total is None else self.total

    def table(self) -> Table:
        names = tuple(column.key for column in self.columns)
        return Table(names, tuple(tuple(cell or "" for cell in cells) for _, cells in self.rows))

    def keyed(self) -> Results:
        """The results as a cached view holds them: with the ID of the root item as a last column."""
        rows = tuple((key, (*cells, key)) for key, cells in self.rows)
        return dataclasses.replace(self, columns=(*self.columns, Column("key", "string")), rows=rows)

    def sorted(self, key: str, *, descending: bool) -> Results:
        """Sorted by a result column. Raises KeyError for one that there is not."""
        place = next((i for i, column in enumerate(self.columns) if column.key == key), None)
        if place is None:
            raise KeyError(key)
        order, at = sort_key(self.columns[place].kind), place
        rows = sorted(self.rows, key=lambda row: order(row[1][at]), reverse=descending)
        return dataclasses.replace(self, rows=tuple(rows))

    def page(self, offset: int, limit: int | None) -> Results:
        end = None if limit is None else offset + limit
        return dataclasses.replace(self, rows=self.rows[offset:end])


def to_json(results: Results, *, links: bool = False) -> bytes:
    names = [column.key for column in results.columns]
    rows = [dict(zip(names, (cell or "" for cell in cells))) for _, cells in results.rows]
    told = f'"Columns":{_compact([shown.json(links=links) for shown in results.shown])},' if results.whole else ""
    meta = {"ID": results.id} if results.id else {}
    if results.whole:
        root = {"rootElementName": results.root} if results.root else {}
        meta = {**meta, **root, "totalRecords": str(results.count)}
    ends = ",".join(f'"{name}": {json.dumps(text)}' for name, text in meta.items())
    return f'{{"ResultSet":{{{told}"Result":{_compact(rows)}, {ends}}}}}'.encode()


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def values_json(values: Table, view: str, column: str) -> bytes:
    """The values of one column of a cached view."""
    rows = [dict(zip(values.columns, row)) for row in values.rows]
    meta = f'"ID": {json.dumps(view)},"COLUMN": {json.dumps(column)}'
    return f'{{"ResultSet":{{"Result":{_compact(rows)}, {meta}}}}}'.encode()


def to_csv(results: Results) -> bytes:
    return tables.to_csv(results.table())


def to_html(results: Results) -> bytes:
    return tables.to_html(results.table())


def to_xml(results: Results) -> bytes:
    shown = {one.key: one for one in results.shown}
    columns = [_xml_column(column.key, shown.get(column.key)) for column in results.columns]
    head = f' ID="{escape(results.id)}"' if results.id else ""
    if results.whole:
        head += f' rootElementName="{escape(results.root)}"' if results.root else ""
        head += f' totalRecords="{results.count}"'
    plain = tables.to_xml(results.table()).decode()
    _, _, rest = plain.partition("</columns>")
    return f"<ResultSet{head}><results><columns>{''.join(columns)}</columns>{rest}".encode()


def _xml_column(key: str, shown: Shown | None) -> str:
    attributes = shown.attributes() if shown is not None else {}
    written = "".join(f' {name}="{escape(text)}"' for name, text in attributes.items())
    return f"<column{written}>{key}</column>"
