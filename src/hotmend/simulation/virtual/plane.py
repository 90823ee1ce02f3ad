"""The control plane of a virtual world: the real code and the real tables, on one SQLite in memory.

What arrives together is written together, and a tick is taken when something has changed. Ticks in
between, which find nothing to do, are left out, and so are polls that find no order: of a machine
that speaks the tables say that it was heard far in the future, until it is silent.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, create_engine, event, insert
from sqlalchemy.pool import StaticPool

from hotmend.fleet.settings import parsed
from hotmend.model.agent_messages import Order, Report
from hotmend.server.agents.reports import written
from hotmend.server.control import Control
from hotmend.server.rollouts.keeping import Keeping
from hotmend.server.rollouts.releases import Published
from hotmend.server.storage import groups, runs, settings
from hotmend.server.storage.database import Database
from hotmend.server.storage.tables import machines as machine_table
from hotmend.simulation.virtual.events import Events
from hotmend.simulation.virtual.fleet import Machine
from hotmend.simulation.virtual.scenario import Scenario

_TOGETHER_S = 2.0
_TICK_AFTER_S = 1.0
_TICK_AFTER_REPORT_S = 60.0
_AT_LEAST_EVERY_S = 3600.0
_FAR_S = 1e9
_MINUTE_S = 60.0

_HELD = (
    "SELECT machine, state, run FROM turns"
    " WHERE rollout = ? AND state IN ('started', 'soaking', 'failed') ORDER BY machine"
)

T = TypeVar("T")
Known = tuple[str, str]


class ReplicaDied(Exception):
    """In the middle of a transaction, which is therefore lost."""


@dataclass(frozen=True)
class Committed:
    """What other programs see in the database. ``held``: (rollout, machine) to (state, run) of
    turns that are in flight or failed; ``rollouts``: rows by id."""

    held: Mapping[Known, tuple[str, str]]
    rollouts: Mapping[str, Mapping[str, Any]]


@dataclass
class _Clock:
    """All that a tick asks of its replica."""

    events: Events

    def clock(self) -> float:
        return self.events.now


class Plane:
    """``seen`` is told of what was committed; ``wake``, of machines whose order waits."""

    def __init__(
        self,
        scenario: Scenario,
        events: Events,
        fleet: Iterable[Machine],
        silent: Callable[[], set[str]],
        seen: Callable[[Committed], None],
        wake: Callable[[str], None],
    ) -> None:
        self._events = events
        self._faults = scenario.faults
        self._chance = scenario.chance("plane")
        self._silent, self._seen, self._wake = silent, seen, wake
        self._raw = _empty()
        self._engine = create_engine(
            "sqlite://", creator=lambda: self._raw, poolclass=StaticPool, echo=False
        )
        if scenario.faults.replica_dies:
            event.listen(self._engine, "before_cursor_execute", self._statement)
        self._dies_in = -1
        self._away_until = 0.0
        self._ticked = events.now
        self._mute: set[str] = set()
        self._heard: set[str] = set()
        self._next_tick = float("inf")
        self._inbox: list[tuple[str, Sequence[str] | Report, Callable[..., None]]] = []
        self._published: tuple[Published, ...] = ()
        self._begun: set[str] = set()
        self._replica = self._new_replica()
        self._waits: set[str] = set()
        self._ordered: set[str] = set()
        self._given: set[str] = set()
        self._soaking: set[str] = set()
        self._soak_s = parsed(scenario.written).soak_s
        self.deaths = 0
        self.ticks = 0
        self._fill(list(fleet), scenario.written)

    # What the world does.

    def publish(self, published: Published) -> None:
        """From now on it is in the repository."""
        self._published = (*self._published, published)
        self.tick_soon()

    def tick_soon(self, after_s: float = _TICK_AFTER_S) -> None:
        """At the latest then."""
        time = self._events.now + after_s
        if time < self._next_tick:
            self._next_tick = time
            self._events.at(time, self._tick_at, time)

    def perfect(self) -> None:
        """No more deaths."""
        self._faults = type(self._faults)()

    def person(self, deed: Callable[[Connection], T]) -> T | None:
        """Done in a transaction; None where nobody answered, be it done or not."""
        if self._away:
            return None
        done = None
        with suppress(ReplicaDied):
            done = self._transaction(deed)
        self._look()
        self.tick_soon()
        return done

    def progress(self) -> list[tuple[str, str, str, int]]:
        """(rollout, region, state, turns)."""
        return self._raw.execute(
            "SELECT rollout, region, state, count(*) FROM turns"
            " GROUP BY rollout, region, state ORDER BY rollout, region, state"
        ).fetchall()

    def turns(self) -> list[tuple[str, str, str]]:
        """(rollout, machine, state) of all."""
        return self._raw.execute("SELECT rollout, machine, state FROM turns").fetchall()

    # What agents do.

    def polled(
        self, machine: str, known: Sequence[str], answer: Callable[[Sequence[Order]], None]
    ) -> None:
        self._arrives(machine, known, answer)

    def reported(self, machine: str, report: Report, answer: Callable[[int], None]) -> None:
        self._arrives(machine, report, answer)

    def waits_for(self, machine: str) -> bool:
        return machine in self._waits or machine in self._ordered

    def _arrives(
        self, machine: str, what: Sequence[str] | Report, answer: Callable[..., None]
    ) -> None:
        if self._away:
            return
        if not self._inbox:
            self._events.after(_TOGETHER_S, self._write)
        self._inbox.append((machine, what, answer))

    def _write(self) -> None:
        """All that arrived, in one transaction, and then the answers."""
        inbox, self._inbox = self._inbox, []
        self._heard.update(machine for machine, what, _ in inbox if isinstance(what, Report))
        if self._away:
            return
        try:
            answers = self._transaction(lambda connection: self._written(connection, inbox))
        except ReplicaDied:
            return
        for (machine, what, answer), said in zip(inbox, answers, strict=True):
            if not isinstance(what, Report):
                answer(said)
                continue
            answer(what.number)
            if what.run is not None and what.run.finished is not None:
                self._ordered.discard(machine)
                self.tick_soon(_TICK_AFTER_REPORT_S)
            elif what.health is not None and what.health.ended:
                self.tick_soon(_TICK_AFTER_REPORT_S)

    def _written(
        self, connection: Connection, inbox: Sequence[tuple[str, Any, Any]]
    ) -> list[Sequence[Order]]:
        now = self._events.now
        reports = [(m, what) for m, what, _ in inbox if isinstance(what, Report)]
        if reports:
            written(connection, reports, now)
        known = {m: what for m, what, _ in inbox if not isinstance(what, Report)}
        if not known:
            return [()] * len(inbox)
        orders = runs.waiting_of(connection, known, now)
        return [() if isinstance(what, Report) else orders[m] for m, what, _ in inbox]

    # Ticks.

    def _tick_at(self, time: float) -> None:
        if time != self._next_tick:
            return
        self._next_tick = float("inf")
        self._tick()
        self.tick_soon(_AT_LEAST_EVERY_S)

    def _tick(self) -> None:
        if self._away:
            self.tick_soon(self._away_until - self._events.now + _TICK_AFTER_S)
            return
        self.ticks += 1
        self._note_who_spoke()
        new = tuple(one for one in self._published if one.name not in self._begun)
        try:
            self._transaction(lambda c: self._replica.tick(c, new))
        except ReplicaDied:
            self.tick_soon()
        self._look()

    def _note_who_spoke(self) -> None:
        """Who is silent since the last tick, and who is heard again; and that somebody ticked,
        until now."""
        now, mute = self._events.now, self._silent()
        listening, before = self._ticked >= self._away_until, self._ticked
        self._ticked = now
        loud = (self._mute | self._heard) - mute
        said = [(now + _FAR_S, machine) for machine in sorted(loud)]
        said += [(before, machine) for machine in sorted(mute - self._mute - self._heard)]
        self._mute, self._heard = mute, set()
        self._raw.executemany("UPDATE machines SET seen = ? WHERE id = ?", said)
        if listening:
            self._raw.execute("UPDATE keeper SET ticked = ?", (now - _TICK_AFTER_S,))
        self._raw.commit()

    def _look(self) -> None:
        """At what was committed."""
        names = ("id", "name", "state", "phase", "created", "size", "because", "ended", "frozen")
        found = self._raw.execute(f"SELECT {', '.join(names)} FROM rollouts ORDER BY created, id")
        rollouts = {row[0]: dict(zip(names, row, strict=True)) for row in found.fetchall()}
        self._begun = {row["name"] for row in rollouts.values()}
        held: dict[Known, tuple[str, str]] = {}
        for rollout in rollouts:
            for machine, state, run in self._raw.execute(_HELD, (rollout,)):
                held[rollout, machine] = (state, run)
        self._waits = {m for (_, m), (state, _) in held.items() if state != "failed"}
        self._seen(Committed(held, rollouts))
        given = {run: m for (_, m), (state, run) in held.items() if state == "started"}
        for run in sorted(given.keys() - self._given):
            self._ordered.add(given[run])
            self._wake(given[run])
        self._given = set(given)
        soaking = {run for state, run in held.values() if state == "soaking"}
        if soaking - self._soaking:
            over = self._events.now + self._soak_s
            self._events.at((over // _MINUTE_S + 1) * _MINUTE_S, self.tick_soon, 0.0)
        self._soaking = soaking

    # Transactions, and deaths in them.

    @property
    def _away(self) -> bool:
        return self._events.now < self._away_until

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        """Raises ReplicaDied."""
        if self._chance.random() < self._faults.replica_dies:
            self._dies_in = self._chance.randint(1, 60)
        try:
            with self._engine.begin() as connection:
                done = work(connection)
            if self._dies_in > 0:  # it is committed, and nobody is told
                self._die()
                raise ReplicaDied
            return done
        finally:
            self._dies_in = -1

    def _statement(self, *_: object) -> None:
        if self._dies_in > 0:
            self._dies_in -= 1
            if self._dies_in == 0:
                self._die()
                raise ReplicaDied

    def _die(self) -> None:
        """Another replica is there at once, or this one comes back after a while."""
        self.deaths += 1
        self._inbox = []
        self._replica = self._new_replica()
        if self._chance.random() < 0.5:
            self._away_until = self._events.now + self._chance.uniform(
                1, self._faults.replica_away_s
            )

    def _new_replica(self) -> Keeping:
        return Keeping(cast(Control, _Clock(self._events)))

    def _fill(self, fleet: Sequence[Machine], written: Mapping[str, object]) -> None:
        now = self._events.now
        with self._engine.begin() as connection:
            connection.execute(insert(machine_table), [_row(one, now) for one in fleet])
            cells = {one.group: (one.region, one.zone) for one in fleet}
            for some in _in_parts(sorted(cells.items())):
                groups.add(connection, dict(some))
            groups.count_machines(connection, cells)
            settings.put(connection, "rollouts", dict(written))


def _in_parts(rows: list[T], most: int = 500) -> Iterable[list[T]]:
    return (rows[at : at + most] for at in range(0, len(rows), most))


def _row(machine: Machine, now: float) -> dict[str, Any]:
    return {
        **{"id": machine.id, "resource": f"/machines/{machine.id}", "host": machine.id},
        **{"facts": {}, "simulated": True, "enrolled": now, "seen": now + _FAR_S, "heard": 0},
        **{"owner": machine.owner, "region": machine.region, "zone": machine.zone},
        **{"group": machine.group, "domain": machine.domain, "time_zone": machine.time_zone},
        **{"automatic": machine.automatic, "canary": False, "reboot": "IfRequired"},
        **{"health": "", "health_at": 0.0, "bad_at": 0.0, "bad_because": ""},
    }


def _empty() -> sqlite3.Connection:
    """A database with the tables as the migrations make them."""
    made = sqlite3.connect(":memory:", check_same_thread=False)
    _migrated().backup(made)
    return made


@cache
def _migrated() -> sqlite3.Connection:
    kept = sqlite3.connect(":memory:", check_same_thread=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.sqlite"
        database = Database(f"sqlite:///{path}")
        database.migrate()
        database.close()
        file = sqlite3.connect(path)
        file.backup(kept)
        file.close()
    return kept
