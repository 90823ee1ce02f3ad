"""What people do to a rollout. Each is refused where it makes no sense, and is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, true

from hotmend.fleet.rollout import RolloutState
from hotmend.server.errors import ArmError
from hotmend.server.identity import approvals
from hotmend.server.storage import audit, rollouts, turns
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import turns as turn_table

# (connection, rollout, who, because, now)
Deed = Callable[[Connection, Rollout, str, str, float], None]
_RUNNING, _PAUSED = RolloutState.RUNNING, RolloutState.PAUSED
_HALTED, _CANCELLED = RolloutState.HALTED, RolloutState.CANCELLED


def pause(connection: Connection, rollout: Rollout, who: str, because: str, now: float) -> None:
    """Nothing more starts until it is resumed; what is in flight ends."""
    _only_from(rollout, "paused", _RUNNING)
    _change(connection, rollout, who, "pause", because, now, state=_PAUSED.value)


def resume(connection: Connection, rollout: Rollout, who: str, because: str, now: float) -> None:
    """A pause is anybody's to end. What was halted, or whose part was frozen, goes on when two
    people have said so; the failures that they saw halt nothing again."""
    if rollout.state is _PAUSED and not rollout.frozen:
        _change(connection, rollout, who, "resume", because, now, state=_RUNNING.value)
        return
    if rollout.state is _RUNNING and not rollout.frozen:
        _only_from(rollout, "resumed", _PAUSED, _HALTED)
    _only_from(rollout, "resumed", _PAUSED, _HALTED, _RUNNING)
    if not _both_said(connection, rollout, "rollout resume", who, now):
        return
    turns.pardon(connection, rollout.id)
    _change(connection, rollout, who, "resume", because, now, state=_RUNNING.value, frozen=[])


def halt(connection: Connection, rollout: Rollout, who: str, because: str, now: float) -> None:
    """As if its failures had halted it: two people are needed to go on."""
    _only_from(rollout, "halted", _RUNNING, _PAUSED)
    _change(connection, rollout, who, "halt", because, now, state=_HALTED.value)


def cancel(connection: Connection, rollout: Rollout, who: str, because: str, now: float) -> None:
    """It is over; machines that failed do not count against others any more."""
    _only_from(rollout, "cancelled", _RUNNING, _PAUSED, _HALTED)
    turns.leave(connection, rollout.id, true(), "the rollout was cancelled", now)
    _change(connection, rollout, who, "cancel", because, now, state=_CANCELLED.value, ended=now)


def promote(connection: Connection, rollout: Rollout, who: str, because: str, now: float) -> None:
    """Open the next phase before this one is done, when two people have said so."""
    _only_from(rollout, "promoted", _RUNNING, _PAUSED)
    if rollout.phase >= rollout.last_phase:
        raise ArmError(409, "OperationNotAllowed", "The last phase is open already.")
    if _both_said(connection, rollout, f"rollout promote from {rollout.phase}", who, now):
        values = {"phase": rollout.phase + 1, "phase_began": now}
        _change(connection, rollout, who, "promote", because, now, **values)


DEEDS: Mapping[str, Deed] = {
    "pause": pause,
    "resume": resume,
    "halt": halt,
    "cancel": cancel,
    "promote": promote,
}


def exclude(
    connection: Connection, rollout: Rollout, machine: str, who: str, because: str, now: float
) -> None:
    """A machine that waits, or failed, has no turn in it any more. Raises ArmError."""
    said = because or "a person excluded it"
    if not turns.leave(connection, rollout.id, turn_table.c.machine == machine, said, now):
        raise ArmError(
            409,
            "OperationNotAllowed",
            f"Machine '{machine[:64]}' neither waits in the rollout nor failed in it.",
        )
    details = {"machine": machine, "because": because}
    audit.append(connection, now, who, "rollout exclude", rollout.id, details)


def _only_from(rollout: Rollout, done: str, *states: RolloutState) -> None:
    if rollout.state not in states:
        raise ArmError(
            409, "OperationNotAllowed", f"A rollout that is {rollout.state} cannot be {done}."
        )


def _both_said(connection: Connection, rollout: Rollout, what: str, who: str, now: float) -> bool:
    """Whether with ``who`` two different people have asked for it within a day."""
    waiting = approvals.waiting(connection, what, rollout.id, now)
    if waiting is None:
        approvals.ask(connection, what, rollout.id, who, now)
        return False
    if waiting.asked_by == who:
        return False
    approvals.approve(connection, waiting.id, who, now)
    return True


def _change(
    connection: Connection,
    rollout: Rollout,
    who: str,
    what: str,
    because: str,
    now: float,
    **values: Any,
) -> None:
    sentence = because or f"{who} said so"
    rollouts.change(connection, rollout.id, because=sentence, **values)
    audit.append(connection, now, who, f"rollout {what}", rollout.id, {"because": because})
