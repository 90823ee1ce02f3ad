"""A query over tables of rows. Bounded in rows and in time; nothing here reads a database."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from hotmend.server.graph import query as q
from hotmend.server.graph import values
from hotmend.server.graph.aggregates import AGGREGATES
from hotmend.server.graph.errors import QueryError
from hotmend.server.graph.functions import Function, all_functions

Row = dict[str, Any]
MOST_ROWS = 300_000
MOST_SECONDS = 20.0
_LOOK_EVERY = 256


@dataclass(frozen=True)
class Rows:
    """``columns``: in their order, also where there are no rows."""

    columns: tuple[str, ...]
    rows: list[Row]


# A table's name, in lower case, to its rows, which are made when they are asked for.
Tables = Mapping[str, Callable[[], Rows]]


@dataclass
class _Budget:
    clock: Callable[[], float]
    until: float = field(init=False)
    steps: int = 0

    def __post_init__(self) -> None:
        self.until = self.clock() + MOST_SECONDS

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows. Raises QueryError for too many, or when the time is up."""
        for number, row in enumerate(rows, 1):
            self.steps += 1
            if number > MOST_ROWS:
                raise QueryError(
                    "QueryLimit", f"An intermediate result has more than {MOST_ROWS} rows."
                )
            if self.steps % _LOOK_EVERY == 0 and self.clock() > self.until:
                raise QueryError(
                    "QueryTimeout", f"The query took longer than {MOST_SECONDS:g} seconds."
                )
            yield row


def evaluated(query: q.Query, tables: Tables, now: datetime, clock: Callable[[], float]) -> Rows:
    """``clock``: monotonic seconds, for the limit of time. Raises QueryError."""
    try:
        return _Evaluation(tables, all_functions(now), _Budget(clock)).run(query)
    except RecursionError:
        raise QueryError("QueryTooDeep", "The query is nested too deeply.") from None


