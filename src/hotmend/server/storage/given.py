"""Rows that a statement is given, all in one value: one statement does for all of them what would
cost both ends a statement for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, ColumnElement, String, bindparam, column, func, select
from sqlalchemy.sql.selectable import TableValuedAlias


def given() -> TableValuedAlias:
    """``rows``, a JSON object, as a table of ``key`` and ``value``: by the one function that is
    called the same in both databases. PostgreSQL's takes no text with a NUL or half a surrogate
    pair in it: what people have written goes in by itself."""
    rows = func.json_each(bindparam("rows", type_=JSON))
    return rows.table_valued(column("key", String), column("value", JSON), name="given")


def is_given(name: ColumnElement[str]) -> ColumnElement[bool]:
    """It is one of the keys of ``rows``: a list is written out anew for each number of values."""
    return name.in_(select(given().c.key))


def keys(names: Iterable[str]) -> dict[str, Any]:
    """``rows`` with these keys alone, in order: whoever locks them locks in the same one."""
    return {"rows": dict.fromkeys(sorted(names))}
