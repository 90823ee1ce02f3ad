"""A virtual world, from a scenario to what became of it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hotmend.fleet.regions import pairs
from hotmend.fleet.settings import parsed
from hotmend.fleet.zone import zone
from hotmend.model.agent_messages import Selection
from hotmend.simulation.virtual.agent import Agent
from hotmend.simulation.virtual.checker import Checker, Limits, Violation
from hotmend.simulation.virtual.events import Events
from hotmend.simulation.virtual.fleet import Machine, fleet
from hotmend.simulation.virtual.hotpatch import KINDS
from hotmend.simulation.virtual.network import UP, Network
from hotmend.simulation.virtual.people import CLASSIFICATION, People
from hotmend.simulation.virtual.plane import Committed, Plane
from hotmend.simulation.virtual.scenario import DAY_S, Faults, Scenario

_SAMPLE_EVERY_S = 3600.0
_MOST_DAYS = 40.0


@dataclass(frozen=True)
class Sample:
    """At one time: (rollout's name, region) to how many of its turns are in each state."""

    time: float
    counts: dict[tuple[str, str], dict[str, int]]


@dataclass
class Story:
    """What became of a world. ``trace``: SHA-256 over all that was committed and applied;
    ``crashed``: machines with a process that crashed; ``states``: of the rollouts, by name."""

    scenario: Scenario
    violations: Sequence[Violation] = ()
    trace: str = ""
    days: float = 0.0
    events: int = 0
    ticks: int = 0
    deaths: int = 0
    starts: int = 0
    crashed: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)


