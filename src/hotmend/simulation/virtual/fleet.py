"""The machines of a virtual world: where they stand, whose they are, what is odd about them. Pure.

Regions are Azure's, of which some are paired, in two cases in threes; time zones include those
of half hours, and of machines that do not go by their region's.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hotmend.fleet import regions
from hotmend.fleet.place import place_of
from hotmend.simulation.virtual.scenario import Scenario

REGIONS = (
    *("westeurope", "northeurope", "eastus", "westus", "westus3", "brazilsouth", "southcentralus"),
    *("northcentralus", "centralindia", "southindia", "australiaeast", "polandcentral"),
)
_ELSEWHERE = ("Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "Etc/UTC")
_HONEST, _FLATTERS, _SLANDERS = "", "flatters", "slanders"
_DAY_S = 86_400.0


@dataclass(frozen=True)
class Machine:
    """``group`` and ``domain`` as in ``fleet.place``; ``clock_s``: by how much its clock is wrong;
    ``build``: which of ten it runs; ``busy``: it has load at night, too; ``lie``: "" or what it
    does; ``off``: when it is switched off each day, as (second of the day, for how long), None for
    never; ``automatic``: its owner has it patched without being asked."""

    id: str
    owner: str
    region: str
    zone: str
    group: str
    domain: int
    time_zone: str
    clock_s: float
    build: int
    busy: bool
    lie: str
    off: tuple[float, float] | None
    automatic: bool

    @property
    def flatters(self) -> bool:
        return self.lie == _FLATTERS

    @property
    def slanders(self) -> bool:
        return self.lie == _SLANDERS


def fleet(scenario: Scenario) -> tuple[Machine, ...]:
    """In the order of their ids."""
    chance = scenario.chance("fleet")
    where = chance.sample(REGIONS, min(len(REGIONS), chance.randint(3, 6)))
    owners = [f"owner-{n}" for n in range(chance.randint(3, 6))]
    weights = [chance.choice((1, 2, 5)) for _ in where]
    in_set: Counter[tuple[str, str]] = Counter()
    shapes = {where_: (chance.choice((2, 3, 5, 12, 23)), chance.randint(2, 5)) for where_ in where}
    liars = _liars(scenario, owners)
    return tuple(
        _machine(number, scenario, chance, where, weights, owners, in_set, shapes, liars)
        for number in range(scenario.machines)
    )


def _machine(
    number: int,
    scenario: Scenario,
    chance: random.Random,
    where: Sequence[str],
    weights: Sequence[int],
    owners: Sequence[str],
    in_set: Counter[tuple[str, str]],
    shapes: dict[str, tuple[int, int]],
    liars: str,
) -> Machine:
    (region,) = chance.choices(where, weights)
    owner, zone, availability_set, domain = chance.choice(owners), "", "", 0
    size, domains = shapes[region]
    if chance.random() < 0.4:
        nth = in_set[owner, region]
        in_set[owner, region] += 1
        availability_set = f"/subscriptions/{owner}/availabilitysets/{region}-{nth // size}"
        domain = nth % size % domains
    elif chance.random() < 0.8:
        zone = chance.choice("123")
    place = place_of(owner, region, zone, availability_set, domain)
    faults = scenario.faults
    odd = chance.random() < 0.05
    return Machine(
        id=f"machine-{number:06}",
        owner=owner,
        region=place.region,
        zone=place.zone,
        group=place.group,
        domain=place.domain,
        time_zone=chance.choice(_ELSEWHERE) if odd else regions.known()[region].zone,
        clock_s=chance.uniform(-faults.clock_s, faults.clock_s),
        build=chance.randrange(10),
        busy=chance.random() < 0.125,
        lie=_lie(scenario, chance, owner == liars),
        off=_off(chance) if chance.random() < faults.off else None,
        automatic=chance.random() < 0.95,
    )


def _liars(scenario: Scenario, owners: Sequence[str]) -> str:
    """The owner of all slanderers."""
    return scenario.chance("liars").choice(owners)


def _lie(scenario: Scenario, chance: random.Random, slanders: bool) -> str:
    flatter, slander = chance.random(), chance.random()
    if slanders and slander < scenario.faults.slander * 5:
        return _SLANDERS
    return _FLATTERS if flatter < scenario.faults.flatter else _HONEST


def _off(chance: random.Random) -> tuple[float, float]:
    return chance.uniform(0, _DAY_S), chance.uniform(600, 12 * 3600)
