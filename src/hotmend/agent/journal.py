"""What the machine must not forget: orders and how far they came, reports that have not arrived.

SQLite with a full flush at every commit: what was written survives a power loss. An order is known
by its id for ever, so that it is carried out once however often it is sent.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hotmend.agent.link import decoded
from hotmend.model.agent_messages import Health, Order, Report, Run

_TABLES = """
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, content TEXT NOT NULL, ended REAL);
CREATE TABLE IF NOT EXISTS begun (id TEXT PRIMARY KEY, time REAL NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, content TEXT NOT NULL);
"""


class Journal:
    """For several threads of one process."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def take(self, order: Order) -> bool:
        """Whether it is new. One without a name could never be known to have ended: it is none."""
        if not order.id:
            return False
        with self._writing() as connection:
            done = connection.execute(
                "INSERT OR IGNORE INTO orders (id, content) VALUES (?, ?)",
                (order.id, json.dumps(asdict(order))),
            )
            return bool(done.rowcount)

    def waiting(self) -> list[Order]:
        """Orders that have not ended, in the order in which they came."""
        with self._reading("SELECT content FROM orders WHERE ended IS NULL ORDER BY rowid") as rows:
            return [decoded(json.loads(row[0]), Order) for row in rows]

    def known(self, most: int = 200) -> tuple[str, ...]:
        """Ids of the last orders, ended or not."""
        with self._reading("SELECT id FROM orders ORDER BY rowid DESC LIMIT ?", most) as rows:
            return tuple(row[0] for row in rows)

    def begin(self, order: Order, now: float) -> float:
        """When the order was first begun: its time runs on while the agent is down."""
        with self._writing() as connection:
            connection.execute("INSERT OR IGNORE INTO begun VALUES (?, ?)", (order.id, now))
            row = connection.execute("SELECT time FROM begun WHERE id = ?", (order.id,)).fetchone()
            return float(row[0])

    def begun(self, order: Order) -> bool:
        """Whether it was ever begun."""
        with self._reading("SELECT 1 FROM begun WHERE id = ?", order.id) as rows:
            return bool(rows)

    def others(self, order: Order, since: float) -> int:
        """How many orders beside this one were begun since then."""
        query = "SELECT count(*) FROM begun WHERE time > ? AND id != ?"
        with self._reading(query, since, order.id) as rows:
            return int(rows[0][0])

    def say(self, run: Run, now: float, *, ends: str = "") -> None:
        """Report ``run`` as soon as somebody listens. ``ends``: the order that has ended with
        it, in the same step."""
        with self._writing() as connection:
            content = json.dumps({"time": now, "run": asdict(run)})
            connection.execute("INSERT INTO outbox (content) VALUES (?)", (content,))
            if ends:
                connection.execute("UPDATE orders SET ended = ? WHERE id = ?", (now, ends))

    def say_health(self, health: Health) -> None:
        """Report it; what was said of it before and has not arrived says nothing more."""
        with self._writing() as connection:
            content = json.dumps({"health": asdict(health), "time": health.time})
            connection.execute("DELETE FROM outbox WHERE content LIKE '{\"health\"%'")
            connection.execute("INSERT INTO outbox (content) VALUES (?)", (content,))

    def unsent(self) -> Report | None:
        """The oldest report that has not arrived."""
        query = "SELECT number, content FROM outbox ORDER BY number LIMIT 1"
        with self._reading(query) as rows:
            row = next(iter(rows), None)
        if row is None:
            return None
        report: Report = decoded({"number": row[0], **json.loads(row[1])}, Report)
        return report

    def arrived(self, number: int) -> None:
        """The report with that number is in the control plane's database, or never will be."""
        with self._writing() as connection:
            connection.execute("DELETE FROM outbox WHERE number = ?", (number,))

    def note(self, name: str, content: str) -> None:
        """Remember a text under a name."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, content))

    def noted(self, name: str) -> str:
        """What was noted last under it; "" for nothing."""
        with self._reading("SELECT content FROM notes WHERE name = ?", name) as rows:
            row = next(iter(rows), None)
        return str(row[0]) if row is not None else ""

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _reading(self, query: str, *values: object) -> Iterator[list[Any]]:
        with self._lock:
            yield self._connection.execute(query, values).fetchall()
