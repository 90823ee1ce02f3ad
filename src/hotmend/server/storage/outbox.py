"""The outbox: news that is on its way to its receivers, and how far the audit log has been read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from hotmend.server.storage.tables import outbox, reader

KEPT_S = 30 * 86400.0


@dataclass(frozen=True)
class Reader:
    """``number``, ``digest``: of the last entry that was read; ``since``: when the last digest was
    made; ``tally``: how often each thing was done since."""

    number: int
    digest: str
    since: float
    tally: Mapping[str, int]
    alarmed: bool


@dataclass(frozen=True)
class Letter:
    """``event``: as JSON. ``attempts``: begun, this one with it."""

    id: str
    channel: str
    event: Mapping[str, Any]
    created: float
    attempts: int


def take_reader(connection: Connection) -> Reader | None:
    """None while another replica reads."""
    row = connection.execute(select(reader).with_for_update(skip_locked=True)).first()
    if row is None:
        return None
    return Reader(row.number, row.digest, row.since, row.tally, row.alarmed)


def put_reader(connection: Connection, now: Reader) -> None:
    """As far as it has come."""
    connection.execute(update(reader).values(**{**vars(now), "tally": dict(now.tally)}))


def put(
    connection: Connection,
    identifier: str,
    event: Mapping[str, Any],
    channels: Iterable[str],
    now: float,
) -> None:
    """For each channel; what is there already stays as it is."""
    for channel in channels:
        known = (outbox.c.id == identifier) & (outbox.c.channel == channel)
        if connection.execute(select(outbox.c.id).where(known)).first() is None:
            row = {"id": identifier, "channel": channel, "event": dict(event), "created": now}
            connection.execute(insert(outbox).values(**row, attempts=0, due=now, problem=""))


def claim(connection: Connection, now: float, most: int, lease_s: float) -> list[Letter]:
    """What is due, the oldest first. Who dies with it before it ``ended`` or failed leaves it to
    whoever comes after ``lease_s``."""
    wanted = select(outbox).where(outbox.c.due <= now).order_by(outbox.c.due).limit(most)
    found = []
    for row in connection.execute(wanted.with_for_update(skip_locked=True)).all():
        own = (outbox.c.id == row.id) & (outbox.c.channel == row.channel)
        connection.execute(
            update(outbox).where(own).values(attempts=row.attempts + 1, due=now + lease_s)
        )
        found.append(Letter(row.id, row.channel, row.event, row.created, row.attempts + 1))
    return found


def ended(
    connection: Connection,
    letter: Letter,
    now: float,
    problem: str = "",
    again: float | None = None,
) -> None:
    """It arrived; or there was a ``problem``, and it is tried ``again`` at that time, None for
    never."""
    own = (outbox.c.id == letter.id) & (outbox.c.channel == letter.channel)
    sent = None if problem else now
    connection.execute(update(outbox).where(own).values(due=again, sent=sent, problem=problem))


def problems(connection: Connection) -> list[Mapping[str, Any]]:
    """What has not arrived, and why; the oldest first."""
    wanted = select(outbox).where(outbox.c.problem != "").order_by(outbox.c.created)
    return [dict(row._mapping) for row in connection.execute(wanted.limit(100))]


def forget_old(connection: Connection, now: float) -> int:
    """Drop what is not on its way any more and is old; how many."""
    old = outbox.c.due.is_(None) & (outbox.c.created < now - KEPT_S)
    return connection.execute(delete(outbox).where(old)).rowcount
