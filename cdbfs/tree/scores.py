"""An experiment's document as scores: a tree of named texts. Pure; works for any data type.

Names are local names. An element with child elements, or with attributes and no text, is a group; a leaf with text
is a score. Attributes below the root are scores `@name` in their element's group, or `<leaf>@name` beside a leaf.
Repeated siblings get `.<key>`: their ID, name or label attribute where it is unique among them, else 1, 2, ...
Left out: sharing, the root's own subject_ID, date and time (they stand in experiments.csv), comments, xsi
attributes, the attribute used as key, and whatever is empty.

Used by experiment. Threads: plain functions, immutable results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Union

from lxml import etree

from cdbfs.errors import TooLarge
from cdbfs.tree import names, tables
from cdbfs.xnat.xml import local_name

XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
KEYS = ("ID", "name", "label")
LEFT_OUT = frozenset({"sharing"})
LEFT_OUT_BELOW_ROOT = LEFT_OUT | {"subject_ID", "date", "time"}
SCORE_WEIGHT = 300
"""Bytes of memory that a score takes beside its text, roughly."""
MOST_ATTRIBUTES = 5000
"""Of one element: libxml2 finds each by going through those before it."""
LONGEST_TABLE = 64 * 2**20
"""Bytes of scores.csv: each row names all groups above its score, so that few bytes of XML can make many."""


@dataclass(frozen=True)
class Group:
    """Scores and groups by name, in the document's order."""

    members: Mapping[str, Group | str]


def read(root: etree._Element) -> Group:
    """The scores of a document. Raises TooLarge for elements with too many attributes."""
    return Group(_members(root, LEFT_OUT_BELOW_ROOT))


def walk(group: Group, above: str = "") -> Iterator[tuple[str, str]]:
    """Every score as (path below scores/, text), in the document's order."""
    levels = [(above, iter(group.members.items()))]  # not by recursion, which is slow where levels are many
    while levels:
        above, members = levels[-1]
        for name, member in members:
            if isinstance(member, Group):
                levels.append((f"{above}{name}/", iter(member.members.items())))
                break
            yield above + name, member
        else:
            levels.pop()


def weight(group: Group) -> int:
    """Bytes of memory that the scores and their table take, roughly."""
    total, groups = 0, [(0, group)]
    while groups:
        above, inner = groups.pop()
        total += SCORE_WEIGHT * len(inner.members)
        for name, member in inner.members.items():
            if isinstance(member, Group):
                groups.append((above + len(name) + 1, member))
            else:
                total += above + len(name) + len(member)
    return total


def file_bytes(text: str) -> bytes:
    """A score as a file: its text and a newline."""
    return (text + "\n").encode()


def csv(group: Group) -> bytes:
    """scores.csv. Raises TooLarge."""
    return tables.csv(("score", "value"), _bounded(walk(group)))


def _bounded(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    size = 0
    for path, text in rows:
        size += len(path) + len(text)
        if size > LONGEST_TABLE:
            raise TooLarge(f"the table of scores is over {LONGEST_TABLE} bytes")
        yield path, text


class _Members(dict[str, Union["Group", str]]):
    """Members under construction, each under a name that is free."""

    def __init__(self) -> None:
        super().__init__()
        self._next: Counter[str] = Counter()

    def add(self, name: str, member: Group | str) -> None:
        """Two namespaces, or a dot in a name, may make one name of two: then they are numbered."""
        free = wanted = names.fit(names.encode(name))
        while free in self:
            self._next[wanted] += 1
            free = names.fit(f"{wanted}~{self._next[wanted] + 1}")
        self[free] = member

    def add_group(self, name: str, attributes: list[tuple[str, str]], children: Mapping[str, Group | str]) -> None:
        inner = _Members()
        for attribute, value in attributes:
            inner.add(f"@{attribute}", value)
        inner.update(children)  # no element's name begins with @
        if inner:
            self.add(name, Group(inner))


def _members(element: etree._Element, left_out: frozenset[str]) -> _Members:
    members = _Members()
    for child, name, key in _named_children(element, left_out):
        attributes = _attributes(child, key)
        text = _text(child)
        if any(isinstance(part.tag, str) for part in child):
            members.add_group(name, attributes, _members(child, LEFT_OUT))
        elif text:
            members.add(name, text)
            for attribute, value in attributes:
                members.add(f"{name}@{attribute}", value)
        else:
            members.add_group(name, attributes, {})
    return members


def _named_children(
    element: etree._Element, left_out: frozenset[str]
) -> Iterator[tuple[etree._Element, str, str | None]]:
    """Each child element with its name and the attribute that its name was made with, if any."""
    children = [(local_name(child.tag), child) for child in element]
    children = [(name, child) for name, child in children if name and name not in left_out]
    alike: dict[str, list[etree._Element]] = {}
    for name, child in children:
        alike.setdefault(name, []).append(child)
    keys = {name: _key(siblings) for name, siblings in alike.items() if len(siblings) > 1}
    counts: Counter[str] = Counter()
    for name, child in children:
        if name not in keys:
            yield child, name, None
            continue
        counts[name] += 1
        key = keys[name]
        yield child, f"{name}.{child.get(key) if key else counts[name]}", key


def _key(siblings: Sequence[etree._Element]) -> str | None:
    for key in KEYS:
        values = {sibling.get(key) for sibling in siblings}
        if len(values) == len(siblings) and all(values):
            return key
    return None


def _attributes(element: etree._Element, key: str | None) -> list[tuple[str, str]]:
    if len(element.attrib) > MOST_ATTRIBUTES:
        raise TooLarge(f"the document has an element with over {MOST_ATTRIBUTES} attributes")
    return [
        (local_name(name), str(value))
        for name, value in element.attrib.items()
        if value and not str(name).startswith(XSI) and name != key
    ]


def _text(element: etree._Element) -> str:
    """A leaf's text, comments in it aside; "" where there is only white space."""
    text = "".join([element.text or "", *(part.tail or "" for part in element)])
    return text if text.strip() else ""
