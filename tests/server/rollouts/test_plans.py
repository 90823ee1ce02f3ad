"""What a tick costs: the few turns in flight are found without reading all that wait, and none is
looked for among all that were found."""

from __future__ import annotations

import os
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, text

from hotmend.fleet.place import Place
from hotmend.fleet.regions import pair_keys
from hotmend.model.agent_messages import Health, Report, Run, RunKind, RunStatus
from hotmend.server.agents.reports import written
from hotmend.server.rollouts.moment import Moment
from hotmend.server.rollouts.tick import tick
from hotmend.server.storage import rollouts
from hotmend.server.storage.database import Database
from hotmend.server.storage.tables import turns
from server import postgres
from server.conftest import new_database
from server.rollouts.fleet import NOW, Fleet, fleet

WAITING = 3000
LARGE = ("turns", "machines", "runs", "health")
# As the statements were once; the index that tells the states apart is not used.
PLAIN = "SELECT because FROM turns WHERE rollout = ? AND state IN (?) AND started < ?"
# For SQLite; PostgreSQL, which expects one of them, looks through all of these for each.
TWICE = (
    "SELECT because FROM turns WHERE rollout = 'r' AND state IN ('started') AND machine IN"
    " (SELECT machine FROM turns AS these WHERE rollout = 'r' AND state IN ('started'))"
)


def test_a_tick_reads_no_table_of_turns_from_end_to_end(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'db.sqlite'}")
    database.migrate()
    with fleet(database) as made:
        _a_large_rollout(made)
        asked = _asked_by_a_tick(made)
        assert len(asked) > 5
        scans = [words for words, values in asked if _scans(made.connection, words, values)]
        assert not scans, scans
        assert _scans(made.connection, PLAIN, ("r", "started", NOW)), "then nothing is shown here"
    database.close()


def test_what_a_machine_says_is_written_without_reading_what_all_have_said(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'db.sqlite'}")
    database.migrate()
    with fleet(database) as made:
        made.machine("m", Place("westeurope", "", "set", 0))
        _asked_by_a_report(made, 1)  # so that there is something when the rollout is made
        made.rollout("r", phases={"westeurope": 1}, phase=1, last_phase=1)
        asked = _asked_by_a_report(made, 2)
        updates = {words.split()[1] for words, _ in asked if words.startswith("UPDATE")}
        assert updates >= {"runs", "health", "machines"}
        assert not [words for words, values in asked if _scans(made.connection, words, values)]
        made.connection.execute(text("ANALYZE"))
        scans = [words for words, values in asked if _scans(made.connection, words, values)]
        assert scans, "then nothing is shown here"
    database.close()


@pytest.mark.skipif(
    postgres.programs() is None or os.geteuid() != 0,
    reason="needs PostgreSQL, and root to run it as its user",
)
def test_postgresql_looks_for_no_turn_among_turns(cluster: str) -> None:
    database = Database(new_database(cluster))
    database.migrate()
    with fleet(database) as made:
        _a_large_rollout(made)
        plans = _plans(made.connection, _asked_by_a_tick(made))
        assert len(plans) > 5
        assert not [plan for plan in plans if " on turns these" in plan]
        (twice,) = _plans(made.connection, [(TWICE, {})])
        assert " on turns these" in twice, "then nothing is shown here"
    database.close()


def _plans(connection: Connection, asked: list[tuple[str, Any]]) -> list[str]:
    """PostgreSQL's, of what was asked."""
    rows = (connection.exec_driver_sql(f"EXPLAIN {words}", values) for words, values in asked)
    return ["\n".join(line for (line,) in plan) for plan in rows]


def _a_large_rollout(made: Fleet) -> None:
    made.rollout("r", phases={"westeurope": 1}, phase=1, last_phase=1)
    made.turn("r", made.machine("m", Place("westeurope", "", "set", 0)))
    (row,) = made.connection.execute(turns.select()).mappings().all()
    others = [{**row, "machine": f"n{number:05}"} for number in range(WAITING)]
    made.connection.execute(insert(turns), others)
    made.connection.execute(text("ANALYZE turns"))


def _asked_by_a_tick(made: Fleet) -> list[tuple[str, Any]]:
    asked: list[tuple[str, Any]] = []

    def note(*words: Any) -> None:
        if "turns" in words[2] and not words[5] and not words[2].startswith("INSERT"):
            asked.append((words[2], words[3]))

    rollout = rollouts.get(made.connection, "r")
    assert rollout is not None
    event.listen(made.connection, "before_cursor_execute", note)
    for later in (1.0, 2.0):  # in the second one a turn is in flight
        tick(made.connection, rollout, Moment(NOW + later, NOW - 1e6, pair_keys({})))
    event.remove(made.connection, "before_cursor_execute", note)
    return asked


def _asked_by_a_report(made: Fleet, number: int) -> list[tuple[str, Any]]:
    asked: list[tuple[str, Any]] = []

    def note(*words: Any) -> None:
        asked.append((words[2], words[3]))

    event.listen(made.connection, "before_cursor_execute", note)
    run = Run("run", RunKind.INSTALL, NOW, RunStatus.IN_PROGRESS)
    (answer,) = written(made.connection, [("m", Report(number, NOW, None, run, Health(NOW)))], NOW)
    event.remove(made.connection, "before_cursor_execute", note)
    assert answer.accepted
    return asked


def _scans(connection: Connection, words: str, values: Any) -> bool:
    """One of ``LARGE``."""
    found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", tuple(values))
    return any(row[3].startswith(f"SCAN {table}") for row in found for table in LARGE)
