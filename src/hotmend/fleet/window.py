"""The off-peak window: from when until when a machine may be patched. Pure.

Azure patches "during off-peak hours in the VM's time zone" and publishes no hours; ours are a
setting. A window is given by the local clock; on the days on which that is put forward or back, or
a date is left out, this is what counts:

    An occurrence of a day's window is the longest stretch of time in which the local clock shows a
    time of it; the first of two that are equally long.

So nothing starts when the clock on the wall is outside the window, an hour that comes twice opens
no window twice, and a window that lies in a gap altogether is not there that day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
# The widest that a local clock is away from UTC, and a bit.
_FAR = timedelta(hours=16)


@dataclass(frozen=True)
class Window:
    """Local times. It closes on the next day if ``closes`` is not after ``opens``."""

    opens: time
    closes: time


@dataclass(frozen=True)
class Occurrence:
    """``id``: the same however often it is asked for; a machine starts once in each. ``opens``,
    ``closes``: in UTC, the latter excluded."""

    id: str
    opens: datetime
    closes: datetime

    def contains(self, now: datetime) -> bool:
        return self.opens <= now < self.closes


def current(window: Window, zone: ZoneInfo, now: datetime) -> Occurrence | None:
    """The occurrence that is open at ``now``, in UTC; None if it is closed."""
    return next((o for o in _around(window, zone, now) if o.contains(now)), None)


def next_after(window: Window, zone: ZoneInfo, now: datetime) -> Occurrence:
    """The next that opens later than ``now``."""
    return next(o for o in _around(window, zone, now) if o.opens > now)


def _around(window: Window, zone: ZoneInfo, now: datetime) -> Iterator[Occurrence]:
    """From before ``now`` until after it: no clock has ever left out more than a day."""
    today = now.astimezone(zone).date()
    days = (today + number * _DAY for number in range(-2, 4))
    found = (occurrence(window, zone, day) for day in days)
    return (o for o in found if o is not None)


@lru_cache(maxsize=65_536)
def occurrence(window: Window, zone: ZoneInfo, day: date) -> Occurrence | None:
    """The occurrence that opens on a local day; None if the day's clock never shows it."""
    opens = datetime.combine(day, window.opens)
    closes = datetime.combine(day, window.closes)
    if closes <= opens:
        closes += _DAY
    stretches: list[tuple[datetime, datetime]] = []
    for begin, end, offset in _offsets(zone, opens - _FAR, closes + _FAR):
        first, last = max(begin, opens - offset), min(end, closes - offset)
        if first < last and stretches and stretches[-1][1] == first:
            stretches[-1] = (stretches[-1][0], last)
        elif first < last:
            stretches.append((first, last))
    if not stretches:
        return None
    first, last = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    return Occurrence(day.isoformat(), first.replace(tzinfo=UTC), last.replace(tzinfo=UTC))


def _offsets(
    zone: ZoneInfo, begin: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Between two times of UTC: from when until when the local clock is how far ahead of it."""
    since, offset, at = begin, _offset(zone, begin), begin
    while at < end:
        later = min(at + _HOUR, end)
        if _offset(zone, later) != offset:
            change = _change(zone, at, later)
            yield since, change, offset
            since, offset = change, _offset(zone, later)
        at = later
    yield since, end, offset


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second with another offset, between two times with different ones."""
    offset = _offset(zone, before)
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, before + middle * _SECOND) == offset:
            low = middle
        else:
            high = middle
    return before + high * _SECOND


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.replace(tzinfo=UTC).astimezone(zone).utcoffset() or timedelta(0)
