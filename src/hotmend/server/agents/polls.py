"""Polls of agents, many at a time: each machine was heard, and takes the orders that wait for
it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from hotmend.model.agent_messages import Order, Poll
from hotmend.server.storage import machines, runs


def answered(
    connection: Connection, polls: Sequence[tuple[str, Poll]], now: float
) -> list[list[Order] | None]:
    """To each (machine, poll), in their order; None for a machine that is not there any more. Of
    two polls of one machine the later one says what it knows."""
    known = {machine: poll.known for machine, poll in polls}
    there = machines.seen(connection, known, now)
    orders = runs.waiting_of(connection, {m: known[m] for m in sorted(there)}, now)
    return [orders.get(machine) for machine, _ in polls]
