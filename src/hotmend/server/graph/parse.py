"""Text to a query. The grammar is beside this file; lark does the parsing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from hotmend.server.graph import query as q
from hotmend.server.graph.errors import QueryError

MOST_CHARACTERS = 20_000
_MOST_NESTED = 60
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parsed(text: str) -> q.Query:
    """Raises QueryError."""
    if len(text) > MOST_CHARACTERS:
        raise QueryError("QueryTooLong", f"A query has at most {MOST_CHARACTERS} characters.")
    if _depth(text) > _MOST_NESTED:
        raise QueryError("QueryTooDeep", f"Parentheses are nested at most {_MOST_NESTED} deep.")
    try:
        result = _Builder().transform(_parser().parse(text))
    except UnexpectedInput as error:
        raise QueryError("ParserFailure", _sentence(error)) from None
    except VisitError as error:
        raise QueryError("ParserFailure", str(error.orig_exc)) from None
    except RecursionError:
        raise QueryError("QueryTooDeep", "The query is nested too deeply.") from None
    assert isinstance(result, q.Query)
    return result


@cache
def _parser() -> Lark:
    grammar = resources.files(__package__).joinpath("query.lark").read_text()
    return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False)


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        deepest = max(deepest, depth)
    return deepest


def _sentence(error: UnexpectedInput) -> str:
    where = f"line {error.line}, character {error.column}"
    if isinstance(error, UnexpectedToken):
        found = "the end" if error.token.type == "$END" else f"'{str(error.token)[:40]}'"
        return f"The query cannot be understood at {where}: {found} does not belong there."
    if isinstance(error, UnexpectedCharacters):
        return f"The query cannot be understood at {where}: '{error.char}' does not belong there."
    return f"The query cannot be understood at {where}."


def _timespan(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smhd])", text)
    assert found is not None
    try:
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
    except OverflowError:
        raise ValueError(f"'{text[:40]}' is too long a time.") from None


def _datetime(text: str) -> datetime:
    inner = text[len("datetime(") : -1].strip().strip("'\"")
    try:
        found = datetime.fromisoformat(inner)
    except ValueError:
        raise ValueError(f"'{inner[:40]}' is not a time such as 2026-01-31T10:00:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _string(token: str) -> str:
    if token.startswith("@"):
        return token[2:-1]
    inner = token[1:-1].replace("\\'", "'").replace('\\"', '"').replace('"', '\\"')
    try:
        found = str(json.loads(f'"{inner}"', strict=False))
        found.encode()  # half a character is none
        return found
    except ValueError:
        raise ValueError(f"{token[:40]} has an escape that is not understood.") from None


def _integer(token: str) -> int:
    if len(token) > 18:
        raise ValueError(f"The number {token[:40]}… is too large.")
    return int(token)


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Method names are the grammar's rules."""

    def start(self, query: q.Query) -> q.Query:
        return query

    def query(self, source: str | q.Query, *operators: q.Operator | tuple[q.Operator, ...]) -> Any:
        flat: list[q.Operator] = []
        for operator in operators:
            flat.extend(operator if isinstance(operator, tuple) else (operator,))
        return q.Query(source, tuple(flat))

    def source(self, what: Token | q.Query) -> str | q.Query:
        return str(what) if isinstance(what, Token) else what

    def branch(self, what: Token | q.Query) -> q.Query:
        return q.Query(str(what), ()) if isinstance(what, Token) else what

    def where(self, condition: q.Expression) -> q.Where:
        return q.Where(condition)

    def extend(self, items: tuple[q.Item, ...]) -> q.Extend:
        return q.Extend(items)

    def project(self, items: tuple[q.Item, ...]) -> q.Project:
        return q.Project(items)

    def distinct(self, items: tuple[q.Item, ...]) -> q.Project:
        return q.Project(items, distinct=True)

    def project_away(self, *patterns: Token) -> q.ProjectAway:
        return q.ProjectAway(tuple(map(str, patterns)))

    def count(self) -> q.Count:
        return q.Count()

    def by(self, items: tuple[q.Item, ...]) -> list[q.Item]:
        return list(items)

    def summarize(self, *parts: tuple[q.Item, ...] | list[q.Item]) -> q.Summarize:
        by = next((part for part in parts if isinstance(part, list)), [])
        aggregates = next((part for part in parts if isinstance(part, tuple)), ())
        return q.Summarize(aggregates, tuple(by))

    def key(self, expression: q.Expression, *words: Token) -> q.Key:
        said = {word.type: word.split() for word in words}
        ascending = said.get("DIRECTION") == ["asc"]
        default = "first" if ascending else "last"
        return q.Key(expression, ascending, said.get("NULLS", ["", default])[-1] == "first")

    def sort(self, *keys: q.Key) -> q.Sort:
        return q.Sort(keys)

    def top(self, count: Token, *keys: q.Key) -> tuple[q.Operator, ...]:
        return q.Sort(keys), q.Take(_integer(count))

    def take(self, count: Token) -> q.Take:
        return q.Take(_integer(count))

    def match(self, name: Token) -> tuple[str, str]:
        return str(name), str(name)

    def two_sided(self, left: Token, right: Token) -> tuple[str, str]:
        return str(left), str(right)

    def join(self, *parts: Any) -> q.Join:
        kind = str(parts[0]) if isinstance(parts[0], Token) else "innerunique"
        right, *on = [part for part in parts if not isinstance(part, Token)]
        return q.Join(kind, right, tuple(on))

    def union(self, *others: q.Query) -> q.Union:
        return q.Union(others)

    def mv_expand(self, item: q.Item, limit: Token | None = None) -> q.MvExpand:
        return q.MvExpand(item, None if limit is None else _integer(limit))

    def text(self, token: Token) -> q.Piece:
        return q.Piece(text=_string(token))

    def into(self, name: Token) -> q.Piece:
        return q.Piece(name=str(name))

    def anything(self) -> q.Piece:
        return q.Piece()

    def parse(self, expression: q.Expression, *pieces: q.Piece) -> q.Parse:
        return q.Parse(expression, pieces)

    def items(self, *items: q.Item) -> tuple[q.Item, ...]:
        return items

    def item(self, expression: q.Expression) -> q.Item:
        return q.Item("", expression)

    def named(self, name: Token, expression: q.Expression) -> q.Item:
        return q.Item(str(name), expression)

    def any_of(self, *parts: q.Expression) -> q.Expression:
        return _chained("or", parts)

    def all_of(self, *parts: q.Expression) -> q.Expression:
        return _chained("and", parts)

    def compare(self, left: q.Expression, operator: Token, right: q.Expression) -> q.Binary:
        return q.Binary(" ".join(operator.split()), left, right)

    def among(self, value: q.Expression, operator: Token, *members: q.Expression) -> q.Among:
        return q.Among(str(operator), value, members)

    def between(self, value: q.Expression, low: q.Expression, high: q.Expression) -> q.Binary:
        return q.Binary("and", q.Binary(">=", value, low), q.Binary("<=", value, high))

    def arithmetic(self, left: q.Expression, operator: Token, right: q.Expression) -> q.Binary:
        return q.Binary(str(operator), left, right)

    def minus(self, value: q.Expression) -> q.Binary:
        return q.Binary("-", q.Literal(0), value)

    def member(self, of: q.Expression, name: Token) -> q.Member:
        return q.Member(of, q.Literal(str(name)))

    def index(self, of: q.Expression, key: q.Expression) -> q.Member:
        return q.Member(of, key)

    def column(self, name: Token) -> q.Column:
        return q.Column(str(name))

    def quoted_column(self, name: Token) -> q.Column:
        return q.Column(_string(name))

    def call(self, name: Token, *arguments: q.Item) -> q.Call:
        return q.Call(str(name), arguments)

    def string(self, token: Token) -> q.Literal:
        return q.Literal(_string(token))

    def integer(self, token: Token) -> q.Literal:
        return q.Literal(_integer(token))

    def real(self, token: Token) -> q.Literal:
        return q.Literal(float(token))

    def timespan(self, token: Token) -> q.Literal:
        return q.Literal(_timespan(token))

    def datetime(self, token: Token) -> q.Literal:
        return q.Literal(_datetime(token))

    def true(self) -> q.Literal:
        return q.Literal(True)

    def false(self) -> q.Literal:
        return q.Literal(False)

    def dynamic(self, value: Any) -> q.Literal:
        return q.Literal(value)

    json_string = v_args(inline=True)(lambda _, token: _string(token))
    json_integer = v_args(inline=True)(lambda _, token: _integer(token))
    json_real = v_args(inline=True)(lambda _, token: float(token))
    json_true = v_args(inline=True)(lambda _: True)
    json_false = v_args(inline=True)(lambda _: False)
    json_null = v_args(inline=True)(lambda _: None)
    json_list = v_args(inline=True)(lambda _, *values: list(values))


def _chained(operator: str, parts: tuple[q.Expression, ...]) -> q.Expression:
    first, *others = parts
    for other in others:
        first = q.Binary(operator, first, other)
    return first
