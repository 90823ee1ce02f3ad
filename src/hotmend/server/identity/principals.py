"""Who may knock: service principals and people, their secrets, and what they were given."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, insert, select, update

from hotmend.server.errors import ServerError
from hotmend.server.identity import passwords, sessions
from hotmend.server.identity.roles import Assignment, Role
from hotmend.server.storage.tables import assignments, principals

EVERYWHERE = "/"
_LONGEST_NAME = 200
_LONGEST_SCOPE = 1024
_hasher = PasswordHasher()
# Somebody who asks for an unknown name waits as long as for a wrong secret.
_NOBODY = _hasher.hash(secrets.token_urlsafe())


@dataclass(frozen=True)
class Principal:
    """``name``: a person's user name; of a service principal, what it is for. ``elsewhere``: who a
    person is to an OpenID provider, "" for one with a password; ``generation`` grows when tokens
    that were handed out before are good no more."""

    id: str
    name: str
    person: bool
    assignments: tuple[Assignment, ...]
    elsewhere: str = ""
    generation: int = 0
    created: float = 0.0


def create(
    connection: Connection,
    name: str,
    role: Role,
    scope: str,
    now: float,
    password: str = "",
) -> tuple[str, str]:
    """(id, secret) of a new principal: a person when a ``password`` is given, who has no other
    secret. Raises ServerError."""
    if password:
        passwords.check(password, name)
    secret = password or _secret()
    identifier = _add(connection, name, now, person=bool(password), secret=secret)
    give(connection, identifier, role, scope)
    return identifier, secret


def from_elsewhere(connection: Connection, elsewhere: str, name: str, now: float) -> str:
    """The id of a person whom an OpenID provider vouches for; new ones may do nothing yet."""
    wanted = select(principals.c.id).where(principals.c.elsewhere == elsewhere)
    known_id = connection.execute(wanted).scalar()
    if known_id is not None:
        return str(known_id)
    name = "".join(letter for letter in name if letter.isprintable()).strip() or "somebody"
    if _taken(connection, name):  # nobody gets another's name by calling themselves so elsewhere
        name = f"{name[: _LONGEST_NAME - 8]} {secrets.token_hex(3)}"
    return _add(connection, name, now, person=True, elsewhere=elsewhere)


def rotate(connection: Connection, identifier: str) -> str:
    """A new secret for a service principal; the old one, and every token, is good no more. Raises
    ServerError."""
    if _there(connection, identifier).person:
        raise ServerError("a person has a password, or logs in elsewhere")
    secret = _secret()
    _change_secret(connection, identifier, secret)
    return secret


def set_password(connection: Connection, identifier: str, password: str) -> None:
    """A person's new one; they are logged out everywhere. Raises ServerError."""
    person = _there(connection, identifier)
    if not person.person or person.elsewhere:
        raise ServerError("who has no password here cannot change it here")
    passwords.check(password, person.name)
    _change_secret(connection, identifier, password)


def remove(connection: Connection, identifier: str) -> None:
    """It knocks in vain from now on. Raises ServerError; also for the last admin."""
    _there(connection, identifier)
    _keep_an_admin(connection, but=identifier)
    sessions.end_all(connection, identifier)
    connection.execute(delete(assignments).where(assignments.c.principal == identifier))
    connection.execute(delete(principals).where(principals.c.id == identifier))


def give(connection: Connection, identifier: str, role: Role, scope: str) -> None:
    """A role in ``scope`` more; one that is there stays. Raises ServerError."""
    _there(connection, identifier)
    place = _checked_scope(scope)
    if not connection.execute(select(assignments).where(_same(identifier, role, place))).first():
        connection.execute(
            insert(assignments).values(principal=identifier, scope=place, role=role.value)
        )


def take(connection: Connection, identifier: str, role: Role, scope: str) -> None:
    """A role less. Raises ServerError; also for the last admin's."""
    _there(connection, identifier)
    place = _checked_scope(scope)
    if role is Role.ADMIN and place == EVERYWHERE:
        _keep_an_admin(connection, but=identifier)
    done = connection.execute(delete(assignments).where(_same(identifier, role, place)))
    if not done.rowcount:
        raise ServerError(f"{identifier} is not {role.value} of {place}")


