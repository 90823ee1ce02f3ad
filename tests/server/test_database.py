"""Two replicas write to one PostgreSQL: what stood in the way of the other is done again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from hotmend.server.storage import groups
from hotmend.server.storage.database import Database
from server.conftest import new_database

PLACE = ("westeurope", "1")
LONGEST_S = 30.0


@pytest.fixture
def replicas(cluster: str) -> Iterator[tuple[Database, Database]]:
    url = new_database(cluster)
    made = Database(url), Database(url)
    made[0].migrate()
    yield made
    for one in made:
        one.close()


def raising(code: str, times: int) -> Callable[[Connection], int]:
    """What PostgreSQL refuses with ``code`` so many times; gives the number of tries."""
    tries = 0

    def work(connection: Connection) -> int:
        nonlocal tries
        tries += 1
        if tries <= times:
            connection.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$"))
        return tries

    return work


@pytest.mark.parametrize("code", ["40P01", "40001"])  # a deadlock; two that cannot both be
def test_what_was_rolled_back_for_another_is_done_again(
    replicas: tuple[Database, Database], code: str
) -> None:
    assert replicas[0].write(raising(code, 3)) == 4


def test_but_not_for_ever(replicas: tuple[Database, Database]) -> None:
    with pytest.raises(DBAPIError):
        replicas[0].write(raising("40P01", 100))


def test_what_is_wrong_by_itself_is_not_tried_again(replicas: tuple[Database, Database]) -> None:
    """But once alone, without those that came with it."""
    assert replicas[0].write(raising("23514", 1)) == 2
    with pytest.raises(DBAPIError):
        replicas[0].write(raising("23514", 2))


def test_a_group_that_another_is_adding_is_waited_for(replicas: tuple[Database, Database]) -> None:
    """In the first transaction: what comes with it is not done anew."""
    added, tries = threading.Event(), 0

    def first(connection: Connection) -> None:
        groups.add(connection, {"a": PLACE})
        added.set()
        connection.execute(text("SELECT pg_sleep(0.5)"))

    def second(connection: Connection) -> None:
        nonlocal tries
        tries += 1
        groups.add(connection, {"a": PLACE})

    one = replicas[0].submit(first)
    assert added.wait(LONGEST_S)
    replicas[1].submit(second).result(LONGEST_S)
    one.result(LONGEST_S)
    assert tries == 1
