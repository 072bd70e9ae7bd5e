"""Running a search: which columns it has, which items it joins, which rows it finds, in which order.

Seen on XNAT 1.6.4: unknown fields are dropped, a field named twice comes last, a link's fields come along;
rows are sorted by the first column; every other element is an outer join that multiplies rows, and the rows
that a search is about are found apart from what it shows. Used by the routes. Nothing is kept but the
values that ``Scope.reader`` has read; any thread.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Callable

from cdbfs.demo.dataset import Account, Experiment, Project
from cdbfs.demo.dialect import Dialect
from cdbfs.demo.search import standard
from cdbfs.demo.search.criteria import BadCriterion, Combination, Compiler, Reference, Test, sort_key
from cdbfs.demo.search.displays import Displays
from cdbfs.demo.search.fields import Display, DisplayField
from cdbfs.demo.search.query import CriteriaSet, Criterion, Search, SearchField
from cdbfs.demo.search.results import Column, Results, Shown
from cdbfs.demo.search.values import Getter, Item, Reader, UnknownPath, Value

NAME_LENGTH = 63
"""PostgreSQL's longest column name."""
_UNCLEAN = str.maketrans({**dict.fromkeys(" .!#$%&'()*+-;<=>?\\^`{|}~\"", "_"), **dict.fromkeys("/@[]", "")})
_ARRAY = re.compile(r"\s*ARRAY\[(.*)\]\s*", re.DOTALL)
_BRACES = re.compile(r"\s*'\{(.*)\}'\s*", re.DOTALL)


class Forbidden(Exception):
    """A root element that cannot be searched: 403."""


@dataclass(frozen=True)
class Scope:
    """What a search runs over; without an account it sees all items."""

    displays: Displays
    reader: Reader
    dialect: Dialect
    account: Account | None
    long_name: Callable[[str], str]
    """What becomes of a column's name that is over ``NAME_LENGTH``."""

    def sees(self, item: Item) -> bool:
        if self.account is None:
            return True
        if isinstance(item, Project):
            return self.account.may_read(item.id) or item.access != "private"
        return self.reader.world.readable(self.account, item)


@dataclass(frozen=True)
class Wanted:
    """One resolved column of the request."""

    display: Display
    field: DisplayField
    value: str = ""
    header: str = ""
    visible: bool = True

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.display.element, self.field.id, self.value

    @property
    def id(self) -> str:
        return f"{self.field.id}={self.value}" if self.value else self.field.id


Rows = list[tuple[tuple[bool, object], str, tuple[Value, ...]]]


def run(search: Search, scope: Scope, sort_by: str = "", descending: bool = False) -> Results:
    """The results of a search. Raises Forbidden, or BadCriterion where the server answers 500."""
    root = scope.displays.get(search.root)
    if root is None or not root.secured:
        raise Forbidden(search.root)
    return _Run(search, scope, root).results(sort_by, descending)


