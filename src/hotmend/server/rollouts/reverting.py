"""A rollout that was halted takes back what it just applied, where its settings say so.

Each machine is told once, when its installation has ended; what still runs is waited for. Only
hotpatches that this very installation brought are named: what was there before stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from hotmend.model.agent_messages import Order, Run, RunKind, Selection
from hotmend.model.outcome import OutcomeKind
from hotmend.server.storage import audit, runs, turns
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.turns import Ended

WHO = "rollout"
BECAUSE = "the rollout was halted, and what it applied is taken back"
# A run is reverted by one order, however often it is asked for.
_IDS = uuid.UUID("c6a5c0a1-55ea-4b1f-8f0c-31b6f8f7f0de")


def revert(connection: Connection, rollout: Rollout, now: float) -> tuple[int, list[Ended]]:
    """(how many machines were told, turns that ended by it)."""
    found = turns.to_revert(connection, rollout.id, rollout.settings.revert_healthy)
    if not found:
        return 0, []
    asked: list[tuple[str, str, Order]] = []
    rows: list[dict[str, Any]] = []
    for machine, region, run in found:
        articles = list(_applied(run))
        if articles:
            order = Order(
                str(uuid.uuid5(_IDS, run.id)), RunKind.REVERT, Selection(include=tuple(articles))
            )
            asked.append((machine, region, order))
            rows.append({"machine": machine, "run": order.id, "articles": articles})
    runs.ask_all(connection, asked, runs.PLATFORM, now)
    looked_at, told = [machine for machine, _, _ in found], [row["machine"] for row in rows]
    ended = turns.note_reverted(connection, rollout.id, looked_at, told, BECAUSE, now)
    if rows:
        audit.append(connection, now, WHO, "turns reverted", rollout.id, {"turns": rows})
    return len(rows), ended


def _applied(run: Run) -> Iterator[str]:
    """Articles of the hotpatches that went into a process, also where another one refused."""
    for patch in run.installation.patches if run.installation is not None else ():
        if any(process.kind == OutcomeKind.APPLIED.value for process in patch.processes):
            yield patch.article
