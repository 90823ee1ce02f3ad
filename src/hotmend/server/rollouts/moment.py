"""The moment of a tick: what holds for all rollouts at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

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

    def open_zones(self, window: Window, names: Iterable[str]) -> Mapping[str, tuple[float, float]]:
        """Those of the time zones (IANA names) in which ``window`` is open, with (opens,
        closes)."""
        return _open(window, tuple(names), self.now // _MINUTE_S * _MINUTE_S)


@lru_cache(maxsize=8)
def _open(window: Window, names: tuple[str, ...], minute: float) -> dict[str, tuple[float, float]]:
    """Windows open and close at whole minutes, by every clock there is."""
    day = datetime.fromtimestamp(minute, UTC).date()
    return {
        name: (opens, closes)
        for name in names
        for opens, closes in _around(window, name, day)
        if opens <= minute < closes
    }


@lru_cache(maxsize=4096)
def _around(window: Window, name: str, day: date) -> tuple[tuple[float, float], ...]:
    """All of a day and of those around it; a clock is at most 14 hours away from another one."""
    days = [day + timedelta(days=number) for number in range(-2, 3)]
    found = (occurrence(window, zone(name), day) for day in days)
    return tuple((one.opens.timestamp(), one.closes.timestamp()) for one in found if one)