class _Run:
    """One run; used by one thread."""

    def __init__(self, search: Search, scope: Scope, root: Display) -> None:
        self.search = search
        self.scope = scope
        self.root = root
        self.wanted = unique(resolved(search.fields, scope.displays))
        self.by_default = not self.wanted
        if self.by_default:
            self.wanted = self._default()

    def results(self, sort_by: str, descending: bool) -> Results:
        where, listed = self._where()
        columns, getters = self._columns()
        sorting, backward = self._sorting(sort_by, descending)
        elements = dict.fromkeys([element for element, _ in getters] + [sorting.element])
        rows: Rows = []
        for item in self._found(where):
            rows += self._rows(item, list(elements), getters, sorting)
        rows.sort(key=lambda row: row[0], reverse=backward)
        found = [(key, cells) for _, key, cells in rows]
        shown = self._shown()
        made = Results(self.root.element, columns, tuple(found), tuple(shown))
        return _in_lists(made, [self._list(criterion, columns) for criterion in listed])

    # --- which rows

    def _where(self) -> tuple[Test, list[Criterion]]:
        """The test of a row, and the IN comparisons that are joins of their own."""
        dialect = self.scope.dialect
        compiler = Compiler(self._reference, dialect.empty_where_is_all, dialect.refuses_attacks)
        tests: list[Test] = []
        listed: list[Criterion] = []
        for where in self.search.where:
            direct = [criterion for criterion in where.criteria if criterion.comparison == "IN"]
            if not direct:
                tests.append(compiler.test(where))
            elif len(where.criteria) + len(where.children) > 1 and not dialect.in_alone:
                raise BadCriterion("IN beside other criteria")
            else:
                listed.append(direct[0])
        return (lambda row: all(test(row) for test in tests)), listed

    def _reference(self, text: str) -> Reference:
        found = self.scope.displays.split(text)
        if found is None:
            raise BadCriterion(f"unknown element in {text}")
        display, name = found
        reader = self.scope.reader
        known = named(display, name, self.scope.displays)
        if known is not None:
            getter, kind = reader.getter(display, *known), known[0].kind
            return Reference(display.element, getter, kind, by_path=False)
        try:
            getter, kind = reader.path_getter(display, name)
        except UnknownPath:
            raise BadCriterion(f"unknown field {text}") from None
        return Reference(display.element, getter, kind, by_path=True)

    def _found(self, test: Test) -> Iterator[Item]:
        others = sorted(_elements(self.search.where, self.scope.displays) - {self.root.element})
        for item in self._items():
            if any(test(row) for row in self._joined(item, others)):
                yield item

    def _items(self) -> Iterator[Item]:
        data = self.scope.reader.world.data
        sources: dict[str, Sequence[Item]] = {standard.SUBJECT: data.subjects, standard.PROJECT: data.projects}
        listed = sources.get(self.root.element, data.experiments)
        for item in listed:
            of_type = not isinstance(item, Experiment) or item.type == self.root.element
            if of_type and self.scope.sees(item):
                yield item

    def _joined(self, item: Item, elements: Iterable[str]) -> Iterator[Combination]:
        """Every combination of an item with those of other elements that belong to it."""
        others = [element for element in elements if element != self.root.element]
        choices = [self._partners(item, element) for element in others]
        for chosen in product(*choices):
            yield {self.root.element: item, **dict(zip(others, chosen))}

    def _partners(self, item: Item, element: str) -> Sequence[Item | None]:
        """The items of an element that join an item: its subject, or its subject's experiments."""
        world = self.scope.reader.world
        if isinstance(item, Project) or element == standard.PROJECT:
            raise BadCriterion(f"nothing joins {self.root.element} and {element}")
        found: list[Item]
        if element == standard.SUBJECT:
            subject = world.subjects.get(item.subject_id) if isinstance(item, Experiment) else None
            found = [subject] if subject is not None else []
        else:
            owner = item.subject_id if isinstance(item, Experiment) else item.id
            found = [e for e in world.experiments_of.get(owner, []) if e.type == element]
        return [one for one in found if self.scope.sees(one)] or [None]

    # --- which columns

    def _default(self) -> list[Wanted]:
        version = self.root.version(self.scope.dialect.default_columns)
        fields = [SearchField(element, name) for element, name in version.fields] if version else []
        return unique(resolved(fields, self.scope.displays))

    def _columns(self) -> tuple[tuple[Column, ...], list[tuple[str, Getter]]]:
        """The columns with those that come along, and how their cells are read."""
        columns: dict[str, Column] = {}
        getters: list[tuple[str, Getter]] = []
        for wanted in self.wanted:
            extras = [wanted.display.by_id.get(name) for name in wanted.field.extras]
            for field in (wanted.field, *extras):
                value = wanted.value if field is wanted.field else ""
                key = self._key(wanted.display, field.id, value) if field is not None else ""
                if field is not None and key not in columns:
                    columns[key] = Column(key, field.kind)
                    reader = self.scope.reader.getter(wanted.display, field, value)
                    getters.append((wanted.display.element, reader))
        columns["quarantine_status"] = Column("quarantine_status", "string")
        getters.append((self.root.element, lambda item: "active"))
        for display in self._others():
            key = self._name(f"{self.root.sql_name}_{display.sql_name}_diff")
            columns[key] = Column(key, "int")
            getters.append((display.element, _nothing))
        return tuple(columns.values()), getters

    def _others(self) -> list[Display]:
        """The experiment types that join an experiment: each has a column for the days between them."""
        if self.root.element in (standard.SUBJECT, standard.PROJECT):
            return []
        found = {wanted.display.element: wanted.display for wanted in self.wanted}
        return [d for e, d in found.items() if e not in (self.root.element, standard.SUBJECT)]

    def _key(self, display: Display, field: str, value: str) -> str:
        name = f"{field}_{clean(value)}" if value else field
        if display.element != self.root.element:
            name = f"{display.sql_name}_{name}"
        return self._name(name.lower())

    def _name(self, name: str) -> str:
        return name if len(name) <= NAME_LENGTH else self.scope.long_name(name)

    def _shown(self) -> list[Shown]:
        """What is told of the columns: those that were asked for, and what their links insert.

        Seen on XNAT 1.6.4: of the columns that a search has by default nothing is told.
        """
        shown: dict[str, Shown] = {}
        for wanted in [] if self.by_default else self.wanted:
            key = self._key(wanted.display, wanted.field.id, wanted.value)
            links = tuple(self._link(link.name, link.value, link.inserts, wanted) for link in wanted.field.links)
            shown[key] = Shown(
                key=key,
                path=f"{wanted.display.element}.{wanted.field.id}",
                type=wanted.field.type,
                element=wanted.display.element,
                header=wanted.header or wanted.field.header,
                id=wanted.id,
                visible=wanted.visible and wanted.field.visible,
                links=links,
            )
            for link in wanted.field.links:
                for _, target in link.inserts:
                    inserted = self._key(wanted.display, target, "")
                    if target != "@WHERE" and inserted not in shown:
                        prefix = "" if wanted.display is self.root else f"{wanted.display.element}."
                        shown[inserted] = Shown(key=inserted, path=prefix + inserted)
        return [*shown.values(), Shown(key="quarantine_status")]

    def _link(
        self, name: str, value: str, inserts: Iterable[tuple[str, str]], wanted: Wanted
    ) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        targets = tuple(
            (label, f"@{wanted.value}" if target == "@WHERE" else self._key(wanted.display, target, ""))
            for label, target in inserts
        )
        return name, value, targets

    # --- rows and their order

    def _rows(self, item: Item, elements: list[str], getters: list[tuple[str, Getter]], sorting: _Sorting) -> Rows:
        made: Rows = []
        seen: set[tuple[Value, ...]] = set()
        for row in self._joined(item, elements):
            order = sorting.key(row[sorting.element])
            for cells in self._cells(row, getters):
                if cells not in seen:
                    seen.add(cells)
                    made.append((order, item.id, cells))
        return made

    def _cells(self, row: Combination, getters: list[tuple[str, Getter]]) -> Iterable[tuple[Value, ...]]:
        """One row of text, or several where a field is stored in a table of its own."""
        cells: list[Value | tuple[Value, ...]] = []
        for element, getter in getters:
            item = row[element]
            if getter is _nothing:
                cells.append(_days(row[self.root.element], item))
            else:
                cells.append(getter(item) if item is not None else None)
        if not any(isinstance(cell, tuple) for cell in cells):
            return [tuple(cell for cell in cells if not isinstance(cell, tuple))]
        return product(*(cell if isinstance(cell, tuple) else (cell,) for cell in cells))

    def _sorting(self, sort_by: str, descending: bool) -> tuple[_Sorting, bool]:
        """By what rows are sorted. Raises BadCriterion for a field that does not exist."""
        if not sort_by and self.search.sort_by[1]:
            sort_by, descending = ".".join(filter(None, self.search.sort_by)), False
        if sort_by:
            return self._by_name(sort_by), descending
        version = self.root.version(self.scope.dialect.default_columns)
        if self.by_default:
            field = self.root.by_id.get(version.order_by) if version else None
            wanted = Wanted(self.root, field) if field is not None else None
            return self._sorted_by(wanted), bool(version and version.order == "DESC")
        return self._sorted_by(self.wanted[0]), False

    def _by_name(self, sort_by: str) -> _Sorting:
        display, name = self.scope.displays.split(sort_by) or (self.root, sort_by)
        known = named(display, name, self.scope.displays)
        if known is None:
            raise BadCriterion(f"no field {sort_by} to sort by")
        field, value = known
        shown = next((w for w in self.wanted if w.display is display and w.field is field), None)
        return self._sorted_by(Wanted(display, field, value or (shown.value if shown else "")))

    def _sorted_by(self, wanted: Wanted | None) -> _Sorting:
        if wanted is None:
            return _Sorting(self.root.element, lambda item: None, "string")
        getter = self.scope.reader.getter(wanted.display, wanted.field, wanted.value)
        return _Sorting(wanted.display.element, getter, wanted.field.kind)

    # --- IN as a join

    def _list(self, criterion: Criterion, columns: Sequence[Column]) -> tuple[int, list[str]]:
        """The place of an IN's column, and its values: an SQL array. Raises BadCriterion."""
        found = _ARRAY.fullmatch(criterion.value)
        quoted = [part.strip() for part in found[1].split(",")] if found else []
        braces = _BRACES.fullmatch(criterion.value)
        if found is not None and all(re.fullmatch(r"'[^']*'", part) for part in quoted):
            values = [part[1:-1] for part in quoted]
        elif braces is not None:
            values = [part.strip().strip('"') for part in braces[1].split(",")]
        else:
            raise BadCriterion(f"IN {criterion.value}")
        split = self.scope.displays.split(criterion.field)
        wanted = resolved([SearchField(split[0].element, split[1])], self.scope.displays) if split else []
        key = self._key(wanted[0].display, wanted[0].field.id, "") if wanted else ""
        place = next((i for i, c in enumerate(columns) if c.key == key and c.kind == "string"), None)
        if place is None:
            raise BadCriterion(f"IN of {criterion.field}, which is no column of text")
        return place, values


