"""The moment of a tick: what holds for all rollouts at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import available_timezones

from hotmend.fleet.window import Window, occurrence
from hotmend.fleet.zone import zone

_MINUTE_S = 60.0


@dataclass(frozen=True)
class Moment:
    """``listening_since``: since when agents were listened to without a break; ``pairs``: regions
    with one value are never patched at the same time."""

    now: float
    listening_since: float
    pairs: Mapping[str, str]

    def open_zones(self, window: Window) -> Mapping[str, tuple[float, float]]:
        """IANA names of the time zones in which ``window`` is open, with (opens, closes)."""
        return _open(window, self.now // _MINUTE_S * _MINUTE_S)


@lru_cache(maxsize=8)
def _open(window: Window, minute: float) -> dict[str, tuple[float, float]]:
    """Windows open and close at whole minutes, by every clock there is."""
    day = datetime.fromtimestamp(minute, UTC).date()
    return {
        name: (opens, closes)
        for name, opens, closes in _around(window, day)
        if opens <= minute < closes
    }


@lru_cache(maxsize=64)
def _around(window: Window, day: date) -> tuple[tuple[str, float, float], ...]:
    """All of a day and of those around it; a clock is at most 14 hours away from another one."""
    days = [day + timedelta(days=number) for number in range(-2, 3)]
    found = ((name, occurrence(window, zone(name), day)) for name in _time_zones() for day in days)
    return tuple(
        (name, one.opens.timestamp(), one.closes.timestamp())
        for name, one in found
        if one is not None
    )


@cache
def _time_zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))
