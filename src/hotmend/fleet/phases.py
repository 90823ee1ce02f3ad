"""Phases: in which order the machines of a rollout come. Pure.

Phase 0 are the canaries; from 1 on each phase is some regions. The two regions of a geo-pair are
never in one phase, which is Azure's rule; which regions make a phase is not published. Ours: small
regions first, and a phase has no more machines than all before it together, so that what is not
known yet never meets more than what is known to work.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest

from hotmend.fleet.regions import pair_keys
from hotmend.fleet.rollout import CANARIES
from hotmend.fleet.settings import Settings


@dataclass(frozen=True)
class Member:
    """A machine of a rollout. ``owner``: its subscription."""

    machine: str
    region: str
    owner: str


def phases(
    members: Iterable[Member], pairs: Mapping[str, str], canaries: Collection[str]
) -> dict[str, int]:
    """Machine to phase. ``pairs``: region to paired region; ``canaries``: machines."""
    everybody = list(members)
    sizes = Counter(m.region for m in everybody if m.machine not in canaries)
    of_region = region_phases(sizes, pairs)
    return {
        m.machine: CANARIES if m.machine in canaries else of_region[m.region] for m in everybody
    }


def region_phases(sizes: Mapping[str, int], pairs: Mapping[str, str]) -> dict[str, int]:
    """Region to phase, from 1 on, none left out. ``sizes``: machines by region."""
    keys = pair_keys(pairs)
    left = sorted(sizes, key=lambda region: (sizes[region], region))
    found: dict[str, int] = {}
    phase = CANARIES
    while left:
        phase += 1
        room = sum(sizes[region] for region in found)
        taken: list[str] = []
        for region in left:
            alone = keys.get(region, region) not in {keys.get(t, t) for t in taken}
            fits = sum(sizes[t] for t in taken) + sizes[region] <= room
            if alone and (fits or not taken):
                taken.append(region)
        found.update(dict.fromkeys(taken, phase))
        left = [region for region in left if region not in found]
    return found


def chosen_canaries(members: Iterable[Member], settings: Settings, rollout: str) -> frozenset[str]:
    """Canaries where nobody named any: of every owner in turn, and of every region of it in turn;
    other machines for another ``rollout``, the same for the same one. Never more than half."""
    owners: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    count = 0
    for member in members:
        owners[member.owner][member.region].append(member.machine)
        count += 1
    wanted = max(settings.least_canaries, math.ceil(settings.canary_share * count))

    def shuffled(machines: Sequence[str]) -> list[str]:
        return sorted(machines, key=lambda m: sha256(f"{rollout}/{m}".encode()).digest())

    rows = [
        list(_in_turn([shuffled(regions[region]) for region in shuffled(list(regions))]))
        for regions in (owners[owner] for owner in shuffled(list(owners)))
    ]
    return frozenset(list(_in_turn(rows))[: min(wanted, count // 2)])


def _in_turn(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first of each, then the second of each, ..."""
    for column in zip_longest(*rows):
        yield from (name for name in column if name is not None)
