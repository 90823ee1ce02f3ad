"""The first admin: a link that is good once, for an hour, and only while there is nobody."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import Connection, delete, insert, select

from hotmend.server.errors import ServerError
from hotmend.server.identity import principals
from hotmend.server.identity.roles import Role
from hotmend.server.storage import audit
from hotmend.server.storage.tables import first_admin_links

LIFE_S = 3600.0
PATH = "/first-admin"


def new_link(connection: Connection, base_url: str, now: float) -> str:
    """In the place of every earlier one. "" when there is somebody already."""
    if not principals.nobody_yet(connection):
        return ""
    code = secrets.token_urlsafe(32)
    connection.execute(delete(first_admin_links))
    connection.execute(insert(first_admin_links).values(digest=_digest(code), expires=now + LIFE_S))
    return f"{base_url}{PATH}?code={code}"


def good(connection: Connection, code: str, now: float) -> bool:
    """Whether somebody can become the first admin with it."""
    return _links(connection, code, now) and principals.nobody_yet(connection)


def become(connection: Connection, code: str, name: str, password: str, now: float) -> str:
    """The new admin's id; the link is used up. Raises ServerError, with nothing changed."""
    if not good(connection, code, now):
        raise ServerError("the link is not known, was used, or is too old; restart the server")
    identifier, _ = principals.create(connection, name, Role.ADMIN, "/", now, password)
    connection.execute(delete(first_admin_links))
    audit.append(connection, now, name, "first admin", identifier, {})
    return identifier


def _links(connection: Connection, code: str, now: float) -> bool:
    wanted = select(first_admin_links.c.digest).where(
        first_admin_links.c.digest == _digest(code), first_admin_links.c.expires > now
    )
    return connection.execute(wanted).first() is not None


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
