"""The keeper of the rollouts: whichever replica has its row for the length of one transaction.

A replica that dies loses the row with its connection, so there is no lease that anybody would have
to wait for.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from hotmend.server.storage.tables import keeper

# Nobody has listened to the agents in a gap between two ticks that is longer.
GAP_S = 60.0


@dataclass(frozen=True)
class Watch:
    """``before``: when the rollouts were looked at last, 0.0 for never. ``listening_since``: since
    when somebody has listened to the agents without a break."""

    before: float
    listening_since: float


def take(connection: Connection, now: float) -> Watch | None:
    """None while another replica is the keeper."""
    row = connection.execute(select(keeper).with_for_update(skip_locked=True)).first()
    if row is None:
        return None
    since = now if now - row.ticked > GAP_S else row.listening_since
    connection.execute(update(keeper).values(ticked=now, listening_since=since))
    return Watch(float(row.ticked), float(since))
