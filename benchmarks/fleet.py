"""Rollouts at size: how many machines a control plane leads through one, on SQLite and PostgreSQL.

    scripts/bench fleet [--sizes 1000,10000,…] [--databases SQLite,PostgreSQL] [--rounds N]

The machines are rows; the control plane is the real code: ticks decide, give orders and write the
audit log, orders are read as agents' polls read them, reports are taken as they are from agents.
Only the wire is left out (``scripts/bench wire`` has it). Virtual time.

admission    told to begin: the tick's decision, the order, the audit entry
whole life   and the order fetched, its run's report, the word of health, and the turn proven
tick         with nothing to start, and all groups with room: the only window that is open is in a
             time zone in which nobody waits, and every turn left waits
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, insert, select, update
from tests.server import postgres

from hotmend.fleet.regions import known, pair_keys, pairs
from hotmend.fleet.rollout import RolloutState
from hotmend.model.agent_messages import (
    Health,
    Installation,
    Order,
    RebootStatus,
    Report,
    Run,
    RunKind,
    RunStatus,
    Selection,
)
from hotmend.server.agents.reports import written
from hotmend.server.rollouts.moment import Moment
from hotmend.server.rollouts.tick import tick
from hotmend.server.storage import groups, rollouts, runs
from hotmend.server.storage.database import Database
from hotmend.server.storage.rollouts import Rollout
from hotmend.server.storage.tables import machines
from hotmend.server.storage.tables import rollouts as rollout_table
from spent import cpu

MIDNIGHT = 1_767_225_600.0
SETTINGS = {"window_opens": "00:00", "window_closes": "23:59", "canary_bake_s": 0}
SETTINGS |= {"least_most": 200}
# At MIDNIGHT it is two o'clock in the afternoon there, and machines' windows are shut elsewhere.
FAR_EAST = "Pacific/Kiritimati"
ELSEWHERE_ONLY = SETTINGS | {"window_opens": "14:00", "window_closes": "23:59"}
IN_A_SET, OWNERS, DOMAINS = 20, 50, 5
REPORTS_TOGETHER = 500
GOALS = {"SQLite": "3,000 /s", "PostgreSQL": "4,000 /CPU-s"}


@dataclass
class Clock:
    """What was spent, of this process and of the database's own."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def running(self, cluster: int | None) -> Iterator[None]:
        wall, cpu = time.perf_counter(), _cpu(cluster)
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += _cpu(cluster) - cpu


@dataclass
class Result:
    """``ticks``: how long each took that started as many as it may."""

    admitted: int = 0
    proven: int = 0
    admission: Clock = field(default_factory=Clock)
    life: Clock = field(default_factory=Clock)
    ticks: list[float] = field(default_factory=list)
    idle_tick: float = 0.0