def authenticated(connection: Connection, name: str, secret: str) -> Principal | None:
    """Whose ``secret`` it is: a service principal's, by its id, or a person's, by the name."""
    table = principals.c
    if not name.isprintable():  # PostgreSQL takes no NUL
        return None
    found = connection.execute(
        select(table.id, table.secret).where(
            (table.id == name) & ~table.person | (table.name == name) & table.person
        )
    ).first()
    try:
        _hasher.verify((found.secret if found is not None else "") or _NOBODY, secret)
    except (VerificationError, InvalidHashError):
        return None
    return known(connection, found.id) if found is not None else None


def known(connection: Connection, identifier: str) -> Principal | None:
    """By id, with what it may do now; None for one that was taken away."""
    return next(iter(_listed(connection, principals.c.id == identifier)), None)


def everybody(connection: Connection) -> list[Principal]:
    """By name."""
    return _listed(connection, principals.c.id.is_not(None))


def nobody_yet(connection: Connection) -> bool:
    """There is no principal: the first admin has not come."""
    return connection.execute(select(principals.c.id)).first() is None


def _listed(connection: Connection, wanted: Any) -> list[Principal]:
    rows = connection.execute(select(principals).where(wanted).order_by(principals.c.name)).all()
    given: dict[str, list[Assignment]] = {row.id: [] for row in rows}
    theirs = select(assignments)
    if len(rows) == 1:
        theirs = theirs.where(assignments.c.principal == rows[0].id)
    for a in connection.execute(theirs):
        if a.principal in given:
            given[a.principal].append(Assignment(a.scope, Role(a.role)))
    return [
        Principal(
            row.id,
            row.name,
            row.person,
            tuple(given[row.id]),
            row.elsewhere or "",
            row.generation,
            row.created,
        )
        for row in rows
    ]


def _add(
    connection: Connection,
    name: str,
    now: float,
    *,
    person: bool,
    secret: str = "",
    elsewhere: str | None = None,
) -> str:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ServerError(f"a name has 1 to {_LONGEST_NAME} letters that can be printed")
    if _taken(connection, name):
        raise ServerError(f"there is a principal {name} already")
    identifier = str(uuid.uuid4())
    connection.execute(
        insert(principals).values(
            id=identifier,
            name=name,
            person=person,
            secret=_hasher.hash(secret) if secret else "",
            elsewhere=elsewhere,
            generation=0,
            created=now,
        )
    )
    return identifier


def _change_secret(connection: Connection, identifier: str, secret: str) -> None:
    sessions.end_all(connection, identifier)
    connection.execute(
        update(principals)
        .where(principals.c.id == identifier)
        .values(secret=_hasher.hash(secret), generation=principals.c.generation + 1)
    )


def _there(connection: Connection, identifier: str) -> Principal:
    found = known(connection, identifier)
    if found is None:
        raise ServerError(f"there is no principal {identifier}")
    return found


def _keep_an_admin(connection: Connection, *, but: str) -> None:
    others = _admin_everywhere() & (assignments.c.principal != but)
    mine = _admin_everywhere() & (assignments.c.principal == but)
    if (
        connection.execute(select(assignments).where(mine)).first()
        and not connection.execute(select(assignments).where(others)).first()
    ):
        raise ServerError("nobody would be left who is admin of everything")


def _admin_everywhere() -> Any:
    return (assignments.c.role == Role.ADMIN.value) & (assignments.c.scope == EVERYWHERE)


def _same(identifier: str, role: Role, scope: str) -> Any:
    table = assignments.c
    return (table.principal == identifier) & (table.role == role.value) & (table.scope == scope)


def _taken(connection: Connection, name: str) -> bool:
    wanted = select(principals.c.id).where(principals.c.name == name)
    return connection.execute(wanted).first() is not None


def _checked_scope(scope: str) -> str:
    place = scope.lower().rstrip("/") or EVERYWHERE
    if place != EVERYWHERE and not place.startswith("/subscriptions/"):
        raise ServerError(f"{scope} is no scope: / for everything, or /subscriptions/…")
    if len(place) > _LONGEST_SCOPE or not place.isprintable():
        raise ServerError(f"a scope has at most {_LONGEST_SCOPE} letters that can be printed")
    return place


def _secret() -> str:
    """Hexadecimal: what began with a dash would be an option to a command line."""
    return secrets.token_hex(32)
