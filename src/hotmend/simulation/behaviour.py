"""How simulated machines behave: rates, and what they come to for one machine. Pure.

The same seed gives the same fate to the same machine, whatever order things happen in.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """Shares are of 1. ``install_s``: how long an installation takes, give or take ``spread``;
    ``fails``: of patches on machines; ``crashes``: of installed hotpatches, ``crash_after_s``
    later; ``unhealthy``: of patched machines, whose probe says no from then on; ``lies``: of
    machines, which say that all went well; ``off``: of the time that a machine is powered off, once
    in ``off_period_s``."""

    install_s: float = 5.0
    spread: float = 0.5
    fails: float = 0.0
    crashes: float = 0.0
    crash_after_s: float = 60.0
    unhealthy: float = 0.0
    lies: float = 0.0
    off: float = 0.0
    off_period_s: float = 3600.0


@dataclass(frozen=True)
class Fate:
    """What becomes of one patch on one machine; ``crashes_after_s``: None for never."""

    install_s: float
    fails: bool
    crashes_after_s: float | None
    unhealthy: bool


def fate(behaviour: Behaviour, seed: int, machine: str, article: str) -> Fate:
    """Of ``article`` on ``machine``."""
    chance = random.Random(f"{seed} {machine} {article}")
    spread = 1 + behaviour.spread * (2 * chance.random() - 1)
    fails, crashes, unhealthy = (
        chance.random() < share
        for share in (behaviour.fails, behaviour.crashes, behaviour.unhealthy)
    )
    return Fate(
        behaviour.install_s * spread,
        fails,
        behaviour.crash_after_s if crashes else None,
        unhealthy,
    )


def lies(behaviour: Behaviour, seed: int, machine: str) -> bool:
    """Whether ``machine`` is one that says what is not so."""
    return random.Random(f"{seed} {machine} lies").random() < behaviour.lies


def powered(behaviour: Behaviour, seed: int, machine: str, now: float) -> bool:
    """Whether ``machine`` is on; each has its own time of being off in every period."""
    begins = random.Random(f"{seed} {machine} off").random() * behaviour.off_period_s
    into = (now - begins) % behaviour.off_period_s
    return into >= behaviour.off * behaviour.off_period_s
