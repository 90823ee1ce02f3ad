"""Machines and turns straight in the tables, for tests of what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from hotmend.fleet.place import Place
from hotmend.fleet.rollout import RolloutState
from hotmend.fleet.turn import TurnState
from hotmend.model.agent_messages import Order, RunKind, Selection
from hotmend.server.storage import groups, rollouts
from hotmend.server.storage.database import Database
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import groups as group_table
from hotmend.server.storage.tables import machines, turns
from hotmend.server.storage.tables import rollouts as rollout_table
from hotmend.server.storage.tables import runs as run_table

NOW = 1_767_225_600.0  # midnight, UTC


class Undone(Exception):
    """Thrown to take a transaction back."""


@dataclass
class Fleet:
    """``now`` is what tests move."""

    connection: Connection
    now: float = NOW
    count: int = 0
    defaults: dict[str, Any] = field(default_factory=dict)

    def machine(self, name: str, place: Place, **columns: Any) -> str:
        row = {
            **{"id": name, "resource": f"/machines/{name}", "host": name, "facts": {}},
            **{"simulated": True, "enrolled": self.now, "seen": self.now, "heard": 0},
            **{"owner": "s", "region": place.region, "zone": place.zone, "group": place.group},
            **{"domain": place.domain, "time_zone": "Etc/UTC", "automatic": True},
            **{"canary": False, "reboot": "IfRequired", "health": "", "health_at": 0.0},
            **{"bad_at": 0.0, "bad_because": ""},
            **self.defaults,
            **columns,
        }
        self.connection.execute(insert(machines), [row])
        groups.add(self.connection, {place.group: (place.region, place.zone)})
        groups.count_machines(self.connection, [place.group])
        return name

    def rollout(self, name: str, **changes: Any) -> Rollout:
        made = Rollout(
            **{
                **{"id": name, "name": name, "kind": rollouts.AUTOMATIC, "because": ""},
                **{"state": RolloutState.RUNNING, "created": self.now, "ended": None},
                **{"phase": 9, "phase_began": self.now, "last_phase": 9, "phases": {}, "size": 0},
                **{"order": Order("", RunKind.INSTALL, Selection(("Security",)), 600.0)},
                **{"written_settings": {}, "frozen": frozenset(), "warned": ""},
                **{"opens": None, "closes": None},
                **changes,
            }
        )
        rollouts.create(self.connection, made, machines.c.id.in_([]))
        return made

    def turn(
        self, rollout: str, machine: str, state: TurnState = TurnState.WAITING, phase: int = 1
    ) -> None:
        row = self.connection.execute(select(machines).where(machines.c.id == machine)).one()
        place = {k: row._mapping[k] for k in ("region", "zone", "group", "domain")}
        self.connection.execute(
            insert(turns).values(
                **place,
                rollout=rollout,
                machine=machine,
                state=state.value,
                phase=phase,
                owner=row.owner,
                time_zone=row.time_zone,
                attempts=0,
                failure="unhealthy" if state is TurnState.FAILED else "",
                because="",
                pardoned=False,
            )
        )
        groups.count_held(self.connection, [row.group])

    def states(self, rollout: str) -> Mapping[str, TurnState]:
        found = select(turns.c.machine, turns.c.state).where(turns.c.rollout == rollout)
        return {machine: TurnState(state) for machine, state in self.connection.execute(found)}


@contextmanager
def fleet(database: Database) -> Iterator[Fleet]:
    """Of an empty database; nothing of it stays."""
    with database._engine.connect() as connection:
        transaction = connection.begin()
        for table in (turns, rollout_table, run_table, machines, group_table):
            connection.execute(delete(table))
        try:
            yield Fleet(connection)
        finally:
            transaction.rollback()
