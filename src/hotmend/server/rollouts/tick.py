"""One tick of one rollout: what ended, how it stands, what is decided, who starts.

All of it in one transaction: the orders of those that start, the turns that say so, and the audit
log's entries are there together or not at all.
"""

from __future__ import annotations

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
from hotmend.server.rollouts.admit import WHO, admit, portions, windows
from hotmend.server.rollouts.moment import Moment
from hotmend.server.storage import audit, rollouts, turns
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.turns import Ended


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
    most = room(standing, rollout.size, rollout.settings)
    return admit(connection, rollout, phases, moment, most)


def _note_ended(connection: Connection, rollout: Rollout, moment: Moment) -> None:
    now, settings = moment.now, rollout.settings
    failed = turns.settle(connection, rollout.id, now)
    patience = settings.order_patience_s + rollout.order.maximum_s
    if moment.listening_since < now - patience:
        failed += turns.give_up(connection, rollout.id, now - patience, now)
    if rollout.phase == CANARIES:
        failed += turns.relapse(connection, rollout.id, now)
    healthy, bad = turns.judge(connection, rollout.id, settings, moment.listening_since, now)
    for state, ended in ((TurnState.HEALTHY, healthy), (TurnState.FAILED, failed + bad)):
        for some in portions(ended):
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
    for zone, (opens, _) in windows(rollout, moment).items():
        opened.setdefault(opens, []).append(zone)
    turns.again(connection, rollout.id, opened, rollout.settings.attempts)


def _ended(one: Ended, state: TurnState) -> dict[str, Any]:
    return {"machine": one.machine, "state": state.value, "because": one.because}
