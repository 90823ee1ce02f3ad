"""Machines with an agent: how they came, and when they were last heard."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)

from hotmend.fleet.condition import Word, condition
from hotmend.model.agent_messages import Facts, Health
from hotmend.server.storage import groups, turns
from hotmend.server.storage.given import given, is_given, keys
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


_NOW = bindparam("now", type_=Float)
_said = given().c
_HEALTH = select(health_table).where(is_given(health_table.c.machine))
_TELL = insert(health_table).from_select(
    ("machine", "told", "content"), select(_said.key, _NOW, _said.value)
)
_TELL_AGAIN = (
    update(health_table)
    .where(health_table.c.machine == _said.key)
    .values(told=_NOW, content=_said.value)
)
_of_machine = update(machines).where(machines.c.id == _said.key)
_SEEN = _of_machine.values(seen=_NOW).returning(machines.c.id)
_word, _wrong = _said.value["word"].as_string(), _said.value["wrong"].as_string()
_HEARD = _of_machine.values(
    heard=cast(_said.value["number"].as_string(), BigInteger),
    seen=_NOW,
    health=func.coalesce(_word, machines.c.health),
    health_at=case((_word.is_not(None), _NOW), else_=machines.c.health_at),
    bad_at=case((_wrong.is_not(None), _NOW), else_=machines.c.bad_at),
    bad_because=func.coalesce(_wrong, machines.c.bad_because),
)


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
    code = secrets.token_hex(24)  # one that began with a dash would be an option
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
    remove(connection, resource, now)
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


def several(connection: Connection, identifiers: Sequence[str]) -> list[Machine]:
    """By their ids; those that are known."""
    found = map(
        _machine, connection.execute(select(machines).where(machines.c.id.in_(identifiers)))
    )
    return [machine for machine in found if machine is not None]


def seen(connection: Connection, spoke: Iterable[str], now: float) -> set[str]:
    """Machines ``spoke``, by their ids; those of them that were not removed."""
    return set(connection.execute(_SEEN, {**keys(spoke), "now": now}).scalars())


def set_facts(connection: Connection, machine: str, facts: Facts) -> None:
    """As it says it is now."""
    connection.execute(
        update(machines)
        .where(machines.c.id == machine)
        .values(facts=asdict(facts), host=facts.host)
    )


def heard(
    connection: Connection,
    reports: Mapping[str, int],
    said: Sequence[tuple[str, Health]],
    now: float,
) -> None:
    """Machines reported, each up to that number, and some of them how they are: that is kept, and
    in the machine's row the word by which the health gate goes."""
    rows: dict[str, dict[str, Any]] = {m: {"number": number} for m, number in reports.items()}
    for machine, word in (_told(connection, said, now) if said else {}).items():
        rows[machine] |= word
    if rows:
        connection.execute(_HEARD, {"rows": rows, "now": now})


def _told(
    connection: Connection, said: Sequence[tuple[str, Health]], now: float
) -> dict[str, dict[str, str]]:
    """Keep how machines say they are, in their order; for each the ``word``, and what is ``wrong``
    where something is."""
    known = connection.execute(_HEALTH, keys({machine for machine, _ in said}))
    before = {row.machine: msgspec.convert(row.content, Health) for row in known}
    there = set(before)
    contents, words = (dict[str, dict[str, Any]]() for _ in range(2))
    for machine, health_ in said:
        word, wrong = condition(before.get(machine), health_)
        before[machine] = health_
        contents[machine] = msgspec.to_builtins(health_)
        words[machine] = words.get(machine, {}) | {"word": word.value}
        if word is Word.BAD:
            words[machine]["wrong"] = wrong[:_MOST_BECAUSE]
    old = {machine: row for machine, row in contents.items() if machine in there}
    new = {machine: row for machine, row in contents.items() if machine not in there}
    for statement, rows in ((_TELL_AGAIN, old), (_TELL, new)):
        if rows:
            connection.execute(statement, {"rows": rows, "now": now})
    return words


def health(connection: Connection, machine: str) -> tuple[float, Health] | None:
    """(when it was told, how it is); None where nothing was said: that is not health."""
    row = connection.execute(select(health_table).where(health_table.c.machine == machine)).first()
    return None if row is None else (row.told, msgspec.convert(row.content, Health))


def remove(connection: Connection, resource: str, now: float) -> None:
    """Its certificate is good for nothing from now on."""
    found = select(machines.c.id, machines.c.group).where(machines.c.resource == resource)
    for gone in connection.execute(found).all():
        turns.forget(connection, gone.id, now)
        for table in (health_table, compliance, missing):
            connection.execute(delete(table).where(table.c.machine == gone.id))
        connection.execute(delete(machines).where(machines.c.id == gone.id))
        groups.count_machines(connection, [gone.group])


def _machine(row: Any) -> Machine | None:
    if row is None:
        return None
    return Machine(row.id, row.resource, Facts(**row.facts), row.simulated, row.seen)


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
