"""A scenario: all that a seed and a few words say of a virtual world before it begins. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

DAY_S = 86_400.0
_BEGINS = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Faults:
    """Shares are of 1. ``lost``, ``doubled``: of messages; ``delay_s``: the longest of one, by
    which messages overtake each other; ``partitions``: of each region a day, ``partition_s`` long
    at most; ``agent_dies``: of the steps of an order after each of which an agent may die;
    ``replica_dies``: of transactions; ``replica_away_s``: for how long then, at most; ``off``: of
    machines that are switched off now and then; ``clock_s``: the largest error of a machine's
    clock; ``fails``: of installations; ``flatter``, ``slander``: of machines that say that all went
    well, or that nothing did, whatever happened."""

    lost: float = 0.0
    doubled: float = 0.0
    delay_s: float = 0.2
    partitions: float = 0.0
    partition_s: float = 0.0
    agent_dies: float = 0.0
    replica_dies: float = 0.0
    replica_away_s: float = 0.0
    off: float = 0.0
    clock_s: float = 0.0
    fails: float = 0.0
    flatter: float = 0.0
    slander: float = 0.0


FAULTS: Mapping[str, Faults] = {
    "none": Faults(),
    "some": Faults(
        **{"lost": 0.02, "doubled": 0.02, "delay_s": 5.0, "partitions": 0.3, "partition_s": 7200.0},
        **{"agent_dies": 0.02, "replica_dies": 0.01, "replica_away_s": 300.0, "off": 0.1},
        **{"clock_s": 30.0, "fails": 0.002, "flatter": 0.01, "slander": 0.001},
    ),
    "many": Faults(
        **{"lost": 0.2, "doubled": 0.2, "delay_s": 60.0, "partitions": 2.0, "partition_s": 14400.0},
        **{"agent_dies": 0.15, "replica_dies": 0.1, "replica_away_s": 1800.0, "off": 0.3},
        **{"clock_s": 600.0, "fails": 0.01, "flatter": 0.02, "slander": 0.005},
    ),
}


@dataclass(frozen=True)
class Scenario:
    """``days``: for how long there are faults, and people who meddle; after that nothing goes wrong
    any more. ``hotpatch``: how it behaves, a name of ``hotpatch.KINDS``; ``releases``: how many are
    published, days apart; ``written``: settings of the rollouts, as people write them. ``people``:
    there are some who see to what failed; without, a world ends when a rollout is halted."""

    machines: int
    seed: int
    days: float = 4.0
    faults: Faults = FAULTS["some"]
    hotpatch: str = "good"
    releases: int = 2
    written: Mapping[str, object] = field(default_factory=dict)
    people: bool = True

    @property
    def begins(self) -> float:
        """Somewhere in two years: clocks change in some of them."""
        return _BEGINS + int(self.chance("begins").random() * 730 * 24) * 3600.0

    def chance(self, what: str) -> random.Random:
        """The same for the same seed, whatever else is asked for."""
        return random.Random(f"{self.seed} {what}")


def varied(machines: int, seed: int, days: float = 4.0, faults: str = "") -> Scenario:
    """One of many: the seed chooses faults, where nobody did, and settings."""
    chance = random.Random(f"{seed} scenario")
    level = chance.choice(("none", "some", "some", "many"))
    written = {
        "most_share": chance.choice((0.05, 0.1, 0.2)),
        "canary_bake_s": chance.choice((3600.0, DAY_S)),
        "soak_s": chance.choice((300.0, 900.0)),
        "failure_share": chance.choice((0.004, 0.02, 0.05)),
        "canary_failures": chance.choice((1, 2, 5)),
        "window_opens": chance.choice(("22:00", "22:00", "00:30", "12:00")),
        "window_closes": chance.choice(("06:00", "05:30", "04:00")),
    }
    releases = chance.choice((1, 2, 2))
    return Scenario(machines, seed, days, FAULTS[faults or level], "good", releases, written)


def drill(machines: int, seed: int, hotpatch: str, days: float = 4.0) -> Scenario:
    """Nothing is wrong but the hotpatch, and nobody meddles: with the default settings, how many
    does it harm?"""
    return Scenario(machines, seed, days, FAULTS["none"], hotpatch, releases=1, people=False)
