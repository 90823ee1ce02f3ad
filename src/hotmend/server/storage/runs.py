"""Runs: what machines were asked to do, and what became of it; also what they did unasked."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Float,
    String,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from hotmend.model.agent_messages import Order, Run, RunKind, RunStatus
from hotmend.server.storage.given import given, is_given, keys
from hotmend.server.storage.tables import machines, runs

_MOST_IN_A_LIST = 500
USER = "User"
PLATFORM = "Platform"
_DAY_S = 86400.0
KEPT_S = {kind: 7 * _DAY_S if kind is RunKind.ASSESS else 30 * _DAY_S for kind in RunKind}


_WAITING = (
    select(runs.c.id, runs.c.machine, runs.c.request, runs.c.sent)
    .where(is_given(runs.c.machine))
    .where(runs.c.finished.is_(None), runs.c.location != "")
    .order_by(runs.c.created)
)
_SEND = (
    update(runs)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)))
    .values(sent=bindparam("when"))
)
# A run that was given up has not ended before its machine says so.
_ended = runs.c.finished.is_not(None) & (runs.c.status != RunStatus.UNKNOWN.value)
_KNOWN = select(runs.c.id, runs.c.machine, runs.c.kind, _ended.label("ended")).where(
    runs.c.id.in_(bindparam("ids", expanding=True))
)
_said = given().c
_CHANGE = (
    update(runs)
    .where(runs.c.id == _said.key)
    .values(
        finished=case((_said.value["over"].as_boolean(), bindparam("now", type_=Float))),
        status=_said.value["status"].as_string(),
        result=_said.value["result"],
    )
)
_ASK = insert(runs).from_select(
    ["id", "machine", "kind", "started_by", "location", "request", "created", "status"],
    select(
        _said.key,
        _said.value["machine"].as_string(),
        _said.value["kind"].as_string(),
        bindparam("by", type_=String),
        _said.value["location"].as_string(),
        _said.value["request"],
        bindparam("now", type_=Float),
        literal(RunStatus.IN_PROGRESS.value),
    ),
)
# Of a run that the machine began by itself.
_UNASKED: dict[str, Any] = {"started_by": PLATFORM, "location": "", "request": {}}


@dataclass(frozen=True)
class Kept:
    """``asked``: when, or begun by the machine itself; ``run``: None until the machine has said
    something; ``location``: in whose operations it is found."""

    id: str
    machine: str
    kind: RunKind
    started_by: str
    location: str
    order: Order
    asked: float
    finished: float | None
    status: RunStatus
    run: Run | None


def ask(
    connection: Connection, machine: str, location: str, order: Order, started_by: str, now: float
) -> None:
    """Have ``machine`` carry out ``order``."""
    ask_all(connection, [(machine, location, order)], started_by, now)


def ask_all(
    connection: Connection, asked: Sequence[tuple[str, str, Order]], started_by: str, now: float
) -> None:
    """Have each machine carry out its order: (machine, location, order)s."""
    rows = {
        order.id: {
            "machine": machine,
            "kind": order.kind.value,
            "location": location,
            "request": msgspec.to_builtins(order),
        }
        for machine, location, order in asked
    }
    if rows:
        connection.execute(_ASK, {"rows": rows, "by": started_by, "now": now})


def waiting_of(
    connection: Connection, known: Mapping[str, Sequence[str]], now: float
) -> dict[str, list[Order]]:
    """Orders of machines, by what each of them knows: those that it has not ended and does not
    know, in the order in which they were asked for. An answer may be lost: what was sent once is
    sent again."""
    orders: dict[str, list[Order]] = {machine: [] for machine in known}
    new: list[str] = []
    for row in connection.execute(_WAITING, keys(known)):
        if row.id not in known[row.machine]:
            orders[row.machine].append(msgspec.convert(row.request, Order))
            if row.sent is None:
                new.append(row.id)
    if new:
        connection.execute(_SEND, {"ids": new, "when": now})
    return orders


def with_orders(connection: Connection, machines: Sequence[str]) -> set[str]:
    """Those of ``machines`` for which an order waits that was never given."""
    wanted = runs.c.finished.is_(None) & runs.c.sent.is_(None) & (runs.c.location != "")
    if len(machines) <= 100:
        wanted &= runs.c.machine.in_(machines)
    return {row.machine for row in connection.execute(select(runs.c.machine).where(wanted))} & set(
        machines
    )


def note(connection: Connection, machine: str, run: Run, now: float) -> str:
    """Keep what a machine says of a run; "" or why it is not kept."""
    return note_all(connection, [(machine, run)], now)[0]


def note_all(connection: Connection, said: Sequence[tuple[str, Run]], now: float) -> list[str]:
    """As ``note``, of many (machine, run)s in their order, with a few statements for all."""
    ids = sorted({run.id for _, run in said})
    known = {
        row.id: (row.machine, row.kind, bool(row.ended))
        for row in connection.execute(_KNOWN, {"ids": ids})
    }
    answers, new, changed = [], dict[str, dict[str, Any]](), dict[str, dict[str, Any]]()
    for machine, run in said:
        owner, kind, ended = known.get(run.id, (machine, run.kind.value, False))
        if (owner, kind) != (machine, run.kind.value):
            answers.append("the run is another machine's")
            continue
        if ended:
            answers.append("the run has ended")
            continue
        answers.append("")
        over = run.finished is not None
        values = {"status": run.status.value, "result": msgspec.to_builtins(run)}
        if run.id in new:
            new[run.id] |= {**values, "finished": now if over else None}
        elif run.id in known:
            changed[run.id] = {**values, "over": over}
        else:
            new[run.id] = {**_UNASKED, "id": run.id, "machine": machine, "kind": kind, **values}
            new[run.id] |= {"created": now, "sent": now, "finished": now if over else None}
        known[run.id] = (machine, kind, over)
    if new:
        connection.execute(insert(runs), list(new.values()))
    if changed:
        connection.execute(_CHANGE, {"rows": changed, "now": now})
    return answers


def get(connection: Connection, identifier: str) -> Kept | None:
    """By id."""
    return _kept(connection.execute(select(runs).where(runs.c.id == identifier)).first())


def several(connection: Connection, identifiers: Sequence[str]) -> dict[str, Kept]:
    """By their ids; those that are known."""
    found: dict[str, Kept] = {}
    for start in range(0, len(identifiers), _MOST_IN_A_LIST):
        part = identifiers[start : start + _MOST_IN_A_LIST]
        for row in connection.execute(select(runs).where(runs.c.id.in_(part))):
            kept = _kept(row)
            if kept is not None:
                found[kept.id] = kept
    return found


def latest(
    connection: Connection, machine: str, kind: RunKind, *, ended: bool = False
) -> Kept | None:
    """The last of its kind; with ``ended`` the last that came to an end."""
    wanted = (runs.c.machine == machine) & (runs.c.kind == kind.value)
    order = runs.c.created
    if ended:
        wanted &= runs.c.finished.is_not(None)
        order = runs.c.finished
    return _kept(
        connection.execute(select(runs).where(wanted).order_by(order.desc()).limit(1)).first()
    )


def latest_of(
    connection: Connection, kind: RunKind, machines: Sequence[str] | None = None
) -> dict[str, Kept]:
    """The last of its kind that came to an end, by machine: of all, or of some machines."""
    ended = (runs.c.kind == kind.value) & runs.c.finished.is_not(None)
    if machines is not None:
        ended &= runs.c.machine.in_(machines)
    newest = (
        select(runs.c.machine, func.max(runs.c.created).label("created"))
        .where(ended)
        .group_by(runs.c.machine)
        .subquery()
    )
    same = (runs.c.machine == newest.c.machine) & (runs.c.created == newest.c.created)
    rows = connection.execute(select(runs).join(newest, same).where(ended))
    return {kept.machine: kept for kept in map(_kept, rows) if kept is not None}


def of_kind(connection: Connection, kind: RunKind, since: float) -> list[Kept]:
    """What began since then, of all machines, the newest first."""
    wanted = (runs.c.kind == kind.value) & (runs.c.created >= since)
    rows = connection.execute(select(runs).where(wanted).order_by(runs.c.created.desc()))
    return [kept for kept in map(_kept, rows) if kept is not None]


def history(connection: Connection, machine: str, since: float) -> list[Kept]:
    """What began since then, the newest first."""
    wanted = (runs.c.machine == machine) & (runs.c.created >= since)
    rows = connection.execute(select(runs).where(wanted).order_by(runs.c.created.desc()))
    return [kept for kept in map(_kept, rows) if kept is not None]


@dataclass(frozen=True)
class Line:
    """A run in the history of a fleet. ``resource``: its machine's key."""

    id: str
    kind: str
    status: str
    started_by: str
    asked: float
    finished: float | None
    resource: str
    time_zone: str
    simulated: bool


