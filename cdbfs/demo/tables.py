"""Tables and their four encodings, as XNAT 1.6 writes listings.

Seen on XNAT 1.6.4: every JSON value is a string, ``totalRecords`` is a quoted number; CSV quotes only
where it must, ends lines with a line feed and folds line breaks in values to a space; in XML cells only
``<`` and ``>`` are escaped, not ``&``. Used by the routes. Pure functions, any thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from xml.sax.saxutils import quoteattr


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; ``total`` says whether totalRecords is given, ``meta`` what else is told.

    ``described`` is what JSON says of columns below ``Columns``, each with the column's name as ``key``; XML
    has the same in attributes of the column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    total: bool = True
    described: tuple[Mapping[str, str], ...] = ()
    meta: tuple[tuple[str, str], ...] = ()

    def sorted(self, by: str, descending: bool) -> Table:
        """The table sorted by result columns, empty values last (first when descending)."""
        names = [name for name in by.split(",") if name in self.columns]
        places = [self.columns.index(name) for name in names]
        rows = sorted(self.rows, key=lambda row: [(row[i] == "", row[i]) for i in places])
        return replace(self, rows=tuple(rows[::-1] if descending else rows))


def to_json(table: Table) -> bytes:
    rows = [dict(zip(table.columns, row)) for row in table.rows]
    result = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    meta = [*table.meta]
    if table.total:
        meta.append(("totalRecords", str(len(table.rows))))
    if table.title:
        meta.append(("title", table.title))
    told = ",".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in meta)
    described = json.dumps(list(map(dict, table.described)), ensure_ascii=False, separators=(",", ":"))
    columns = f'"Columns":{described},' if table.described else ""
    return f'{{"ResultSet":{{{columns}"Result":{result}{", " if told else ""}{told}}}}}'.encode()


def to_csv(table: Table) -> bytes:
    lines = [",".join(map(_csv_cell, line)) for line in (table.columns, *table.rows)]
    return ("\n".join(lines) + "\n").encode()


def to_xml(table: Table) -> bytes:
    columns = "".join(f"<column{_described(table, name)}>{_xml_cell(name)}</column>" for name in table.columns)
    rows = "\n".join(f"<row>{''.join(f'<cell>{_xml_cell(v)}</cell>' for v in row)}</row>" for row in table.rows)
    total = f' totalRecords="{len(table.rows)}"' if table.total else ""
    title = f' title="{table.title}"' if table.title else ""
    end = "\n" if rows else ""
    return (
        f"<ResultSet{total}{title}><results><columns>{columns}</columns>\n"
        f"<rows>{rows}{end}</rows></results></ResultSet>"
    ).encode()


def _described(table: Table, name: str) -> str:
    known: Mapping[str, str] = next((d for d in table.described if d["key"] == name), {})
    return "".join(f" {key}={quoteattr(value)}" for key, value in known.items() if key != "key")


def to_html(table: Table) -> bytes:
    head = "".join(f"<th>{name}</th>" for name in table.columns)
    parts = [
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en"><body>'
        '<table class="x_rs_t" cellpadding="0" cellspacing="0">\n<thead class="x_rs_thead">\n'
        f'<tr class="x_rs_tr_head">{head}</tr>\n</thead>\n<tbody id="dataRows">\n'
    ]
    for number, row in enumerate(table.rows):
        parity = "even" if number % 2 else "odd"
        cells = "".join(f"<td>{_folded(value)}</td>" for value in row)
        parts.append(f'<tr class="x_rs_tr_data {parity}">\n{cells}</tr>')
    return ("".join(parts) + "</tbody>\n</table></body></html>").encode()


def _folded(value: str) -> str:
    return value.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")


def _csv_cell(value: str) -> str:
    folded = _folded(value)
    if "," in folded or '"' in folded:
        return '"' + folded.replace('"', '""') + '"'
    return folded


def _xml_cell(value: str) -> str:
    return _folded(value).replace("<", "&lt;").replace(">", "&gt;")
