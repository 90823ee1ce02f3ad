"""Turns: one machine's place in one rollout, in SQL. Each function changes the turns of all
machines in one statement, and brings the groups up to date with them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Float, Row, bindparam, false, func, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement, Grouping

from hotmend.fleet.rollout import CANARIES
from hotmend.fleet.settings import Settings
from hotmend.fleet.turn import Failure, TurnState
from hotmend.model.agent_messages import Order, Run, RunStatus
from hotmend.server.storage import groups
from hotmend.server.storage.admission import Admitted
from hotmend.server.storage.among import among
from hotmend.server.storage.compliance import State
from hotmend.server.storage.given import given
from hotmend.server.storage.tables import listing, machines, runs, turns

GOOD = "good"
_AT_ONCE = 500
_DONE_WELL = (RunStatus.SUCCEEDED.value, RunStatus.COMPLETED_WITH_WARNINGS.value)
# Runs are known by ids that nobody else makes: of a rollout, a machine and an attempt.
_IDS = uuid.UUID("7e6bd1ab-4a36-4f0c-9f0a-2f2a3f9d2c11")

# Statements that every tick asks are built once.
_OF = turns.c.rollout == bindparam("of")
_NOW = bindparam("now", type_=Float)
_FRESH = {"failure": "", "because": "", "pardoned": False}


def _failing(which: ColumnElement[bool], failure: Failure, because: Any) -> Any:
    """Turns for which that holds fail of it; machine, group, sentence and run of each."""
    return (
        update(turns)
        .where(which)
        .values(
            state=TurnState.FAILED.value,
            ended=_NOW,
            failure=failure.value,
            because=because,
            pardoned=False,
        )
        .returning(turns.c.machine, turns.c.group, turns.c.because, turns.c.run)
    )


_these = turns.alias("these")


class _InSQLite(Grouping[bool]):
    """A condition for SQLite alone, which changes how it looks and not what it finds."""

    inherit_cache = True


@compiles(_InSQLite)
def _nothing(_: _InSQLite, __: Any, **___: Any) -> str:
    return "true"


@compiles(_InSQLite, "sqlite")
def _itself(element: _InSQLite, compiler: Any, **words: Any) -> str:
    return str(compiler.visit_grouping(element, **words))


def _is(*states: TurnState) -> ColumnElement[bool]:
    """Found in the index by state, and then each by its key: SQLite, which saw all turns wait when
    the rollout began, takes no state for rare and would read every turn. PostgreSQL takes them for
    so rare that it would look for each among all that were found."""
    own = _these.c.rollout == bindparam("of")
    rare = select(_these.c.machine).where(own, among(_these.c.state, states))
    return among(turns.c.state, states) & _InSQLite(turns.c.machine.in_(rare))


def _there(state: TurnState, *more: ColumnElement[bool]) -> Any:
    return select(turns.c.phase).where(_OF, _is(state), *more).exists()


_ONE = _OF & (turns.c.machine == bindparam("who"))
_FIRST = update(turns).where(_ONE).values(phase=CANARIES)
_told = given()
_START = (
    update(turns)
    .where(_OF, turns.c.machine == _told.c.key)
    .values(
        **_FRESH,
        state=TurnState.STARTED.value,
        started=_NOW,
        until=_told.c.value["until"].as_float(),
        run=_told.c.value["run"].as_string(),
        attempts=turns.c.attempts + 1,
    )
)
_lost = turns.c.failure == Failure.LOST.value
_UNSETTLED = select(
    _there(TurnState.STARTED), _there(TurnState.FAILED, _lost), _there(TurnState.SOAKING)
)

# Each turn asks for its run and its machine, and never the other way round: turns in flight are
# few, whatever a database believes to know of its tables.
_run = select(runs.c.finished).where(
    runs.c.id == turns.c.run,
    runs.c.finished.is_not(None),
    runs.c.status != RunStatus.UNKNOWN.value,
)
_well = runs.c.status.in_(bindparam("well", expanding=True))
# What was given up for lost may still be heard of.
_started = _is(TurnState.STARTED)
_given = _OF & _is(TurnState.STARTED, TurnState.FAILED)
_given &= (turns.c.state == TurnState.STARTED.value) | _lost
# Not the time of this look: what was said before it counts, too.
_SOAK = (
    update(turns)
    .where(_given, _run.where(_well).exists())
    .values(
        **_FRESH,
        state=TurnState.SOAKING.value,
        installed=_run.scalar_subquery(),
        ended=None,
    )
)
_BADLY_DONE = _failing(
    _given & _run.where(~_well).exists(), Failure.INSTALLATION, "its installation failed"
)
_GIVE_UP = _failing(
    _OF & _started & (turns.c.started < bindparam("since", type_=Float)),
    Failure.LOST,
    "nothing was heard of its order",
)
_untold = select(runs.c.id).where(runs.c.id == turns.c.run, runs.c.sent.is_(None)).exists()
_EXPIRE = _failing(
    _OF & _started & (turns.c.until <= _NOW) & _untold,
    Failure.LOST,
    "its machine did not come for its order before the window closed",
)

# Ended, as far as anybody knows; what its machine says of it after all comes before that.
_GIVEN_UP = (
    update(runs)
    .where(runs.c.id == bindparam("which"), runs.c.finished.is_(None))
    .values(finished=_NOW, status=RunStatus.UNKNOWN.value)
)

_wrong = select(machines.c.bad_because).where(machines.c.id == turns.c.machine)
_bad = _wrong.where(machines.c.bad_at >= turns.c.installed).exists()
_soaking = _OF & _is(TurnState.SOAKING)
_over = _soaking & (turns.c.installed <= bindparam("over", type_=Float))
_good = (machines.c.health == GOOD) & (machines.c.health_at >= turns.c.installed)
for _said in (machines.c.health_at, machines.c.seen):
    _good &= _said >= turns.c.installed + bindparam("at_end", type_=Float)
    _good &= _said >= bindparam("listening", type_=Float)
_BAD = _failing(_soaking & _bad, Failure.UNHEALTHY, _wrong.scalar_subquery())
_PROVEN = (
    update(turns)
    .where(_over, _wrong.where(_good).exists())
    .values(state=TurnState.HEALTHY.value, ended=_NOW)
    .returning(turns.c.machine, turns.c.group)
)
_UNPROVEN = _failing(
    _over, Failure.UNHEALTHY, "at the end of its soak it had not said that it is well"
)
_canary = _is(TurnState.HEALTHY) & (turns.c.phase == CANARIES)
_RELAPSED = _failing(_OF & _canary & _bad, Failure.UNHEALTHY, _wrong.scalar_subquery())
_AGAIN = (
    select(turns.c.machine, turns.c.group, turns.c.time_zone, turns.c.ended)
    .where(_OF, _is(TurnState.FAILED))
    .where(turns.c.failure != Failure.UNHEALTHY.value, turns.c.attempts < bindparam("most"))
)
_WAIT = update(turns).where(_ONE).values(state=TurnState.WAITING.value, run=None, ended=None)


@dataclass(frozen=True)
class Ended:
    """A turn that is not in flight any more. ``because``: of one that failed."""

    machine: str
    because: str


def run_id(rollout: str, machine: str, attempt: int) -> str:
    """The same for the same attempt: an order that is given again is the same order."""
    return str(uuid.uuid5(_IDS, f"{rollout}/{machine}/{attempt}"))


def page(
    connection: Connection, rollout: str, state: TurnState | None, after: str, most: int
) -> list[Row[Any]]:
    """Turns in a state, or in any, with their machines as far as these are still there: at most
    ``most`` behind the machine ``after``. ``restart``: old code runs on the healthy machine until
    somebody restarts it."""
    restart = (turns.c.state == TurnState.HEALTHY.value) & (listing.c.state == State.RESTART.value)
    found = (
        select(
            *(turns, machines.c.resource, machines.c.host, machines.c.simulated),
            func.coalesce(restart, false()).label("restart"),
        )
        .join(machines, machines.c.id == turns.c.machine, isouter=True)
        .join(listing, listing.c.key == machines.c.resource, isouter=True)
        .where(turns.c.rollout == rollout, turns.c.machine > after)
        .order_by(turns.c.machine)
        .limit(most)
    )
    if state is not None:
        found = found.where(turns.c.state == state.value)
    return list(connection.execute(found))


def make_canaries(connection: Connection, rollout: str, canaries: Iterable[str]) -> None:
    """They come first."""
    rows = [{"of": rollout, "who": machine} for machine in sorted(canaries)]
    if rows:
        connection.execute(_FIRST, rows)


def start(
    connection: Connection,
    rollout: str,
    admitted: Sequence[tuple[Admitted, Order]],
    now: float,
) -> None:
    """They are to begin, each by the order beside it; giving it to them is the caller's."""
    told = {one.machine: {"until": order.until, "run": order.id} for one, order in admitted}
    connection.execute(_START, {"of": rollout, "now": now, "rows": told})
    groups.count_held(connection, {one.group for one, _ in admitted})


