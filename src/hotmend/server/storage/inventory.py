"""Machines as a list that people filter and search: with an agent or without, page by page.

The whole is never read: a page costs what a page has, and the next one begins behind its last key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, or_, select, true
from sqlalchemy.sql.elements import ColumnElement

from hotmend.server.storage import compliance as standing
from hotmend.server.storage.tables import compliance, machines, missing, resources

KINDS = ("microsoft.compute/virtualmachines", "microsoft.hybridcompute/machines")
_JOINED = resources.outerjoin(machines, machines.c.resource == resources.c.key).outerjoin(
    compliance, compliance.c.machine == machines.c.id
)


class Updates(StrEnum):
    """Update Manager's update status of a machine."""

    NONE = "none"
    AVAILABLE = "available"
    REBOOT = "reboot"
    NO_DATA = "nodata"


@dataclass(frozen=True)
class Wanted:
    """What a list is narrowed to; "" for everything. ``search``: part of a name, host or group;
    ``missing``: the article of a patch."""

    search: str = ""
    kind: str = ""
    region: str = ""
    state: str = ""
    updates: str = ""
    os: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Listed:
    """A machine in the list. ``id``: None without an agent; numbers: None without an
    assessment; ``facts``: what the agent says."""

    resource: str
    key: str
    body: dict[str, Any]
    id: str | None
    facts: dict[str, Any] | None
    simulated: bool
    seen: float | None
    zone: str
    health: str
    assessed: float | None
    urgent: int | None
    others: int | None
    vulnerable: int | None
    reboot: bool
    updates: str
    state: str

    @property
    def name(self) -> str:
        return self.resource.rpartition("/")[2]

    @property
    def kind(self) -> str:
        """A resource type, lower case."""
        return "/".join(self.key.split("/")[6:8])

    @property
    def group(self) -> str:
        return self.resource.split("/")[4]

    @property
    def subscription(self) -> str:
        return self.resource.split("/")[2]


def within(scopes: Sequence[str]) -> ColumnElement[bool]:
    """Resources in ``scopes``: beginnings of ids, / for all."""
    if any(not scope.strip("/") for scope in scopes):
        return true()
    places = [scope.lower().rstrip("/") for scope in scopes]
    key = resources.c.key
    return or_(*(or_(key == p, key.startswith(f"{p}/", autoescape=True)) for p in places))


def page(
    connection: Connection,
    scopes: Sequence[str],
    wanted: Wanted,
    now: float,
    most: int,
    after: str = "",
) -> list[Listed]:
    """At most ``most`` machines behind the key ``after``, in the order of their keys."""
    statement = _narrowed(_lines(now), scopes, wanted, now)
    statement = statement.where(resources.c.key > after).order_by(resources.c.key).limit(most)
    return [_listed(row) for row in connection.execute(statement)]


def one(connection: Connection, key: str, now: float) -> Listed:
    """The machine with that key, which must be there."""
    return _listed(connection.execute(_lines(now).where(resources.c.key == key)).one())


def counts(
    connection: Connection, scopes: Sequence[str], wanted: Wanted, now: float
) -> dict[Updates, int]:
    """How many machines have each update status, of all that ``wanted`` leaves but for that."""
    column = updates(now).label("updates")
    every = select(column, func.count()).select_from(_JOINED)
    statement = _narrowed(every, scopes, wanted, now, but_updates=True)
    found = {row[0]: row[1] for row in connection.execute(statement.group_by(column))}
    return {one: found.get(one.value, 0) for one in Updates}


def places(
    connection: Connection, scopes: Sequence[str], now: float
) -> list[tuple[str, str, dict[str, int]]]:
    """(region, zone, machines with an agent by state), in order."""
    state = standing.state(now).label("state")
    columns = (machines.c.region, machines.c.zone, state)
    statement = (
        select(*columns, func.count())
        .select_from(machines.outerjoin(compliance, compliance.c.machine == machines.c.id))
        .where(standing.within(scopes))
        .group_by(*columns)
    )
    found: dict[tuple[str, str], dict[str, int]] = {}
    for region, zone, word, number in connection.execute(statement):
        found.setdefault((region, zone), {})[word] = number
    return [(*place, found[place]) for place in sorted(found)]


def zones(connection: Connection, scopes: Sequence[str]) -> list[tuple[str, int]]:
    """(IANA name, machines by that clock), the most first."""
    number = func.count().label("number")
    statement = (
        select(machines.c.time_zone, number)
        .where(standing.within(scopes))
        .group_by(machines.c.time_zone)
        .order_by(number.desc(), machines.c.time_zone)
    )
    return [(row[0], row[1]) for row in connection.execute(statement)]


def updates(now: float) -> ColumnElement[str]:
    """Of a row of ``machines`` with its ``compliance``."""
    there = compliance.c.urgent + compliance.c.others > 0
    return case(
        (~standing.known(now), Updates.NO_DATA.value),
        (compliance.c.reboot, Updates.REBOOT.value),
        (there, Updates.AVAILABLE.value),
        else_=Updates.NONE.value,
    )


def _narrowed(
    statement: Select[*tuple[Any, ...]],
    scopes: Sequence[str],
    wanted: Wanted,
    now: float,
    *,
    but_updates: bool = False,
) -> Select[*tuple[Any, ...]]:
    kinds = [wanted.kind] if wanted.kind in KINDS else KINDS
    statement = statement.where(resources.c.type.in_(kinds), within(scopes))
    if wanted.search:
        text = wanted.search.lower()
        statement = statement.where(
            or_(
                resources.c.key.contains(text, autoescape=True),
                func.lower(machines.c.host).contains(text, autoescape=True),
            )
        )
    if wanted.region:
        own = resources.c.body["location"].as_string()
        nobody = and_(machines.c.id.is_(None), own == wanted.region)
        statement = statement.where(or_(machines.c.region == wanted.region, nobody))
    if wanted.os:
        statement = statement.where(machines.c.facts["os_name"].as_string() == wanted.os)
    if wanted.state:
        statement = statement.where(standing.state(now) == wanted.state)
    if wanted.updates and not but_updates:
        statement = statement.where(updates(now) == wanted.updates)
    if wanted.missing:
        has = select(missing.c.machine).where(missing.c.article == wanted.missing)
        statement = statement.where(machines.c.id.in_(has))
    return statement


def _lines(now: float) -> Select[*tuple[Any, ...]]:
    columns = (
        *(resources.c.id.label("resource"), resources.c.key, resources.c.body),
        *(machines.c.id, machines.c.facts, machines.c.simulated, machines.c.seen),
        *(machines.c.time_zone, machines.c.health, compliance.c.assessed, compliance.c.urgent),
        *(compliance.c.others, compliance.c.waiting, compliance.c.restart, compliance.c.reboot),
        *(updates(now).label("updates"), standing.state(now).label("state")),
    )
    return select(*columns).select_from(_JOINED)


def _listed(row: Any) -> Listed:
    return Listed(
        row.resource,
        row.key,
        row.body,
        row.id,
        row.facts,
        bool(row.simulated),
        row.seen,
        row.time_zone or "",
        row.health or "",
        row.assessed,
        row.urgent,
        row.others,
        None if row.waiting is None else row.waiting + row.restart,
        bool(row.reboot),
        row.updates,
        row.state,
    )
