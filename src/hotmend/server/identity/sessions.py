"""Sessions of people in a browser. The cookie's value is a secret of which only the digest is kept.

A request that changes something says the session's second secret, too (CSRF): a foreign page can
have the browser send the cookie, and cannot read this.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update
from starlette.responses import Response

from hotmend.server.storage.tables import sessions

# "__Host-": browsers take it only over TLS, from this very host, and for all paths.
COOKIE = "__Host-hotmend"
IDLE_S = 8 * 3600.0
LONGEST_S = 24 * 3600.0
_NOTE_EVERY_S = 60.0


@dataclass(frozen=True)
class Session:
    """``principal``: whose; ``csrf``: what forms and scripts send back."""

    principal: str
    csrf: str

    def meant(self, given: str) -> bool:
        """Whether a request that says ``given`` comes from our own pages."""
        return hmac.compare_digest(self.csrf.encode(), given.encode())


def begin(connection: Connection, principal: str, now: float) -> str:
    """The cookie's value."""
    value = secrets.token_urlsafe(32)
    connection.execute(
        insert(sessions).values(
            digest=_digest(value),
            principal=principal,
            csrf=secrets.token_urlsafe(32),
            began=now,
            used=now,
        )
    )
    return value


def found(connection: Connection, value: str, now: float) -> Session | None:
    """The session behind a cookie; None for none, or one that has ended."""
    row = connection.execute(
        select(sessions).where(
            sessions.c.digest == _digest(value),
            sessions.c.began > now - LONGEST_S,
            sessions.c.used > now - IDLE_S,
        )
    ).first()
    return Session(row.principal, row.csrf) if row is not None else None


def note_use(connection: Connection, value: str, now: float) -> None:
    """It was used; written down once a minute."""
    connection.execute(
        update(sessions)
        .where(sessions.c.digest == _digest(value), sessions.c.used < now - _NOTE_EVERY_S)
        .values(used=now)
    )


def end(connection: Connection, value: str) -> None:
    """Log out."""
    connection.execute(delete(sessions).where(sessions.c.digest == _digest(value)))


def end_all(connection: Connection, principal: str) -> None:
    """Of one person, wherever."""
    connection.execute(delete(sessions).where(sessions.c.principal == principal))


def forget_old(connection: Connection, now: float) -> int:
    """Drop those that have ended; how many."""
    old = (sessions.c.began <= now - LONGEST_S) | (sessions.c.used <= now - IDLE_S)
    return connection.execute(delete(sessions).where(old)).rowcount


def give(response: Response, value: str) -> None:
    """The cookie to a browser. *Lax*: who follows a link to here is still logged in."""
    response.set_cookie(
        COOKIE, value, max_age=int(LONGEST_S), path="/", secure=True, httponly=True, samesite="lax"
    )


def take(response: Response) -> None:
    """The cookie back."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
