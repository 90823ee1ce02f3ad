"""What ``summarize`` makes of the rows of a group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hotmend.server.graph import values

_MOST_MEMBERS = 10_000


@dataclass(frozen=True)
class Aggregate:
    """``of``: the values of its ``arguments``, row by row, to one."""

    arguments: int
    of: Callable[[list[list[Any]]], Any]


def _firsts(rows: list[list[Any]]) -> list[Any]:
    return [row[0] for row in rows if row[0] is not None]


def _numbers(rows: list[list[Any]]) -> list[Any]:
    return [value for value in _firsts(rows) if type(value) in (int, float)]


def _average(rows: list[list[Any]]) -> Any:
    found = _numbers(rows)
    return sum(found) / len(found) if found else None


AGGREGATES: dict[str, Aggregate] = {
    "count": Aggregate(0, len),
    "countif": Aggregate(1, lambda rows: sum(values.truth(row[0]) for row in rows)),
    "dcount": Aggregate(1, lambda rows: len({values.text(value) for value in _firsts(rows)})),
    "max": Aggregate(1, lambda rows: max(_firsts(rows), key=values.order_key, default=None)),
    "min": Aggregate(1, lambda rows: min(_firsts(rows), key=values.order_key, default=None)),
    "sum": Aggregate(1, lambda rows: sum(_numbers(rows))),
    "avg": Aggregate(1, _average),
    "any": Aggregate(1, lambda rows: next(iter(_firsts(rows)), None)),
    "take_any": Aggregate(1, lambda rows: next(iter(_firsts(rows)), None)),
    "make_list": Aggregate(1, lambda rows: _firsts(rows)[:_MOST_MEMBERS]),
    "make_set": Aggregate(
        1, lambda rows: list({values.text(v): v for v in _firsts(rows)}.values())[:_MOST_MEMBERS]
    ),
}
