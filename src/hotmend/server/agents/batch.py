"""Reports, many at a time: those that come while the last ones are being written are written
together, and each is answered when its transaction is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from sqlalchemy import BigInteger, Connection, Float, bindparam, cast, select, update

from hotmend.model.agent_messages import Report, Reported, Run
from hotmend.server.arm import listing
from hotmend.server.control import Control
from hotmend.server.storage import audit, compliance, machines, runs
from hotmend.server.storage.audit import Said
from hotmend.server.storage.given import given
from hotmend.server.storage.tables import machines as table

_LATE = Reported(False, "it is not newer than the last report, or the machine was removed")
_TAKEN = Reported(True)
_MOST_TOGETHER = 500

# The machines of a batch, locked where the database can: another replica may hear them, too.
_HEARD = (
    select(table.c.id, table.c.heard)
    .where(table.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(table.c.id)
    .with_for_update()
)
_newest = given().c
_NOTE = (
    update(table)
    .where(table.c.id == _newest.key)
    .values(
        heard=cast(_newest.value["number"].as_string(), BigInteger),
        seen=bindparam("now", type_=Float),
    )
)


class ReportBatch:
    """For one event loop."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._waiting: list[tuple[str, Report, asyncio.Future[Reported]]] = []
        self._writing = False

    async def add(self, machine: str, report: Report) -> Reported:
        """What became of it. Raises what the database raises."""
        done: asyncio.Future[Reported] = asyncio.get_running_loop().create_future()
        self._waiting.append((machine, report, done))
        if not self._writing:
            self._writing = True
            self._task = asyncio.create_task(self._write())
        return await done

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = (
                self._waiting[:_MOST_TOGETHER],
                self._waiting[_MOST_TOGETHER:],
            )
            heard = [(machine, report) for machine, report, _ in batch]
            work = self._control.database.submit(
                partial(written, heard=heard, now=self._control.clock())
            )
            try:
                answers = await asyncio.wrap_future(work)
            except Exception as error:
                for _, _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            for (_, _, done), answer in zip(batch, answers, strict=True):
                if not done.done():  # the machine may have hung up
                    done.set_result(answer)
        self._writing = False


def written(
    connection: Connection, heard: Sequence[tuple[str, Report]], now: float
) -> list[Reported]:
    """Answers to (machine, report)s, in their order: a few statements for all of them."""
    ids = sorted({machine for machine, _ in heard})
    last = {row.id: row.heard for row in connection.execute(_HEARD, {"ids": ids})}
    fresh: list[tuple[int, str, Report]] = []
    newest: dict[str, dict[str, int]] = {}
    for place, (machine, report) in enumerate(heard):
        if machine in last and report.number > last[machine]:
            last[machine] = report.number
            newest[machine] = {"number": report.number}
            fresh.append((place, machine, report))
    for _, machine, report in fresh:
        if report.facts is not None:
            machines.set_facts(connection, machine, report.facts)
    told = [(machine, report.health) for _, machine, report in fresh if report.health is not None]
    if told:
        machines.set_health(connection, told, now)
    changed = {machine for _, machine, report in fresh if report.facts is not None}
    answers = [_LATE] * len(heard)
    for place, *_ in fresh:
        answers[place] = _TAKEN
    said = [(place, machine, report.run) for place, machine, report in fresh if report.run]
    becauses, assessed = _noted(connection, said, now)
    for (place, *_), because in zip(said, becauses, strict=True):
        answers[place] = Reported(not because, because)
    if newest:
        connection.execute(_NOTE, {"rows": newest, "now": now})
    if changed | assessed:
        listing.refresh_agents(connection, sorted(changed | assessed), now)
    return answers


def _noted(
    connection: Connection, said: Sequence[tuple[int, str, Run]], now: float
) -> tuple[list[str], set[str]]:
    """(why each run is not kept, "" where it is; machines that were assessed). The ends of runs are
    written down."""
    if not said:
        return [], set()
    answers = runs.note_all(connection, [(machine, run) for _, machine, run in said], now)
    ended = [
        (machine, run)
        for (_, machine, run), because in zip(said, answers, strict=True)
        if not because and run.finished is not None
    ]
    assessed = set()
    for machine, run in ended:
        if run.assessment is not None:
            compliance.note(connection, machine, run.assessment, now)
            assessed.add(machine)
    entries = [Said(m, f"{run.kind.value} {run.status.value}", run.id, {}) for m, run in ended]
    audit.append_all(connection, now, entries)
    return answers, assessed