def of_fleet(
    connection: Connection,
    which: ColumnElement[bool],
    kind: str,
    status: str,
    before: tuple[float, str],
    most: int,
) -> list[Line]:
    """Runs of machines for which ``which`` holds, the newest first: at most ``most`` of those
    before the (time, id). ``kind``, ``status``: "" for any."""
    columns = (
        *(runs.c.id, runs.c.kind, runs.c.status, runs.c.started_by, runs.c.created),
        *(runs.c.finished, machines.c.resource, machines.c.time_zone, machines.c.simulated),
    )
    wanted = (
        select(*columns)
        .join(machines, machines.c.id == runs.c.machine)
        .where(which, tuple_(runs.c.created, runs.c.id) < tuple_(*map(literal, before)))
        .order_by(runs.c.created.desc(), runs.c.id.desc())
        .limit(most)
    )
    if kind:
        wanted = wanted.where(runs.c.kind == kind)
    if status:
        wanted = wanted.where(runs.c.status == status)
    return [Line(*row) for row in connection.execute(wanted)]


def busy(connection: Connection, machine: str) -> Kept | None:
    """An installation or restart that has not ended."""
    wanted = (runs.c.machine == machine) & runs.c.finished.is_(None)
    wanted &= runs.c.kind != RunKind.ASSESS.value
    return _kept(connection.execute(select(runs).where(wanted)).first())


