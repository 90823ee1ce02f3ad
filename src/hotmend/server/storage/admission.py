"""Admission in SQL: which turns may start now.

The same decision as ``fleet.admission``, which says the rules; the tests hold one against the
other. Everything is asked of one (region, zone) at a time, in the order of an index, group by
group, so that the database stops when it has enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

from sqlalchemy import Connection, Integer, Select, and_, bindparam, exists, func, select

from hotmend.fleet.turn import TurnState
from hotmend.model.agent_messages import RunKind
from hotmend.server.storage.among import among
from hotmend.server.storage.groups import HOLDING
from hotmend.server.storage.tables import groups, machines, runs, turns

IN_FLIGHT = tuple(state for state in TurnState if state.in_flight)
Cell = tuple[str, str]

_CELLS = (
    select(groups.c.region, groups.c.zone)
    .where(groups.c.held < groups.c.budget)
    .distinct()
    .order_by(groups.c.region, groups.c.zone)
)
_FLYING = (
    select(turns.c.region, turns.c.zone, func.count())
    .where(turns.c.rollout == bindparam("of"), among(turns.c.state, IN_FLIGHT))
    .group_by(turns.c.region, turns.c.zone)
)
_first = select(func.min(machines.c.time_zone).label("name")).cte("zones", recursive=True)
_next = select(func.min(machines.c.time_zone)).where(machines.c.time_zone > _first.c.name)
_all = _first.union_all(select(_next.scalar_subquery()).where(_first.c.name.is_not(None)))
_TIME_ZONES = select(_all.c.name).where(_all.c.name.is_not(None))


@dataclass(frozen=True)
class Reach:
    """Which machines can be asked to begin now: heard from since ``seen``; in one of ``zones``,
    IANA names, or, when that is None, anywhere; ``automatic``: only those that their owners have
    patched without being asked; not of an owner whose part is ``frozen``."""

    seen: float
    zones: Sequence[str] | None
    automatic: bool
    frozen: Sequence[str] = ()


@dataclass(frozen=True)
class Admitted:
    """A machine that is to begin. ``size``: of its group; ``reboot``: as its owner set it."""

    machine: str
    region: str
    zone: str
    group: str
    size: int
    domain: int
    attempts: int
    time_zone: str
    reboot: str


def cells(connection: Connection) -> list[Cell]:
    """(region, zone) in which a group has room, in order."""
    return [(row.region, row.zone) for row in connection.execute(_CELLS)]


def time_zones(connection: Connection) -> list[str]:
    """Of machines, each once, in order: from one to the next in the index."""
    return list(connection.execute(_TIME_ZONES).scalars())


def flying(connection: Connection, rollout: str) -> dict[Cell, int]:
    """How many of the rollout's turns are in flight in each (region, zone)."""
    found = connection.execute(_FLYING, {"of": rollout})
    return {(region, zone): count for region, zone, count in found}


def admissible(
    connection: Connection, rollout: str, phase: int, cell: Cell, reach: Reach, most: int
) -> list[Admitted]:
    """At most ``most`` turns of ``cell`` that may start now: of each group with room those in its
    one domain, as many as there is room for."""
    question = _admissible(reach.zones is not None, reach.automatic, bool(reach.frozen))
    values: dict[str, object] = {
        **{"of": rollout, "in_phase": phase, "in_region": cell[0], "in_zone": cell[1]},
        **{"seen_since": reach.seen, "most": most},
    }
    if reach.zones is not None:
        values["zones"] = reach.zones
    if reach.frozen:
        values["frozen"] = reach.frozen
    return [Admitted(**row._mapping) for row in connection.execute(question, values)]


@cache
def _admissible(in_zones: bool, automatic: bool, frozen: bool) -> Select[tuple[object, ...]]:
    """Built once: it is asked of each cell in each tick."""
    c = _candidates(in_zones, automatic, frozen).subquery().c
    return (
        select(*(c[field.name] for field in fields(Admitted)))
        .where(c.domain == c.active, c.place <= c.room)
        .order_by(c.group, c.domain, c.machine)
        .limit(bindparam("most", type_=Integer))
    )


def _candidates(in_zones: bool, automatic: bool, frozen: bool) -> Select[tuple[object, ...]]:
    """With ``room`` and ``active`` domain of the group, and the ``place`` within the domain."""
    own_turns = and_(
        turns.c.rollout == bindparam("of"),
        turns.c.group == groups.c.key,
        turns.c.state == TurnState.WAITING.value,
        turns.c.phase == bindparam("in_phase"),
        groups.c.domain.is_(None) | (groups.c.domain == turns.c.domain),
    )
    least = func.min(turns.c.domain).over(partition_by=turns.c.group)
    place = func.row_number().over(
        partition_by=[turns.c.group, turns.c.domain], order_by=turns.c.machine
    )
    other = turns.alias("other")
    holds = exists().where(other.c.machine == turns.c.machine, among(other.c.state, HOLDING))
    busy = exists().where(
        runs.c.machine == turns.c.machine,
        runs.c.kind != RunKind.ASSESS.value,
        runs.c.finished.is_(None),
    )
    wanted: Select[tuple[object, ...]] = (
        select(
            turns.c.machine,
            groups.c.region,
            groups.c.zone,
            turns.c.group,
            groups.c.size,
            turns.c.domain,
            turns.c.attempts,
            turns.c.time_zone,
            machines.c.reboot,
            (groups.c.budget - groups.c.held).label("room"),
            least.label("active"),
            place.label("place"),
        )
        .select_from(groups)
        .join(turns, own_turns)
        .join(machines, machines.c.id == turns.c.machine)
        .where(groups.c.region == bindparam("in_region"), groups.c.zone == bindparam("in_zone"))
        .where(groups.c.held < groups.c.budget, machines.c.seen >= bindparam("seen_since"))
        .where(~holds, ~busy)
    )
    if in_zones:
        wanted = wanted.where(turns.c.time_zone.in_(bindparam("zones", expanding=True)))
    if automatic:
        wanted = wanted.where(machines.c.automatic)
    if frozen:
        wanted = wanted.where(turns.c.owner.not_in(bindparam("frozen", expanding=True)))
    return wanted
