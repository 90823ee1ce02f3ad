"""The audit log tampered with in the database itself: what was done is found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from hotmend.client.audit import problem as compared
from hotmend.model import merkle
from hotmend.model.audit_log import Checked, Entry, digest_of, leaf_of
from hotmend.server import checkpoints
from hotmend.server.control import Control, prepared
from hotmend.server.errors import ServerError
from hotmend.server.folder import DataFolder
from hotmend.server.storage import audit
from hotmend.server.storage.tables import audit as table
from hotmend.server.storage.tables import audit_head, audit_nodes
from server.conftest import Clock, new_database

Tamper = Callable[[Connection], None]
SIZE = 21


@pytest.fixture
def control(database_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Control]:
    url = new_database(request.getfixturevalue("cluster")) if database_url else ""
    folder = DataFolder.opened(tmp_path / "data", ["localhost"])
    made = prepared(folder, "https://localhost:1", url, Clock())
    yield made
    made.database.close()


def grown(control: Control, number: int) -> None:
    def work(connection: Connection) -> None:
        for n in range(number):
            audit.append(connection, 1000.0 + n, "me", "did", f"thing {n}", {"n": n})

    control.database.write(work)


def found(control: Control) -> str:
    with control.database.reading() as connection:
        wrong = audit.problem(connection)
        kept = [note.checkpoint for note in checkpoints.kept(connection)]
        return wrong or compared(audit.entries(connection), kept)[1]


def rewritten(connection: Connection, entries: list[Entry]) -> None:
    """Everything that the database says of the log, by somebody who knows how: digests, nodes,
    head. Only what has left the database can tell."""
    for one in (table, audit_nodes):
        connection.execute(delete(one))
    connection.execute(update(audit_head).values(size=0, digest=Checked().digest, peaks=b""))
    for e in entries:
        audit.append(connection, e.time, e.who, e.what, e.subject, e.details)


def change(connection: Connection) -> None:
    connection.execute(update(table).where(table.c.number == 7).values(who="somebody else"))


def change_details(connection: Connection) -> None:
    connection.execute(update(table).where(table.c.number == 7).values(details={"n": 99}))


def remove(connection: Connection) -> None:
    connection.execute(delete(table).where(table.c.number == 7))


def remove_first(connection: Connection) -> None:
    connection.execute(delete(table).where(table.c.number == 1))


def reorder(connection: Connection) -> None:
    for old, new in ((7, 100), (8, 7), (100, 8)):
        connection.execute(update(table).where(table.c.number == old).values(number=new))


def truncate(connection: Connection) -> None:
    connection.execute(delete(table).where(table.c.number > 15))


def insert_one(connection: Connection) -> None:
    row = dict(connection.execute(select(table).where(table.c.number == SIZE)).one()._mapping)
    connection.execute(insert(table).values({**row, "number": SIZE + 1}))


def change_head(connection: Connection) -> None:
    connection.execute(update(audit_head).values(digest="1" * 64))


def truncate_well(connection: Connection) -> None:
    rewritten(connection, audit.page(connection, 0)[:15])


def fork_well(connection: Connection) -> None:
    """Another history of the same length, every digest right."""
    entries = audit.page(connection, 0)
    entries[6] = replace(entries[6], who="somebody else")
    rewritten(connection, entries)


def fork_and_grow(connection: Connection) -> None:
    fork_well(connection)
    for n in range(30):
        audit.append(connection, 5000.0, "me", "did", f"more {n}", {})


IN_THE_DATABASE = [
    change,
    change_details,
    remove,
    remove_first,
    reorder,
    truncate,
    insert_one,
    change_head,
]
BY_A_CHECKPOINT = [truncate_well, fork_well, fork_and_grow]


def test_a_log_that_nobody_touched_is_whole(control: Control) -> None:
    assert found(control) == ""
    grown(control, SIZE)
    control.database.write(control.log.made)
    grown(control, SIZE)
    control.database.write(control.log.made)
    assert found(control) == ""
    with control.database.reading() as connection:
        assert audit.head(connection).size == 2 * SIZE


@pytest.mark.parametrize("tamper", IN_THE_DATABASE, ids=lambda f: f.__name__)
def test_tampering_is_found_without_any_checkpoint(control: Control, tamper: Tamper) -> None:
    grown(control, SIZE)
    assert found(control) == ""
    control.database.write(tamper)
    assert found(control) != ""


@pytest.mark.parametrize("tamper", BY_A_CHECKPOINT, ids=lambda f: f.__name__)
def test_a_history_written_anew_is_found_by_a_checkpoint(control: Control, tamper: Tamper) -> None:
    """And by nothing else, which is why agents remember them."""
    grown(control, SIZE)
    note = control.database.write(control.log.made)
    control.database.write(tamper)
    with control.database.reading() as connection:
        assert audit.problem(connection) == ""
        kept = list(audit.entries(connection))
    assert compared(iter(kept), [note.checkpoint])[1] != ""
    assert found(control) != "", "the server's own checkpoints tell, too, if they are still there"


def test_proofs_hold_between_any_two_sizes(control: Control) -> None:
    grown(control, SIZE)
    with control.database.reading() as connection:
        digests = [entry.digest for entry in audit.entries(connection)]
        roots, peaks = [merkle.EMPTY], ()
        for size, digest in enumerate(digests):
            peaks, _ = merkle.appended(size, peaks, leaf_of(digest))
            roots.append(merkle.root_of(peaks))
        assert roots[-1] == audit.head(connection).root
        for second in range(1, SIZE + 1):
            for first in range(second + 1):
                proof = audit.consistency(connection, first, second)
                assert merkle.is_consistent(first, roots[first], second, roots[second], proof)
        with pytest.raises(ServerError, match="does not have"):
            audit.consistency(connection, 3, SIZE + 12)


def test_appending_side_by_side_leaves_no_gap(
    control: Control, database_url: str, request: pytest.FixtureRequest
) -> None:
    """Two servers on one database."""
    folder = control.folder
    url = control.database._engine.url.render_as_string(hide_password=False)
    other = prepared(folder, "https://localhost:1", url, Clock())
    threads = [
        threading.Thread(target=grown, args=(one, 1)) for one in (control, other) for _ in range(25)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.database.close()
    assert found(control) == ""
    with control.database.reading() as connection:
        assert audit.head(connection).size == 50


def test_an_entry_reads_back_as_it_was_written(control: Control) -> None:
    details = {"text": 'ü 热补丁 \\ "', "number": 1.1, "list": [1, None, {"a": True}]}
    control.database.write(
        lambda c: audit.append(c, 1764105601.1234567, "me", "did", "thing", details)
    )
    with control.database.reading() as connection:
        (entry,) = audit.entries(connection)
    assert entry.details == details and entry.digest == digest_of(Checked().digest, entry)
    assert asdict(entry)["time"] == 1764105601.1234567
