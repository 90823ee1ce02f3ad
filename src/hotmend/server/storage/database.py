"""The database: SQLite beside the keys, or PostgreSQL behind many replicas.

Writers queue for one thread, which takes all that wait into one transaction: a commit costs a
flush of the disk, and two writers of one SQLite collapse. A write is done when its commit is.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from hotmend.server.errors import ServerError

_MOST_TOGETHER = 500
_MOST_TRIES = 5
# Of PostgreSQL's error codes, those that say: nothing was done, try again (a deadlock is one).
_ROLLED_BACK = "40"
_MIGRATIONS = Path(__file__).with_name("migrations")

T = TypeVar("T")


@dataclass
class _Task(Generic[T]):
    work: Callable[[Connection], T]
    done: Future[T]


class Database:
    """Reads run where they are called; writes in the order in which they were asked for."""

    def __init__(self, url: str) -> None:
        try:
            self._engine = create_engine(url, pool_pre_ping=True)
            self._readers = create_engine(url, pool_pre_ping=True)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise ServerError(f"{url} is no database: {error}") from None
        prepare = _prepare_sqlite if self._engine.dialect.name == "sqlite" else _prepare_postgresql
        for engine in (self._engine, self._readers):
            event.listen(engine, "connect", prepare)
        self._tasks: queue.SimpleQueue[_Task[Any] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_all, name="writer", daemon=True)
        self._writer.start()

    def migrate(self) -> None:
        """Bring the tables up to date. Raises ServerError."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        try:
            with self._engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except OperationalError as error:
            raise ServerError(f"the database cannot be used: {error.orig}") from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """For statements that change nothing."""
        with self._readers.connect() as connection:
            yield connection

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Have ``work`` done in a transaction; the future ends when that is committed. It may be
        done again, all times but the last without effect."""
        task = _Task(work, Future())
        self._tasks.put(task)
        return task.done

    def write(self, work: Callable[[Connection], T]) -> T:
        """As ``submit``, and wait. Raises what ``work`` raises."""
        return self.submit(work).result()

    def close(self) -> None:
        """After everything that was submitted."""
        self._tasks.put(None)
        self._writer.join()
        self._engine.dispose()
        self._readers.dispose()

    def _write_all(self) -> None:
        while (first := self._tasks.get()) is not None:
            tasks = [first]
            while len(tasks) < _MOST_TOGETHER:
                try:
                    task = self._tasks.get_nowait()
                except queue.Empty:
                    break
                if task is None:
                    self._tasks.put(None)
                    break
                tasks.append(task)
            # Whoever waited may have given up; from here on nobody can.
            tasks = [task for task in tasks if task.done.set_running_or_notify_cancel()]
            if not self._done_together(tasks):
                for task in tasks:
                    self._done_alone(task)

    def _done_together(self, tasks: list[_Task[Any]]) -> bool:
        try:
            with self._engine.begin() as connection:
                results = [task.work(connection) for task in tasks]
        except Exception:
            return False
        for task, result in zip(tasks, results, strict=True):
            task.done.set_result(result)
        return True

    def _done_alone(self, task: _Task[Any]) -> None:
        for tried in range(1, _MOST_TRIES + 1):
            try:
                with self._engine.begin() as connection:
                    result = task.work(connection)
            except DBAPIError as error:
                if tried == _MOST_TRIES or not _passes(error):
                    task.done.set_exception(error)
                    return
            except (Exception, SQLAlchemyError) as error:
                task.done.set_exception(error)
                return
            else:
                task.done.set_result(result)
                return


def _passes(error: DBAPIError) -> bool:
    """A connection that broke (the database was restarted) is not used again; and what another
    replica's transaction stood in the way of may be done after it."""
    code = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or code.startswith(_ROLLED_BACK)


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for setting in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _prepare_postgresql(connection: Any, _: ConnectionPoolEntry) -> None:
    """It takes one plan for all values of a statement that comes often: what searches for a word
    that few machines have would read them all in the order of their keys, and a tick would read
    all turns for each cell. And it compiles what looks dear, which takes longer than these run."""
    cursor = connection.cursor()
    for setting in ("plan_cache_mode = force_custom_plan", "jit = off"):
        cursor.execute(f"SET {setting}")
    cursor.close()
    connection.commit()
