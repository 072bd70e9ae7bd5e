"""Search documents in few words, and a client that sends them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

import requests

from cdbfs.demo import StandIn

NT = "nt:scores"
Criterion = tuple[str, str, str]


def criterion(field: str, comparison: str, value: str, *, raw: bool = False) -> str:
    return (
        f'<xdat:criteria override_value_formatting="{int(raw)}">'
        f"<xdat:schema_field>{escape(field)}</xdat:schema_field>"
        f"<xdat:comparison_type>{escape(comparison)}</xdat:comparison_type>"
        f"<xdat:value>{escape(value)}</xdat:value></xdat:criteria>"
    )


def all_of(*criteria: str | Criterion, name: str = "search_where", method: str = "AND") -> str:
    inner = "".join(one if isinstance(one, str) else criterion(*one) for one in criteria)
    return f'<xdat:{name} method="{method}">{inner}</xdat:{name}>'


def any_of(*criteria: str | Criterion) -> str:
    return all_of(*criteria, name="child_set", method="OR")


def bundle(
    fields: Iterable[str],
    where: str = "",
    *,
    root: str = NT,
    name: str = "",
    attributes: str = "",
    extra: str = "",
) -> str:
    """A search of columns, each ``FIELD`` of the root or ``element/FIELD``."""
    columns = "".join(_field(number, root, field) for number, field in enumerate(fields))
    return (
        f'<xdat:bundle xmlns:xdat="http://nrg.wustl.edu/security" ID="{name or "@" + root}" {attributes}>'
        f"<xdat:root_element_name>{root}</xdat:root_element_name>{columns}{where}{extra}</xdat:bundle>"
    )


def _field(number: int, root: str, field: str) -> str:
    element, _, name = field.partition("/") if re.match(r"\w+:\w+/", field) else ("", "", field)
    return (
        f"<xdat:search_field><xdat:element_name>{element or root}</xdat:element_name>"
        f"<xdat:field_ID>{name}</xdat:field_ID><xdat:sequence>{number}</xdat:sequence></xdat:search_field>"
    )


class Client:
    """A logged-in user."""

    def __init__(self, server: StandIn, user: str = "mylogin", password: str = "mypasswd") -> None:
        self.url = server.url
        self._session = requests.Session()
        self._session.auth = (user, password)

    def close(self) -> None:
        self._session.close()

    def call(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        data = body.encode() if body is not None else None
        return self._session.request(method, self.url + path, data=data, headers=headers, timeout=30)

    def get(self, path: str) -> requests.Response:
        return self.call("GET", path)

    def post(self, document: str, query: str = "format=csv") -> requests.Response:
        return self.call("POST", f"/data/search?{query}", document)

    def rows(self, document: str, query: str = "") -> list[list[str]]:
        """Header and rows of a search that must succeed."""
        answer = self.post(document, f"format=csv&{query}")
        assert answer.status_code == 200, answer.text
        return list(csv.reader(io.StringIO(answer.text)))

    def column(self, document: str, name: str, query: str = "") -> list[str]:
        """The cells of one column."""
        header, *rows = self.rows(document, query)
        place = header.index(name)
        return [row[place] for row in rows]

    def status(self, document: str) -> int:
        return self.post(document).status_code


def labels(client: Client, where: str, fields: Sequence[str] = ("SUBJECT_ID",)) -> list[str]:
    """The labels of the subjects that a search of scores finds."""
    document = bundle([*fields, "xnat:subjectData/SUBJECT_LABEL"], where)
    return client.column(document, "xnat_subjectdata_subject_label")
