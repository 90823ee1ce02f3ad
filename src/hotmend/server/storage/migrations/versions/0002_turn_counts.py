"""How many turns there are in each state, kept by the database itself.

A tick asks that once a second. Counting the turns of a million machines takes a quarter of a
second; what changed since the last tick is few. Triggers, since no statement can then forget it.

PostgreSQL counts by statements, SQLite, which has no other triggers, by rows: a million rows of one
statement would change one count of PostgreSQL's twenty thousand times, each past all the earlier
ones.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = ("rollout", "phase", "owner", "state")
_NAMES = ", ".join(_KEY)


def upgrade() -> None:
    op.create_table(
        "turn_counts",
        sa.Column("rollout", sa.String(36), primary_key=True),
        sa.Column("phase", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )
    op.execute(f"INSERT INTO turn_counts SELECT {_NAMES}, count(*) FROM turns GROUP BY {_NAMES}")
    made = _in_sqlite() if op.get_bind().dialect.name == "sqlite" else _in_postgresql()
    for statement in made:
        op.execute(statement)


def _in_sqlite() -> list[str]:
    came = _counted(", ".join(f"NEW.{name}" for name in _KEY) + ", 1", "VALUES ({})")
    went = _counted(", ".join(f"OLD.{name}" for name in _KEY) + ", -1", "VALUES ({})")
    differ = " OR ".join(f"OLD.{name} <> NEW.{name}" for name in _KEY)
    on = "ON turns FOR EACH ROW"
    return [
        f"CREATE TRIGGER turns_came AFTER INSERT {on} BEGIN {came}; END",
        f"CREATE TRIGGER turns_went AFTER DELETE {on} BEGIN {went}; END",
        f"CREATE TRIGGER turns_changed AFTER UPDATE OF {_NAMES} {on} WHEN {differ} "
        f"BEGIN {came}; {went}; END",
    ]


def _in_postgresql() -> list[str]:
    """In the order of the keys: whoever locks counts locks them in the same one."""
    made = []
    for name, sign in (("came", "+"), ("went", "-")):
        grouped = f"FROM {name} GROUP BY {_NAMES} ORDER BY {_NAMES}"
        count = _counted(f"{_NAMES}, {sign}count(*)", f"SELECT {{}} {grouped}")
        made.append(
            f"CREATE FUNCTION count_turns_that_{name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {count}; RETURN NULL; END $$"
        )
    for event, name, table in (
        ("INSERT", "came", "NEW"),
        ("UPDATE", "came", "NEW"),
        ("UPDATE", "went", "OLD"),
        ("DELETE", "went", "OLD"),
    ):
        made.append(
            f"CREATE TRIGGER turns_{name}_by_{event.lower()} AFTER {event} ON turns "
            f"REFERENCING {table} TABLE AS {name} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION count_turns_that_{name}()"
        )
    return made


def _counted(values: str, rows: str) -> str:
    return (
        f"INSERT INTO turn_counts ({_NAMES}, count) {rows.format(values)} "
        f"ON CONFLICT ({_NAMES}) DO UPDATE SET count = turn_counts.count + excluded.count"
    )
