"""The rollout policy: what no control plane may exceed, signed by the publishers.

It is a target of its own (``policy.json``), so that it takes as many signatures as a hotpatch. A
control plane selects among hotpatches within it; what one machine can know by itself, the machine
enforces (``agent.allowed``). Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from hotmend.release.errors import CatalogueError

TARGET = "policy.json"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SLOTS = 10_000
_LONGEST_SOAK = 366 * 24 * 60


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
class Ring:
    """``percent``: the share of all machines that falls into it."""

    name: str
    percent: float


@dataclass(frozen=True)
class Policy:
    """``rings``: in their order; ``largest_batch``: machines that may be patched at a time;
    ``windows``: when, none for any time; ``minimum_soak``: how much later than the ring before a
    ring may begin with a release; ``orders_per_day``: which one machine carries out in 24 hours,
    installations and restarts together."""

    rings: tuple[Ring, ...]
    largest_batch: int
    windows: tuple[Window, ...]
    minimum_soak: timedelta
    orders_per_day: int

    def ring(self, identity: str, named: str = "") -> int:
        """The ring of a machine, by its place: the one that its owner ``named``, else by a hash of
        its ``identity``, so that nobody else chooses. What tells nothing belongs to the last."""
        names = [ring.name for ring in self.rings]
        if named in names:
            return names.index(named)
        if named or not identity:
            return len(self.rings) - 1
        digest = hashlib.sha256(f"hotmend ring {identity}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") % _SLOTS * 100 / _SLOTS
        for place, ring in enumerate(self.rings):
            share -= ring.percent
            if share < 0:
                return place
        return len(self.rings) - 1

    def begins(self, ring: int, released: datetime) -> datetime:
        """When the ring at that place may begin with a release: one soak after the ring before."""
        return released + ring * self.minimum_soak

    def open_at(self, local: datetime) -> bool:
        """``local``: the machine's wall clock."""
        return not self.windows or any(window.contains(local) for window in self.windows)


def parse(text: str) -> Policy:
    """From JSON. Raises CatalogueError."""
    try:
        row = json.loads(text)
        policy = Policy(
            rings=_rings(row["rings"]),
            largest_batch=_count(row["largest_batch"]),
            windows=tuple(_window(window) for window in row["windows"]),
            minimum_soak=timedelta(minutes=_number(row["minimum_soak_minutes"], _LONGEST_SOAK)),
            orders_per_day=_count(row["orders_per_day"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CatalogueError(f"not a rollout policy: {error!r}") from None
    return policy


def _rings(rows: Sequence[dict[str, Any]]) -> tuple[Ring, ...]:
    rings = tuple(Ring(str(row["name"]), _number(row["percent"], 100)) for row in rows)
    if not rings or len({ring.name for ring in rings}) != len(rings):
        raise ValueError("rings are a list with different names")
    if round(sum(ring.percent for ring in rings), 6) != 100:
        raise ValueError("the rings' percent add up to 100")
    return rings


def _window(row: dict[str, Any]) -> Window:
    days = frozenset(_DAYS.index(day) for day in row.get("days", _DAYS))
    if not days:
        raise ValueError("a window opens on some day")
    opens, closes = time.fromisoformat(row["opens"]), time.fromisoformat(row["closes"])
    if opens.tzinfo or closes.tzinfo:
        raise ValueError("a window is in the machine's own time zone")
    return Window(days, opens, closes)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{value!r} is no number of at least 1")
    return value


def _number(value: object, most: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{value!r} is no number from 0 to {most}")
    return float(value)