def main() -> None:
    words = argparse.ArgumentParser(description="rollouts at size")
    words.add_argument("--sizes", default="1000,10000,100000,1000000")
    words.add_argument("--databases", default=",".join(GOALS))
    words.add_argument("--rounds", type=int, default=25, help="of as many as may begin at once")
    # As many as it takes to see what the machine can do, not as many as are safe.
    words.add_argument("--share", type=float, default=0.05, help="of machines, in flight at once")
    given = words.parse_args()
    print(
        "| | machines | admitted /s | admitted /CPU-s | whole life /s | whole life /CPU-s | "
        "CPU µs a machine | tick that starts, ms | tick that finds nothing, ms | memory MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in given.databases.split(","):
        for size in map(int, given.sizes.split(",")):
            with _database(name) as (url, cluster):
                result = _measured(url, cluster, size, given.rounds, given.share)
                print(_row(name, size, result), flush=True)


@contextmanager
def _database(name: str) -> Iterator[tuple[str, int | None]]:
    """(URL, process id of its own server)."""
    with tempfile.TemporaryDirectory() as folder:
        if name == "SQLite":
            yield f"sqlite:///{folder}/fleet.sqlite", None
            return
        Path(folder).chmod(0o755)
        with postgres.running(Path(folder) / "pg") as url:
            yield url, postgres.pid(Path(folder) / "pg")


def _measured(url: str, cluster: int | None, size: int, rounds: int, share: float) -> Result:
    database, result = Database(url), Result()
    database.migrate()
    database.write(lambda c: _fill(c, size, share))
    now = MIDNIGHT
    for _ in range(rounds):
        now += 1.0
        database.write(lambda c, at=now: c.execute(update(machines).values(seen=at)))  # type: ignore[misc]
        with result.admission.running(cluster), result.life.running(cluster):
            began = time.perf_counter()
            started = database.write(lambda c, at=now: _tick(c, at))  # type: ignore[misc]
            result.ticks.append(time.perf_counter() - began)
        if not started:
            break
        result.admitted += started
        with database.reading() as connection:
            told = [row.machine for row in connection.execute(_TOLD)]
        with result.life.running(cluster):
            _answer(database, told, now)
            now += 1.0
            database.write(lambda c, at=now: _tick(c, at))  # type: ignore[misc]
            now += 900.0
            _say_well(database, told, now)
            now += 1.0
        with result.life.running(cluster):
            database.write(lambda c, at=now: _tick(c, at, starts=False))  # type: ignore[misc]
        result.proven += len(told)
    now += 1.0
    database.write(lambda c: c.execute(update(machines).values(seen=now)))
    database.write(lambda c: c.execute(update(rollout_table).values(settings=ELSEWHERE_ONLY)))
    began = time.perf_counter()
    assert not database.write(lambda c: _tick(c, now))
    result.idle_tick = time.perf_counter() - began
    database.close()
    return result


_TOLD = (
    select(runs.runs.c.machine).where(runs.runs.c.finished.is_(None)).order_by(runs.runs.c.machine)
)


def _tick(connection: Connection, now: float, *, starts: bool = True) -> int:
    if not starts:  # as if every owner's part were frozen
        connection.execute(update(rollout_table).values(frozen=[f"s{n}" for n in range(OWNERS)]))
    done = 0
    for rollout in rollouts.listed(connection, open_only=True):
        done = tick(connection, rollout, Moment(now, MIDNIGHT - 1e6, pair_keys(pairs())))
    if not starts:
        connection.execute(update(rollout_table).values(frozen=[]))
    return done


def _answer(database: Database, told: list[str], now: float) -> None:
    """Each machine fetches its order, and reports its end."""
    for some in _portions(told):

        def work(connection: Connection, some: list[str] = some) -> None:
            reports = []
            told = runs.waiting_of(connection, dict.fromkeys(some, ()), now)
            for machine, (order,) in told.items():
                done = Installation((), RebootStatus.NOT_NEEDED)
                run = Run(order.id, order.kind, now, RunStatus.SUCCEEDED, now, installation=done)
                reports.append((machine, Report(_numbers(now), now, run=run)))
            assert all(answer.accepted for answer in written(connection, reports, now))

        database.write(work)


def _say_well(database: Database, told: list[str], now: float) -> None:
    for some in _portions(told):
        health = Health(now, verified=now)
        reports = [(machine, Report(_numbers(now), now, health=health)) for machine in some]
        database.write(lambda c, reports=reports: written(c, reports, now))  # type: ignore[misc]


def _numbers(now: float) -> int:
    return int(now * 10)


def _portions(told: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(told), REPORTS_TOGETHER):
        yield told[first : first + REPORTS_TOGETHER]


def _fill(connection: Connection, size: int, share: float) -> None:
    regions = sorted(known())
    cells: dict[str, tuple[str, str]] = {}
    for first in range(0, size, 10_000):
        rows = []
        for number in range(first, min(size, first + 10_000)):
            group = f"set{number // IN_A_SET}"
            region = regions[number // IN_A_SET % len(regions)]
            cells[group] = (region, "")
            rows.append(
                {
                    "id": str(uuid.UUID(int=number * 0x9E3779B97F4A7C15 % (1 << 128))),
                    **{"resource": f"/m/{number}", "host": f"m{number}", "facts": {}},
                    **{"simulated": True, "enrolled": MIDNIGHT, "seen": MIDNIGHT, "heard": 0},
                    **{"owner": f"s{number // IN_A_SET % OWNERS}", "region": region, "zone": ""},
                    **{"group": group, "domain": number % DOMAINS, "time_zone": "Etc/UTC"},
                    **{"automatic": True, "canary": False, "reboot": "Never"},
                    **{"health": "", "health_at": 0.0, "bad_at": 0.0, "bad_because": ""},
                }
            )
        connection.execute(insert(machines), rows)
    alone = {"id": "alone", "resource": "/m/alone", "time_zone": FAR_EAST, "automatic": False}
    connection.execute(insert(machines), [rows[-1] | alone])
    keys = sorted(cells)
    for first in range(0, len(keys), 10_000):
        groups.add(connection, {key: cells[key] for key in keys[first : first + 10_000]})
    groups.count_machines(connection, keys)
    rollout = Rollout(
        id="r",
        name="2026-11",
        kind=rollouts.AUTOMATIC,
        state=RolloutState.RUNNING,
        because="",
        created=MIDNIGHT,
        ended=None,
        phase=1,
        phase_began=MIDNIGHT,
        last_phase=2,
        phases=dict.fromkeys(regions, 1),
        size=0,
        order=Order("", RunKind.INSTALL, Selection(("Critical", "Security")), 3600.0),
        written_settings=SETTINGS | {"most_share": share},
        frozen=frozenset(),
        warned="",
        opens=None,
        closes=None,
    )
    rollouts.create(connection, rollout, machines.c.automatic)


def _row(name: str, size: int, result: Result) -> str:
    admission, life = result.admission, result.life
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"| {name} (goal {GOALS[name]}) | {size:,} | {result.admitted / admission.wall:,.0f} | "
        f"{result.admitted / admission.cpu:,.0f} | {result.proven / life.wall:,.0f} | "
        f"{result.proven / life.cpu:,.0f} | {life.cpu / result.proven * 1e6:.0f} | "
        f"{statistics.median(result.ticks) * 1e3:.0f} | {result.idle_tick * 1e3:.0f} | {peak:.0f} |"
    )


def _cpu(cluster: int | None) -> float:
    """Seconds, of this process and of a PostgreSQL with all its children."""
    return time.process_time() + (cpu(cluster) if cluster is not None else 0.0)


if __name__ == "__main__":
    main()
