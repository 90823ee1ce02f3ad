"""Admission: which machines may start now. Pure; the control plane asks the same in SQL.

The rules, in their order; each sees what the one before has left, sorted by (phase, region, zone,
group, domain, machine), in which all of a group are of one region and zone:

1. *holds*: a machine that is in flight or failed in any rollout starts in no other.
2. *group*: at most ``max(1, n // 5)`` of a group of n hold, over all rollouts, failed machines
   too, and all that start are of one update domain: that of the group's holdings (the least if
   there are several), or else the first candidate's.
3. *pair*: of regions that are paired, one starts: that with turns of this rollout in flight
   (the least if there are several), or else the first candidate's.
4. *zone*: of a region's zones, one starts: that with turns of this rollout in flight (the least
   if there are several), or else the first zoned candidate's. Machines without a zone stay.
5. *most*: no more than ``most`` turns of this rollout are in flight.

Source: "Availability-first updates" of automatic-vm-guest-patching.md. There: one update domain at
a time, a fifth of a set at most, one at a time below ten (which ``max(1, n // 5)`` is), zones and
paired regions never at the same time. Ours: that failed machines go on counting, that all rollouts
count, the order, that groups outside sets have the same budget, and ``most``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hotmend.fleet.place import Place
from hotmend.fleet.regions import pair_keys


class Gate(StrEnum):
    """The rules by name; what a machine that may not start was stopped by."""

    HOLDS = "holds"
    GROUP = "group"
    PAIR = "pair"
    ZONE = "zone"
    MOST = "most"


@dataclass(frozen=True)
class Candidate:
    """A turn that waits, in a phase that is open, of a machine that is on, heard from, not
    excluded, and in its window now. A machine has one turn in a rollout."""

    machine: str
    phase: int
    place: Place

    @property
    def order(self) -> tuple[int, Place, str]:
        return (self.phase, self.place, self.machine)


@dataclass(frozen=True)
class Holding:
    """A turn in flight or failed, of any rollout. ``same``: it is of the rollout in question."""

    machine: str
    place: Place
    same: bool
    in_flight: bool


@dataclass(frozen=True)
class Facts:
    """What admission looks at beside the candidates. ``sizes``: enrolled machines of each group,
    in the rollout or not. ``pairs``: region to paired region. ``most``: turns in flight."""

    holdings: Sequence[Holding]
    sizes: Mapping[str, int]
    pairs: Mapping[str, str]
    most: int

    @property
    def flying(self) -> list[Holding]:
        """Turns of this rollout in flight."""
        return [h for h in self.holdings if h.same and h.in_flight]


@dataclass(frozen=True)
class Admission:
    """``start``: in order. ``stopped``: machine to the rule that it did not pass."""

    start: tuple[Candidate, ...]
    stopped: Mapping[str, Gate]


Rule = Callable[[list[Candidate], Facts], list[Candidate]]


def budget(size: int) -> int:
    """How many machines of a group of ``size`` may be away at once."""
    return max(1, size // 5)


def admission(candidates: Iterable[Candidate], facts: Facts) -> Admission:
    """Who starts now, and what stopped each of the others. The order in which candidates and
    holdings are given makes no difference."""
    left = sorted(candidates, key=lambda c: c.order)
    stopped: dict[str, Gate] = {}
    for gate, rule in RULES.items():
        kept = rule(left, facts)
        names = {c.machine for c in kept}
        stopped |= {c.machine: gate for c in left if c.machine not in names}
        left = kept
    return Admission(tuple(left), stopped)


def _free(candidates: list[Candidate], facts: Facts) -> list[Candidate]:
    busy = {h.machine for h in facts.holdings}
    return [c for c in candidates if c.machine not in busy]


def _group(candidates: list[Candidate], facts: Facts) -> list[Candidate]:
    used = Counter(h.place.group for h in facts.holdings)
    active: dict[str, int] = {}
    for h in facts.holdings:
        active[h.place.group] = min(h.place.domain, active.get(h.place.group, h.place.domain))
    kept = []
    for c in candidates:
        group = c.place.group
        in_turn = c.place.domain == active.setdefault(group, c.place.domain)
        if in_turn and used[group] < budget(facts.sizes.get(group, 0)):
            used[group] += 1
            kept.append(c)
    return kept


def _pair(candidates: list[Candidate], facts: Facts) -> list[Candidate]:
    keys = pair_keys(facts.pairs)
    active: dict[str, str] = {}
    for region in sorted(h.place.region for h in facts.flying):
        if region in keys:
            active.setdefault(keys[region], region)
    return [
        c
        for c in candidates
        if c.place.region not in keys
        or active.setdefault(keys[c.place.region], c.place.region) == c.place.region
    ]


def _zone(candidates: list[Candidate], facts: Facts) -> list[Candidate]:
    active: dict[str, str] = {}
    for region, zone in sorted((h.place.region, h.place.zone) for h in facts.flying):
        if zone:
            active.setdefault(region, zone)
    return [
        c
        for c in candidates
        if not c.place.zone or active.setdefault(c.place.region, c.place.zone) == c.place.zone
    ]


def _most(candidates: list[Candidate], facts: Facts) -> list[Candidate]:
    return candidates[: max(0, facts.most - len(facts.flying))]


RULES: dict[Gate, Rule] = {
    Gate.HOLDS: _free,
    Gate.GROUP: _group,
    Gate.PAIR: _pair,
    Gate.ZONE: _zone,
    Gate.MOST: _most,
}
