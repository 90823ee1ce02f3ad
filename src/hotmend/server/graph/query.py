"""A query as data: a table, and what is done to its rows one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Value = Any  # None, bool, int, float, str, datetime, timedelta, list or dict


@dataclass(frozen=True)
class Literal:
    """Also datetime, timedelta, and lists out of ``dynamic``."""

    value: bool | int | float | str | datetime | timedelta | list[Any] | None


@dataclass(frozen=True)
class Column:
    """Of the row."""

    name: str


@dataclass(frozen=True)
class Member:
    """``of``'s property with the name (or position) that ``key`` gives; null without one."""

    of: Expression
    key: Expression


@dataclass(frozen=True)
class Call:
    """``arguments``: a named one, as in ``tostring(group = split(…))``, is a column, too."""

    function: str
    arguments: tuple[Item, ...]


@dataclass(frozen=True)
class Binary:
    """``operator``: as written, in lower case; "and", "or", arithmetic and comparisons."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Among:
    """``in``, ``in~``, ``!in``, ``!in~``."""

    operator: str
    value: Expression
    members: tuple[Expression, ...]


Expression = Literal | Column | Member | Call | Binary | Among


@dataclass(frozen=True)
class Item:
    """``name``: "" when none was given."""

    name: str
    expression: Expression


@dataclass(frozen=True)
class Where:
    """Rows for which it is true."""

    condition: Expression


@dataclass(frozen=True)
class Extend:
    """More columns."""

    items: tuple[Item, ...]


@dataclass(frozen=True)
class Project:
    """These columns and no others; ``distinct``: each row once."""

    items: tuple[Item, ...]
    distinct: bool = False


@dataclass(frozen=True)
class ProjectAway:
    """Without the columns of these names; ``*`` stands for any text."""

    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Summarize:
    """One row for each group."""

    aggregates: tuple[Item, ...]
    by: tuple[Item, ...]


@dataclass(frozen=True)
class Key:
    """Descending, and nulls last, unless said otherwise."""

    expression: Expression
    ascending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True)
class Sort:
    """The most significant key first."""

    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Take:
    """The first so many."""

    count: int


@dataclass(frozen=True)
class Join:
    """``kind``: inner, innerunique or leftouter; ``on``: pairs of a left and a right column."""

    kind: str
    right: Query
    on: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Union:
    """And the rows of these."""

    others: tuple[Query, ...]


@dataclass(frozen=True)
class MvExpand:
    """One row for each member of a list; ``limit``: of a row, at most."""

    item: Item
    limit: int | None


@dataclass(frozen=True)
class Piece:
    """``text``: that very text. Otherwise anything, kept under ``name`` unless that is ""."""

    text: str | None = None
    name: str = ""


@dataclass(frozen=True)
class Parse:
    """Columns out of a text."""

    expression: Expression
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Count:
    """One row: how many."""


Operator = (
    Where
    | Extend
    | Project
    | ProjectAway
    | Summarize
    | Sort
    | Take
    | Join
    | Union
    | MvExpand
    | Parse
    | Count
)


@dataclass(frozen=True)
class Query:
    """``source``: a table's name, or a query in parentheses."""

    source: str | Query
    operators: tuple[Operator, ...]
