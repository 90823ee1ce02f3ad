"""One of several words, in a condition."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import literal_column
from sqlalchemy.sql.elements import ColumnElement


def among(column: ColumnElement[str], words: Iterable[StrEnum]) -> ColumnElement[bool]:
    """The column has one of the words, which stand in the statement's text: a list of values that
    are handed over is written out anew whenever the statement is executed."""
    return column.in_([literal_column(f"'{word.value}'") for word in words])
