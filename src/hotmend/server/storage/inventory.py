"""Machines as a list that people filter and search: with an agent or without, page by page.

The whole is never read: a page costs what a page has, and the next one begins behind its last key.
What is filtered, searched and counted has a narrow table of its own (``listing``), which is brought
up to date with each change of a machine, and once a minute with what only time has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Select,
    String,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    true,
)
from sqlalchemy.sql.elements import ColumnElement

from hotmend.fleet.hotpatch_status import HotpatchStatus
from hotmend.server.storage import compliance as standing
from hotmend.server.storage.tables import compliance, listing, machines, missing, resources

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
    hotpatch: str = ""


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


@dataclass(frozen=True)
class Summary:
    """``counts``: machines by update status, of all that the rest of a ``Wanted`` leaves;
    ``places``: (region, zone, machines with an agent by state) of all, in order."""

    counts: dict[Updates, int]
    places: list[tuple[str, str, dict[str, int]]]


def within(scopes: Sequence[str]) -> ColumnElement[bool]:
    """Machines in ``scopes``: beginnings of resource ids, / for all."""
    if any(not scope.strip("/") for scope in scopes):
        return true()
    places = [scope.lower().rstrip("/") for scope in scopes]
    key = listing.c.key
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
    found = select(listing.c.key).where(within(scopes), _like(wanted), listing.c.key > after)
    keys = connection.execute(found.order_by(listing.c.key).limit(most)).scalars().all()
    return of_keys(connection, keys, now)


def of_keys(connection: Connection, keys: Sequence[str], now: float) -> list[Listed]:
    """Machines with those keys, in the order of their keys."""
    wanted = _lines(now).where(resources.c.key.in_(keys)).order_by(resources.c.key)
    return [_listed(row) for row in connection.execute(wanted)] if keys else []


def one(connection: Connection, key: str, now: float) -> Listed:
    """The machine with that key, which must be there."""
    return of_keys(connection, [key], now)[0]


def summary(connection: Connection, scopes: Sequence[str], wanted: Wanted) -> Summary:
    """Of all machines in ``scopes``, in one walk over them."""
    columns = (listing.c.state, listing.c.updates, listing.c.region, listing.c.zone)
    like: ColumnElement[int] = func.count()
    if replace(wanted, updates="", state="", region="") != Wanted():  # else groups are asked
        like = func.count().filter(_like(replace(wanted, updates="")))
    every = select(*columns, func.count(listing.c.machine), like).where(within(scopes))
    counts = dict.fromkeys(Updates, 0)
    places: dict[tuple[str, str], dict[str, int]] = {}
    # Grouped as the index has them: nothing is sorted.
    for row in connection.execute(every.group_by(*columns)):
        state, status, region, zone, agents, number = row
        if wanted.state in ("", state) and wanted.region in ("", region):
            counts[Updates(status)] += number
        if agents:
            states = places.setdefault((region, zone), {})
            states[state] = states.get(state, 0) + agents
    return Summary(counts, [(*place, places[place]) for place in sorted(places)])


def zones(connection: Connection, scopes: Sequence[str]) -> list[tuple[str, int]]:
    """(IANA name, machines by that clock), the most first."""
    # Grouped as the index has them: nothing is sorted.
    place = (listing.c.region, listing.c.zone, listing.c.time_zone)
    columns = (listing.c.state, listing.c.updates, *place)
    wanted = select(*columns, func.count()).where(listing.c.machine.is_not(None), within(scopes))
    found: dict[str, int] = {}
    for row in connection.execute(wanted.group_by(*columns)):
        found[row.time_zone] = found.get(row.time_zone, 0) + row[-1]
    return sorted(found.items(), key=lambda zone: (-zone[1], zone[0]))


def relist(
    connection: Connection, keys: Sequence[str], hotpatch: Mapping[str, str], now: float
) -> None:
    """Bring the ``listing`` of machines, or of what is no machine any more, up to date.
    ``hotpatch``: the statuses of those that are there."""
    forget(connection, keys)
    rows = connection.execute(_listing(now).where(resources.c.key.in_(keys))).mappings()
    new = [
        {**row, "words": _words(row["key"], row["words"]), "hotpatch": hotpatch[row["key"]]}
        for row in rows
    ]
    if new:
        connection.execute(insert(listing), new)


def forget(connection: Connection, keys: Sequence[str]) -> None:
    """They are listed no more."""
    connection.execute(delete(listing).where(listing.c.key.in_(keys)))


def passed_by(connection: Connection, now: float) -> list[str]:
    """Keys of machines that are listed as what they are no more, since time has passed."""
    wrong = or_(
        listing.c.key.is_(None),
        listing.c.state != standing.state(now),
        listing.c.updates != updates(now),
        listing.c.hotpatch == HotpatchStatus.PENDING.value,  # until the machine is heard from
    )
    joined = _JOINED.outerjoin(listing, listing.c.key == resources.c.key)
    wanted = select(resources.c.key).select_from(joined).where(resources.c.type.in_(KINDS), wrong)
    return list(connection.execute(wanted).scalars())


def updates(now: float) -> ColumnElement[str]:
    """Of a row of ``machines`` with its ``compliance``."""
    there = compliance.c.urgent + compliance.c.others > 0
    return case(
        (~standing.known(now), Updates.NO_DATA.value),
        (compliance.c.reboot, Updates.REBOOT.value),
        (there, Updates.AVAILABLE.value),
        (compliance.c.unread > 0, Updates.NO_DATA.value),
        else_=Updates.NONE.value,
    )


def _like(wanted: Wanted) -> ColumnElement[bool]:
    """Machines that ``wanted`` leaves."""
    found = [
        column == value
        for column, value in (
            (listing.c.type, wanted.kind),
            (listing.c.region, wanted.region),
            (listing.c.os, wanted.os),
            (listing.c.state, wanted.state),
            (listing.c.updates, wanted.updates),
            (listing.c.hotpatch, wanted.hotpatch),
        )
        if value
    ]
    if wanted.search:
        found.append(listing.c.words.contains(wanted.search.lower(), autoescape=True))
    if wanted.missing:
        has = select(missing.c.machine).where(missing.c.article == wanted.missing)
        # Who misses anything has updates: half of a fleet need not be looked for among all that do.
        found += [listing.c.updates != Updates.NONE.value, listing.c.machine.in_(has)]
    return and_(true(), *found)


def _listing(now: float) -> Select[*tuple[Any, ...]]:
    """All columns of ``listing`` but for the hotpatch status, with the host for its words; agents
    write what they like."""
    found = compliance.c
    location = resources.c.body["location"].as_string()
    os = machines.c.facts["os_name"].as_string()
    columns: dict[str, ColumnElement[Any]] = {
        "owner": resources.c.subscription,
        "machine": machines.c.id,
        "words": func.coalesce(machines.c.host, ""),
        "region": _cut(func.coalesce(machines.c.region, location), listing.c.region),
        "zone": func.coalesce(machines.c.zone, ""),
        "time_zone": func.coalesce(machines.c.time_zone, ""),
        "os": _cut(os, listing.c.os),
        "state": standing.state(now),
        "updates": updates(now),
        "vulnerable": func.coalesce(found.waiting + found.restart, 0),
        **{
            column.name: func.coalesce(column, 0)
            for column in (found.restart, found.live, found.unexamined)
        },
    }
    named = (column.label(name) for name, column in columns.items())
    wanted = select(resources.c.key, resources.c.type, *named).select_from(_JOINED)
    return wanted.where(resources.c.type.in_(KINDS))


def _words(key: str, host: str) -> str:
    """By which people find a machine: its name and group, and its host's name if it has another."""
    name, host = key.rpartition("/")[2], host.lower()
    return " ".join((name, key.split("/")[4], *((host,) if host != name else ())))


def _cut(text: ColumnElement[str], to: Column[str]) -> ColumnElement[str]:
    assert isinstance(to.type, String) and to.type.length
    return func.substr(func.coalesce(text, ""), 1, to.type.length)


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
