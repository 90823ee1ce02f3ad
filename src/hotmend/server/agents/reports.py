"""Reports of agents, many at a time: a few statements write them all."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from hotmend.model.agent_messages import Report, Reported, Run
from hotmend.server.arm import listing
from hotmend.server.storage import audit, compliance, machines, runs
from hotmend.server.storage.audit import Said
from hotmend.server.storage.given import is_given, keys
from hotmend.server.storage.tables import machines as table

_LATE = Reported(False, "it is not newer than the last report, or the machine was removed")
_TAKEN = Reported(True)

# The machines of a batch, locked where the database can: another replica may hear them, too.
_HEARD = (
    select(table.c.id, table.c.heard)
    .where(is_given(table.c.id))
    .order_by(table.c.id)
    .with_for_update()
)


def written(
    connection: Connection, heard: Sequence[tuple[str, Report]], now: float
) -> list[Reported]:
    """Answers to (machine, report)s, in their order: a few statements for all of them."""
    found = connection.execute(_HEARD, keys({machine for machine, _ in heard}))
    last = {row.id: row.heard for row in found}
    fresh: list[tuple[int, str, Report]] = []
    newest: dict[str, int] = {}
    for place, (machine, report) in enumerate(heard):
        if machine in last and report.number > last[machine]:
            last[machine] = report.number
            newest[machine] = report.number
            fresh.append((place, machine, report))
    for _, machine, report in fresh:
        if report.facts is not None:
            machines.set_facts(connection, machine, report.facts)
    told = [(machine, report.health) for _, machine, report in fresh if report.health is not None]
    machines.heard(connection, newest, told, now)
    changed = {machine for _, machine, report in fresh if report.facts is not None}
    answers = [_LATE] * len(heard)
    for place, *_ in fresh:
        answers[place] = _TAKEN
    said = [(place, machine, report.run) for place, machine, report in fresh if report.run]
    becauses, assessed = _noted(connection, said, now)
    for (place, *_), because in zip(said, becauses, strict=True):
        answers[place] = Reported(not because, because)
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
