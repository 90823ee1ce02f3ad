"""How a rollout reached its machines over time, counted in SQL."""

from __future__ import annotations

from sqlalchemy import Connection, Integer, cast, func, select

from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import turns

STEP_S = 1800.0


def curve(connection: Connection, rollout: Rollout) -> list[tuple[float, int]]:
    """(seconds since the rollout began, machines that have it by then), in half hours."""
    step = cast((turns.c.installed - rollout.created) / STEP_S, Integer).label("step")
    rows = connection.execute(
        select(step, func.count())
        .where(turns.c.rollout == rollout.id, turns.c.installed.is_not(None))
        .group_by(step)
        .order_by(step)
    )
    found, reached = [(0.0, 0)], 0
    for number, count in rows:
        reached += count
        found.append(((number + 1) * STEP_S, reached))
    return found


def time_to(points: list[tuple[float, int]], machines: int, share: float) -> float | None:
    """Seconds until ``share`` of ``machines`` had it; None where that has not come yet. Pure."""
    wanted = max(1, share * machines)
    return next((time for time, reached in points if reached >= wanted), None)
