"""What needs two persons: one asks, another one approves. Nobody approves what they asked for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from hotmend.server.errors import ServerError
from hotmend.server.storage import audit
from hotmend.server.storage.tables import approvals

LIFE_S = 24 * 3600.0


@dataclass(frozen=True)
class Approval:
    """``what``: the operation; ``subject``: of what; ``approved_by``: None until somebody has."""

    id: str
    what: str
    subject: str
    asked_by: str
    asked: float
    approved_by: str | None


def ask(connection: Connection, what: str, subject: str, by: str, now: float) -> Approval:
    """``by`` (a principal's id) wants ``what`` done; it waits for another's word for a day."""
    made = Approval(str(uuid.uuid4()), what, subject, by, now, None)
    connection.execute(insert(approvals).values(**vars(made)))
    audit.append(connection, now, by, f"ask for {what}", subject, {"approval": made.id})
    return made


def approve(connection: Connection, identifier: str, by: str, now: float) -> Approval:
    """Raises ServerError for one that asked itself, and for what is not waiting."""
    waiting = get(connection, identifier)
    if waiting is None or waiting.approved_by is not None or now >= waiting.asked + LIFE_S:
        raise ServerError("nothing is waiting under this id: not known, approved, or too old")
    if waiting.asked_by == by:
        raise ServerError("who asked for it cannot approve it: a second person is needed")
    done = connection.execute(
        update(approvals)
        .where(approvals.c.id == identifier, approvals.c.approved_by.is_(None))
        .values(approved_by=by)
    )
    if not done.rowcount:
        raise ServerError("somebody else has just approved it")
    audit.append(
        connection, now, by, f"approve {waiting.what}", waiting.subject, {"approval": identifier}
    )
    return Approval(**{**vars(waiting), "approved_by": by})


def approved(connection: Connection, what: str, subject: str, now: float) -> bool:
    """Whether two have agreed to do ``what`` to ``subject`` within the last day."""
    wanted = select(approvals.c.id).where(
        approvals.c.what == what,
        approvals.c.subject == subject,
        approvals.c.approved_by.is_not(None),
        approvals.c.approved_by != approvals.c.asked_by,
        approvals.c.asked > now - LIFE_S,
    )
    return connection.execute(wanted).first() is not None


def waiting(connection: Connection, what: str, subject: str, now: float) -> Approval | None:
    """The one that waits for a second person to do ``what`` to ``subject``."""
    wanted = select(approvals).where(
        approvals.c.what == what,
        approvals.c.subject == subject,
        approvals.c.approved_by.is_(None),
        approvals.c.asked > now - LIFE_S,
    )
    row = connection.execute(wanted.order_by(approvals.c.asked)).first()
    return Approval(**row._mapping) if row is not None else None


def get(connection: Connection, identifier: str) -> Approval | None:
    """By id."""
    row = connection.execute(select(approvals).where(approvals.c.id == identifier)).first()
    return Approval(**row._mapping) if row is not None else None