def unended(connection: Connection, machine: str) -> Kept | None:
    """The newest run that has not ended."""
    wanted = (runs.c.machine == machine) & runs.c.finished.is_(None)
    newest = select(runs).where(wanted).order_by(runs.c.created.desc()).limit(1)
    return _kept(connection.execute(newest).first())


def forget_old(connection: Connection, now: float) -> int:
    """Drop what has been kept for as long as its kind is, an order that nobody came for, too; how
    many."""
    gone = 0
    for kind, seconds in KEPT_S.items():
        last = func.coalesce(runs.c.finished, runs.c.created)
        old = (runs.c.kind == kind.value) & (last < now - seconds)
        gone += connection.execute(delete(runs).where(old)).rowcount
    return gone


def new_id() -> str:
    """Nobody can guess it."""
    return str(uuid.uuid4())


def _kept(row: Any) -> Kept | None:
    if row is None:
        return None
    return Kept(
        id=row.id,
        machine=row.machine,
        kind=RunKind(row.kind),
        started_by=row.started_by,
        location=row.location,
        order=msgspec.convert(row.request or {"id": row.id, "kind": row.kind}, Order),
        asked=row.created,
        finished=row.finished,
        status=RunStatus(row.status),
        run=msgspec.convert(row.result, Run) if row.result else None,
    )
