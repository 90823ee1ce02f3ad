"""Assignments of maintenance configurations, and maintenance that was asked for or cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from hotmend.fleet.turn import TurnState
from hotmend.server.storage.tables import (
    apply_updates,
    machines,
    maintenance_assignments,
    rollouts,
    turns,
)

_OCCURRENCE = "/providers/microsoft.maintenance/applyupdates/"

Body = dict[str, Any]


@dataclass(frozen=True)
class Assignment:
    """``id`` as it was written; ``configuration`` and ``target``: keys, the latter "" for a dynamic
    scope; ``body``: its properties."""

    id: str
    configuration: str
    target: str
    subscription: str
    group: str
    body: Body
    created: float


@dataclass(frozen=True)
class ApplyUpdate:
    """Asked for at once; or of an ``occurrence`` of a schedule, which has no ``run`` if it was
    cancelled, or where it could not run ``because`` of something."""

    id: str
    resource: str
    configuration: str
    run: str
    occurrence: str
    created: float
    because: str = ""

    @property
    def maintenance_run(self) -> str:
        """By which Azure knows all that one occurrence did; its own id for what is of none."""
        return f"{self.configuration}{_OCCURRENCE}{self.occurrence}" if self.occurrence else self.id


def put(connection: Connection, assignment: Assignment) -> bool:
    """Make or replace it; whether it is new."""
    new = not remove(connection, assignment.id)
    connection.execute(
        insert(maintenance_assignments).values(
            key=assignment.id.lower(),
            id=assignment.id,
            configuration=assignment.configuration,
            target=assignment.target,
            subscription=assignment.subscription.lower(),
            group=assignment.group.lower(),
            body=assignment.body,
            created=assignment.created,
        )
    )
    return new


def get(connection: Connection, identifier: str) -> Assignment | None:
    """By id, without case."""
    wanted = maintenance_assignments.c.key == identifier.lower()
    found = _assignments(connection, wanted)
    return found[0] if found else None


def remove(connection: Connection, identifier: str) -> bool:
    """Whether it was there."""
    gone = connection.execute(
        delete(maintenance_assignments).where(maintenance_assignments.c.key == identifier.lower())
    )
    return bool(gone.rowcount)


def of_target(connection: Connection, target: str) -> list[Assignment]:
    """Those of one machine, the first made first."""
    return _assignments(connection, maintenance_assignments.c.target == target)


def of_configuration(connection: Connection, configuration: str) -> list[Assignment]:
    """All, the first made first."""
    return _assignments(connection, maintenance_assignments.c.configuration == configuration)


def of_subscription(
    connection: Connection, subscription: str, *, dynamic: bool = False
) -> list[Assignment]:
    """All, or the dynamic scopes only, the first made first."""
    wanted = maintenance_assignments.c.subscription == subscription.lower()
    if dynamic:
        wanted &= maintenance_assignments.c.target == ""
    return _assignments(connection, wanted)


def count(connection: Connection, configuration: str, *, dynamic: bool) -> int:
    """How many machines, or dynamic scopes, a configuration has been assigned to."""
    columns = maintenance_assignments.c
    wanted = columns.configuration == configuration
    wanted &= columns.target == "" if dynamic else columns.target != ""
    statement = select(func.count()).select_from(maintenance_assignments).where(wanted)
    return int(connection.execute(statement).scalar_one())


def counts(connection: Connection, targets: Sequence[str]) -> dict[str, int]:
    """How many configurations each of some machines was given directly, by key."""
    target = maintenance_assignments.c.target
    statement = select(target, func.count()).where(target.in_(targets)).group_by(target)
    return {row[0]: row[1] for row in connection.execute(statement)}


def note(connection: Connection, update: ApplyUpdate) -> None:
    """Keep it. What schedules do is known by their rollouts."""
    row = {column.name: getattr(update, column.name) for column in apply_updates.c}
    connection.execute(insert(apply_updates).values(row))


def updates(connection: Connection, resources: Sequence[str] | None = None) -> list[ApplyUpdate]:
    """Of some resources, or of all; the newest first."""
    noted, scheduled = select(apply_updates), _scheduled()
    if resources is not None:
        noted = noted.where(apply_updates.c.resource.in_(resources))
        scheduled = scheduled.where(machines.c.resource.in_(resources))
    found = [
        ApplyUpdate(**row._mapping)
        for statement in (noted, scheduled)
        for row in connection.execute(statement)
    ]
    return sorted(found, key=lambda one: one.created, reverse=True)


def cancelled(connection: Connection, configuration: str, occurrence: str) -> bool:
    """Whether somebody cancelled an occurrence of it."""
    columns = apply_updates.c
    wanted = (columns.resource == configuration) & (columns.occurrence == occurrence)
    return connection.execute(select(columns.id).where(wanted)).first() is not None


def _scheduled() -> Select[tuple[Any, ...]]:
    """What the occurrences of schedules did on machines, as ApplyUpdates; machines that still wait
    have nothing yet."""
    refused = turns.c.state == TurnState.EXCLUDED.value
    return (
        select(
            func.coalesce(turns.c.run, rollouts.c.id).label("id"),
            machines.c.resource,
            rollouts.c.configuration,
            func.coalesce(turns.c.run, "").label("run"),
            rollouts.c.occurrence,
            func.coalesce(turns.c.started, turns.c.ended).label("created"),
            turns.c.because,
        )
        .join(rollouts, rollouts.c.id == turns.c.rollout)
        .join(machines, machines.c.id == turns.c.machine)
        .where(rollouts.c.configuration != "", turns.c.run.is_not(None) | refused)
    )


def _assignments(connection: Connection, wanted: Any) -> list[Assignment]:
    columns = maintenance_assignments.c
    rows = connection.execute(
        select(maintenance_assignments).where(wanted).order_by(columns.created, columns.key)
    )
    return [
        Assignment(
            row.id,
            row.configuration,
            row.target,
            row.subscription,
            row.group,
            row.body,
            row.created,
        )
        for row in rows
    ]
