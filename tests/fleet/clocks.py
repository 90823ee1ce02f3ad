"""Windows found by walking along the clock, minute by minute: slow, and none of the rules' code."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def day_of(local: datetime, opens: time, closes: time) -> date | None:
    """The local day whose window shows this time; None outside windows."""
    at = local.time().replace(tzinfo=None)
    if opens < closes:
        return local.date() if opens <= at < closes else None
    if at >= opens:
        return local.date()
    return local.date() - DAY if at < closes else None


def walked(
    opens: time, closes: time, zone: ZoneInfo, begin: datetime, end: datetime
) -> dict[str, tuple[datetime, datetime]]:
    """Day to the longest stretch of its window, of those that end between two times of UTC."""
    stretches: dict[date, list[tuple[datetime, datetime]]] = defaultdict(list)
    since, open_day, at = begin, None, begin
    while at <= end:
        day = day_of(at.astimezone(zone), opens, closes)
        if day != open_day:
            if open_day is not None:
                stretches[open_day].append((since, at))
            since, open_day = at, day
        at += MINUTE
    return {
        day.isoformat(): max(found, key=lambda stretch: stretch[1] - stretch[0])
        for day, found in stretches.items()
    }


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
