"""Rollouts in virtual worlds: the rules hold for every seed, and the same seed does the same."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from hotmend.simulation.virtual import checker
from hotmend.simulation.virtual.scenario import drill, varied
from hotmend.simulation.virtual.world import Story, World

FULL = bool(os.environ.get("HOTMEND_FULL"))
MACHINES = 1000 if FULL else 60
SEEDS = range(1, 1001 if FULL else 7)
DRILLED = 10_000 if FULL else 1000
KINDS = (
    *("crashes-always", "crashes-in-5-percent", "crashes-on-one-build"),
    *("crashes-after-10-minutes", "crashes-under-load", "crashes-by-day"),
)


def told(story: Story) -> str:
    """What to run again, and what it will show."""
    scenario = story.scenario
    words = f"--machines {scenario.machines} --seed {scenario.seed} --hotpatch {scenario.hotpatch}"
    return "\n".join(
        [
            f"hotmend simulate rollout {words}",
            *(f"{one.rule}: {one.sentence}" for one in story.violations),
        ]
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_rule_is_kept_and_the_rollout_ends_after_the_faults(seed: int) -> None:
    story = World(varied(MACHINES, seed, days=2.0)).run()
    assert not story.violations, told(story)
    assert story.starts >= MACHINES * 0.8, "a world in which nothing starts proves nothing"
    assert set(story.states.values()) == {"finished"}


@pytest.mark.skipif(not FULL, reason="takes minutes: scripts/test --full")
@pytest.mark.parametrize("seed", range(10))
def test_every_rule_is_kept_by_a_large_fleet(seed: int) -> None:
    story = World(varied(100_000, seed)).run()
    assert not story.violations, told(story)


def test_the_same_seed_does_the_same_and_another_one_does_not() -> None:
    one, again = (World(varied(30, 5, 1.0, "many")).run() for _ in range(2))
    assert one.deaths > 0
    assert (one.trace, one.events, one.ticks) == (again.trace, again.events, again.ticks)
    assert World(varied(30, 6, 1.0, "many")).run().trace != one.trace


@pytest.mark.parametrize("seed", range(20 if FULL else 2))
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_hotpatch_harms_one_in_a_hundred_or_ten_and_is_halted(kind: str, seed: int) -> None:
    story = World(drill(DRILLED, seed, kind)).run()
    assert set(story.states.values()) == {"halted"}, told(story)
    assert 0 < len(story.crashed) <= max(10, DRILLED // 100), told(story)
    assert not story.violations, told(story)


def test_a_good_hotpatch_is_not_halted() -> None:
    story = World(drill(60, 1, "good")).run()
    assert set(story.states.values()) == {"finished"} and not story.crashed


def test_the_checker_has_nothing_of_what_it_checks() -> None:
    tree = ast.parse(Path(checker.__file__).read_text())
    names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert names and not any(name.startswith("hotmend") for name in names)
