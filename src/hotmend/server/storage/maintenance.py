"""Assignments of maintenance configurations, and maintenance that was asked for or cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from hotmend.server.storage.tables import apply_updates, maintenance_assignments

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
    """``run``: "" for a cancelled ``occurrence``."""

    id: str
    resource: str
    configuration: str
    run: str
    occurrence: str
    created: float


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
    """Keep it."""
    connection.execute(insert(apply_updates).values(**vars(update)))


def updates(connection: Connection, resources: Sequence[str] | None = None) -> list[ApplyUpdate]:
    """Of some resources, or of all; the newest first."""
    wanted = select(apply_updates).order_by(apply_updates.c.created.desc())
    if resources is not None:
        wanted = wanted.where(apply_updates.c.resource.in_(resources))
    return [ApplyUpdate(**row._mapping) for row in connection.execute(wanted)]


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