@dataclass(frozen=True)
class _Sorting:
    """What rows are sorted by."""

    element: str
    getter: Getter
    kind: str

    def key(self, item: Item | None) -> tuple[bool, object]:
        value = self.getter(item) if item is not None else None
        return sort_key(self.kind)(value[0] if isinstance(value, tuple) else value)


def _nothing(item: Item) -> Value:
    """Marks the column of the days between two experiments."""
    return None


def _days(one: Item | None, other: Item | None) -> Value:
    """The days between two experiments, if both have a date."""
    dates = [item.date for item in (one, other) if isinstance(item, Experiment) and item.date]
    if len(dates) < 2:
        return None
    (_, first), (_, second) = (sort_key("date")(date) for date in dates)
    return str((first - second).days) if first and second else None


def _in_lists(results: Results, lists: list[tuple[int, list[str]]]) -> Results:
    """Results joined to the values of IN: a row for each value, an empty one where nothing has it."""
    for number, (place, values) in enumerate(lists):
        rows = []
        for order, value in enumerate(values, 1):
            held = [(key, cells) for key, cells in results.rows if cells[place] == value]
            empty = [("", (None,) * len(results.columns))]
            rows += [(key, (*cells, value, str(order))) for key, cells in held or empty]
        names = (f"search_field{number}", f"sort_order{number}")
        results = Results(
            results.root,
            (*results.columns, Column(names[0], "string"), Column(names[1], "int")),
            tuple(rows),
            (Shown(key=names[0], header="", told=True), *results.shown),
        )
    return results


