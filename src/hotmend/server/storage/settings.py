"""Settings of the whole control plane: JSON documents by name."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, select

from hotmend.server.storage.tables import settings


def get(connection: Connection, name: str) -> Mapping[str, object]:
    """What was written; {} where nothing was."""
    found = connection.execute(select(settings.c.body).where(settings.c.name == name))
    document = found.scalar_one_or_none()
    return document if document is not None else {}


def put(connection: Connection, name: str, document: Mapping[str, object]) -> None:
    """In the place of what was there."""
    connection.execute(delete(settings).where(settings.c.name == name))
    connection.execute(insert(settings).values(name=name, body=dict(document)))
