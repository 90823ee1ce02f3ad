"""The audit log: every change of state, each row's digest over itself and the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, text

from hotmend.server.storage.tables import audit

_BEGINNING = "0" * 64


@dataclass(frozen=True)
class Entry:
    """``digest``: SHA-256 over the entry and the digest before, hexadecimal."""

    number: int
    time: float
    who: str
    what: str
    subject: str
    details: dict[str, Any]
    digest: str


def append(
    connection: Connection, now: float, who: str, what: str, subject: str, details: dict[str, Any]
) -> None:
    """Write down that ``who`` did ``what`` to ``subject``."""
    if connection.dialect.name == "postgresql":
        # Two replicas would take the same number: one after the other.
        connection.execute(text("SELECT pg_advisory_xact_lock(7468)"))
    last = connection.execute(
        select(audit.c.number, audit.c.digest).order_by(audit.c.number.desc()).limit(1)
    ).first()
    number, before = (last.number + 1, last.digest) if last is not None else (1, _BEGINNING)
    digest = digest_of(before, number, now, who, what, subject, details)
    connection.execute(
        insert(audit).values(
            number=number,
            time=now,
            who=who,
            what=what,
            subject=subject,
            details=details,
            digest=digest,
        )
    )


def entries(connection: Connection, after: int = 0) -> Iterator[Entry]:
    """In their order."""
    for row in connection.execute(
        select(audit).where(audit.c.number > after).order_by(audit.c.number)
    ):
        yield Entry(**row._mapping)


def first_wrong(connection: Connection) -> int | None:
    """The number of the first entry that is not as it was written, or is missing."""
    before, expected = _BEGINNING, 1
    for e in entries(connection):
        right = digest_of(before, e.number, e.time, e.who, e.what, e.subject, e.details)
        if e.number != expected or e.digest != right:
            return expected
        before, expected = e.digest, expected + 1
    return None


def digest_of(
    before: str,
    number: int,
    time: float,
    who: str,
    what: str,
    subject: str,
    details: dict[str, Any],
) -> str:
    """Over a canonical form: anybody can compute it again."""
    content = json.dumps(
        [before, number, time, who, what, subject, details], sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(content.encode()).hexdigest()
