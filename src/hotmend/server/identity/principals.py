"""Who may knock: service principals and people, their secrets, and what they were given."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, insert, select

from hotmend.server.errors import ServerError
from hotmend.server.identity.roles import Assignment, Role
from hotmend.server.storage.tables import assignments, principals

_LEAST_PASSWORD = 12
_hasher = PasswordHasher()
# Somebody who asks for an unknown name waits as long as for a wrong secret.
_NOBODY = _hasher.hash(secrets.token_urlsafe())


@dataclass(frozen=True)
class Principal:
    """``name``: a person's user name; of a service principal, what it is for."""

    id: str
    name: str
    person: bool
    assignments: tuple[Assignment, ...]


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
    if password and len(password) < _LEAST_PASSWORD:
        raise ServerError(f"a password has at least {_LEAST_PASSWORD} characters")
    taken = select(principals.c.id).where(principals.c.name == name)
    if connection.execute(taken).first() is not None:
        raise ServerError(f"there is a principal {name} already")
    identifier, secret = str(uuid.uuid4()), password or secrets.token_urlsafe(32)
    connection.execute(
        insert(principals).values(
            id=identifier,
            name=name,
            person=bool(password),
            secret=_hasher.hash(secret),
            created=now,
        )
    )
    give(connection, identifier, role, scope)
    return identifier, secret


def give(connection: Connection, principal: str, role: Role, scope: str) -> None:
    """A role more."""
    connection.execute(
        insert(assignments).values(principal=principal, scope=scope.lower(), role=role.value)
    )


def authenticated(connection: Connection, name: str, secret: str) -> Principal | None:
    """Whose ``secret`` it is: a service principal's, by its id, or a person's, by the name."""
    table = principals.c
    found = connection.execute(
        select(table.id, table.secret).where(
            (table.id == name) & ~table.person | (table.name == name) & table.person
        )
    ).first()
    try:
        _hasher.verify(found.secret if found is not None else _NOBODY, secret)
    except (VerificationError, InvalidHashError):
        return None
    return known(connection, found.id) if found is not None else None


def known(connection: Connection, identifier: str) -> Principal | None:
    """By id, with what it may do now; None for one that was taken away."""
    row = connection.execute(
        select(principals.c.name, principals.c.person).where(principals.c.id == identifier)
    ).first()
    if row is None:
        return None
    given = connection.execute(
        select(assignments.c.scope, assignments.c.role).where(assignments.c.principal == identifier)
    )
    return Principal(
        identifier, row.name, row.person, tuple(Assignment(a.scope, Role(a.role)) for a in given)
    )


def nobody_yet(connection: Connection) -> bool:
    """There is no principal: the first admin has not come."""
    return connection.execute(select(principals.c.id)).first() is None
