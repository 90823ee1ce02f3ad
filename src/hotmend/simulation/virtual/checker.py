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
Key = tuple[str, str]
Held = Mapping[Key, tuple[str, str]]


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
        self._away = _Away(self._machines, self._islands)
        self._rows: Mapping[str, Mapping[str, Any]] = {}
        self._runs: dict[str, str] = {}
        self._soaked: set[tuple[str, str]] = set()
        self._windows: set[tuple[str, str, str]] = set()
        self._applied: set[tuple[str, str, int]] = set()
        self._pardoned: set[tuple[str, str]] = set()
        self._well: Counter[tuple[str, str]] = Counter()

    # What is told.

    def committed(self, now: float, held: Held, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """``held``: (rollout, machine) to (state, run) of all turns that are started, soaking or
        failed; ``rows``: the rollouts."""
        new = sorted(held.items() - self._held.items())
        started = [key for key, (_, run) in new if run and run not in self._runs]
        self._note_ends(held, new)
        self._away.update(self._held, held)
        for key in started:
            self._start(now, key, held, rows)
        if started:
            self._groups(now, started)
            self._places(now, started)
            self._harm(now, started, rows)
        self._phases(now, rows)
        self._promise(now, rows)
        self._held, self._rows = held, rows

    def applied(self, now: float, machine: str, article: str, order: str, boot: int) -> None:
        """A machine has put a hotpatch into its memory; ``boot``: how often it was started."""
        key = (machine, article, boot)
        if key in self._applied:
            self._no("once", now, f"{article} was applied to {machine} again, for order {order}")
        self._applied.add(key)
        meant = self._rows.get(self._runs.get(order, ""), {}).get("name")
        if article != meant:
            self._no("release", now, f"{machine} has {article} from an order of {meant}")

    def begun(self, now: float, machine: str, clock_s: float) -> None:
        """A machine has begun to install, by a clock that is wrong by ``clock_s``."""
        for error in (0.0, clock_s):
            if self._window(machine, now + error):
                return
        self._no("window", now, f"{machine} began when its window was closed")

    def resumed(self, rollout: str) -> None:
        """Two people have seen the failures that there are, and want it to go on."""
        self._pardoned = {key for key in self._pardoned if key[0] != rollout}
        self._pardoned |= {
            key for key, (state, _) in self._held.items() if key[0] == rollout and state == "failed"
        }

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
        self._runs[held[key][1]] = rollout
        before, row = self._rows.get(rollout, {}), rows[rollout]
        for said in (before.get("state", "running"), row["state"]):
            if said != "running":
                self._no("halted", now, f"{machine} started in {row['name']}, which is {said}")
        if key in self._soaked:
            self._no("once", now, f"{machine} was patched in {row['name']} and started again")
        elsewhere = sorted(self._away.rollouts[machine] - {rollout})
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

    def _groups(self, now: float, started: Iterable[tuple[str, str]]) -> None:
        for group in sorted({self._machines[machine].group for _, machine in started}):
            size, domains = self._sizes[group], self._away.domains[group]
            if domains.total() > (size // 5 if size >= 10 else 1):
                sentence = f"{domains.total()} of {size} machines of {group} are away or failed"
                self._no("budget", now, sentence)
            if len(domains) > 1:
                self._no("domain", now, f"several update domains of {group} are away")

    def _places(self, now: float, started: Iterable[tuple[str, str]]) -> None:
        for rollout, machine in started:
            one = self._machines[machine]
            if one.zone and len(self._away.zones[rollout, one.region]) > 1:
                self._no("zone", now, f"several zones of {one.region} are away")
            together = self._away.regions[rollout, self._islands.get(one.region, one.region)]
            if len(together) > 1:
                self._no("pair", now, f"{' and '.join(sorted(together))} are away together")

    def _harm(
        self, now: float, started: Iterable[tuple[str, str]], rows: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """So many are away or harmed at most; nothing of an owner starts beyond its failures."""
        limits = self._limits
        for rollout in sorted({rollout for rollout, _ in started}):
            away, failed = self._away.flying[rollout], self._away.failed[rollout]
            fresh = {owner: len(ones - self._pardoned) for owner, ones in failed.items()}
            size, frozen = rows[rollout]["size"], rows[rollout]["frozen"]
            most = max(limits.least_most, int(limits.most_share * size))
            harmed = sum(count for owner, count in fresh.items() if owner not in frozen)
            if away + harmed > most:
                sentence = f"{away} of {size} are away and {harmed} failed; {most} may be"
                self._no("most", now, sentence)
            for owner in sorted({self._machines[m].owner for one, m in started if one == rollout}):
                ended = len(failed.get(owner, ())) + self._well[rollout, owner]
                allowed = max(limits.least_failures, limits.failure_share * ended)
                if rows[rollout]["phase"] == 0:
                    allowed = limits.canary_failures - 1
                if fresh.get(owner, 0) > allowed:
                    sentence = (
                        f"{fresh[owner]} of {ended} machines of {owner} failed, and more started"
                    )
                    self._no("harm", now, sentence)

    def _phases(self, now: float, rows: Mapping[str, Mapping[str, Any]]) -> None:
        for rollout, row in rows.items():
            before = self._rows.get(rollout, {}).get("phase", 0)
            if row["phase"] not in (before, before + 1):
                self._no("phase", now, f"{row['name']} went from phase {before} to {row['phase']}")

    def _promise(self, now: float, rows: Mapping[str, Mapping[str, Any]]) -> None:
        for rollout, row in rows.items():
            late = now - row["created"] - self._limits.promise_days * _DAY_S
            over = row["state"] in ("running", "paused") and late > _LATE_S
            if over and not self._away.flying[rollout]:
                self._no("promise", now, f"{row['name']} goes on after the promised days")

    def _note_ends(self, held: Held, new: Iterable[tuple[Key, tuple[str, str]]]) -> None:
        for key in self._held.keys() - held.keys():
            if self._held[key][0] == "soaking":
                self._well[key[0], self._machines[key[1]].owner] += 1
        for key, (state, _) in new:
            if state == "soaking":
                self._soaked.add(key)
            if state != "failed" or self._held.get(key, ("", ""))[0] != "failed":
                self._pardoned.discard(key)

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


class _Away:
    """Turns that are in flight or failed, counted by what the rules ask of them. ``rollouts``: of
    a machine; ``domains``: of a group; ``zones`` and ``regions``: of those in flight, in each
    region and each island; ``failed``: of each owner."""

    def __init__(self, machines: Mapping[str, Machine], islands: Mapping[str, str]) -> None:
        self._machines, self._islands = machines, islands
        self.rollouts: dict[str, set[str]] = defaultdict(set)
        self.domains: dict[str, Counter[int]] = defaultdict(Counter)
        self.zones: dict[Key, Counter[str]] = defaultdict(Counter)
        self.regions: dict[Key, Counter[str]] = defaultdict(Counter)
        self.flying: Counter[str] = Counter()
        self.failed: dict[str, dict[str, set[Key]]] = defaultdict(lambda: defaultdict(set))

    def update(self, before: Held, held: Held) -> None:
        for key, (state, _) in before.items() - held.items():
            self._count(key, state, -1)
        for key, (state, _) in held.items() - before.items():
            self._count(key, state, 1)

    def _count(self, key: Key, state: str, by: int) -> None:
        rollout, machine = key
        one = self._machines[machine]
        _add(self.domains[one.group], one.domain, by)
        (self.rollouts[machine].add if by > 0 else self.rollouts[machine].discard)(rollout)
        if state == "failed":
            owners = self.failed[rollout][one.owner]
            (owners.add if by > 0 else owners.discard)(key)
            return
        self.flying[rollout] += by
        if one.zone:
            _add(self.zones[rollout, one.region], one.zone, by)
        island = self._islands.get(one.region, one.region)
        _add(self.regions[rollout, island], one.region, by)


def _add(counter: Counter[Any], what: Any, by: int) -> None:
    """What is not there any more is in no counter."""
    counter[what] += by
    if not counter[what]:
        del counter[what]


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