@dataclass(frozen=True)
class _Evaluation:
    tables: Tables
    functions: dict[str, Function]
    budget: _Budget

    def run(self, query: q.Query) -> Rows:
        if isinstance(query.source, q.Query):
            rows = self.run(query.source)
        elif query.source.lower() in self.tables:
            rows = self.tables[query.source.lower()]()
        else:
            raise QueryError(
                "DisallowedLogicalTableName",
                f"Table {query.source[:80]} is invalid, unsupported or disallowed.",
            )
        for operator in query.operators:
            rows = self._applied(operator, rows)
        return rows

    def _applied(self, operator: q.Operator, rows: Rows) -> Rows:
        match operator:
            case q.Where():
                keep = self._compiled(operator.condition, rows.columns)
                kept = [r for r in self.budget.counted(rows.rows) if values.truth(keep(r))]
                return Rows(rows.columns, kept)
            case q.Extend():
                return self._extended(rows, operator.items, keep=True)
            case q.Project():
                made = self._extended(rows, operator.items, keep=False)
                return _distinct(made) if operator.distinct else made
            case q.ProjectAway():
                return _without(rows, operator.patterns)
            case q.Summarize():
                return self._summarized(rows, operator)
            case q.Sort():
                return self._sorted(rows, operator)
            case q.Take():
                return Rows(rows.columns, rows.rows[: operator.count])
            case q.Join():
                return self._joined(rows, operator)
            case q.Union():
                return self._united(rows, operator)
            case q.MvExpand():
                return self._expanded(rows, operator)
            case q.Parse():
                return self._parsed(rows, operator)
            case q.Count():
                return Rows(("Count",), [{"Count": len(rows.rows)}])
            case _:
                assert_never(operator)

    def _extended(self, rows: Rows, items: tuple[q.Item, ...], *, keep: bool) -> Rows:
        named = [one for item in items for one in _columns_of(item)]
        given = set(rows.columns)
        # What an argument was named is seen by all; other items see the row as it came.
        inner = [(n, self._compiled(e, given)) for n, e, inside in named if inside]
        seen = given | {name for name, _ in inner}
        outer = [(n, self._compiled(e, seen)) for n, e, inside in named if not inside]
        names = [name for name, _, _ in named]
        wanted = tuple(dict.fromkeys([*rows.columns, *names] if keep else names))
        made = []
        for row in self.budget.counted(rows.rows):
            whole = {**row, **{name: of(row) for name, of in inner}} if inner else row
            new = {**whole, **{name: of(whole) for name, of in outer}}
            made.append({name: new.get(name) for name in wanted})
        return Rows(wanted, made)

    def _summarized(self, rows: Rows, operator: q.Summarize) -> Rows:
        by = [
            (
                item.name or _name_of(item.expression, n),
                self._compiled(item.expression, rows.columns),
            )
            for n, item in enumerate(operator.by)
        ]
        aggregates = []
        for item in operator.aggregates:
            call = item.expression
            if not isinstance(call, q.Call) or call.function not in AGGREGATES:
                raise QueryError(
                    "InvalidQuery", f"summarize takes {', '.join(AGGREGATES)}, and their names."
                )
            aggregate = AGGREGATES[call.function]
            if len(call.arguments) != aggregate.arguments:
                raise QueryError(
                    "InvalidQuery", f"{call.function}() takes {aggregate.arguments} arguments."
                )
            of = [self._compiled(a.expression, rows.columns) for a in call.arguments]
            aggregates.append((item.name or _aggregate_name(call), aggregate, of))
        groups: dict[str, tuple[list[Any], list[Row]]] = {}
        for row in self.budget.counted(rows.rows):
            key = [of(row) for _, of in by]
            groups.setdefault(repr([values.order_key(v) for v in key]), (key, []))[1].append(row)
        if not by and not groups:
            groups[""] = ([], [])
        made = []
        for key, members in groups.values():
            row = {name: value for (name, _), value in zip(by, key, strict=True)}
            for name, aggregate, of in aggregates:
                row[name] = aggregate.of([[one(member) for one in of] for member in members])
            made.append(row)
        return Rows((*(n for n, _ in by), *(n for n, _, _ in aggregates)), made)

    def _sorted(self, rows: Rows, operator: q.Sort) -> Rows:
        made = list(self.budget.counted(rows.rows))
        for key in reversed(operator.keys):
            of = self._compiled(key.expression, rows.columns)
            empty = [row for row in made if of(row) is None]
            full = [row for row in made if of(row) is not None]
            full.sort(key=lambda row: values.order_key(of(row)), reverse=not key.ascending)
            made = empty + full if key.nulls_first else full + empty
        return Rows(rows.columns, made)

    def _joined(self, left: Rows, operator: q.Join) -> Rows:
        right = self.run(operator.right)
        for mine, theirs in operator.on:
            _check(mine, left.columns)
            _check(theirs, right.columns)
        index: dict[tuple[str, ...], list[Row]] = {}
        for row in self.budget.counted(right.rows):
            index.setdefault(_key(row, [theirs for _, theirs in operator.on]), []).append(row)
        renamed = {n: f"{n}1" if n in left.columns else n for n in right.columns}
        nothing = dict.fromkeys(renamed.values())
        seen: set[tuple[str, ...]] = set()

        def pairs() -> Iterator[Row]:
            for row in left.rows:
                key = _key(row, [mine for mine, _ in operator.on])
                if operator.kind == "innerunique":
                    if key in seen:
                        continue
                    seen.add(key)
                found = index.get(key, [])
                if not found and operator.kind == "leftouter":
                    yield {**row, **nothing}
                for other in found:
                    yield {**row, **{renamed[n]: v for n, v in other.items()}}

        return Rows((*left.columns, *renamed.values()), list(self.budget.counted(pairs())))

    def _united(self, rows: Rows, operator: q.Union) -> Rows:
        parts = [rows, *(self.run(other) for other in operator.others)]
        columns = tuple(dict.fromkeys(name for part in parts for name in part.columns))
        whole = (row for part in parts for row in part.rows)
        return Rows(columns, [{n: r.get(n) for n in columns} for r in self.budget.counted(whole)])

    def _expanded(self, rows: Rows, operator: q.MvExpand) -> Rows:
        of = self._compiled(operator.item.expression, rows.columns)
        name = operator.item.name or _name_of(operator.item.expression, 0)

        def members() -> Iterator[Row]:
            for row in rows.rows:
                value = of(row)
                if isinstance(value, dict):
                    value = [{key: inner} for key, inner in value.items()]
                # A row without a list stays, with null.
                several = value if isinstance(value, list) and value else [None]
                for one in several[: operator.limit]:
                    yield {**row, name: one}

        columns = tuple(dict.fromkeys([*rows.columns, name]))
        return Rows(columns, list(self.budget.counted(members())))

    def _parsed(self, rows: Rows, operator: q.Parse) -> Rows:
        of = self._compiled(operator.expression, rows.columns)
        names = [piece.name for piece in operator.pieces if piece.name]
        columns = tuple(dict.fromkeys([*rows.columns, *names]))
        made = []
        for row in self.budget.counted(rows.rows):
            found = _pieces(values.text(of(row)), operator.pieces)
            made.append({**row, **(found if found is not None else dict.fromkeys(names))})
        return Rows(columns, made)

    def _compiled(self, e: q.Expression, columns: Iterable[str]) -> Callable[[Row], Any]:
        """``e`` as a function of a row; columns and functions are looked up once."""
        match e:
            case q.Literal():
                constant = e.value
                return lambda _: constant
            case q.Column(name):
                _check(name, columns)
                return lambda row: row.get(name)
            case q.Member():
                of, key = self._compiled(e.of, columns), self._compiled(e.key, columns)
                return lambda row: values.member(of(row), key(row))
            case q.Call():
                return self._call(e, columns)
            case q.Binary():
                return self._binary(e, columns)
            case q.Among():
                value = self._compiled(e.value, columns)
                members = [self._compiled(m, columns) for m in e.members]
                word = e.operator
                return lambda row: values.among(word, value(row), [m(row) for m in members])
            case _:
                assert_never(e)

    def _call(self, e: q.Call, columns: Iterable[str]) -> Callable[[Row], Any]:
        function = self.functions.get(e.function.lower())
        if function is None:
            raise QueryError("InvalidQuery", f"Unknown function: '{e.function[:80]}'.")
        if not function.least <= len(e.arguments) <= function.most:
            raise QueryError(
                "InvalidQuery",
                f"{e.function}() takes {function.least} to {function.most} arguments.",
            )
        arguments = [self._compiled(a.expression, columns) for a in e.arguments]
        of = function.of
        return lambda row: of([argument(row) for argument in arguments])

    def _binary(self, e: q.Binary, columns: Iterable[str]) -> Callable[[Row], Any]:
        left, right = self._compiled(e.left, columns), self._compiled(e.right, columns)
        word = e.operator
        if word == "and":
            return lambda row: values.truth(left(row)) and values.truth(right(row))
        if word == "or":
            return lambda row: values.truth(left(row)) or values.truth(right(row))
        if word in "+-*/%":
            return lambda row: values.arithmetic(word, left(row), right(row))
        return lambda row: values.compare(word, left(row), right(row))


