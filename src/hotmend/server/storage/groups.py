"""Groups: machines of which only few may be away at once, and how many of them are.

What a row says is counted from machines and turns whenever one of these changes, in the same
transaction; nothing is added up, so nothing drifts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Table, Update, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hotmend.fleet.turn import TurnState
from hotmend.server.storage.among import among
from hotmend.server.storage.given import is_given, keys
from hotmend.server.storage.tables import groups, machines, turns

HOLDING = tuple(state for state in TurnState if state.holding)
_INSERTS: dict[str, Callable[[Table], postgresql.Insert | sqlite.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
# A set under five is the exception: one at a time.
_FIFTH = 5

_of_group = is_given(groups.c.key)
_SIZE = (
    update(groups)
    .where(_of_group)
    .values(size=select(func.count()).where(machines.c.group == groups.c.key).scalar_subquery())
)
_BUDGET = (
    update(groups)
    .where(_of_group)
    .values(budget=case((groups.c.size < _FIFTH, 1), else_=groups.c.size // _FIFTH))
)
_holding = (turns.c.group == groups.c.key) & among(turns.c.state, HOLDING)
_HELD = (
    update(groups)
    .where(_of_group)
    .values(
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


def count_machines(connection: Connection, names: Collection[str]) -> None:
    """Bring ``size`` and ``budget`` of ``names`` up to date: machines came or went."""
    for statement in (_SIZE, _BUDGET):
        _each(connection, statement, names)


def count_held(connection: Connection, names: Collection[str]) -> None:
    """Bring ``held`` and ``domain`` of ``names`` up to date: turns changed."""
    _each(connection, _HELD, names)


def _each(connection: Connection, statement: Update, names: Collection[str]) -> None:
    if names:
        connection.execute(statement, keys(names))


def add(connection: Connection, cells: Mapping[str, tuple[str, str]]) -> None:
    """Groups, by key, with their (region, zone); those that are there stay, also those that
    another replica is adding."""
    rows = [
        {"key": key, "region": region, "zone": zone, "size": 0, "budget": 1, "held": 0}
        for key, (region, zone) in sorted(cells.items())
    ]
    if rows:
        statement = _INSERTS[connection.dialect.name](groups).on_conflict_do_nothing()
        connection.execute(statement, rows)


def get(connection: Connection, key: str) -> Group | None:
    """By key."""
    return several(connection, [key]).get(key)


def several(connection: Connection, keys: Iterable[str]) -> dict[str, Group]:
    """By their keys; those that are there."""
    rows = connection.execute(select(groups).where(groups.c.key.in_(list(keys))))
    return {row.key: Group(**row._mapping) for row in rows}
