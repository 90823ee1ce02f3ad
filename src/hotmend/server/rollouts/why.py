"""Why one machine waits: what ``fleet.waiting`` has to know of it, looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from hotmend.fleet.admission import Gate
from hotmend.fleet.place import Place
from hotmend.fleet.turn import TurnState
from hotmend.fleet.waiting import Case, Waiting, waiting
from hotmend.fleet.window import Occurrence, Window, current, next_after
from hotmend.fleet.zone import zone
from hotmend.server.rollouts.admit import ON_S, may_start_in
from hotmend.server.rollouts.moment import Moment
from hotmend.server.storage import admission, groups, rollouts
from hotmend.server.storage.admission import Cell
from hotmend.server.storage.among import among
from hotmend.server.storage.groups import HOLDING, Group
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import machines, turns


def why(connection: Connection, rollout: Rollout, machine: str, moment: Moment) -> Waiting | None:
    """None when it does not wait, or has no turn in the rollout."""
    return several(connection, rollout, [machine], moment).get(machine)


def several(
    connection: Connection, rollout: Rollout, wanted: Sequence[str], moment: Moment
) -> dict[str, Waiting | None]:
    """As ``why``, of those of some machines that have a turn in the rollout."""
    rows = connection.execute(
        select(turns, machines.c.seen)
        .join(machines, machines.c.id == turns.c.machine)
        .where(turns.c.rollout == rollout.id, turns.c.machine.in_(wanted))
    ).all()
    flying = admission.flying(connection, rollout.id) if rows else {}
    known = groups.several(connection, {row.group for row in rows})
    elsewhere = connection.execute(
        select(turns.c.machine).where(
            turns.c.machine.in_([row.machine for row in rows]),
            turns.c.rollout != rollout.id,
            among(turns.c.state, HOLDING),
        )
    )
    held = set(elsewhere.scalars())
    return {
        row.machine: _why(
            rollout, row, flying, known.get(row.group), moment, held=row.machine in held
        )
        for row in rows
    }


def _why(
    rollout: Rollout,
    row: Any,
    flying: Mapping[Cell, int],
    group: Group | None,
    moment: Moment,
    *,
    held: bool,
) -> Waiting | None:
    settings = rollout.settings
    now = datetime.fromtimestamp(moment.now, UTC)
    clock, window = zone(row.time_zone), Window(settings.window_opens, settings.window_closes)
    most = settings.most(rollout.size)
    case = Case(
        turn=TurnState(row.state),
        rollout=rollout.state,
        place=Place(row.region, row.zone, row.group, row.domain),
        zone=clock,
        following=next_after(window, clock, now),
        failure=row.because,
        frozen=row.owner in rollout.frozen,
        phase=row.phase,
        open_phase=rollout.phase,
        on=moment.now - row.seen <= ON_S,
        heard=row.seen,
        window=_own(rollout) or current(window, clock, now),
        stopped=Gate.HOLDS if held else _gate(row, group, flying, moment.pairs, most),
        size=group.size if group is not None else 1,
        holding=group.held if group is not None else 0,
        active=(group.domain or 0) if group is not None else 0,
        in_flight=sum(flying.values()),
        most=most,
    )
    return waiting(case, settings, moment.now)


def current_rollout(connection: Connection, machine: str) -> Rollout | None:
    """The newest open one in which ``machine`` has a turn."""
    found = select(turns.c.rollout).where(turns.c.machine == machine)
    own = set(connection.execute(found).scalars())
    opened = rollouts.listed(connection, open_only=True)
    return next((rollout for rollout in opened if rollout.id in own), None)


def _own(rollout: Rollout) -> Occurrence | None:
    """Of a schedule."""
    if rollout.opens is None or rollout.closes is None:
        return None
    opens = datetime.fromtimestamp(rollout.opens, UTC)
    return Occurrence(rollout.id, opens, datetime.fromtimestamp(rollout.closes, UTC))


def _gate(
    row: Any,
    group: Group | None,
    flying: Mapping[Cell, int],
    pairs: Mapping[str, str],
    most: int,
) -> Gate | None:
    if group is not None and (group.held >= group.budget or group.domain not in (None, row.domain)):
        return Gate.GROUP
    if not may_start_in((row.region, ""), flying, pairs):
        return Gate.PAIR
    if not may_start_in((row.region, row.zone), flying, pairs):
        return Gate.ZONE
    return Gate.MOST if sum(flying.values()) >= most else None
