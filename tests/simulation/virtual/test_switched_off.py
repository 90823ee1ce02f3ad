"""Each rule switched off in turn: the checker of the virtual world sees it, so it can fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import false

from hotmend.fleet import rollout as rules
from hotmend.fleet.rollout import RolloutState
from hotmend.model.agent_messages import Order, RunKind, Selection
from hotmend.release.classification import Classification
from hotmend.server.rollouts import admit, tick
from hotmend.server.rollouts.moment import Moment
from hotmend.server.rollouts.releases import Published
from hotmend.server.storage import admission, groups, turns
from hotmend.simulation.virtual.agent import Agent, Journal
from hotmend.simulation.virtual.scenario import FAULTS, Scenario
from hotmend.simulation.virtual.world import World

SEEDS = 6
Patch = pytest.MonkeyPatch
NIGHT_S = 8 * 3600.0
RUNNING = RolloutState.RUNNING


@pytest.fixture(autouse=True)
def fresh_statements() -> Iterator[None]:
    admission._admissible.cache_clear()
    yield
    admission._admissible.cache_clear()


def budget(patch: Patch) -> None:
    patch.setattr(groups, "_BUDGET", groups._BUDGET.values(budget=groups.groups.c.size))


def domain(patch: Patch) -> None:
    """Groups forget which domain is away."""
    patch.setattr(groups, "_HELD", groups._HELD.values(domain=None))


def pair(patch: Patch) -> None:
    kept = admit.may_start_in
    patch.setattr(admit, "may_start_in", lambda cell, flying, pairs: kept(cell, flying, {}))


def zone(patch: Patch) -> None:
    kept = admit.may_start_in
    patch.setattr(
        admit, "may_start_in", lambda cell, flying, pairs: kept((cell[0], ""), flying, pairs)
    )


def window(patch: Patch) -> None:
    """It is always open, everywhere."""

    def always(self: Moment, _: object, names: list[str]) -> dict[str, tuple[float, float]]:
        return dict.fromkeys(names, (self.now, self.now + NIGHT_S))

    patch.setattr(Moment, "open_zones", always)


def window_once(patch: Patch) -> None:
    """What failed is tried again at once."""
    kept = turns.again

    def at_once(connection: Any, rollout: str, opened: Any, attempts: int) -> Any:
        return kept(connection, rollout, dict.fromkeys(opened, float("inf")), attempts)

    patch.setattr(turns, "again", at_once)


def halted(patch: Patch) -> None:
    kept = tick._decide

    def never(*words: Any) -> Any:
        rollout, standing = kept(*words)
        return replace(rollout, state=RUNNING), standing

    patch.setattr(tick, "_decide", never)


def harm(patch: Patch) -> None:
    patch.setitem(rules.RULES, RUNNING, tuple(r for r in rules.RULES[RUNNING] if r != rules._harm))


def most(patch: Patch) -> None:
    patch.setattr(tick, "room", lambda *_: 10**6)


def promise(patch: Patch) -> None:
    patch.setitem(rules.RULES, RUNNING, (rules._promotion,))


def once(patch: Patch) -> None:
    """An agent that dies forgets its orders and what it has applied."""
    kept = Agent._forget

    def all_of_it(self: Agent) -> None:
        kept(self)
        self.journal = Journal(number=self.journal.number)
        self.live.clear()

    patch.setattr(Agent, "_forget", all_of_it)


def lost(patch: Patch) -> None:
    """A failed installation counts as done well."""
    patch.setattr(turns, "_DONE_WELL", ("Succeeded", "Failed"))


def twice(patch: Patch) -> None:
    """Neither a turn in another rollout nor a run that has not ended keeps a machine from a start,
    nor the budget of its group, which is small: each of the three would do."""
    budget(patch)
    patch.setattr(admission, "exists", lambda: SimpleNamespace(where=lambda *_: false()))


def release(patch: Patch) -> None:
    """Whatever is published by now is installed, as its classification says."""
    everything = Selection((Classification.SECURITY.value,), only_without_reboot=True)
    order = Order("", RunKind.INSTALL, everything, 3600.0)
    patch.setattr(Published, "order", property(lambda _: order))


WRITTEN = {"most_share": 0.5, "canary_bake_s": 3600.0, "soak_s": 300.0, "failure_share": 0.5}
CANARIES = {**WRITTEN, "canary_share": 0.4}
UNLIMITED = {**CANARIES, "failure_share": 0.01, "canary_failures": 1000, "healthy_share": 0.0}
FAILING = replace(FAULTS["none"], fails=0.3)
# What is switched off, the rule that sees it, what the world is like, and its settings.
CASES: list[tuple[Callable[[Patch], None], str, Scenario]] = [
    (budget, "budget", Scenario(80, 0, 2.0, FAULTS["none"], written=WRITTEN)),
    (domain, "domain", Scenario(150, 2, 2.0, FAULTS["some"], written=WRITTEN)),
    (pair, "pair", Scenario(80, 0, 2.0, FAULTS["none"], written=CANARIES)),
    (zone, "zone", Scenario(80, 0, 2.0, FAULTS["none"], written=WRITTEN)),
    (window, "window", Scenario(80, 0, 2.0, FAULTS["none"], written=WRITTEN)),
    (window_once, "window", Scenario(80, 0, 2.0, FAILING, written=WRITTEN)),
    (halted, "halted", Scenario(80, 0, 4.0, FAILING, written=UNLIMITED)),
    (harm, "harm", Scenario(80, 1, 4.0, FAILING, written=UNLIMITED)),
    (most, "most", Scenario(80, 0, 2.0, FAULTS["none"], written={**WRITTEN, "most_share": 0.01})),
    (
        promise,
        "promise",
        Scenario(
            *(80, 0, 6.0, FAULTS["some"]),
            written={"promise_days": 2.0, "promise_warning_days": 1.0, "most_share": 0.01},
        ),
    ),
    (once, "once", Scenario(80, 0, 4.0, replace(FAULTS["many"], off=0.0), written=WRITTEN)),
    (twice, "twice", Scenario(80, 0, 4.0, FAILING, written={**WRITTEN, "canary_failures": 1000})),
    (release, "release", Scenario(80, 0, 2.0, FAULTS["none"], written=WRITTEN)),
    (lost, "lost", Scenario(80, 0, 2.0, FAILING, written=WRITTEN)),
]


FULL = bool(os.environ.get("HOTMEND_FULL"))


@pytest.mark.skipif(not FULL, reason="takes minutes: scripts/test --full")
@pytest.mark.parametrize("scenario", [case[2] for case in CASES])
def test_the_checker_sees_nothing_when_all_are_on(scenario: Scenario) -> None:
    assert not World(scenario).run().violations


@pytest.mark.parametrize(
    ("switch_off", "rule", "scenario"), CASES, ids=lambda v: getattr(v, "__name__", "")
)
def test_the_checker_sees_that_a_rule_is_off(
    switch_off: Callable[[Patch], None], rule: str, scenario: Scenario, monkeypatch: Patch
) -> None:
    switch_off(monkeypatch)
    seen = set()
    for seed in range(scenario.seed, scenario.seed + SEEDS):
        world = World(replace(scenario, seed=seed))
        seen |= {one.rule for one in world.run(until_violation=rule).violations}
        if rule in seen:
            return
    pytest.fail(f"{SEEDS} seeds, and only {seen} was seen")