def _elements(where: Iterable[CriteriaSet], displays: Displays) -> set[str]:
    """The elements that criteria name."""
    found: set[str] = set()
    for one in where:
        splits = [displays.split(criterion.field) for criterion in one.criteria]
        found |= {split[0].element for split in splits if split is not None}
        found |= _elements(one.children, displays)
    return found


# --- fields


def resolved(fields: Iterable[SearchField], displays: Displays) -> list[Wanted]:
    """The columns that there are of those asked for, by their sequence; the others are dropped."""
    found = [_resolved(field, displays) for field in sorted(fields, key=lambda field: field.sequence)]
    return [wanted for wanted in found if wanted is not None]


def _resolved(asked: SearchField, displays: Displays) -> Wanted | None:
    display = displays.get(asked.element)
    if display is None:
        return None
    known = named(display, asked.id, displays)
    if known is None:
        path = asked.id.lower().removeprefix(display.element.lower() + "/")
        field, value = display.by_path.get(path), ""
    else:
        field, value = known
    if field is None:
        return None
    return Wanted(display, field, (value or asked.value) if field.needs_value else "", asked.header, asked.visible)


def named(display: Display, name: str, displays: Displays) -> tuple[DisplayField, str] | None:
    """A display field by its id, and the value that ``ID=VALUE`` (once ``ID.VALUE``) gives it."""
    for mark in ("=", "."):
        known, _, value = name.partition(mark)
        field = display.by_id.get(known) or _count(display, known, displays)
        if field is not None and (not value or field.needs_value):
            return field, value
    return None


def _count(display: Display, name: str, displays: Displays) -> DisplayField | None:
    """``CNT_NT_SCORES``: how many experiments of a type a subject has in the project that is its value."""
    if display.element != standard.SUBJECT or not name.startswith("CNT_"):
        return None
    kind = next((d for d in displays if name == f"CNT_{d.sql_name.upper()}"), None)
    if kind is None:
        return None
    return DisplayField(name, kind.plural, "integer", "", listed=False, needs_value=True)


def unique(wanted: Iterable[Wanted]) -> list[Wanted]:
    """Seen on XNAT 1.6.4: a column that is asked for twice comes once, behind the others."""
    listed = list(wanted)
    times = Counter(one.identity for one in listed)
    found = {one.identity: one for one in listed}
    return sorted(found.values(), key=lambda one: times[one.identity] > 1)


def clean(value: str) -> str:
    """A value as part of a column's name."""
    return value.replace(":", "_col_").replace(",", "_com_").translate(_UNCLEAN)
