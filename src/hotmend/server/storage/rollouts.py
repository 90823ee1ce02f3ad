"""Rollouts: rows, how they begin, and how they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Float,
    Integer,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from hotmend.fleet.rollout import CANARIES, RolloutState, Standing, Tally
from hotmend.fleet.settings import Settings, parsed
from hotmend.fleet.turn import Failure, TurnState
from hotmend.model.agent_messages import Order
from hotmend.server.storage.among import among
from hotmend.server.storage.compliance import State
from hotmend.server.storage.tables import listing, machines, rollouts, turn_counts, turns

AUTOMATIC, SCHEDULED = "automatic", "scheduled"
_OF = turns.c.rollout == bindparam("of")
_KEY = (turns.c.phase, turns.c.owner)
_count = turn_counts.c
_COUNTS = select(_count.phase, _count.owner, _count.state, _count.count).where(
    _count.rollout == bindparam("of"), _count.count > 0
)
_TALLY = (
    select(_count.phase, _count.state, func.sum(_count.count))
    .where(_count.rollout == bindparam("of"), _count.count > 0)
    .group_by(_count.phase, _count.state)
)
# Of listed machines, since those that need a restart are found there without a look at the others.
_RESTART = (
    select(turns.c.phase, func.count())
    .join(listing, listing.c.machine == turns.c.machine)
    .where(_OF, turns.c.state == TurnState.HEALTHY.value)
    .where(listing.c.state == State.RESTART.value)
    .group_by(turns.c.phase)
)
_again = turns.c.failure != Failure.UNHEALTHY.value
_again &= turns.c.attempts < bindparam("attempts", type_=Integer)
_FAILURES = (
    select(
        *_KEY,
        func.sum(case((_again, 1), else_=0)),
        func.sum(case((turns.c.pardoned, 1), else_=0)),
    )
    .where(_OF, turns.c.state == TurnState.FAILED.value)
    .group_by(*_KEY)
)
_REACHABLE = select(
    select(turns.c.machine)
    .where(_OF, turns.c.state == TurnState.WAITING.value)
    .where(turns.c.phase == bindparam("in_phase"), machines.c.id == turns.c.machine)
    .where(turns.c.owner.not_in(bindparam("frozen", expanding=True)))
    .where(machines.c.seen >= bindparam("since", type_=Float))
    .exists()
)
# By state, since that is how turns can be found, and then each by its key.
_canaries = turns.alias("canaries")
_ended = (TurnState.HEALTHY, TurnState.FAILED, TurnState.EXCLUDED)
_LAST_CANARY = select(func.max(turns.c.ended)).where(
    _OF,
    turns.c.machine.in_(
        select(_canaries.c.machine)
        .where(_canaries.c.rollout == bindparam("of"), among(_canaries.c.state, _ended))
        .where(_canaries.c.phase == CANARIES)
    ),
)
OPEN = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED)


@dataclass(frozen=True)
class Rollout:
    """``kind``: automatic (a release), or scheduled (one occurrence, between ``opens`` and
    ``closes``). ``phases``: of each region; canaries come first whatever theirs. ``order``: what
    its machines are told, but for id and reboot setting; ``windows_order``: those with Windows,
    where that is something else. ``size``: its turns; ``warned``: the last warning, so that it is
    said once. ``configuration`` (a key) and ``occurrence`` (yyyyMMddHHmm00 by its clock): of a
    schedule; ``month`` (yyyy-MM): of a release."""

    id: str
    name: str
    kind: str
    state: RolloutState
    because: str
    created: float
    ended: float | None
    phase: int
    phase_began: float
    last_phase: int
    phases: Mapping[str, int]
    size: int
    order: Order
    written_settings: Mapping[str, object]
    frozen: frozenset[str]
    warned: str
    opens: float | None
    closes: float | None
    configuration: str = ""
    occurrence: str = ""
    windows_order: Order | None = None
    month: str = ""

    @cached_property
    def settings(self) -> Settings:
        return parsed(self.written_settings)


_LISTED = select(rollouts).order_by(rollouts.c.created.desc(), rollouts.c.id)
_OPENED = _LISTED.where(among(rollouts.c.state, OPEN))


def create(connection: Connection, rollout: Rollout, who: ColumnElement[bool]) -> None:
    """With a turn for each machine for which ``who``, a condition on ``machines``, holds."""
    connection.execute(
        insert(rollouts).values(
            id=rollout.id,
            name=rollout.name,
            kind=rollout.kind,
            state=rollout.state.value,
            because=rollout.because,
            created=rollout.created,
            phase=rollout.phase,
            phase_began=rollout.phase_began,
            last_phase=rollout.last_phase,
            phases=dict(rollout.phases),
            size=0,
            order=msgspec.to_builtins(rollout.order),
            settings=dict(rollout.written_settings),
            frozen=sorted(rollout.frozen),
            warned="",
            opens=rollout.opens,
            closes=rollout.closes,
            configuration=rollout.configuration,
            occurrence=rollout.occurrence,
            windows_order=msgspec.to_builtins(rollout.windows_order),
            month=rollout.month,
        )
    )
    join(connection, rollout, who)


def join(connection: Connection, rollout: Rollout, who: ColumnElement[bool]) -> None:
    """Turns for machines that have none in it yet."""
    phases = rollout.phases
    has = and_(turns.c.rollout == rollout.id, turns.c.machine == machines.c.id)
    last = literal(rollout.last_phase)
    by_region = case(phases, value=machines.c.region, else_=last) if phases else last
    phase = case((machines.c.canary, CANARIES), else_=by_region)
    new = (
        select(
            literal(rollout.id),
            machines.c.id,
            literal(TurnState.WAITING.value),
            phase,
            machines.c.owner,
            machines.c.region,
            machines.c.zone,
            machines.c.group,
            machines.c.domain,
            machines.c.time_zone,
            literal(0),
            literal(""),
            literal(""),
            literal(False),
        )
        .where(who, ~select(turns.c.machine).where(has).exists())
        .order_by(machines.c.id)
    )
    columns = (
        *("rollout", "machine", "state", "phase", "owner", "region", "zone", "group", "domain"),
        *("time_zone", "attempts", "failure", "because", "pardoned"),
    )
    join_all = insert(turns).from_select(columns, new).execution_options(preserve_rowcount=True)
    came = connection.execute(join_all).rowcount
    if not came:
        return
    own = update(rollouts).where(rollouts.c.id == rollout.id)
    grown = own.values(size=rollouts.c.size + came).returning(rollouts.c.size)
    size = connection.execute(grown).scalar_one()
    if size.bit_length() > (size - came).bit_length():
        # Plans go by what a table was like. No other is looked at: SQLite would go by how few rows
        # one had then, and read all that it has now for each report.
        connection.execute(text("ANALYZE turns"))


def get(connection: Connection, identifier: str) -> Rollout | None:
    """By id."""
    row = connection.execute(select(rollouts).where(rollouts.c.id == identifier)).first()
    return _rollout(row) if row is not None else None


def listed(connection: Connection, *, open_only: bool = False) -> list[Rollout]:
    """The newest first."""
    return [_rollout(row) for row in connection.execute(_OPENED if open_only else _LISTED)]


def named(connection: Connection, name: str) -> Rollout | None:
    """By the name of its release or occurrence."""
    row = connection.execute(select(rollouts).where(rollouts.c.name == name)).first()
    return _rollout(row) if row is not None else None


def known(connection: Connection, name: str) -> bool:
    """Whether there is, or was, one of that name."""
    found = select(rollouts.c.id).where(rollouts.c.name == name)
    return connection.execute(found).first() is not None


def exists(connection: Connection, identifier: str) -> bool:
    """Whether there is, or was, one with that id."""
    found = select(rollouts.c.id).where(rollouts.c.id == identifier)
    return connection.execute(found).first() is not None


def change(connection: Connection, identifier: str, **values: Any) -> None:
    """Set columns of one."""
    connection.execute(update(rollouts).where(rollouts.c.id == identifier).values(**values))


def standing(connection: Connection, rollout: Rollout, now: float) -> Standing:
    """As ``fleet.rollout`` decides by. Whether a machine that waits can be reached is asked only
    where that can hold up a next phase: while none can, it costs a look at each."""
    own = {"of": rollout.id}
    counts: dict[tuple[int, str], dict[TurnState, int]] = {}
    for phase, owner, state, count in connection.execute(_COUNTS, own):
        counts.setdefault((phase, owner), {})[TurnState(state)] = count
    failures: dict[tuple[int, str], tuple[int, int]] = {}
    if any(TurnState.FAILED in states for states in counts.values()):
        most = {"attempts": rollout.settings.attempts}
        failures = _by_phase_and_owner(connection, _FAILURES, {**own, **most})
    here = [states for (phase, _), states in counts.items() if phase == rollout.phase]
    reachable = False
    in_flight = any(state.in_flight for states in here for state in states)
    if rollout.phase < rollout.last_phase and not in_flight:
        heard = {"in_phase": rollout.phase, "since": now - rollout.settings.reachable_s}
        asked = {**own, **heard, "frozen": sorted(rollout.frozen)}
        reachable = bool(connection.execute(_REACHABLE, asked).scalar_one())
    return Standing(
        state=rollout.state,
        phase=rollout.phase,
        last_phase=rollout.last_phase,
        opened=rollout.phase_began,
        released=rollout.created,
        tallies=[
            _tally(key, states, failures.get(key, (0, 0))) for key, states in sorted(counts.items())
        ],
        frozen=rollout.frozen,
        reachable=reachable,
        ended=_last_canary(connection, rollout) if rollout.phase == CANARIES else 0.0,
    )


def tally(connection: Connection, identifier: str) -> list[tuple[int, str, int]]:
    """(phase, a turn's state, how many)."""
    found = connection.execute(_TALLY, {"of": identifier})
    return [(phase, state, count) for phase, state, count in found]


def waiting_for_restart(connection: Connection, identifier: str) -> dict[int, int]:
    """By phase: healthy machines on which old code runs until somebody restarts them."""
    return {phase: count for phase, count in connection.execute(_RESTART, {"of": identifier})}


def _last_canary(connection: Connection, rollout: Rollout) -> float:
    """When the last canary came to its end so far; only they are watched on for a while."""
    return float(connection.execute(_LAST_CANARY, {"of": rollout.id}).scalar_one() or 0.0)


def _tally(
    key: tuple[int, str],
    states: Mapping[TurnState, int],
    failures: tuple[int, int],
) -> Tally:
    return Tally(
        phase=key[0],
        owner=key[1],
        waiting=states.get(TurnState.WAITING, 0),
        in_flight=sum(count for state, count in states.items() if state.in_flight),
        healthy=states.get(TurnState.HEALTHY, 0),
        failed=states.get(TurnState.FAILED, 0),
        again=failures[0],
        pardoned=failures[1],
    )


def _by_phase_and_owner(
    connection: Connection, question: Any, values: Mapping[str, Any]
) -> dict[tuple[int, str], Any]:
    found = connection.execute(question, values)
    return {(phase, owner): tuple(counts) for phase, owner, *counts in found}


def _rollout(row: Any) -> Rollout:
    return Rollout(
        id=row.id,
        name=row.name,
        kind=row.kind,
        state=RolloutState(row.state),
        because=row.because,
        created=row.created,
        ended=row.ended,
        phase=row.phase,
        phase_began=row.phase_began,
        last_phase=row.last_phase,
        phases=row.phases,
        size=row.size,
        order=msgspec.convert(row.order, Order),
        written_settings=row.settings,
        frozen=frozenset(row.frozen),
        warned=row.warned,
        opens=row.opens,
        closes=row.closes,
        configuration=row.configuration,
        occurrence=row.occurrence,
        windows_order=msgspec.convert(row.windows_order, Order | None),
        month=row.month,
    )