@dataclass(frozen=True)
class Unsettled:
    """Whether a rollout has turns that are ``started``, given up for ``lost``, or ``soaking``."""

    started: bool
    lost: bool
    soaking: bool


def unsettled(connection: Connection, rollout: str) -> Unsettled:
    """What a tick need not look at."""
    return Unsettled(*map(bool, connection.execute(_UNSETTLED, {"of": rollout}).one()))


def settle(connection: Connection, rollout: str, now: float) -> list[Ended]:
    """Turns whose run has ended have proved themselves since then, or have failed: these."""
    values = {"of": rollout, "well": _DONE_WELL}
    # What was lost holds its group as a failure does, and as one that proves itself does.
    connection.execute(_SOAK, values)
    return _failed(connection, _BADLY_DONE, values, now)


def give_up(connection: Connection, rollout: str, silent_since: float, now: float) -> list[Ended]:
    """Turns that were started before ``silent_since`` and have not ended are lost, and their
    machines do not wait for them any longer."""
    return _lose(connection, _GIVE_UP, {"of": rollout, "since": silent_since}, now)


def expire(connection: Connection, rollout: str, now: float) -> list[Ended]:
    """Turns whose machine did not come for its order in time are lost: the order is not given out
    any more."""
    return _lose(connection, _EXPIRE, {"of": rollout}, now)


