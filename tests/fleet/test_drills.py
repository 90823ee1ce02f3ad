"""Drills: bad hotpatches and liars among simulated machines, against the real decisions."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hotmend.fleet import rollout
from hotmend.fleet.rollout import CANARIES, Action, RolloutState, Standing, Tally, decision, room
from hotmend.fleet.settings import Settings

FLEET = 10_000
OWNERS = 5
LAST_PHASE = 3
SETTINGS = Settings()
SOAK = 15
SEEDS = range(20 if os.environ.get("HOTMEND_FULL") else 2)

# A machine to the minutes after its patch at which it crashes, or says so; None for never.
Crashes = Callable[[int], int | None]


def owner(machine: int) -> str:
    return f"owner{machine % OWNERS}"


@dataclass
class Drill:
    """A rollout in steps of a minute, by `decision` and `room` alone: no places, no windows. A
    hundredth of the fleet are canaries, the rest is spread over three phases."""

    chance: random.Random
    crashes: Crashes
    state: RolloutState = RolloutState.RUNNING
    phase: int = CANARIES
    opened: int = 0
    frozen: frozenset[str] = frozenset()
    waiting: dict[tuple[int, str], deque[int]] = field(default_factory=lambda: defaultdict(deque))
    flying: dict[int, deque[tuple[int, int, bool]]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    counts: dict[str, Counter[tuple[int, str]]] = field(
        default_factory=lambda: {n: Counter() for n in ("in_flight", "healthy", "failed")}
    )

    def run(self) -> Drill:
        machines = self.chance.sample(range(FLEET), FLEET)
        for number, machine in enumerate(machines):
            phase = CANARIES if number < FLEET // 100 else 1 + number % LAST_PHASE
            self.waiting[phase, owner(machine)].append(machine)
        minute = 0
        while self.state is RolloutState.RUNNING and (self._able() or self.total("in_flight")):
            minute += 1
            self._end(minute)
            self._decide(minute)
            self._start(minute)
        while self.total("in_flight"):
            minute += 1
            self._end(minute)
        return self

    def total(self, name: str) -> int:
        return self.counts[name].total()

    def _able(self) -> bool:
        return any(queue for (_, who), queue in self.waiting.items() if who not in self.frozen)

    def _end(self, minute: int) -> None:
        for phase, machine, crashed in self.flying.pop(minute, ()):
            key = phase, owner(machine)
            self.counts["in_flight"][key] -= 1
            self.counts["failed" if crashed else "healthy"][key] += 1

    def _decide(self, minute: int) -> None:
        found = decision(self.standing(), SETTINGS, minute * 60.0)
        self.frozen |= found.owners
        if found.action is Action.PROMOTE:
            self.phase, self.opened = self.phase + 1, minute
        elif found.action is Action.HALT:
            self.state = RolloutState.HALTED
        elif found.action is Action.FINISH:
            self.state = RolloutState.FINISHED

    def _start(self, minute: int) -> None:
        if self.state is not RolloutState.RUNNING:
            return
        free = room(self.standing(), FLEET, SETTINGS) - self.total("in_flight")
        for key, queue in self.waiting.items():
            phase, who = key
            while queue and phase <= self.phase and who not in self.frozen and free > 0:
                machine, free = queue.popleft(), free - 1
                crash = self.crashes(machine)
                ends = minute + (SOAK if crash is None else crash)
                self.flying[ends].append((phase, machine, crash is not None))
                self.counts["in_flight"][key] += 1

    def standing(self) -> Standing:
        tallies = [
            Tally(*key, waiting=len(queue), **{n: c[key] for n, c in self.counts.items()})
            for key, queue in self.waiting.items()
        ]
        here = (key for key, queue in self.waiting.items() if queue and key[0] == self.phase)
        return Standing(
            state=self.state,
            phase=self.phase,
            last_phase=LAST_PHASE,
            opened=self.opened * 60.0,
            released=0.0,
            tallies=tallies,
            frozen=self.frozen,
            reachable=any(owner not in self.frozen for _, owner in here),
        )


def always(chance: random.Random) -> Crashes:
    return lambda machine: 1


def after_ten_minutes(chance: random.Random) -> Crashes:
    return lambda machine: 10


def one_in_twenty(chance: random.Random) -> Crashes:
    return lambda machine: 1 if chance.random() < 0.05 else None


def on_one_build(chance: random.Random) -> Crashes:
    """A tenth of every owner's machines runs it."""
    build = set(chance.sample(range(FLEET), FLEET // 10))
    return lambda machine: 1 if machine in build else None


def under_load(chance: random.Random) -> Crashes:
    """One in eight has any at night."""
    return lambda machine: chance.randint(1, 14) if chance.random() < 0.125 else None


KINDS = [always, after_ten_minutes, one_in_twenty, on_one_build, under_load]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_hotpatch_harms_at_most_one_in_a_hundred(
    kind: Callable[[random.Random], Crashes], seed: int
) -> None:
    chance = random.Random(seed)
    drill = Drill(chance, kind(chance)).run()
    assert drill.state is RolloutState.HALTED
    assert drill.total("failed") <= FLEET / 100


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_bad_for_one_owner_only_is_halted_for_that_one(seed: int) -> None:
    drill = Drill(random.Random(seed), lambda machine: 1 if machine % OWNERS == 3 else None).run()
    assert drill.frozen == {"owner3"} and drill.total("failed") <= FLEET / 100
    assert drill.total("healthy") == FLEET * (OWNERS - 1) // OWNERS


@pytest.mark.parametrize("seed", SEEDS)
def test_liars_of_one_owner_of_five_stop_nobody_else(seed: int) -> None:
    """2 % of the fleet, all of one owner, say that they crashed."""
    chance = random.Random(seed)
    liars = set(chance.sample(range(3, FLEET, OWNERS), FLEET // 50))
    drill = Drill(chance, lambda machine: 1 if machine in liars else None).run()
    assert drill.frozen == {"owner3"} and drill.state is RolloutState.RUNNING
    others = [key for key in drill.waiting if key[1] != "owner3"]
    healthy = sum(drill.counts["healthy"][key] for key in others)
    assert healthy == FLEET * (OWNERS - 1) // OWNERS


def test_a_good_hotpatch_reaches_everybody() -> None:
    drill = Drill(random.Random(1), lambda machine: None).run()
    assert drill.state in (RolloutState.RUNNING, RolloutState.FINISHED)
    assert (drill.total("healthy"), drill.total("failed")) == (FLEET, 0)


def test_without_the_rule_of_harm_a_drill_harms_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positive control: a crash in twenty goes on and on."""
    monkeypatch.setitem(rollout.RULES, RolloutState.RUNNING, (rollout._end, rollout._promotion))
    monkeypatch.setattr("fleet.test_drills.room", lambda *_: SETTINGS.most(FLEET))
    chance = random.Random(1)
    assert Drill(chance, one_in_twenty(chance)).run().total("failed") > FLEET / 100
