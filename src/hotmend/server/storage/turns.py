"""Turns: one machine's place in one rollout, in SQL. Each function changes the turns of all
machines in one statement, and brings the groups up to date with them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, select, update
from sqlalchemy.sql.elements import ColumnElement

from hotmend.fleet.rollout import CANARIES
from hotmend.fleet.settings import Settings
from hotmend.fleet.turn import Failure, TurnState
from hotmend.model.agent_messages import Run, RunStatus
from hotmend.server.storage import groups
from hotmend.server.storage.admission import Admitted
from hotmend.server.storage.tables import machines, runs, turns

GOOD = "good"
_AT_ONCE = 500
_DONE_WELL = (RunStatus.SUCCEEDED.value, RunStatus.COMPLETED_WITH_WARNINGS.value)
# Runs are known by ids that nobody else makes: of a rollout, a machine and an attempt.
_IDS = uuid.UUID("7e6bd1ab-4a36-4f0c-9f0a-2f2a3f9d2c11")
_FIRST = (
    update(turns)
    .where(turns.c.rollout == bindparam("of"), turns.c.machine == bindparam("who"))
    .values(phase=CANARIES)
)
_START = (
    update(turns)
    .where(turns.c.rollout == bindparam("of"), turns.c.machine == bindparam("who"))
    .values(
        state=TurnState.STARTED.value,
        started=bindparam("when"),
        run=bindparam("which"),
        attempts=turns.c.attempts + 1,
        failure="",
        because="",
    )
)


@dataclass(frozen=True)
class Ended:
    """A turn that is not in flight any more. ``because``: of one that failed."""

    machine: str
    because: str


def run_id(rollout: str, machine: str, attempt: int) -> str:
    """The same for the same attempt: an order that is given again is the same order."""
    return str(uuid.uuid5(_IDS, f"{rollout}/{machine}/{attempt}"))


def page(
    connection: Connection, rollout: str, state: TurnState, after: str, most: int
) -> list[Row[Any]]:
    """Turns in a state, with their machines as far as these are still there: at most ``most``
    behind the machine ``after``."""
    found = (
        select(turns, machines.c.resource, machines.c.host, machines.c.simulated)
        .join(machines, machines.c.id == turns.c.machine, isouter=True)
        .where(turns.c.rollout == rollout, turns.c.state == state.value, turns.c.machine > after)
        .order_by(turns.c.machine)
        .limit(most)
    )
    return list(connection.execute(found))


def make_canaries(connection: Connection, rollout: str, canaries: Iterable[str]) -> None:
    """They come first."""
    rows = [{"of": rollout, "who": machine} for machine in sorted(canaries)]
    if rows:
        connection.execute(_FIRST, rows)


def start(connection: Connection, rollout: str, admitted: Sequence[Admitted], now: float) -> None:
    """They begin; giving them their orders, by ``run_id``, is the caller's."""
    connection.execute(
        _START,
        [
            {
                "of": rollout,
                "who": one.machine,
                "when": now,
                "which": run_id(rollout, one.machine, one.attempts + 1),
            }
            for one in admitted
        ],
    )
    groups.count_held(connection, {one.group for one in admitted})


def settle(connection: Connection, rollout: str, now: float) -> list[Ended]:
    """Turns whose run has ended have proved themselves since then, or have failed: these."""
    given = (TurnState.STARTED.value, TurnState.FAILED.value)
    ended = (turns.c.rollout == rollout) & turns.c.state.in_(given) & (runs.c.id == turns.c.run)
    # What was given up for lost may still be heard of.
    ended &= turns.c.failure.in_(("", Failure.LOST.value)) & runs.c.finished.is_not(None)
    well = runs.c.status.in_(_DONE_WELL)
    connection.execute(
        update(turns)
        .where(ended & well)
        .values(
            state=TurnState.SOAKING.value,
            # Not the time of this look: what was said before it counts, too.
            installed=runs.c.finished,
            ended=None,
            failure="",
            because="",
        )
    )
    return _fail(connection, ended & ~well, Failure.INSTALLATION, "its installation failed", now)


def give_up(connection: Connection, rollout: str, silent_since: float, now: float) -> list[Ended]:
    """Turns that were started before ``silent_since`` and have not ended are lost."""
    silent = (turns.c.rollout == rollout) & (turns.c.state == TurnState.STARTED.value)
    silent &= turns.c.started < silent_since
    return _fail(connection, silent, Failure.LOST, "nothing was heard of its order", now)


def judge(
    connection: Connection, rollout: str, settings: Settings, listening_since: float, now: float
) -> tuple[list[Ended], list[Ended]]:
    """(healthy, failed): of the turns that prove themselves those that have, and those that did
    not. The rule is ``fleet.health``'s, of the word that the machine's row has of all signals."""
    soaking = (turns.c.rollout == rollout) & (turns.c.state == TurnState.SOAKING.value)
    soaking &= machines.c.id == turns.c.machine
    bad = soaking & (machines.c.bad_at >= turns.c.installed)
    failed = _fail(connection, bad, Failure.UNHEALTHY, machines.c.bad_because, now)
    if now < listening_since + settings.signal_max_age_s:
        return [], failed
    over = soaking & (turns.c.installed <= now - settings.soak_s)
    fresh_since = turns.c.installed + (settings.soak_s - settings.signal_max_age_s)
    good = (machines.c.health == GOOD) & (machines.c.health_at >= turns.c.installed)
    for heard in (machines.c.health_at, machines.c.seen):
        good &= (heard >= fresh_since) & (heard >= listening_since)
    healthy = connection.execute(
        update(turns)
        .where(over & good)
        .values(state=TurnState.HEALTHY.value, ended=now)
        .returning(turns.c.machine, turns.c.group)
    ).all()
    unknown = "at the end of its soak it had not said that it is well"
    failed += _fail(connection, over, Failure.UNHEALTHY, unknown, now)
    groups.count_held(connection, {row.group for row in healthy})
    return [Ended(row.machine, "") for row in healthy], failed


