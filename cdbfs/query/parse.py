"""A query's text -> a Query, or an error with line, column and what was expected.

Used by whoever has a query's text. NOT is pushed down to the comparisons, and IN and BETWEEN are spelled out here,
so that nothing of them reaches a server: XNAT ignores what stands beside an IN, and reads BETWEEN and != by kind
of field. Nulls are SQL's: neither a comparison with null nor its negation is met.

Threads: pure functions; lark's parser keeps nothing between texts.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from cdbfs.errors import QueryError
from cdbfs.query.model import (
    And,
    Column,
    Comparison,
    Condition,
    Field,
    Not,
    Null,
    Or,
    Order,
    Place,
    Query,
    Value,
    comparisons,
    is_project,
)

LONGEST = 100_000
"""Characters of a query."""
DEEPEST = 100
"""How far conditions may stand within each other."""

_OPPOSITES = {
    "=": "!=",
    "!=": "=",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "LIKE": "NOT LIKE",
    "NOT LIKE": "LIKE",
}
_WORDS = {
    "NAME": "a name",
    "QUALIFIED": "a type or a field of a type",
    "QUOTED": 'a name in "double quotes"',
    "STRING": "a 'text'",
    "NUMBER": "a number",
    "WHOLE": "a whole number",
    "OPERATOR": "an operator (= != < <= > >=)",
    "COMMA": "a comma",
    "LPAR": "(",
    "RPAR": ")",
    "STAR": "*",
    "SEMICOLON": "a semicolon",
    "$END": "the end",
}
_FUNCTIONS = (
    *("COUNT", "SUM", "AVG", "MIN", "MAX", "MEDIAN", "STDDEV", "VARIANCE", "ABS", "ROUND", "CAST", "COALESCE"),
    *("NULLIF", "CONCAT", "LENGTH", "LOWER", "UPPER", "TRIM", "SUBSTR", "SUBSTRING", "EXTRACT", "EXISTS", "ANY"),
)
_BEFORE_COLUMNS = ("DISTINCT", "ALL", "TOP", "CASE")
_JOINS = ("JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL")
_OTHER_CLAUSES = ("HAVING", "UNION", "INTERSECT", "EXCEPT", "OFFSET", "FETCH", "WITH")
_CLAUSES = {"GROUP": "GROUP BY", **dict.fromkeys(_JOINS, "JOIN"), **{word: word for word in _OTHER_CLAUSES}}
"""Words of SQL's that are none of this language's; they may be names all the same."""


def parse(text: str) -> Query:
    """The query that a text says. Raises QueryError."""
    if len(text) > LONGEST:
        raise QueryError(f"the query is over {LONGEST} characters long")
    text = text.lstrip("\ufeff")  # what Windows' editors begin a file with
    if not text.strip():
        raise QueryError("the query is empty")
    try:
        query: Any = _parser().parse(text)
    except UnexpectedInput as error:
        raise _explained(error, text) from None
    return _with_project(query)


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = resources.files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", maybe_placeholders=False, transformer=_Builder())


class _Builder(Transformer[Token, Query]):
    """What each rule of the grammar makes of its parts, which lark hands over as a list."""

    def start(self, parts: list[Any]) -> Query:
        given = {type(part).__name__: part for part in parts}
        return Query(
            type=given["Field"],
            columns=given.get("_Columns", ()),
            condition=given.get("_Where", (None,))[0],
            project=None,
            order=given.get("_Orders", ()),
            limit=given.get("int"),
        )

    def columns(self, parts: list[Column]) -> tuple[Column, ...]:
        return _Columns(parts)

    def column(self, parts: list[Any]) -> Column:
        field = parts[0]
        return Column(field, parts[1] if len(parts) > 1 else field.name)

    def header(self, parts: list[Token]) -> str:
        return _unquoted(parts[0])

    def field(self, parts: list[Token]) -> Field:
        return Field(_unquoted(parts[0]), _place(parts[0]), quoted=parts[0].type == "QUOTED")

    type = field

    def value(self, parts: list[Token]) -> Value:
        token = parts[0]
        text = token[1:-1].replace("''", "'") if token.type == "STRING" else str(token)
        return Value(text, token.type != "STRING", _place(token))

    def where(self, parts: list[Condition]) -> tuple[Condition, ...]:
        return _Where((_pushed(parts[0]),))

    def any_of(self, parts: list[Condition]) -> Condition:
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all_of(self, parts: list[Condition]) -> Condition:
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negated(self, parts: list[Any]) -> Not:
        return Not(parts[-1])

    def comparison(self, parts: list[Any]) -> Comparison:
        field, operator, value = parts
        return Comparison(field, "!=" if operator == "<>" else str(operator), value)

    def like(self, parts: list[Any]) -> Condition:
        return _negated_by(parts, Comparison(parts[0], "LIKE", parts[-1]))

    def within(self, parts: list[Any]) -> Condition:
        values = [part for part in parts if isinstance(part, Value)]
        return _negated_by(parts, self.any_of([Comparison(parts[0], "=", value) for value in values]))

    def between(self, parts: list[Any]) -> Condition:
        field, low, high = parts[0], parts[-2], parts[-1]
        return _negated_by(parts, And((Comparison(field, ">=", low), Comparison(field, "<=", high))))

    def null(self, parts: list[Any]) -> Null:
        return Null(parts[0], negated=_is_negated(parts))

    def order(self, parts: list[Order]) -> tuple[Order, ...]:
        return _Orders(parts)

    def key(self, parts: list[Any]) -> Order:
        return Order(parts[0], descending=len(parts) > 1 and parts[1].type == "DESC")

    def limit(self, parts: list[Token]) -> int:
        digits = parts[0].lstrip("+")
        if not digits.isascii() or not digits.isdigit():
            raise QueryError("LIMIT takes the number of rows, 0 or more", _place(parts[0]))
        return int(digits) if len(digits) <= 18 else sys.maxsize


class _Columns(tuple[Column, ...]):
    __slots__ = ()


class _Orders(tuple[Order, ...]):
    __slots__ = ()


class _Where(tuple[Condition, ...]):
    __slots__ = ()


def _is_negated(parts: list[Any]) -> bool:
    return any(isinstance(part, Token) and part.type == "NOT" for part in parts)


def _negated_by(parts: list[Any], condition: Condition) -> Condition:
    return Not(condition) if _is_negated(parts) else condition


def _unquoted(token: Token) -> str:
    return token[1:-1].replace('""', '"') if token.type == "QUOTED" else str(token)


def _place(token: Token) -> Place:
    return Place(token.line or 1, token.column or 1)


# ---- conditions


def _pushed(condition: Condition, negated: bool = False, depth: int = 0) -> Condition:
    """The condition, or its negation, without NOT; ANDs within ANDs and ORs within ORs are one."""
    if depth > DEEPEST:
        raise QueryError(f"over {DEEPEST} conditions stand within each other", _beginning(condition))
    if isinstance(condition, Not):
        return _pushed(condition.part, not negated, depth + 1)
    if isinstance(condition, Comparison):
        operator = _OPPOSITES[condition.operator] if negated else condition.operator
        return Comparison(condition.field, operator, condition.value)
    if isinstance(condition, Null):
        return Null(condition.field, condition.negated != negated)
    kind = Or if isinstance(condition, And) == negated else And
    parts: list[Condition] = []
    for part in condition.parts:
        pushed = _pushed(part, negated, depth + 1)
        parts.extend(pushed.parts if isinstance(pushed, kind) else (pushed,))
    return kind(tuple(parts))


def _beginning(condition: Condition) -> Place:
    """Where a condition begins, however deep its first comparison is."""
    while not isinstance(condition, (Comparison, Null)):
        condition = condition.part if isinstance(condition, Not) else condition.parts[0]
    return condition.field.place


def _with_project(query: Query) -> Query:
    """``project = 'P'`` taken out of the condition: it is no field."""
    parts = query.condition.parts if isinstance(query.condition, And) else (query.condition,)
    named: list[Comparison] = []
    rest: list[Condition] = []
    for part in parts:
        if isinstance(part, Comparison) and is_project(part.field):
            named.append(part)
        elif part is not None:
            rest.append(part)
    inner = [one.field.place for one in comparisons(And(tuple(rest))) if is_project(one.field)]
    if len(named) + len(inner) > 1:
        place = named[1].field.place if len(named) > 1 else inner[0]
        raise QueryError("a query has at most one project: project = 'P' stands once", place)
    if inner:
        raise QueryError("project stands beside all other conditions, joined by AND: project = 'P'", inner[0])
    if not named:
        return query
    if named[0].operator != "=":
        raise QueryError("project takes = only: project = 'P'", named[0].field.place)
    condition = rest[0] if len(rest) == 1 else And(tuple(rest)) if rest else None
    return Query(query.type, query.columns, condition, named[0].value, query.order, query.limit)


# ---- errors


def _explained(error: UnexpectedInput, text: str) -> QueryError:
    place = Place(error.line, error.column)
    if isinstance(error, UnexpectedCharacters):
        if error.char in "'\"":
            return QueryError(f"the text after {error.char} is not closed", place)
        return QueryError(f"{error.char!r} is not understood here; {_words(error.allowed)} is expected", place)
    if not isinstance(error, UnexpectedToken):
        return QueryError("this is not understood", place)
    other = _other_sql(error, text)
    if other is not None:
        return other
    expected = _words(error.accepts)
    if error.token.type == "$END":
        return QueryError(f"the query ends where {expected} is expected", _end(text))
    return QueryError(f"{_short(error.token)} stands where {expected} is expected{_hint(error)}", place)


def _other_sql(error: UnexpectedToken, text: str) -> QueryError | None:
    """What is said of a word of SQL's that this language has not; None if that is not what is wrong."""
    token = error.token
    stack = error.interactive_parser.parser_state.value_stack if error.interactive_parser else []
    before = stack[-1] if stack and isinstance(stack[-1], Token) else None
    word = token.upper()
    after = text[token.end_pos or 0 :].lstrip()
    if token.type == "NAME" and (word in _CLAUSES or (word in _FUNCTIONS and after.startswith("("))):
        return _none_here(_CLAUSES.get(word, word), token)
    if before is not None and before.type == "NAME":
        name = before.upper()
        if name in _BEFORE_COLUMNS or (name in _FUNCTIONS and token.type == "LPAR"):
            return _none_here(name, before)
    if token.type == "LPAR" and after[:6].upper() == "SELECT":
        return _none_here("sub-select", token)
    if token.type == "SELECT" and before is not None and before.type == "LPAR":
        return _none_here("sub-select", token)
    return None


def _none_here(what: str, token: Token) -> QueryError:
    return QueryError(f"there is no {what} here", _place(token))


def _hint(error: UnexpectedToken) -> str:
    """What is mostly meant by it."""
    if "STRING" not in error.accepts:
        return ""
    if error.token.type == "QUOTED":
        return ": texts stand in single quotes, names in double ones"
    if error.token.type == "NULL":
        return ": nothing equals NULL; write IS NULL or IS NOT NULL"
    return ": texts stand in single quotes" if error.token.type in ("NAME", "QUALIFIED") else ""


def _short(token: str) -> str:
    return repr(str(token) if len(token) <= 50 else f"{token[:50]}...")


def _end(text: str) -> Place:
    lines = text.rstrip().split("\n")
    return Place(len(lines), len(lines[-1]) + 1)


def _words(terminals: Any) -> str:
    names = set(terminals or ())
    for known, implied in (("NUMBER", {"WHOLE"}), ("NAME", {"QUALIFIED", "QUOTED"})):
        if known in names:
            names -= implied
    words = sorted(_WORDS.get(name, name) for name in names)
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
