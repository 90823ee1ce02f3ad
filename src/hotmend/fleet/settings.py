"""The numbers of rollouts. All of them are ours: Azure publishes none but the 30 days.

The defaults hold one promise together: a bad hotpatch harms at most 1 % of the fleet, or 10
machines of a small one. `rollout.py` says why that is ``owners_to_halt`` times ``most_share`` or
``least_most``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import time
from functools import cache
from typing import Annotated, Any, get_type_hints

_DAY_S = 86_400.0


@dataclass(frozen=True)
class About:
    """What a setting is: its unit, from where to where it may be set, why it is as it is."""

    unit: str
    least: float
    most: float
    why: str


_OFF_PEAK = About("local time", 0, 0, "Azure says off-peak, and no hours; nights disturb fewest")


@dataclass(frozen=True)
class Settings:
    """Each with its default. `about` has the rest."""

    window_opens: Annotated[time, _OFF_PEAK] = time(22, 0)
    window_closes: Annotated[time, _OFF_PEAK] = time(6, 0)
    soak_s: Annotated[
        float, About("s", 0, 7 * _DAY_S, "what crashes only after ten minutes is still seen")
    ] = 900.0
    signal_max_age_s: Annotated[
        float, About("s", 1, _DAY_S, "an agent is heard each minute; several times may get lost")
    ] = 300.0
    order_patience_s: Annotated[
        float, About("s", 1, 7 * _DAY_S, "downloads take long, and so do restarts")
    ] = 3600.0
    attempts: Annotated[
        int, About("windows", 1, 30, "what failed in three nights will not work in the fourth")
    ] = 3
    most_share: Annotated[
        float, About("of the fleet", 0, 1, "all in flight may be harmed before anybody knows")
    ] = 0.005
    least_most: Annotated[int, About("machines", 1, 10**6, "a small fleet must get on, too")] = 5
    failure_share: Annotated[
        float,
        About("of those attempted", 0, 1, "below most_share, so that accidents alone stop nothing"),
    ] = 0.004
    least_failures: Annotated[
        int, About("machines", 0, 10**6, "two may be accidents; the third is not")
    ] = 2
    owners_to_halt: Annotated[
        int, About("owners", 1, 10**6, "one may lie or be special; two that agree are believed")
    ] = 2
    canary_failures: Annotated[
        int, About("machines", 1, 10**6, "canaries are there to be believed")
    ] = 1
    canary_share: Annotated[
        float, About("of the fleet", 0, 1, "a hundred miss a crash of 5 % one time in 170")
    ] = 0.01
    least_canaries: Annotated[
        int, About("machines", 0, 10**6, "one could be a lucky one, also in a small fleet")
    ] = 3
    canary_bake_s: Annotated[
        float, About("s", 0, 14 * _DAY_S, "a working day brings the load that nights do not")
    ] = _DAY_S
    healthy_share: Annotated[
        float, About("of those attempted", 0, 1, "two failures may be most of a small phase")
    ] = 0.9
    phase_most_days: Annotated[
        float,
        About("days", 0, 30, "who never comes to its turn holds up others no longer"),
    ] = 3.0
    reachable_s: Annotated[
        float, About("s", 1, 30 * _DAY_S, "who was not heard from for a day is switched off")
    ] = _DAY_S
    promise_days: Annotated[
        float, About("days", 1, 365, "Azure's: every machine within 30 days of the release")
    ] = 30.0
    promise_warning_days: Annotated[
        float, About("days", 0, 365, "time enough for a person to do something")
    ] = 7.0

    def failure_budget(self, attempted: int) -> float:
        """How many failures of so many attempted are tolerated."""
        return max(self.least_failures, self.failure_share * attempted)

    def most(self, fleet: int) -> int:
        """How many machines of a fleet of that size may be away or harmed at once."""
        return max(self.least_most, int(self.most_share * fleet))


@cache
def about() -> Mapping[str, About]:
    """Setting to what it is, in the order of Settings."""
    hints = get_type_hints(Settings, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


@cache
def _types() -> Mapping[str, type]:
    return get_type_hints(Settings)


def parsed(document: Mapping[str, object]) -> Settings:
    """Settings from a JSON object: the defaults where it says nothing, times as "HH:MM". Raises
    ValueError with a sentence."""
    known, types = about(), _types()
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name not in known:
            raise ValueError(f"{name!r} is no setting; there are {', '.join(known)}")
        if types[name] is time:
            values[name] = _time(name, value)
        else:
            values[name] = _number(name, types[name], known[name], value)
    settings = replace(Settings(), **values)
    if settings.window_opens == settings.window_closes:
        raise ValueError("window_opens and window_closes are the same time")
    if settings.promise_warning_days > settings.promise_days:
        raise ValueError("promise_warning_days is more than promise_days")
    return settings


def _number(name: str, kind: type, about: About, value: object) -> object:
    if not isinstance(value, int if kind is int else (int, float)) or isinstance(value, bool):
        raise ValueError(f"{name} must be a {'whole ' * (kind is int)}number")
    if not about.least <= value <= about.most:
        bounds = f"from {about.least:g} to {about.most:g} {about.unit}"
        raise ValueError(f"{name} must be {bounds}, not {value}")
    return kind(value)


def _time(name: str, value: object) -> time:
    try:
        if not isinstance(value, str) or len(value) != len("HH:MM"):
            raise ValueError
        return time.fromisoformat(value)
    except ValueError:
        raise ValueError(f'{name} must be a time of day such as "22:00"') from None