class World:
    """``run`` once."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.faults = scenario.faults
        self.events = Events(scenario.begins)
        self.network = Network(scenario, self.events)
        self.fleet = fleet(scenario)
        self._random = scenario.chance("agents").random
        self._asleep: set[str] = set()
        self._in_region: dict[str, set[str]] = defaultdict(set)
        for one in self.fleet:
            self._in_region[one.region].add(one.id)
        self._checker = Checker(self.fleet, pairs().items(), _limits(scenario))
        self._plane = Plane(
            scenario, self.events, self.fleet, self._silent, self._committed, self._wake
        )
        self._people = People(scenario, self.events, self._plane, self._checker)
        self._agents = {one.id: Agent(one, self._plane, self) for one in self.fleet}
        self._patched: dict[str, set[str]] = defaultdict(set)
        self._trace = hashlib.sha256()
        self._before = Committed({}, {})
        self._calm = self._ended = False
        self.story = Story(scenario)

    def run(self, until_violation: str = "") -> Story:
        """Until every rollout has ended, or that rule was broken; after ``days`` nothing goes
        wrong any more."""
        story, began = self.story, self.events.now
        self.network.begin(sorted({one.region for one in self.fleet}))
        for one in self.fleet:
            if one.off is not None:
                self.events.after(one.off[0], self._switch_off, one)
        self.events.after(self.scenario.days * DAY_S, self._end_faults)
        self.events.after(_SAMPLE_EVERY_S, self._sample)
        self._people.begin()
        story.events = self.events.run(lambda: self._over(began) or self._broken(until_violation))
        if self.scenario.people and self._over(began):
            self._checker.ended(
                self.events.now,
                self._plane.turns(),
                self._patched,
                [one.id for one in self.fleet if one.automatic],
                {one.id for one in self.fleet if one.lie},
            )
        self._take_sample()
        story.violations = self._checker.violations
        story.starts = self._checker.starts
        story.trace = self._trace.hexdigest()
        story.days = (self.events.now - began) / DAY_S
        story.ticks, story.deaths = self._plane.ticks, self._plane.deaths
        rows = self._before.rollouts.values()
        story.states = {row["name"]: row["state"] for row in rows}
        return story

    # What agents see (agent.Around).

    def chance(self) -> float:
        return self._random()

    def meant(self, selection: Selection) -> Sequence[str]:
        every = CLASSIFICATION.value in selection.classifications
        published = self._people.published.items()
        return [name for name, article in published if every or article in selection.include]

    def crashes_after(self, machine: Machine, article: str) -> float | None:
        hour = datetime.fromtimestamp(self.events.now, zone(machine.time_zone))
        chance = self.scenario.chance(f"{machine.id} {article}")
        after = KINDS[self.scenario.hotpatch](machine, hour.hour + hour.minute / 60, chance)
        if after is not None:
            self.events.after(after, self.story.crashed.add, machine.id)
        return after

    def awake(self, machine: str, awake: bool) -> None:
        (self._asleep.discard if awake else self._asleep.add)(machine)

    def begun(self, machine: Machine) -> None:
        self._checker.begun(self.events.now, machine.id, machine.clock_s)

    def applied(self, machine: str, article: str, order: str, boot: int) -> None:
        self._patched[machine].add(article)
        self._checker.applied(self.events.now, machine, article, order, boot)
        self._write("applied", machine, article)

    # What happens.

    def _committed(self, seen: Committed) -> None:
        self._checker.committed(self.events.now, seen.held, seen.rollouts)
        before, self._before = self._before, seen
        for key in sorted({key for key, _ in seen.held.items() ^ before.held.items()}):
            self._write(*key, *seen.held.get(key, ("", "")))
        for rollout, row in seen.rollouts.items():
            if row != before.rollouts.get(rollout):
                self._write(rollout, row)
        self._people.seen = seen
        self._ended = self._all_ended()

    def _write(self, *what: object) -> None:
        self._trace.update(json.dumps([self.events.now, *what]).encode())

    def _silent(self) -> set[str]:
        """Machines whose polls do not arrive."""
        return self._asleep.union(*(self._in_region[region] for region in self.network.cut(UP)))

    def _wake(self, machine: str) -> None:
        self._agents[machine].wake()

    def _switch_off(self, machine: Machine) -> None:
        if self._calm or machine.off is None:
            return
        self._agents[machine.id].switch(False)
        self.events.after(machine.off[1], self._switch_on, machine)

    def _switch_on(self, machine: Machine) -> None:
        self._agents[machine.id].switch(True)
        if not self._calm and machine.off is not None:
            self.events.after(DAY_S - machine.off[1], self._switch_off, machine)

    def _end_faults(self) -> None:
        """All is on, reachable and stays so."""
        self._calm = True
        self.faults = Faults()
        self.network.perfect()
        self._plane.perfect()
        self._people.careful = True
        for agent in self._agents.values():
            agent.switch(True)

    def _sample(self) -> None:
        self._take_sample()
        self.events.after(_SAMPLE_EVERY_S, self._sample)

    def _take_sample(self) -> None:
        counts: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        rows = self._before.rollouts
        for rollout, region, state, count in self._plane.progress():
            counts[rows[rollout]["name"] if rollout in rows else rollout, region][state] = count
        self.story.samples.append(Sample(self.events.now, dict(counts)))

    def _broken(self, rule: str) -> bool:
        return rule != "" and any(one.rule == rule for one in self._checker.violations)

    def _over(self, began: float) -> bool:
        return self._ended or self.events.now - began > _MOST_DAYS * DAY_S

    def _all_ended(self) -> bool:
        rows, held = self._before.rollouts.values(), self._before.held.values()
        if len(rows) < self.scenario.releases:
            return False
        if not self.scenario.people and all(row["state"] == "halted" for row in rows):
            return all(state == "failed" for state, _ in held)
        return all(row["ended"] is not None for row in rows)


def _limits(scenario: Scenario) -> Limits:
    settings = parsed(scenario.written)
    return Limits(
        window=(settings.window_opens, settings.window_closes),
        most_share=settings.most_share,
        least_most=settings.least_most,
        failure_share=settings.failure_share,
        least_failures=settings.least_failures,
        canary_failures=settings.canary_failures,
        promise_days=settings.promise_days,
    )