def _check(name: str, columns: Iterable[str]) -> None:
    if name not in columns:
        raise QueryError(
            "InvalidQuery", f"Failed to resolve column or scalar expression named '{name[:80]}'."
        )


def _key(row: Row, names: list[str]) -> tuple[str, ...]:
    return tuple(values.text(row.get(name)) for name in names)


def _columns_of(item: q.Item) -> Iterator[tuple[str, q.Expression, bool]]:
    """(name, value, whether it was named inside a call): ``tostring(group = split(…))``, as
    Microsoft's own queries write it, makes a column of the argument, and none of the call."""
    inside = list(_named_inside(item.expression))
    yield from ((one.name, one.expression, True) for one in inside)
    if item.name or not inside:
        yield item.name or _name_of(item.expression, 0), item.expression, False


def _named_inside(e: q.Expression) -> Iterator[q.Item]:
    if isinstance(e, q.Call):
        for argument in e.arguments:
            if argument.name:
                yield argument
            yield from _named_inside(argument.expression)


def _name_of(e: q.Expression, number: int) -> str:
    """As Kusto names what nobody named."""
    if isinstance(e, q.Column):
        return e.name
    if isinstance(e, q.Member) and isinstance(e.key, q.Literal):
        return f"{_name_of(e.of, number)}_{e.key.value}"
    if isinstance(e, q.Call) and len(e.arguments) == 1:
        return _name_of(e.arguments[0].expression, number)
    return f"Column{number + 1}"


def _aggregate_name(call: q.Call) -> str:
    inner = _name_of(call.arguments[0].expression, 0) if call.arguments else ""
    return f"{call.function}_{inner}"


def _distinct(rows: Rows) -> Rows:
    seen: dict[tuple[str, ...], Row] = {}
    for row in rows.rows:
        seen.setdefault(_key(row, list(rows.columns)), row)
    return Rows(rows.columns, list(seen.values()))


def _without(rows: Rows, patterns: tuple[str, ...]) -> Rows:
    columns = tuple(
        name
        for name in rows.columns
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    )
    return Rows(columns, [{name: row.get(name) for name in columns} for row in rows.rows])


def _pieces(whole: str, pieces: tuple[q.Piece, ...]) -> Row | None:
    """Every text is looked for where it comes first; None where one is missing."""
    found: Row = {}
    waiting: q.Piece | None = None
    at = 0
    for piece in pieces:
        if piece.text is None:
            waiting = piece
            continue
        start = whole.find(piece.text, at)
        if start < 0 or (waiting is None and start != at):
            return None
        if waiting is not None and waiting.name:
            found[waiting.name] = whole[at:start]
        waiting, at = None, start + len(piece.text)
    if waiting is not None:
        if waiting.name:
            found[waiting.name] = whole[at:]
    elif at != len(whole):
        return None
    return found
