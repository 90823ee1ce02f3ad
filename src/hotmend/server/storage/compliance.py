"""How machines stand: what their last assessments found, counted in SQL.

Old news is no news: a machine whose assessment is older than ``FRESH_S``, or that has been silent
for longer than ``HEARD_S``, stands nowhere that anybody knows. Neither does one that found nothing,
and could not read all releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, case, delete, func, insert, or_, select, true
from sqlalchemy.sql.elements import ColumnElement

from hotmend.model.agent_messages import Assessment, Needs
from hotmend.server.storage.tables import compliance, exposure, listing, machines, missing

FRESH_S = 7 * 86400.0  # Update Manager's "not assessed in 7 days"
HEARD_S = 3600.0
KEPT_HOURS = 32 * 24
_URGENT = ("Critical", "Security")
_MOST_ARTICLE, _MOST_NAME, _MOST_CLASSIFICATION = 256, 512, 32
_MOST_PROCESSES = 1 << 22  # Linux' own limit of pids


class State(StrEnum):
    """Of a machine, the worst first but for *live*: nothing old runs on it that we know of."""

    LIVE = "live"
    WAITING = "waiting"
    RESTART = "restart"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Numbers:
    """Of a fleet. ``machines``: those with an agent, by state; ``updates``: all, by update status;
    ``vulnerable``: processes that run old code, of the machines that are known, ``restart``: those
    that only a restart ends; ``unexamined``: processes that nobody could look at."""

    machines: dict[State, int]
    updates: dict[str, int]
    vulnerable: int
    restart: int
    live: int
    unexamined: int

    @property
    def total(self) -> int:
        return sum(self.machines.values())


@dataclass(frozen=True)
class Missing:
    """A patch that machines miss. ``machines``: how many; ``outdated``: their processes that run
    the old code."""

    article: str
    name: str
    classification: str
    hotpatch: bool
    machines: int
    outdated: int


def note(connection: Connection, machine: str, found: Assessment, now: float) -> None:
    """In the place of what an earlier assessment of ``machine`` found."""
    forget(connection, machine)
    connection.execute(insert(compliance).values(machine=machine, assessed=now, **counted(found)))
    # Agents write what they like; a column takes what it takes.
    rows = {
        patch.article[:_MOST_ARTICLE]: {
            "machine": machine,
            "article": patch.article[:_MOST_ARTICLE],
            "name": patch.name[:_MOST_NAME],
            "classification": patch.classification[:_MOST_CLASSIFICATION],
            "hotpatch": patch.hotpatch,
            "outdated": len(patch.outdated),
        }
        for patch in found.patches
    }
    if rows:
        connection.execute(insert(missing), list(rows.values()))


def counted(found: Assessment) -> dict[str, Any]:
    """The numbers of an assessment. A process counts once, for the worst that is said of it."""
    urgent = [patch for patch in found.patches if patch.classification in _URGENT]
    restart = {pid for patch in urgent if not patch.hotpatch for pid in patch.outdated}
    restart |= {process.pid for process in found.stale if process.needs is not Needs.NOTHING}
    waiting = {pid for patch in urgent if patch.hotpatch for pid in patch.outdated} - restart
    live = {pid for patch in found.patches for pid in patch.patched}
    live |= {process.pid for process in found.stale if process.needs is Needs.NOTHING}
    return {
        "urgent": len(urgent),
        "others": len(found.patches) - len(urgent),
        "live": len(live - waiting - restart),
        "waiting": len(waiting),
        "restart": len(restart),
        "unexamined": min(max(found.unexamined, 0), _MOST_PROCESSES),
        "reboot": found.reboot_pending,
        "unread": len(found.unread),
    }


def forget(connection: Connection, machine: str) -> None:
    """Before it is counted anew, or with the machine."""
    for table in (compliance, missing):
        connection.execute(delete(table).where(table.c.machine == machine))


def known(now: float) -> ColumnElement[bool]:
    """Whether what is said of a machine can still be believed."""
    return and_(
        compliance.c.machine.is_not(None),
        compliance.c.assessed >= now - FRESH_S,
        machines.c.seen >= now - HEARD_S,
    )


def state(now: float) -> ColumnElement[str]:
    """Of a row of ``machines`` with its ``compliance``."""
    restart = or_(compliance.c.restart > 0, compliance.c.reboot)
    return case(
        (~known(now), State.UNKNOWN.value),
        (restart, State.RESTART.value),
        (compliance.c.waiting > 0, State.WAITING.value),
        (compliance.c.unread > 0, State.UNKNOWN.value),
        else_=State.LIVE.value,
    )


def within(scopes: Sequence[str]) -> ColumnElement[bool]:
    """Machines whose resource lies in one of ``scopes``: beginnings of resource ids, / for all."""
    if any(not scope.strip("/") for scope in scopes):
        return true()
    places = [scope.lower().rstrip("/") for scope in scopes]
    key = machines.c.resource
    return or_(*(or_(key == p, key.startswith(f"{p}/", autoescape=True)) for p in places))


def numbers(connection: Connection, where: ColumnElement[bool]) -> Numbers:
    """Of the machines for which ``where``, a condition on ``listing``, holds."""
    state, updates = listing.c.state, listing.c.updates  # grouped as the index has them
    columns = (listing.c.vulnerable, listing.c.restart, listing.c.live, listing.c.unexamined)
    found = connection.execute(
        select(state, updates, func.count(), func.count(listing.c.machine), *map(func.sum, columns))
        .where(where)
        .group_by(state, updates)
    ).all()
    sums = [sum(row[at] for row in found if row[0] != State.UNKNOWN) for at in (4, 5, 6, 7)]
    by_status: dict[str, int] = {}
    for _, status, number, *_ in found:
        by_status[status] = by_status.get(status, 0) + number
    return Numbers(
        {one: sum(row[3] for row in found if row[0] == one) for one in State},
        by_status,
        *map(int, sums),
    )


def most_missing(
    connection: Connection, scopes: Sequence[str], most: int, article: str = ""
) -> list[Missing]:
    """Patches by how many machines miss them; ``article``: only that one."""
    count = func.count().label("count")
    columns = (missing.c.article, missing.c.classification, missing.c.hotpatch)
    wanted = (
        select(*columns, count, func.sum(missing.c.outdated).label("outdated"))
        .group_by(*columns)
        .order_by(count.desc(), missing.c.article)
        .limit(most)
    )
    if not any(not scope.strip("/") for scope in scopes):
        wanted = wanted.join(machines, machines.c.id == missing.c.machine).where(within(scopes))
    if article:
        wanted = wanted.where(missing.c.article == article)
    # Counted by the index alone; names are looked up for what is shown.
    found, one = wanted.subquery(), missing.alias()
    name = select(one.c.name).where(one.c.article == found.c.article)
    name = name.order_by(one.c.classification, one.c.hotpatch, one.c.outdated).limit(1)
    named = select(found, name.scalar_subquery().label("name"))
    rows = connection.execute(named.order_by(found.c.count.desc(), found.c.article))
    return [
        Missing(
            row.article,
            row.name,
            row.classification,
            row.hotpatch,
            row._mapping["count"],
            int(row.outdated),
        )
        for row in rows
    ]


def sample(connection: Connection, now: float) -> None:
    """Write down how each owner's machines stand in this hour, and forget what is too old."""
    hour = int(now // 3600)
    stale = (exposure.c.hour == hour) | (exposure.c.hour < hour - KEPT_HOURS)
    connection.execute(delete(exposure).where(stale))
    old = case((listing.c.state == State.UNKNOWN.value, 0), else_=listing.c.vulnerable)
    counts = [func.sum(case((listing.c.state == one.value, 1), else_=0)) for one in State]
    columns = ("hour", "owner", "vulnerable", *(one.value for one in State))
    connection.execute(
        insert(exposure).from_select(
            columns,
            select(func.max(hour), listing.c.owner, func.sum(old), *counts)
            .where(listing.c.machine.is_not(None))
            .group_by(listing.c.owner),
        )
    )


def days(
    connection: Connection, scopes: Sequence[str], since: float
) -> list[tuple[int, dict[str, int]]]:
    """(day of the epoch, numbers) of the last hour of each day that was written down. Who may not
    see all of an owner's machines does not see them here."""
    day = (exposure.c.hour // 24).label("day")
    last = (
        select(func.max(exposure.c.hour).label("hour"))
        .where(exposure.c.hour >= int(since // 3600))
        .group_by(day)
        .subquery()
    )
    names = ("vulnerable", *(one.value for one in State))
    owners = [s.strip("/").removeprefix("subscriptions/").lower() for s in scopes]
    wanted = (
        select(exposure.c.hour, *(func.sum(exposure.c[name]) for name in names))
        .join(last, last.c.hour == exposure.c.hour)
        .group_by(exposure.c.hour)
        .order_by(exposure.c.hour)
    )
    if "" not in owners:
        wanted = wanted.where(exposure.c.owner.in_(owners))
    return [
        (row[0] // 24, {name: int(value) for name, value in zip(names, row[1:], strict=True)})
        for row in connection.execute(wanted)
    ]
