"""A maintenance window of Azure's: read, and its occurrences in UTC. Pure.

Source: maintenance configurations of scope InGuestPatch (REST API 2023-04-01, and Update Manager's
scheduled-patching.md): from 1 h 30 min to 3 h 55 min long, the first one not before
startDateTime, none after expirationDateTime. A local time that the clock leaves out counts as if
it had not been put forward yet, and one that comes twice is the first: RFC 5545, 3.3.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from hotmend.fleet import recurrence
from hotmend.fleet.recurrence import Recurrence
from hotmend.fleet.window import Occurrence
from hotmend.fleet.zone import zone

LEAST = timedelta(hours=1, minutes=30)
MOST = timedelta(hours=3, minutes=55)
NOTICE = timedelta(minutes=15)
NEVER = datetime(9999, 12, 31, 23, 59, 59)
_LEAST = timedelta(microseconds=1)
# Years in which every clock and calendar can be counted out.
_YEARS = range(1970, 9000)


@dataclass(frozen=True)
class Schedule:
    """``start`` and ``expires``: local times without a zone. ``recurs``: None for once."""

    start: datetime
    expires: datetime
    lasts: timedelta
    zone: ZoneInfo
    recurs: Recurrence | None


def parsed(window: Mapping[str, object]) -> Schedule:
    """From the maintenanceWindow of a configuration. Raises ValueError with a sentence."""
    start = _local(window, "startDateTime")
    expires = _local(window, "expirationDateTime") if window.get("expirationDateTime") else NEVER
    if start.year not in _YEARS:
        raise ValueError(f"startDateTime must be from {_YEARS[0]} to {_YEARS[-1]}")
    if expires <= start:
        raise ValueError("expirationDateTime must be after startDateTime")
    length = re.fullmatch(r"(\d\d):([0-5]\d)", _text(window, "duration"), re.ASCII)
    lasts = timedelta(hours=int(length[1]), minutes=int(length[2])) if length else timedelta(0)
    if not LEAST <= lasts <= MOST:
        raise ValueError('duration must be "HH:MM", from 01:30 to 03:55')
    recurs = recurrence.parsed(_text(window, "recurEvery")) if window.get("recurEvery") else None
    return Schedule(start, expires, lasts, zone(_text(window, "timeZone")), recurs)


def too_soon(schedule: Schedule, now: datetime) -> bool:
    """Whether it begins sooner than 15 minutes after it was made or changed."""
    return _instant(schedule, schedule.start) < now + NOTICE


def occurrences(schedule: Schedule, since: datetime | None = None) -> Iterator[Occurrence]:
    """In order. ``since``: leave out those that open before that time of UTC."""
    # By the local clock and a day earlier; then exactly.
    around = since and since.astimezone(schedule.zone).replace(tzinfo=None) - timedelta(days=1)
    if schedule.recurs is None:
        times = iter([schedule.start])
    else:
        times = recurrence.starts(schedule.recurs, schedule.start, around)
    for at in takewhile(lambda at: at <= schedule.expires, times):
        opens = _instant(schedule, at)
        if since is None or opens >= since:
            yield Occurrence(f"{at:%Y-%m-%dT%H:%M}", opens, opens + schedule.lasts)


def current(schedule: Schedule, now: datetime) -> Occurrence | None:
    """The one that is open at ``now``, in UTC."""
    found = next(occurrences(schedule, now - schedule.lasts + _LEAST), None)
    return found if found is not None and found.contains(now) else None


def next_after(schedule: Schedule, now: datetime) -> Occurrence | None:
    """The next that opens later than ``now``; None if there are no more."""
    return next(occurrences(schedule, now + _LEAST), None)


def _instant(schedule: Schedule, local: datetime) -> datetime:
    return local.replace(tzinfo=schedule.zone).astimezone(UTC)


def _text(window: Mapping[str, object], name: str) -> str:
    value = window.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing, or is not text")
    return value


def _local(window: Mapping[str, object], name: str) -> datetime:
    text = _text(window, name)
    form = "%Y-%m-%d %H:%M:%S" if text.count(":") == 2 else "%Y-%m-%d %H:%M"
    try:
        return datetime.strptime(text, form)
    except ValueError:
        raise ValueError(f'{name} must be like "2026-01-31 22:00", not {text!r}') from None