def judge(
    connection: Connection, rollout: str, settings: Settings, listening_since: float, now: float
) -> tuple[list[Ended], list[Ended]]:
    """(healthy, failed): of the turns that prove themselves those that have, and those that did
    not. The rule is ``fleet.health``'s, of the word that the machine's row has of all signals."""
    own = {"of": rollout}
    failed = _failed(connection, _BAD, own, now)
    if now < listening_since + settings.signal_max_age_s:
        return [], failed
    over = {**own, "over": now - settings.soak_s}
    at_end = settings.soak_s - settings.signal_max_age_s
    values = {**over, "at_end": at_end, "listening": listening_since, "now": now}
    healthy = connection.execute(_PROVEN, values).all()
    groups.count_held(connection, {row.group for row in healthy})
    failed += _failed(connection, _UNPROVEN, over, now)
    return [Ended(row.machine, "") for row in healthy], failed


def relapse(connection: Connection, rollout: str, now: float) -> list[Ended]:
    """Canaries that had proven themselves, and of which something bad was heard after all: while
    nobody else is patched they are watched on."""
    return _failed(connection, _RELAPSED, {"of": rollout}, now)


def again(
    connection: Connection, rollout: str, opened: Mapping[str, float], attempts: int
) -> list[Ended]:
    """What failed, and not because the machine was unhealthy, is tried again when its next window
    opens, ``attempts`` times in all: these wait again. ``opened``: time zones whose window is
    open, and since when."""
    freed = [
        row
        for row in sorted(connection.execute(_AGAIN, {"of": rollout, "most": attempts}))
        if row.ended < opened.get(row.time_zone, 0.0)
    ]
    if freed:
        connection.execute(_WAIT, [{"of": rollout, "who": row.machine} for row in freed])
        groups.count_held(connection, {row.group for row in freed})
    return [Ended(row.machine, "it is tried again") for row in freed]


def to_revert(connection: Connection, rollout: str, healthy: bool) -> list[tuple[str, str, Run]]:
    """(machine, region, run) of turns whose installation has ended and that were not told yet to
    take out what it brought: of those that prove themselves, failed or, with ``healthy``, are
    healthy."""
    states = [TurnState.SOAKING, TurnState.FAILED, *([TurnState.HEALTHY] if healthy else [])]
    wanted = (turns.c.rollout == rollout) & among(turns.c.state, states)
    wanted &= turns.c.reverted.is_(None)
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
    return _failed(connection, _failing(failed, Failure.UNHEALTHY, because), {}, now)


def leave(
    connection: Connection, rollout: str, which: ColumnElement[bool], because: str, now: float
) -> int:
    """Take turns that wait, or have failed, out of the rollout; how many."""
    able = among(turns.c.state, (TurnState.WAITING, TurnState.FAILED))
    gone = connection.execute(
        update(turns)
        .where((turns.c.rollout == rollout) & able & which)
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


def pardon(connection: Connection, rollout: str) -> None:
    """A person has seen the failures that there are: these, and no others."""
    failed = (turns.c.rollout == rollout) & (turns.c.state == TurnState.FAILED.value)
    connection.execute(update(turns).where(failed).values(pardoned=True))


def _lose(
    connection: Connection, statement: Any, values: Mapping[str, Any], now: float
) -> list[Ended]:
    gone = connection.execute(statement, {**values, "now": now}).all()
    if gone:
        connection.execute(_GIVEN_UP, [{"which": row.run, "now": now} for row in gone])
    groups.count_held(connection, {row.group for row in gone})
    return [Ended(row.machine, row.because) for row in gone]


def _failed(
    connection: Connection, statement: Any, values: Mapping[str, Any], now: float
) -> list[Ended]:
    gone = connection.execute(statement, {**values, "now": now}).all()
    groups.count_held(connection, {row.group for row in gone})
    return [Ended(row.machine, row.because) for row in gone]
