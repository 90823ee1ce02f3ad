"""How a hotpatch behaves on the machines that it is put on. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from hotmend.simulation.virtual.fleet import Machine

SOON_S = 30.0
_LATER_S = 600.0
_HOUR_S = 3600.0

# A machine, the hour of its own day at which the hotpatch is applied, a chance of the machine's
# own, to seconds after which its process crashes; None for never.
Behaviour = Callable[[Machine, float, random.Random], float | None]


def _good(machine: Machine, hour: float, chance: random.Random) -> float | None:
    return None


def _always(machine: Machine, hour: float, chance: random.Random) -> float | None:
    return SOON_S


def _one_in_twenty(machine: Machine, hour: float, chance: random.Random) -> float | None:
    return SOON_S if chance.random() < 0.05 else None


def _on_one_build(machine: Machine, hour: float, chance: random.Random) -> float | None:
    return SOON_S if machine.build == 0 else None


def _after_ten_minutes(machine: Machine, hour: float, chance: random.Random) -> float | None:
    return _LATER_S


def _under_load(machine: Machine, hour: float, chance: random.Random) -> float | None:
    """Of the machines that are busy at night, within the soak."""
    return chance.uniform(SOON_S, 840.0) if machine.busy else None


def _by_day(machine: Machine, hour: float, chance: random.Random) -> float | None:
    """One in three has enough load for it, some time between eight and six o'clock."""
    if chance.random() < 1 / 3:
        return ((8 - hour) % 24) * _HOUR_S + chance.uniform(0, 10 * _HOUR_S)
    return None


KINDS: Mapping[str, Behaviour] = {
    "good": _good,
    "crashes-always": _always,
    "crashes-in-5-percent": _one_in_twenty,
    "crashes-on-one-build": _on_one_build,
    "crashes-after-10-minutes": _after_ten_minutes,
    "crashes-under-load": _under_load,
    "crashes-by-day": _by_day,
}
