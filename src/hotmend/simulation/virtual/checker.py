"""Whether the rules of rollouts were kept: from what was committed, what machines did, and where
they truly stand. None of the rules' own code is used here; a rule is said once more in other words,
so that a mistake in it is not made twice.

A violation is noted and does not end the world: the first one is the one to look at.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_DAY_S = 86_400.0
_MOST_NOTED = 20
# A tick is asked for a second after what it is for; one may be lost with its replica.
_LATE_S = 7200.0

# What says what a machine is: its id, owner, region, zone, group, domain, time_zone.
Machine = Any
Held = Mapping[tuple[str, str], tuple[str, str]]


@dataclass(frozen=True)
class Limits:
    """As people wrote them. ``window``: from when to when by the clock on the machine's wall."""

    window: tuple[time, time]
    most_share: float
    least_most: int
    failure_share: float
    least_failures: int
    canary_failures: int
    promise_days: float


@dataclass(frozen=True)
class Violation:
    """Of which ``rule``, when, and what happened."""

    rule: str
    time: float
    sentence: str


class Checker:
    """``pairs``: regions that are paired. ``violations``: in their order; ``starts``: how many
    turns started, so that a world in which nothing happens does not count as proof."""

    def __init__(
        self, fleet: Iterable[Machine], pairs: Iterable[tuple[str, str]], limits: Limits
    ) -> None:
        self._machines = {one.id: one for one in fleet}
        self._sizes = Counter(one.group for one in self._machines.values())
        self._islands = _islands(pairs)
        self._limits = limits
        self.violations: list[Violation] = []
        self.starts = 0
        self._held: Held = {}
        self._rows: Mapping[str, Mapping[str, Any]] = {}
        self._runs: set[str] = set()
        self._soaked: set[tuple[str, str]] = set()
        self._windows: set[tuple[str, str, str]] = set()
        self._applied: set[tuple[str, str, int]] = set()
        self._pardoned: Counter[tuple[str, str]] = Counter()
        self._well: Counter[tuple[str, str]] = Counter()

    # What is told.

    def committed(self, now: float, held: Held, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """``held``: (rollout, machine) to (state, run) of all turns that are started, soaking or
        failed; ``rows``: the rollouts."""
        started = [key for key, (_, run) in held.items() if run and run not in self._runs]
        self._note_ends(held)
        for key in started:
            self._start(now, key, held, rows)
        if started:
            self._groups(now, started, held)
            self._places(now, started, held)
            self._harm(now, started, held, rows)
        self._phases(now, rows)
        self._promise(now, held, rows)
        self._held, self._rows = held, rows

    def applied(self, now: float, machine: str, article: str, order: str, boot: int) -> None:
        """A machine has put a hotpatch into its memory; ``boot``: how often it was started."""
        key = (machine, article, boot)
        if key in self._applied:
            self._no("once", now, f"{article} was applied to {machine} again, for order {order}")
        self._applied.add(key)

    def begun(self, now: float, machine: str, clock_s: float) -> None:
        """A machine has begun to install, by a clock that is wrong by ``clock_s``."""
        for error in (0.0, clock_s):
            if self._window(machine, now + error):
                return
        self._no("window", now, f"{machine} began when its window was closed")

    def resumed(self, rollout: str) -> None:
        """Two people have seen the failures that there are, and want it to go on."""
        for key in [key for key in self._pardoned if key[0] == rollout]:
            del self._pardoned[key]
        for (one, machine), (state, _) in self._held.items():
            if one == rollout and state == "failed":
                self._pardoned[rollout, self._machines[machine].owner] += 1

    def ended(
        self,
        now: float,
        turns: Sequence[tuple[str, str, str]],
        patched: Mapping[str, Collection[str]],
        wanted: Collection[str],
        liars: Collection[str],
    ) -> None:
        """All is over, long after the last fault. ``turns``: (rollout, machine, state) of all;
        ``patched``: machine to articles that are in its memory, or were when it was switched off;
        ``wanted``: machines that should have a turn."""
        by_rollout: dict[str, dict[str, str]] = defaultdict(dict)
        for rollout, machine, state in turns:
            by_rollout[rollout][machine] = state
        for rollout, row in self._rows.items():
            states = by_rollout[rollout]
            if row["state"] not in ("finished", "cancelled"):
                self._no("ends", now, f"{row['name']} is {row['state']} still: {row['because']}")
            lost = sorted(set(wanted) - set(states))
            if lost:
                self._no("lost", now, f"{lost[0]} has no turn in {row['name']}")
            over = {"healthy", "failed", "excluded"}
            left = sorted(machine for machine, state in states.items() if state not in over)
            if left and row["state"] == "finished":
                where = states[left[0]]
                self._no("lost", now, f"{left[0]} is {where} in {row['name']}, which has finished")
            for machine, state in sorted(states.items()):
                honest = machine not in liars
                if state == "healthy" and honest and row["name"] not in patched[machine]:
                    self._no("lost", now, f"{machine} is called healthy without {row['name']}")

    # What is looked at.

    def _start(
        self, now: float, key: tuple[str, str], held: Held, rows: Mapping[str, Mapping[str, Any]]
    ) -> None:
        rollout, machine = key
        self.starts += 1
        self._runs.add(held[key][1])
        before, row = self._rows.get(rollout, {}), rows[rollout]
        for said in (before.get("state", "running"), row["state"]):
            if said != "running":
                self._no("halted", now, f"{machine} started in {row['name']}, which is {said}")
        if key in self._soaked:
            self._no("once", now, f"{machine} was patched in {row['name']} and started again")
        elsewhere = [other for other, one in held if one == machine and other != rollout]
        if elsewhere:
            self._no("twice", now, f"{machine} started while it is held by {elsewhere[0]}")
        window = self._window(machine, now)
        if not window:
            self._no("window", now, f"{machine} was told to start outside its window")
        elif (rollout, machine, window) in self._windows:
            self._no("window", now, f"{machine} started twice in the window of {window}")
        self._windows.add((rollout, machine, window))
        if now > row["created"] + self._limits.promise_days * _DAY_S:
            self._no("promise", now, f"{machine} started after {self._limits.promise_days:g} days")

    def _groups(self, now: float, started: Iterable[tuple[str, str]], held: Held) -> None:
        away: dict[str, list[str]] = defaultdict(list)
        for _, machine in held:
            away[self._machines[machine].group].append(machine)
        for group in sorted({self._machines[machine].group for _, machine in started}):
            size, machines = self._sizes[group], away[group]
            if len(machines) > (size // 5 if size >= 10 else 1):
                sentence = f"{len(machines)} of {size} machines of {group} are away or failed"
                self._no("budget", now, sentence)
            if len({self._machines[machine].domain for machine in machines}) > 1:
                self._no("domain", now, f"several update domains of {group} are away")

    def _places(self, now: float, started: Iterable[tuple[str, str]], held: Held) -> None:
        zones: dict[tuple[str, str], set[str]] = defaultdict(set)
        islands: dict[tuple[str, str], set[str]] = defaultdict(set)
        for (rollout, machine), (state, _) in held.items():
            if state == "failed":
                continue
            one = self._machines[machine]
            if one.zone:
                zones[rollout, one.region].add(one.zone)
            islands[rollout, self._islands.get(one.region, one.region)].add(one.region)
        for rollout, machine in started:
            one = self._machines[machine]
            if one.zone and len(zones[rollout, one.region]) > 1:
                self._no("zone", now, f"several zones of {one.region} are away")
            together = islands[rollout, self._islands.get(one.region, one.region)]
            if len(together) > 1:
                self._no("pair", now, f"{' and '.join(sorted(together))} are away together")

    def _harm(
        self,
        now: float,
        started: Iterable[tuple[str, str]],
        held: Held,
        rows: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """So many are away or harmed at most; nothing of an owner starts beyond its failures."""
        limits = self._limits
        for rollout in sorted({rollout for rollout, _ in started}):
            away, failed = 0, Counter[str]()
            for (one, machine), (state, _) in held.items():
                if one == rollout:
                    away += state != "failed"
                    failed[self._machines[machine].owner] += state == "failed"
            size, frozen = rows[rollout]["size"], rows[rollout]["frozen"]
            most = max(limits.least_most, int(limits.most_share * size))
            harmed = sum(
                max(0, count - self._pardoned[rollout, owner])
                for owner, count in failed.items()
                if owner not in frozen
            )
            if away + harmed > most:
                sentence = f"{away} of {size} are away and {harmed} failed; {most} may be"
                self._no("most", now, sentence)
            for owner in sorted({self._machines[m].owner for one, m in started if one == rollout}):
                ended = failed[owner] + self._well[rollout, owner]
                allowed = max(limits.least_failures, limits.failure_share * ended)
                if rows[rollout]["phase"] == 0:
                    allowed = limits.canary_failures - 1
                fresh = failed[owner] - self._pardoned[rollout, owner]
                if fresh > allowed:
                    sentence = f"{fresh} of {ended} machines of {owner} failed, and more started"
                    self._no("harm", now, sentence)

    def _phases(self, now: float, rows: Mapping[str, Mapping[str, Any]]) -> None:
        for rollout, row in rows.items():
            before = self._rows.get(rollout, {}).get("phase", 0)
            if row["phase"] not in (before, before + 1):
                self._no("phase", now, f"{row['name']} went from phase {before} to {row['phase']}")

    def _promise(self, now: float, held: Held, rows: Mapping[str, Mapping[str, Any]]) -> None:
        flying = {rollout for (rollout, _), (state, _) in held.items() if state != "failed"}
        for rollout, row in rows.items():
            late = now - row["created"] - self._limits.promise_days * _DAY_S
            if row["state"] in ("running", "paused") and late > _LATE_S and rollout not in flying:
                self._no("promise", now, f"{row['name']} goes on after the promised days")

    def _note_ends(self, held: Held) -> None:
        for key, (state, _) in self._held.items():
            if state == "soaking" and key not in held:
                self._well[key[0], self._machines[key[1]].owner] += 1
        self._soaked |= {key for key, (state, _) in held.items() if state == "soaking"}

    def _window(self, machine: str, now: float) -> str:
        """The date on which the window that is open by the clock on the wall has opened; "" when
        it is closed."""
        opens, closes = self._limits.window
        wall = datetime.fromtimestamp(now, UTC).astimezone(_zone(self._machines[machine].time_zone))
        at = wall.time().replace(fold=0)
        if opens < closes:
            return str(wall.date()) if opens <= at < closes else ""
        if at >= opens:
            return str(wall.date())
        return str(wall.date() - timedelta(days=1)) if at < closes else ""

    def _no(self, rule: str, now: float, sentence: str) -> None:
        if len(self.violations) < _MOST_NOTED:
            self.violations.append(Violation(rule, now, sentence))


_zones: dict[str, ZoneInfo] = {}


def _zone(name: str) -> ZoneInfo:
    if name not in _zones:
        _zones[name] = ZoneInfo(name)
    return _zones[name]


def _islands(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Regions that are joined by pairs, each to one name for all of them."""
    together: list[set[str]] = []
    for pair in pairs:
        joined = [island for island in together if island & set(pair)]
        together = [island for island in together if island not in joined]
        together.append(set(pair).union(*joined))
    return {region: min(island) for island in together for region in island}
