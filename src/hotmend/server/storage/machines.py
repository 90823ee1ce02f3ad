"""Machines with an agent: how they came, and when they were last heard."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from hotmend.fleet.condition import Word, condition
from hotmend.model.agent_messages import Facts, Health
from hotmend.server.storage.tables import codes, compliance, machines, missing
from hotmend.server.storage.tables import health as health_table

CODE_LIFE_S = 3600.0
_MOST_BECAUSE = 512
# Until it is placed (``standing``).
_NOWHERE = {
    **dict.fromkeys(("owner", "region", "zone", "group", "health", "bad_because"), ""),
    **{"time_zone": "Etc/UTC", "reboot": "IfRequired", "automatic": False, "canary": False},
    **{"domain": 0, "health_at": 0.0, "bad_at": 0.0},
}


@dataclass(frozen=True)
class Machine:
    """``resource``: the key of its resource."""

    id: str
    resource: str
    facts: Facts
    simulated: bool
    seen: float


def new_code(connection: Connection, resource: str, location: str, now: float) -> str:
    """A code with which one machine may enrol as ``resource``, for an hour."""
    code = secrets.token_urlsafe(24)
    connection.execute(
        insert(codes).values(
            digest=_digest(code), resource=resource, location=location, expires=now + CODE_LIFE_S
        )
    )
    return code


def use_code(connection: Connection, code: str, now: float) -> tuple[str, str] | None:
    """(resource id, location), once; None for a code that is not known, used or too old."""
    used = connection.execute(
        update(codes)
        .where(codes.c.digest == _digest(code), codes.c.used.is_(None), codes.c.expires > now)
        .values(used=now)
    )
    if not used.rowcount:
        return None
    row = connection.execute(select(codes).where(codes.c.digest == _digest(code))).one()
    return row.resource, row.location


def add(
    connection: Connection, machine: str, resource: str, facts: Facts, now: float, simulated: bool
) -> None:
    """In the place of the one that enrolled as ``resource`` before."""
    remove(connection, resource)
    connection.execute(
        insert(machines).values(
            id=machine,
            resource=resource,
            host=facts.host,
            facts=asdict(facts),
            simulated=simulated,
            enrolled=now,
            seen=now,
            heard=0,
            **_NOWHERE,
        )
    )


def get(connection: Connection, machine: str) -> Machine | None:
    """By id."""
    return _machine(connection.execute(select(machines).where(machines.c.id == machine)).first())


def of_resource(connection: Connection, key: str) -> Machine | None:
    """The machine that enrolled as the resource with that key."""
    return _machine(connection.execute(select(machines).where(machines.c.resource == key)).first())


def of_resources(connection: Connection) -> dict[str, Machine]:
    """All, by their resource's key."""
    found = map(_machine, connection.execute(select(machines)))
    return {machine.resource: machine for machine in found if machine is not None}


def of_keys(connection: Connection, keys: Sequence[str]) -> dict[str, Machine]:
    """Those of some resources, by their keys."""
    found = map(_machine, connection.execute(select(machines).where(machines.c.resource.in_(keys))))
    return {machine.resource: machine for machine in found if machine is not None}


def seen(connection: Connection, machine: str, now: float) -> bool:
    """It spoke; False for one that was removed."""
    done = connection.execute(update(machines).where(machines.c.id == machine).values(seen=now))
    return bool(done.rowcount)


def set_facts(connection: Connection, machine: str, facts: Facts) -> None:
    """As it says it is now."""
    connection.execute(
        update(machines)
        .where(machines.c.id == machine)
        .values(facts=asdict(facts), host=facts.host)
    )


def set_health(connection: Connection, machine: str, said: Health, now: float) -> None:
    """As it says it is, whole, and in the word by which the health gate goes."""
    before = health(connection, machine)
    word, wrong = condition(before[1] if before is not None else None, said)
    values = {"told": now, "content": msgspec.to_builtins(said)}
    where = health_table.c.machine == machine
    if before is not None:
        connection.execute(update(health_table).where(where).values(**values))
    else:
        connection.execute(insert(health_table).values(machine=machine, **values))
    columns: dict[str, Any] = {"health": word.value, "health_at": now}
    if word is Word.BAD:
        columns |= {"bad_at": now, "bad_because": wrong[:_MOST_BECAUSE]}
    connection.execute(update(machines).where(machines.c.id == machine).values(**columns))


def health(connection: Connection, machine: str) -> tuple[float, Health] | None:
    """(when it was told, how it is); None where nothing was said: that is not health."""
    row = connection.execute(select(health_table).where(health_table.c.machine == machine)).first()
    return None if row is None else (row.told, msgspec.convert(row.content, Health))


def remove(connection: Connection, resource: str) -> None:
    """Its certificate is good for nothing from now on."""
    gone = select(machines.c.id).where(machines.c.resource == resource)
    for table in (health_table, compliance, missing):
        connection.execute(delete(table).where(table.c.machine.in_(gone)))
    connection.execute(delete(machines).where(machines.c.resource == resource))


def _machine(row: Any) -> Machine | None:
    if row is None:
        return None
    return Machine(row.id, row.resource, Facts(**row.facts), row.simulated, row.seen)


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
