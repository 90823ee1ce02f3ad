"""What becomes of simulated machines: by seed, by rates, and in no other way."""

from __future__ import annotations

import itertools
import random

from hotmend.simulation.behaviour import Behaviour, fate, lies, powered

NAMES = [f"m{n}" for n in range(2000)]


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def test_the_same_seed_gives_the_same_fate_in_any_order() -> None:
    manner = Behaviour(fails=0.3, crashes=0.3, unhealthy=0.3, lies=0.3)
    first = {name: fate(manner, 7, name, "a") for name in NAMES}
    shuffled = random.sample(NAMES, len(NAMES))
    assert {name: fate(manner, 7, name, "a") for name in shuffled} == first
    assert {name: fate(manner, 8, name, "a") for name in NAMES} != first
    assert {name: fate(manner, 7, name, "b") for name in NAMES} != first


def test_rates_are_kept_and_nothing_else_goes_wrong() -> None:
    manner = Behaviour(fails=0.05, lies=0.1)
    fates = [fate(manner, 1, name, "a") for name in NAMES]
    assert 0.03 < share([f.fails for f in fates]) < 0.07
    assert 0.07 < share([lies(manner, 1, name) for name in NAMES]) < 0.13
    assert not any(f.unhealthy or f.crashes_after_s is not None for f in fates)
    assert all(fate(Behaviour(fails=1.0), 1, name, "a").fails for name in NAMES)
    assert not any(fate(Behaviour(), 1, name, "a").fails for name in NAMES)


def test_an_installation_takes_about_as_long_as_it_was_told_to() -> None:
    times = [fate(Behaviour(10.0, spread=0.5), 1, name, "a").install_s for name in NAMES]
    assert 5.0 <= min(times) < 6.0 and 14.0 < max(times) <= 15.0


def test_machines_are_off_for_their_share_each_at_a_time_of_its_own() -> None:
    manner = Behaviour(off=0.25, off_period_s=100.0)
    for name in NAMES[:20]:
        on = [powered(manner, 1, name, now) for now in range(1000)]
        assert share(on) == 0.75
        changes = sum(one != other for one, other in itertools.pairwise(on))
        assert 19 <= changes <= 20, "once in a period"
    at_once = share([powered(manner, 1, name, 50.0) for name in NAMES])
    assert 0.7 < at_once < 0.8
    assert all(powered(Behaviour(), 1, name, 50.0) for name in NAMES)
