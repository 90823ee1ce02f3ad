"""Time zones by the names that machines and Azure's clients use. Pure.

Azure speaks Windows' names ("Pacific Standard Time"), Linux IANA's ("America/Los_Angeles"). Which
is which is Unicode CLDR's table, as tzlocal ships it; the clocks are the IANA database's.
"""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from tzlocal.windows_tz import win_tz

from hotmend.fleet.regions import known


@cache
def _windows() -> dict[str, str]:
    return {name.lower(): iana for name, iana in win_tz.items()}


@cache
def _iana() -> frozenset[str]:
    return frozenset(available_timezones())


def zone(name: str) -> ZoneInfo:
    """By either name; Windows' are compared without case, as Windows does. Raises ValueError."""
    key = _windows().get(name.lower(), name)
    if key not in _iana():
        raise ValueError(
            f"{name!r} is no time zone: give a Windows name such as 'W. Europe Standard Time' "
            "or an IANA name such as 'Europe/Berlin'"
        )
    return ZoneInfo(key)


def zone_of(own: str, region: str) -> ZoneInfo:
    """A machine's: its own if it says one that is known, else its region's, else UTC."""
    place = known().get(region)
    for name in (own, place.zone if place else ""):
        try:
            return zone(name)
        except ValueError:
            continue
    return ZoneInfo("UTC")
