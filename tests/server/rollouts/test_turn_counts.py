"""The counts that the database keeps are those of the turns, whatever changes these."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import (
    Connection,
    bindparam,
    create_engine,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from hotmend.server.storage import database as storage
from hotmend.server.storage.tables import rollouts, turn_counts, turns
from server.conftest import new_database
from server.rollouts.fleet import NOW

STATES = ("waiting", "started", "soaking", "healthy", "failed")
BLANK = {"failure": "", "because": "", "pardoned": False, "attempts": 0}
PLACE = {"region": "westeurope", "zone": "", "group": "set", "domain": 0, "time_zone": "Etc/UTC"}


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    """Of a database as it was before there were counts."""
    url = f"sqlite:///{tmp_path / 'db.sqlite'}"
    if request.param == "postgresql":
        url = new_database(request.getfixturevalue("cluster"))
    engine = create_engine(url)
    with engine.begin() as made:
        _migrate(made, "0001")
        yield made
    engine.dispose()


def test_turns_are_counted_whatever_changes_them(connection: Connection) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for name in ("old", "new"):
        _rollout(connection, name)
    connection.execute(insert(turns), [_turn(chance, "old", n) for n in range(50)])
    _migrate(connection, "0002")
    assert _kept(connection) == _counted(connection), "turns that were there before"
    connection.execute(insert(turns), [_turn(chance, "new", n) for n in range(200)])
    assert _kept(connection) == _counted(connection)
    for _ in range(100):
        _change(chance, connection)
        assert _kept(connection) == _counted(connection)
    connection.execute(delete(turns))
    assert not _kept(connection)


def test_what_is_taken_back_was_not_counted(connection: Connection) -> None:
    chance = random.Random(1)
    _migrate(connection, "0002")
    _rollout(connection, "r")
    connection.execute(insert(turns), [_turn(chance, "r", n) for n in range(20)])
    before = _kept(connection)
    with connection.begin_nested() as undone:
        connection.execute(update(turns).values(state="excluded"))
        assert _kept(connection) != before
        undone.rollback()
    assert _kept(connection) == before


@pytest.mark.parametrize("event", ["INSERT", "UPDATE", "DELETE"])
def test_without_a_trigger_that_is_seen(connection: Connection, event: str) -> None:
    chance = random.Random(1)
    _migrate(connection, "0002")
    _rollout(connection, "r")
    connection.execute(insert(turns), [_turn(chance, "r", n) for n in range(20)])
    _drop(connection, event)
    change = {
        "INSERT": insert(turns).values(_turn(chance, "r", 20)),
        "UPDATE": update(turns).values(state="excluded"),
        "DELETE": delete(turns).where(turns.c.machine == "m0"),
    }
    connection.execute(change[event])
    assert _kept(connection) != _counted(connection)


def _migrate(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(storage._MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _rollout(connection: Connection, name: str) -> None:
    # A rollout had no month then.
    blank = {c.name: "" for c in rollouts.c if not c.nullable and c is not rollouts.c.month}
    blank |= {"id": name, "name": name, "created": NOW, "phase": 1, "phase_began": NOW}
    blank |= {"last_phase": 1, "phases": {}, "size": 0, "order": {}, "settings": {}, "frozen": []}
    connection.execute(insert(rollouts).values(blank))


def _turn(chance: random.Random, rollout: str, number: int) -> dict[str, Any]:
    return {
        **BLANK,
        **PLACE,
        **{"rollout": rollout, "machine": f"m{number}", "state": chance.choice(STATES)},
        **{"phase": chance.randrange(3), "owner": chance.choice("ab")},
    }


def _change(chance: random.Random, connection: Connection) -> None:
    """Of some turns one thing or several, of each its own or of all the same; or some go."""
    some = chance.sample(range(200), chance.randrange(1, 60))
    which = turns.c.machine.in_([f"m{n}" for n in some])
    values: dict[str, Any] = {
        "state": chance.choice(STATES),
        "phase": chance.randrange(3),
        "owner": chance.choice("ab"),
        "pardoned": chance.random() < 0.5,
    }
    values = dict(chance.sample(sorted(values.items()), chance.randrange(1, 5)))
    match chance.randrange(5):
        case 0:
            connection.execute(delete(turns).where(which, turns.c.rollout == "old"))
        case 1:
            one = turns.update().where(
                turns.c.rollout == "new", turns.c.machine == bindparam("who")
            )
            connection.execute(one.values(values), [{"who": f"m{n}"} for n in some])
        case _:
            connection.execute(update(turns).where(which).values(values))


_KEY = (turns.c.rollout, turns.c.phase, turns.c.owner, turns.c.state)


def _counted(connection: Connection) -> set[Any]:
    return {tuple(row) for row in connection.execute(select(*_KEY, func.count()).group_by(*_KEY))}


def _kept(connection: Connection) -> set[Any]:
    rows = connection.execute(select(turn_counts).where(turn_counts.c.count != 0))
    return {tuple(row) for row in rows}


def _drop(connection: Connection, event: str) -> None:
    if connection.dialect.name == "sqlite":
        name = {"INSERT": "turns_came", "UPDATE": "turns_changed", "DELETE": "turns_went"}[event]
        connection.execute(text(f"DROP TRIGGER {name}"))
        return
    for name in ("came", "went"):
        trigger = f"turns_{name}_by_{event.lower()}"
        connection.execute(text(f"DROP TRIGGER IF EXISTS {trigger} ON turns"))
