"""One tick of one rollout: what ended, how it stands, what is decided, who starts.

All of it in one transaction: the orders of those that start, the turns that say so, and the audit
log's entries are there together or not at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, true

from hotmend.fleet.rollout import (
    CANARIES,
    Action,
    Decision,
    RolloutState,
    Standing,
    decision,
    room,
)
from hotmend.fleet.turn import TurnState
from hotmend.server.rollouts import reverting, schedules
from hotmend.server.rollouts.admit import WHO, admit, portions, windows
from hotmend.server.rollouts.moment import Moment
from hotmend.server.storage import audit, rollouts, turns
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.turns import Ended


def tick(connection: Connection, rollout: Rollout, moment: Moment) -> int:
    """How many machines were told to begin."""
    settings = rollout.settings
    _note_ended(connection, rollout, moment)
    rollout, standing = _decide(connection, rollout, moment.now)
    if rollout.state is RolloutState.HALTED and settings.revert_on_halt:
        told, ended = reverting.revert(connection, rollout, moment.now)
        _write_ended(connection, rollout, ended, TurnState.FAILED, moment.now)
        return told
    if rollout.state is not RolloutState.RUNNING:
        return 0
    if rollout.kind == rollouts.AUTOMATIC and any(t.again for t in standing.tallies):
        _try_again(connection, rollout, moment)
    waiting = {t.phase for t in standing.tallies if t.left and t.owner not in rollout.frozen}
    phases = sorted(phase for phase in waiting if phase <= rollout.phase)
    standing = replace(standing, frozen=rollout.frozen)
    return admit(connection, rollout, phases, moment, room(standing, rollout.size, settings))


def _note_ended(connection: Connection, rollout: Rollout, moment: Moment) -> None:
    now, settings = moment.now, rollout.settings
    left = turns.unsettled(connection, rollout.id)
    healthy: list[Ended] = []
    failed: list[Ended] = []
    if left.started or left.lost:
        failed += turns.settle(connection, rollout.id, now)
    if left.started:
        failed += turns.expire(connection, rollout.id, now)
    patience = settings.order_patience_s + rollout.order.maximum_s
    if left.started and moment.listening_since < now - patience:
        failed += turns.give_up(connection, rollout.id, now - patience, now)
    if rollout.phase == CANARIES:
        failed += turns.relapse(connection, rollout.id, now)
    if left.started or left.lost or left.soaking:
        healthy, bad = turns.judge(connection, rollout.id, settings, moment.listening_since, now)
        failed += bad
    _write_ended(connection, rollout, healthy, TurnState.HEALTHY, now)
    _write_ended(connection, rollout, failed, TurnState.FAILED, now)


def _decide(connection: Connection, rollout: Rollout, now: float) -> tuple[Rollout, Standing]:
    """The rollout as it is after what was decided, and how it stood."""
    closed = rollout.closes is not None and now >= rollout.closes
    if closed:
        schedules.leave_unreachable(connection, rollout, now)
    standing = rollouts.standing(connection, rollout, now)
    decided = decision(standing, rollout.settings, now)
    if closed and rollout.state is RolloutState.HALTED and not _in_flight(standing):
        # There is no other window in which a person could have it go on.
        sentence = f"{rollout.because}; the maintenance window is over"
        decided = Decision(Action.FINISH, sentence)
    changed = _changes(rollout, decided, now)
    if not changed:
        return rollout, standing
    rollouts.change(connection, rollout.id, **changed)
    if decided.action is Action.FINISH:
        turns.leave(connection, rollout.id, true(), "the rollout is over", now)
    if decided.action is not Action.WARN or rollout.warned != decided.sentence:
        details = {"because": decided.sentence, "owners": sorted(decided.owners)}
        audit.append(connection, now, WHO, f"rollout {decided.action}", rollout.id, details)
    after = rollouts.get(connection, rollout.id)
    assert after is not None
    return after, standing


def _in_flight(standing: Standing) -> bool:
    return any(tally.in_flight for tally in standing.tallies)


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
    opened = {zone: opens for zone, (opens, _) in windows(connection, rollout, moment).items()}
    freed = turns.again(connection, rollout.id, opened, rollout.settings.attempts)
    _write_ended(connection, rollout, freed, TurnState.WAITING, moment.now)


def _write_ended(
    connection: Connection, rollout: Rollout, ended: list[Ended], state: TurnState, now: float
) -> None:
    for some in portions(ended):
        rows = [
            {"machine": one.machine, "state": state.value, "because": one.because} for one in some
        ]
        audit.append(connection, now, WHO, "turns ended", rollout.id, {"turns": rows})
