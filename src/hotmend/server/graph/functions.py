"""The language's functions of single values: those of Update Manager's queries and their kin."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hotmend.server.graph import values
from hotmend.server.graph.errors import QueryError
from hotmend.server.graph.values import text

_MOST_MADE = 20_000_000


@dataclass(frozen=True)
class Function:
    """``least`` and ``most``: how many arguments it takes."""

    least: int
    most: int
    of: Callable[[Sequence[Any]], Any]


def _iff(a: Sequence[Any]) -> Any:
    return a[1] if values.truth(a[0]) else a[2]


def _case(a: Sequence[Any]) -> Any:
    for number in range(0, len(a) - 1, 2):
        if values.truth(a[number]):
            return a[number + 1]
    return a[-1]


def _coalesce(a: Sequence[Any]) -> Any:
    return next((value for value in a if not _empty(value)), None)


def _empty(value: Any) -> bool:
    return value is None or value == ""


def _split(a: Sequence[Any]) -> Any:
    """With a number, the list of that one part; the empty list beyond the end."""
    separator = text(a[1])
    parts: list[Any] = list(text(a[0]).split(separator)) if separator else [text(a[0])]
    if len(a) < 3:
        return parts
    wanted = a[2] if type(a[2]) is int else 0
    return parts[wanted : wanted + 1] if wanted >= 0 else []


def _parse_json(a: Sequence[Any]) -> Any:
    if not isinstance(a[0], str):
        return a[0]
    try:
        found = json.loads(a[0], parse_constant=lambda _: None)
        json.dumps(found, ensure_ascii=False).encode()  # half a character cannot be sent
        return found
    except (ValueError, RecursionError):
        return a[0]


def _trim(side: str) -> Callable[[Sequence[Any]], Any]:
    """The first argument is a regular expression."""

    def trim(a: Sequence[Any]) -> Any:
        pattern, value = text(a[0]), text(a[1])
        anchored = f"^(?:{pattern})" if side == "start" else f"(?:{pattern})$"
        found = values.searched(anchored, value)
        if found is None:
            return value
        return value[found[1] :] if side == "start" else value[: found[0]]

    return trim


def _substring(a: Sequence[Any]) -> Any:
    start = a[1] if type(a[1]) is int else 0
    length = a[2] if len(a) > 2 and type(a[2]) is int else None
    rest = text(a[0])[max(start, 0) :]
    return rest if length is None else rest[: max(length, 0)]


def _length(a: Sequence[Any]) -> Any:
    return len(a[0]) if isinstance(a[0], list) else None


def _to_bool(a: Sequence[Any]) -> Any:
    return {"true": True, "false": False, "1": True, "0": False}.get(text(a[0]).lower())


def _to_int(a: Sequence[Any]) -> Any:
    found = values.number(a[0])
    try:
        return None if found is None else int(found)
    except (OverflowError, ValueError):
        return None


def all_functions(now: datetime) -> dict[str, Function]:
    """By name, for one query; ``now``: the moment that it is asked at."""
    made = 0

    def strcat(a: Sequence[Any]) -> Any:
        nonlocal made
        joined = "".join(map(text, a))
        made += len(joined)
        if made > _MOST_MADE:
            raise QueryError("QueryLimit", f"strcat() made more than {_MOST_MADE} characters.")
        return joined

    def ago(a: Sequence[Any]) -> Any:
        try:
            return now - a[0] if isinstance(a[0], timedelta) else None
        except OverflowError:
            return None

    one: dict[str, Callable[[Any], Any]] = {
        "tolower": lambda v: text(v).lower(),
        "toupper": lambda v: text(v).upper(),
        "tostring": text,
        "todatetime": values.time,
        "todouble": values.number,
        "toreal": values.number,
        "isnull": lambda v: v is None,
        "isnotnull": lambda v: v is not None,
        "isempty": _empty,
        "isnotempty": lambda v: not _empty(v),
        "not": lambda v: None if v is None else not values.truth(v),
        "strlen": lambda v: len(text(v)),
        "parse_version": values.version,
    }
    several = {
        "tobool": Function(1, 1, _to_bool),
        "toint": Function(1, 1, _to_int),
        "tolong": Function(1, 1, _to_int),
        "parse_json": Function(1, 1, _parse_json),
        "todynamic": Function(1, 1, _parse_json),
        "array_length": Function(1, 1, _length),
        "iff": Function(3, 3, _iff),
        "iif": Function(3, 3, _iff),
        "case": Function(3, 201, _case),
        "coalesce": Function(1, 64, _coalesce),
        "split": Function(2, 3, _split),
        "strcat": Function(1, 64, strcat),
        "substring": Function(2, 3, _substring),
        "indexof": Function(2, 2, lambda a: text(a[0]).find(text(a[1]))),
        "trim_end": Function(2, 2, _trim("end")),
        "trim_start": Function(2, 2, _trim("start")),
        "now": Function(0, 0, lambda _: now),
        "ago": Function(1, 1, ago),
    }
    single = {
        name: Function(1, 1, lambda a, of=of: of(a[0]))  # type: ignore[misc]
        for name, of in one.items()
    }
    return single | several
