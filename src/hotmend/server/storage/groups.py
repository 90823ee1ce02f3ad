"""Groups: machines of which only few may be away at once, and how many of them are.

What a row says is counted from machines and turns whenever one of these changes, in the same
transaction; nothing is added up, so nothing drifts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, case, func, insert, select, update

from hotmend.fleet.turn import TurnState
from hotmend.server.storage.tables import groups, machines, turns

HOLDING = tuple(state.value for state in TurnState if state.holding)
# A set under five is the exception: one at a time.
_FIFTH = 5

_size = select(func.count()).where(machines.c.group == groups.c.key).scalar_subquery()
_holding = (turns.c.group == groups.c.key) & turns.c.state.in_(HOLDING)
_COUNT = (
    update(groups)
    .where(groups.c.key == bindparam("group"))
    .values(
        size=_size,
        budget=case((_size < _FIFTH, 1), else_=_size // _FIFTH),
        held=select(func.count()).select_from(turns).where(_holding).scalar_subquery(),
        domain=select(func.min(turns.c.domain)).where(_holding).scalar_subquery(),
    )
)


@dataclass(frozen=True)
class Group:
    """``domain``: in which its held turns are, None when there are none."""

    key: str
    region: str
    zone: str
    size: int
    budget: int
    held: int
    domain: int | None


def count(connection: Connection, keys: Iterable[str]) -> None:
    """Bring the rows of ``keys`` up to date."""
    rows = [{"group": key} for key in sorted(set(keys))]
    if rows:
        connection.execute(_COUNT, rows)


def add(connection: Connection, cells: Mapping[str, tuple[str, str]]) -> None:
    """Groups, by key, with their (region, zone); those that are there stay."""
    known = set(
        connection.execute(select(groups.c.key).where(groups.c.key.in_(cells))).scalars()
    )
    rows = [
        {"key": key, "region": region, "zone": zone, "size": 0, "budget": 1, "held": 0}
        for key, (region, zone) in sorted(cells.items())
        if key not in known
    ]
    if rows:
        connection.execute(insert(groups), rows)


def get(connection: Connection, key: str) -> Group | None:
    """By key."""
    row = connection.execute(select(groups).where(groups.c.key == key)).first()
    return Group(**row._mapping) if row is not None else None
