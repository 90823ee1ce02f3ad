"""How often a maintenance window recurs: Azure's ``recurEvery``, read and counted out. Pure.

The grammar is that of Microsoft.Maintenance (REST API 2023-04-01, MaintenanceWindow), without case:

    [n]Day(s) | [n]Hour(s)
    [n]Week(s) [Monday,...]
    [n]Month(s) [dayX,dayY,...]                 day-1 is a month's last day
    [n]Month(s) First|Second|Third|Fourth|Last Weekday [Offset-6..6]

Ours, where that says nothing: days are counted by the local calendar and hours by the local clock;
of several weeks or months the first is that of the start, and weeks begin on Monday; without a
weekday or day it is the start's; months that have no such day are left out. (The service itself
has been seen to refuse a bare Month, which its specification gives as an example.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from dateutil.relativedelta import relativedelta
from dateutil.rrule import DAILY, HOURLY, MONTHLY, WEEKLY, rrule, weekday

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
LAST_DAY = -1
_LEAST_HOURS = 6
_HEAD = re.compile(r"(\d{0,4})(hour|day|week|month)s?", re.ASCII)
# No calendar of Python's goes beyond 9999; an offset must not either.
_END = datetime(9999, 12, 24)


class Unit(StrEnum):
    """What is counted."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_COUNTED: dict[Unit, tuple[Literal[2, 3, 4], timedelta]] = {
    Unit.HOUR: (HOURLY, timedelta(hours=1)),
    Unit.DAY: (DAILY, timedelta(days=1)),
    Unit.WEEK: (WEEKLY, timedelta(weeks=1)),
}


@dataclass(frozen=True)
class Recurrence:
    """``every``: so many units. ``weekdays``: Monday is 0; with ``week`` exactly one. ``days``: of
    the month, LAST_DAY for its last. ``week``: 1 to 4, -1 for the last, 0 for none. ``offset``:
    days after that weekday."""

    unit: Unit
    every: int = 1
    weekdays: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    week: int = 0
    offset: int = 0


def parsed(text: str) -> Recurrence:
    """Raises ValueError with a sentence."""
    head, *words = text.lower().split() or [""]
    found = _HEAD.fullmatch(head)
    if found is None:
        raise ValueError(f"recurEvery {text!r} must begin with [n]Hour, Day, Week or Month")
    unit, every = Unit(found[2]), int(found[1] or 1)
    if every < 1 or (unit is Unit.HOUR and every < _LEAST_HOURS):
        raise ValueError(
            f"recurEvery {text!r} is too often: at least {_LEAST_HOURS} hours, or one of the others"
        )
    if not words:
        return Recurrence(unit, every)
    try:
        if unit is Unit.WEEK:
            return Recurrence(unit, every, weekdays=_weekdays(words))
        if unit is Unit.MONTH and words[0] in WEEKS:
            return _nth_weekday(every, words)
        if unit is Unit.MONTH:
            return Recurrence(unit, every, days=_days(words))
    except ValueError as error:
        raise ValueError(f"recurEvery {text!r}: {error}") from None
    raise ValueError(f"recurEvery {text!r} has words after {head!r}, which takes none")


def starts(
    recurrence: Recurrence, start: datetime, since: datetime | None = None
) -> Iterator[datetime]:
    """Local times without a zone, from ``start`` on, in order; ``start`` itself if it is one.
    ``since``: leave out those before."""
    least = max(start, since or start)
    return (at for at in _rule(recurrence, start, least) if at >= least)


def _rule(recurrence: Recurrence, start: datetime, since: datetime) -> Iterable[datetime]:
    """Those of the recurrence, from some way before ``since`` on."""
    unit, every = recurrence.unit, recurrence.every
    if unit is Unit.MONTH:
        passed = (since.year - start.year) * 12 + since.month - start.month
        # One step earlier, since an offset may lead from there to behind ``since``.
        begin = start.replace(day=1) + relativedelta(months=(passed // every - 1) * every)
        if not recurrence.week:
            return rrule(MONTHLY, begin, every, until=_END, bymonthday=recurrence.days or start.day)
        days = [weekday(day)(recurrence.week) for day in recurrence.weekdays]
        shift = timedelta(days=recurrence.offset)
        return (at + shift for at in rrule(MONTHLY, begin, every, until=_END, byweekday=days))
    frequency, once = _COUNTED[unit]
    begin = start + (since - start) // (every * once) * every * once
    weekdays = recurrence.weekdays or None
    return rrule(frequency, begin, every, until=_END, byweekday=weekdays)


def _weekdays(words: list[str]) -> tuple[int, ...]:
    return tuple(sorted({_weekday(name) for name in _list(words)}))


def _weekday(name: str) -> int:
    if name not in WEEKDAYS:
        raise ValueError(f"{name!r} is no day of the week")
    return WEEKDAYS.index(name)


def _days(words: list[str]) -> tuple[int, ...]:
    days = set()
    for word in _list(words):
        number = re.fullmatch(r"day(-1|[1-9]\d?)", word, re.ASCII)
        if number is None or int(number[1]) > 31:
            raise ValueError(f"{word!r} is no day of the month: day1 to day31, day-1 for the last")
        days.add(int(number[1]))
    return tuple(sorted(days))


def _nth_weekday(every: int, words: list[str]) -> Recurrence:
    week, name, *rest = words if len(words) > 1 else [*words, ""]
    offset = re.fullmatch(r"offset([+-]?[0-6])", " ".join(rest) or "offset0", re.ASCII)
    if offset is None:
        raise ValueError("after the weekday only Offset-6 to Offset6 may stand")
    return Recurrence(
        Unit.MONTH,
        every,
        weekdays=(_weekday(name),),
        week=WEEKS[week],
        offset=int(offset[1]),
    )


def _list(words: list[str]) -> list[str]:
    """A list with commas, with or without blanks behind them."""
    return "".join(words).split(",")
