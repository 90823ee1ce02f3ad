"""The moment of a tick: what holds for all rollouts at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import available_timezones

from hotmend.fleet.window import Window, current
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
    now = datetime.fromtimestamp(minute, UTC)
    found = ((name, current(window, zone(name), now)) for name in sorted(available_timezones()))
    return {
        name: (occurrence.opens.timestamp(), occurrence.closes.timestamp())
        for name, occurrence in found
        if occurrence is not None
    }
