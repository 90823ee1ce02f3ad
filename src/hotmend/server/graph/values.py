"""Values, and what the language's operators and functions make of them. Pure.

Null is None. Comparing with null is false, but for ``!=`` with something that is not null, as
Kusto says (learn.microsoft.com/kusto/query/scalar-data-types/null-values). Texts are compared
without case by everything that has a ``_cs`` twin. ``matches regex`` is RE2: it never goes back
over the text, whatever the expression.
"""

from __future__ import annotations

import json
import math
import operator as op
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import re2

from hotmend.server.graph.errors import QueryError

_MOST_EXPRESSION = 1000
_VERSION_PARTS = 4
_LARGEST = 1 << 63


def text(value: Any) -> str:
    """``tostring``: "" for null, JSON for lists and objects."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"), default=text)
    return str(value)


def time(value: Any) -> datetime | None:
    """``todatetime``: null for what is no time."""
    if isinstance(value, datetime):
        return value
    try:
        found = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def number(value: Any) -> float | int | None:
    """``toint`` and its like: null for what is no number."""
    if isinstance(value, bool | int | float):
        return value
    try:
        if len(text(value)) < 19:
            return int(text(value))
    except ValueError:
        pass
    try:
        found = float(text(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def truth(value: Any) -> bool:
    """Whether ``where`` keeps a row."""
    return value is True


def version(value: Any) -> list[int] | None:
    """``parse_version``: up to four numbers, comparable."""
    parts = text(value).split(".")
    if len(parts) > _VERSION_PARTS or not all(p.isascii() and p.isdigit() for p in parts):
        return None
    return [int(part[:18]) for part in parts] + [0] * (_VERSION_PARTS - len(parts))


def compare(operator: str, left: Any, right: Any) -> bool:
    """``left operator right``. Raises QueryError for what is no regular expression."""
    if operator in _WORDS:
        return _WORDS[operator](text(left), text(right))
    if operator.startswith("!") and operator[1:] in _WORDS:
        return not _WORDS[operator[1:]](text(left), text(right))
    if left is None or right is None:
        return operator == "!=" and (left is None) != (right is None)
    left, right = _alike(left, right)
    if operator in ("==", "!="):
        return bool(left == right) is (operator == "==")
    try:
        return bool(_ORDER[operator](left, right))
    except TypeError:
        return False


def among(operator: str, value: Any, members: list[Any]) -> bool:
    """``in``, ``in~`` and their opposites; a list among the members stands for its own."""
    flat = [one for m in members for one in (m if isinstance(m, list) else [m])]
    equal = "=~" if operator.endswith("~") else "=="
    found = any(compare(equal, value, one) for one in flat)
    return found is not operator.startswith("!")


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """Null where it makes no sense, as for a division by nothing."""
    if isinstance(left, bool | str | list | dict) or isinstance(right, bool | str | list | dict):
        return None
    try:
        return _finite(_ARITHMETIC[operator](left, right))
    except (TypeError, ZeroDivisionError, OverflowError):
        return None


def _finite(value: Any) -> Any:
    """Null for what 64 bits do not hold."""
    if isinstance(value, int):
        return value if abs(value) < _LARGEST else None
    return value if not isinstance(value, float) or math.isfinite(value) else None


def member(of: Any, key: Any) -> Any:
    """A property, or a list's member (from its end, when negative); null without one."""
    if isinstance(of, dict):
        return of.get(key) if isinstance(key, str) else None
    if isinstance(of, list) and type(key) is int and -len(of) <= key < len(of):
        return of[key]
    return None


def order_key(value: Any) -> tuple[int, Any]:
    """To sort values of any kinds: numbers, times, then texts."""
    if isinstance(value, bool | int | float):
        return 0, value
    if isinstance(value, timedelta):
        return 1, value
    if isinstance(value, datetime):
        return 2, value
    return 3, text(value)


def searched(pattern: str, whole: str) -> tuple[int, int] | None:
    """Where a regular expression is found first. Raises QueryError."""
    found = _expression(pattern).search(whole)
    return None if found is None else found.span()


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Times and texts of times are compared as times: dynamic values know no times."""
    if isinstance(left, datetime) and isinstance(right, str):
        return left, time(right) or right
    if isinstance(left, str) and isinstance(right, datetime):
        return time(left) or left, right
    return left, right


def _has(whole: str, part: str) -> bool:
    """``part`` as a term: not inside a longer word."""
    start = whole.find(part)
    while start >= 0:
        end = start + len(part)
        before, after = whole[start - 1 : start], whole[end : end + 1]
        inside = (before.isalnum() and part[:1].isalnum()) or (
            after.isalnum() and part[-1:].isalnum()
        )
        if not inside:
            return True
        start = whole.find(part, start + 1)
    return False


@lru_cache(maxsize=64)
def _expression(pattern: str) -> Any:
    if len(pattern) > _MOST_EXPRESSION:
        raise QueryError("InvalidQuery", "A regular expression has at most 1000 characters.")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise QueryError(
            "InvalidQuery", f"'{pattern[:40]}' is no regular expression: {_said(error)}"
        ) from None


def _said(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode(errors="replace") if isinstance(first, bytes) else str(first)


def _folded(test: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    return lambda left, right: test(left.lower(), right.lower())


_WORDS: dict[str, Callable[[str, str], bool]] = {
    "=~": _folded(op.eq),
    "~": _folded(op.eq),
    "has_cs": _has,
    "has": _folded(_has),
    "contains_cs": op.contains,
    "contains": _folded(op.contains),
    "startswith_cs": str.startswith,
    "startswith": _folded(str.startswith),
    "endswith_cs": str.endswith,
    "endswith": _folded(str.endswith),
    "matches regex": lambda left, right: searched(right, left) is not None,
}
_ORDER: dict[str, Callable[[Any, Any], Any]] = {"<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": op.add,
    "-": op.sub,
    "*": op.mul,
    "/": op.truediv,
    "%": op.mod,
}
