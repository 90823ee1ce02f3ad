"""One tick of one rollout: what ended, how it stands, what is decided, who starts.

All of it in one transaction: the orders of those that start, the turns that say so, and the audit
log's entries are there together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, true

from hotmend.fleet.rollout import CANARIES, Action, Decision, RolloutState, Standing, decision
from hotmend.fleet.turn import TurnState
from hotmend.model.agent_messages import RebootSetting
from hotmend.server.storage import admission, audit, rollouts, runs, turns
from hotmend.server.storage.admission import Admitted, Cell, Reach
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.turns import Ended, run_id

WHO = "rollout"
_IN_ONE_ENTRY = 1000
# A machine is on when it has spoken within this time; agents speak at least once a minute.
ON_S = 180.0

T = TypeVar("T")


@dataclass(frozen=True)
class Moment:
    """``open``: time zones in which the off-peak window is open, with (opens, closes); ``pairs``:
    regions with one value are never patched at the same time (``fleet.regions.pair_keys``);
    ``listening_since``: since when agents were listened to without a break."""

    now: float
    open: Mapping[str, tuple[float, float]]
    pairs: Mapping[str, str]
    listening_since: float


def tick(connection: Connection, rollout: Rollout, moment: Moment) -> int:
    """How many machines were told to begin."""
    _note_ended(connection, rollout, moment)
    rollout, standing = _decide(connection, rollout, moment.now)
    if rollout.state is not RolloutState.RUNNING:
        return 0
    if rollout.kind == rollouts.AUTOMATIC:
        _try_again(connection, rollout, moment)
    waiting = {t.phase for t in standing.tallies if t.reachable or t.waiting or t.again}
    phases = sorted(phase for phase in waiting if phase <= rollout.phase)
    return sum(_admit(connection, rollout, phase, moment) for phase in phases)


def _note_ended(connection: Connection, rollout: Rollout, moment: Moment) -> None:
    now, settings = moment.now, rollout.settings
    failed = turns.settle(connection, rollout.id, now)
    patience = settings.order_patience_s + rollout.order.maximum_s
    if moment.listening_since < now - patience:
        failed += turns.give_up(connection, rollout.id, now - patience, now)
    healthy, bad = turns.judge(connection, rollout.id, settings, moment.listening_since, now)
    for state, ended in ((TurnState.HEALTHY, healthy), (TurnState.FAILED, failed + bad)):
        for some in _portions(ended):
            rows = [_ended(one, state) for one in some]
            audit.append(connection, now, WHO, "turns ended", rollout.id, {"turns": rows})


def _decide(connection: Connection, rollout: Rollout, now: float) -> tuple[Rollout, Standing]:
    """The rollout as it is after what was decided, and how it stood."""
    if rollout.closes is not None and now >= rollout.closes:
        turns.leave(connection, rollout.id, true(), "the maintenance window is over", now)
    standing = rollouts.standing(connection, rollout, now)
    decided = decision(standing, rollout.settings, now)
    changed = _changes(rollout, decided, now)
    if not changed:
        return rollout, standing
    rollouts.change(connection, rollout.id, **changed)
    if decided.action is not Action.WARN or rollout.warned != decided.sentence:
        details = {"because": decided.sentence, "owners": sorted(decided.owners)}
        audit.append(connection, now, WHO, f"rollout {decided.action}", rollout.id, details)
    after = rollouts.get(connection, rollout.id)
    assert after is not None
    return after, standing


def _changes(rollout: Rollout, decided: Decision, now: float) -> dict[str, Any]:
    match decided.action:
        case Action.NONE:
            return {}
        case Action.WARN:
            return {"warned": decided.sentence}
        case Action.HALT:
            return {"state": RolloutState.HALTED.value, "because": decided.sentence}
        case Action.FREEZE:
            frozen = sorted(rollout.frozen | decided.owners)
            return {"frozen": frozen, "because": decided.sentence}
        case Action.PROMOTE:
            return {"phase": rollout.phase + 1, "phase_began": now}
        case Action.FINISH:
            state = RolloutState.FINISHED.value
            return {"state": state, "because": decided.sentence, "ended": now}


def _try_again(connection: Connection, rollout: Rollout, moment: Moment) -> None:
    opened: dict[float, list[str]] = {}
    for zone, (opens, _) in moment.open.items():
        opened.setdefault(opens, []).append(zone)
    turns.again(connection, rollout.id, opened, rollout.settings.attempts)


def _admit(connection: Connection, rollout: Rollout, phase: int, moment: Moment) -> int:
    """Start what may start of one phase, cell by cell; how many."""
    flying = admission.flying(connection, rollout.id)
    most = rollout.settings.most(rollout.size) - sum(flying.values())
    scheduled = rollout.kind == rollouts.SCHEDULED
    reach = Reach(
        seen=moment.now - ON_S,
        zones=None if scheduled else sorted(moment.open),
        frozen=sorted(rollout.frozen),
    )
    started = 0
    for cell in admission.cells(connection):
        region, _ = cell
        if phase not in (CANARIES, rollout.phases.get(region, rollout.last_phase)):
            continue
        if started >= most or not _may_start_in(cell, flying, moment.pairs):
            continue
        admitted = admission.admissible(
            connection, rollout.id, phase, cell, reach, most - started
        )
        if admitted:
            _start(connection, rollout, admitted, moment)
            flying[cell] = flying.get(cell, 0) + len(admitted)
            started += len(admitted)
    return started


def _may_start_in(cell: Cell, flying: Mapping[Cell, int], pairs: Mapping[str, str]) -> bool:
    """Neither another zone of the region nor a region that is paired with it has turns in flight.
    What is in no zone does not keep a zone from starting."""
    region, zone = cell
    for other, other_zone in flying:
        if other != region and region in pairs and pairs.get(other) == pairs[region]:
            return False
        if zone and other == region and other_zone not in ("", zone):
            return False
    return True


def _start(
    connection: Connection, rollout: Rollout, admitted: Sequence[Admitted], moment: Moment
) -> None:
    turns.start(connection, rollout.id, admitted, moment.now)
    asked = []
    for one in admitted:
        closes = rollout.closes or moment.open[one.time_zone][1]
        order = replace(
            rollout.order,
            id=run_id(rollout.id, one.machine, one.attempts + 1),
            until=closes,
        )
        if rollout.kind == rollouts.AUTOMATIC:
            order = replace(order, reboot=RebootSetting(one.reboot))
        asked.append((one.machine, one.region, order))
    runs.ask_all(connection, asked, runs.PLATFORM, moment.now)
    for some in _portions(admitted):
        rows = [_started(one, rollout, moment) for one in some]
        audit.append(connection, moment.now, WHO, "turns started", rollout.id, {"turns": rows})


def _started(one: Admitted, rollout: Rollout, moment: Moment) -> dict[str, Any]:
    window = (rollout.opens, rollout.closes)
    return {
        "machine": one.machine,
        "region": one.region,
        "zone": one.zone,
        "group": one.group,
        "domain": one.domain,
        "window": moment.open[one.time_zone] if rollout.closes is None else window,
    }


def _ended(one: Ended, state: TurnState) -> dict[str, Any]:
    return {"machine": one.machine, "state": state.value, "because": one.because}


def _portions(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    return (rows[i : i + _IN_ONE_ENTRY] for i in range(0, len(rows), _IN_ONE_ENTRY))
