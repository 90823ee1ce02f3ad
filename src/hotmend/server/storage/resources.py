"""Resources by id: what clients put there, and get back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from hotmend.server.resource_id import ResourceId
from hotmend.server.storage.tables import listing, maintenance_assignments, resources

Body = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """``body``: without id, name and type, which the row knows."""

    id: ResourceId
    body: Body
    created: float
    changed: float

    def as_json(self) -> Body:
        """As ARM shows it."""
        own = {"id": str(self.id), "name": self.id.name, "type": self.id.type}
        return {**own, **self.body}


def get(connection: Connection, identifier: ResourceId) -> Resource | None:
    """The one with that id."""
    row = connection.execute(select(resources).where(resources.c.key == identifier.key)).first()
    return _resource(row) if row is not None else None


def put(connection: Connection, identifier: ResourceId, body: Body, now: float) -> Resource:
    """Make it, or replace its body; its id stays as it was first written."""
    before = get(connection, identifier)
    if before is None:
        connection.execute(
            insert(resources).values(
                key=identifier.key,
                id=str(identifier),
                type=identifier.type.lower(),
                subscription=identifier.subscription.lower(),
                group=identifier.group.lower(),
                body=body,
                created=now,
                changed=now,
            )
        )
        return Resource(identifier, body, now, now)
    connection.execute(
        update(resources).where(resources.c.key == identifier.key).values(body=body, changed=now)
    )
    return Resource(before.id, body, before.created, now)


def remove(connection: Connection, identifier: ResourceId) -> bool:
    """Whether it was there. What was assigned to it, or by it, goes with it."""
    key = identifier.key
    assigned = maintenance_assignments.c
    connection.execute(
        delete(maintenance_assignments).where(
            (assigned.target == key) | (assigned.configuration == key)
            if identifier.type
            else assigned.key.startswith(f"{key}/", autoescape=True)
        )
    )
    connection.execute(delete(listing).where(listing.c.key == key))
    gone = connection.execute(delete(resources).where(resources.c.key == key))
    return bool(gone.rowcount)


def listed(
    connection: Connection,
    subscription: str,
    kind: str | None = None,
    group: str = "",
    after: str = "",
    most: int | None = None,
) -> Iterator[Resource]:
    """Of a subscription, in the order of their keys: at most ``most`` of those behind the key
    ``after``. ``kind``: of that type, "" for the groups themselves, None for everything in
    groups."""
    wanted = select(resources).where(resources.c.subscription == subscription.lower())
    wanted = wanted.where(
        resources.c.type != "" if kind is None else resources.c.type == kind.lower()
    )
    if group:
        wanted = wanted.where(resources.c.group == group.lower())
    if after:
        wanted = wanted.where(resources.c.key > after)
    for row in connection.execute(wanted.order_by(resources.c.key).limit(most)):
        yield _resource(row)


def of_type(connection: Connection, kind: str) -> list[Resource]:
    """Of all subscriptions, in the order of their keys."""
    wanted = select(resources).where(resources.c.type == kind.lower()).order_by(resources.c.key)
    return [_resource(row) for row in connection.execute(wanted)]


def of_keys(connection: Connection, keys: Sequence[str]) -> dict[str, Resource]:
    """By their keys; those that are there."""
    found = map(_resource, connection.execute(select(resources).where(resources.c.key.in_(keys))))
    return {resource.id.key: resource for resource in found}


def _resource(row: Any) -> Resource:
    words = row.id.strip("/").split("/")
    kind = f"{words[5]}/{words[6]}" if row.type else ""
    return Resource(
        ResourceId(words[1], words[3], kind, words[-1]), row.body, row.created, row.changed
    )
