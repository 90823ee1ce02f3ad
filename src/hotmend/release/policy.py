"""The rollout policy: what no control plane may exceed, signed, and enforced by agents.

It is a target of its own (``policy.json``), so that it takes as many signatures as a hotpatch. A
control plane selects among hotpatches within it; an order beyond it is refused on the machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hotmend.release.errors import CatalogueError

TARGET = "policy.json"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Window:
    """From ``opens`` until ``closes`` of the machine's own clock; past midnight when it closes no
    later than it opens. ``days``: on which it opens, Monday is 0."""

    days: frozenset[int]
    opens: time
    closes: time

    def contains(self, local: datetime) -> bool:
        """``local``: the machine's wall clock."""
        now = local.time().replace(tzinfo=None)
        if self.opens < self.closes:
            return local.weekday() in self.days and self.opens <= now < self.closes
        if now >= self.opens:
            return local.weekday() in self.days
        return now < self.closes and (local.weekday() - 1) % 7 in self.days


@dataclass(frozen=True)
class Policy:
    """``rings``: in their order; ``largest_batch``: machines that may be patched at a time;
    ``minimum_soak``: how long a release must have run in the ring before."""

    rings: tuple[str, ...]
    largest_batch: int
    windows: tuple[Window, ...]
    minimum_soak: timedelta


@dataclass(frozen=True)
class Request:
    """What an order asks of a machine. ``soaked``: how long the release has run in the ring
    before, None in the first; ``batch``: machines in flight with it."""

    ring: str
    batch: int
    soaked: timedelta | None
    now: datetime
    zone: str


def forbids(policy: Policy, request: Request) -> str:
    """Why the policy does not allow it, one sentence; "" when it does."""
    if request.ring not in policy.rings:
        return f"the policy has no ring {request.ring}; it has {', '.join(policy.rings)}"
    if request.batch > policy.largest_batch:
        return f"{request.batch} machines at a time; the policy allows {policy.largest_batch}"
    first = policy.rings.index(request.ring) == 0
    if not first and (request.soaked is None or request.soaked < policy.minimum_soak):
        return f"the ring before has not run it for {policy.minimum_soak}"
    try:
        local = request.now.astimezone(ZoneInfo(request.zone))
    except (ZoneInfoNotFoundError, ValueError):
        return f"{request.zone!r} is no time zone"
    if policy.windows and not any(window.contains(local) for window in policy.windows):
        return f"{local:%a %H:%M} in {request.zone} is outside every window of the policy"
    return ""


def parse(text: str) -> Policy:
    """From JSON. Raises CatalogueError."""
    try:
        row = json.loads(text)
        policy = Policy(
            rings=_names(row["rings"]),
            largest_batch=int(row["largest_batch"]),
            windows=tuple(_window(window) for window in row["windows"]),
            minimum_soak=timedelta(minutes=float(row["minimum_soak_minutes"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CatalogueError(f"not a rollout policy: {error!r}") from None
    if policy.largest_batch < 1 or policy.minimum_soak < timedelta(0):
        raise CatalogueError("a rollout policy has a batch of at least 1 and a soak of at least 0")
    return policy


def _names(value: Sequence[str]) -> tuple[str, ...]:
    names = tuple(str(name) for name in value)
    if isinstance(value, str) or not names or len(set(names)) != len(names):
        raise ValueError("rings are a list of different names")
    return names


def _window(row: dict[str, Any]) -> Window:
    days = frozenset(_DAYS.index(day) for day in row.get("days", _DAYS))
    if not days:
        raise ValueError("a window opens on some day")
    return Window(days, time.fromisoformat(row["opens"]), time.fromisoformat(row["closes"]))