def relapse(connection: Connection, rollout: str, now: float) -> list[Ended]:
    """Canaries that had proven themselves, and of which something bad was heard after all: while
    nobody else is patched they are watched on."""
    well = (turns.c.rollout == rollout) & (turns.c.state == TurnState.HEALTHY.value)
    well &= (turns.c.phase == CANARIES) & (machines.c.id == turns.c.machine)
    bad = well & (machines.c.bad_at >= turns.c.installed)
    return _fail(connection, bad, Failure.UNHEALTHY, machines.c.bad_because, now)


def again(
    connection: Connection, rollout: str, opened: Mapping[float, Sequence[str]], attempts: int
) -> list[Ended]:
    """What failed, and not because the machine was unhealthy, is tried again when its next window
    opens, ``attempts`` times in all: these wait again. ``opened``: since when in which zones."""
    failed = (turns.c.rollout == rollout) & (turns.c.state == TurnState.FAILED.value)
    failed &= (turns.c.failure != Failure.UNHEALTHY.value) & (turns.c.attempts < attempts)
    if connection.execute(select(turns.c.machine).where(failed).limit(1)).first() is None:
        return []
    freed: list[Any] = []
    for since, zones in sorted(opened.items()):
        freed += connection.execute(
            update(turns)
            .where(failed & turns.c.time_zone.in_(zones) & (turns.c.ended < since))
            .values(state=TurnState.WAITING.value, run=None, ended=None)
            .returning(turns.c.machine, turns.c.group)
        ).all()
    groups.count_held(connection, {row.group for row in freed})
    return [Ended(row.machine, "it is tried again") for row in freed]


def to_revert(connection: Connection, rollout: str, healthy: bool) -> list[tuple[str, str, Run]]:
    """(machine, region, run) of turns whose installation has ended and that were not told yet to
    take out what it brought: of those that prove themselves, failed or, with ``healthy``, are
    healthy."""
    states = [TurnState.SOAKING.value, TurnState.FAILED.value]
    states += [TurnState.HEALTHY.value] if healthy else []
    wanted = (turns.c.rollout == rollout) & turns.c.state.in_(states) & turns.c.reverted.is_(None)
    found = connection.execute(
        select(turns.c.machine, turns.c.region, runs.c.result)
        .join(runs, runs.c.id == turns.c.run)
        .where(wanted, runs.c.finished.is_not(None), runs.c.result.is_not(None))
        .order_by(turns.c.machine)
        .limit(_AT_ONCE)
    )
    return [(row.machine, row.region, msgspec.convert(row.result, Run)) for row in found]


def note_reverted(
    connection: Connection,
    rollout: str,
    looked_at: Sequence[str],
    told: Sequence[str],
    because: str,
    now: float,
) -> list[Ended]:
    """Machines that were ``looked_at`` are not asked about again. Those that were ``told`` and had
    not failed yet have failed now: what they proved, they proved of what is taken out."""
    own = turns.c.rollout == rollout
    seen = own & turns.c.machine.in_(looked_at)
    connection.execute(update(turns).where(seen).values(reverted=now))
    failed = own & turns.c.machine.in_(told) & (turns.c.state != TurnState.FAILED.value)
    return _fail(connection, failed, Failure.UNHEALTHY, because, now)


def leave(
    connection: Connection, rollout: str, which: ColumnElement[bool], because: str, now: float
) -> int:
    """Take turns that wait, or have failed, out of the rollout; how many."""
    able = (TurnState.WAITING.value, TurnState.FAILED.value)
    gone = connection.execute(
        update(turns)
        .where((turns.c.rollout == rollout) & turns.c.state.in_(able) & which)
        .values(state=TurnState.EXCLUDED.value, ended=now, because=because)
        .returning(turns.c.group)
    ).all()
    groups.count_held(connection, {row.group for row in gone})
    return len(gone)


def follow(connection: Connection, machine: str, place: Mapping[str, Any]) -> None:
    """A machine stands elsewhere now, and so do its turns that wait; one that has started, or
    failed, stays where it was when it did."""
    waits = (turns.c.machine == machine) & (turns.c.state == TurnState.WAITING.value)
    connection.execute(update(turns).where(waits).values(dict(place)))


def forget(connection: Connection, machine: str, now: float) -> None:
    """A machine was removed: nothing of it waits, or uses up a budget, any more."""
    able = (turns.c.machine == machine) & (turns.c.state != TurnState.HEALTHY.value)
    gone = connection.execute(
        update(turns)
        .where(able)
        .values(state=TurnState.EXCLUDED.value, ended=now, because="the machine was removed")
        .returning(turns.c.group)
    ).all()
    groups.count_held(connection, {row.group for row in gone})


def _fail(
    connection: Connection, which: ColumnElement[bool], failure: Failure, because: Any, now: float
) -> list[Ended]:
    gone = connection.execute(
        update(turns)
        .where(which)
        .values(state=TurnState.FAILED.value, ended=now, failure=failure.value, because=because)
        .returning(turns.c.machine, turns.c.group, turns.c.because)
    ).all()
    groups.count_held(connection, {row.group for row in gone})
    return [Ended(row.machine, row.because) for row in gone]
