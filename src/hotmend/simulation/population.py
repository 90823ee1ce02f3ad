"""Who a simulated fleet consists of: names, regions, zones, availability sets, tags. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hotmend.fleet import regions

ZONES = ("1", "2", "3")
_UNKNOWN_ZONE = "Etc/UTC"


@dataclass(frozen=True)
class Layout:
    """``in_sets``: the share of machines that are in an availability set, of ``set_size`` each
    and ``update_domains``; the others are in a zone of their region."""

    group: str
    regions: Sequence[str]
    in_sets: float = 0.3
    set_size: int = 5
    update_domains: int = 5
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Place:
    """Where one machine is. ``zone`` or ``availability_set`` is ""; ``time_zone``: IANA's name."""

    name: str
    region: str
    zone: str
    availability_set: str
    time_zone: str
    tags: tuple[tuple[str, str], ...]


def population(layout: Layout, number: int, seed: int) -> tuple[Place, ...]:
    """``number`` machines; regions take turns, sets are full but for the last of a region."""
    chance = random.Random(f"{seed} population")
    tags = tuple({**(layout.tags or {}), "simulated": "true"}.items())
    in_set = dict.fromkeys(layout.regions, 0)
    places = []
    for n in range(number):
        region = layout.regions[n % len(layout.regions)]
        zone, availability_set = "", ""
        if chance.random() < layout.in_sets:
            availability_set = f"{region}-set-{in_set[region] // layout.set_size + 1}"
            in_set[region] += 1
        else:
            zone = chance.choice(ZONES)
        name = f"simulated-{n + 1:05}"
        places.append(Place(name, region, zone, availability_set, _time_zone(region), tags))
    return tuple(places)


def alone(name: str, region: str) -> Place:
    """A machine of which nobody said more."""
    return Place(name, region, "", "", _time_zone(region), (("simulated", "true"),))


def _time_zone(region: str) -> str:
    known = regions.known().get(region)
    return known.zone if known is not None else _UNKNOWN_ZONE
