"""What a dynamic scope may find, narrowed in SQL as far as that can say it.

All that a filter selects is among what is found, and others may be: what texts are without
their case, and the system of a machine without an agent, is decided by who asks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Text, and_, cast, false, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from hotmend.fleet.dynamic_scope import RESOURCE_TYPES, Filter
from hotmend.server.storage.tables import machines, resources

_AT_ONCE = 1000


@dataclass(frozen=True)
class Placed:
    """A machine and its resource. ``facts``: what its agent says; None without one."""

    id: str
    body: dict[str, Any]
    facts: dict[str, Any] | None


def near(connection: Connection, subscription: str, wanted: Filter) -> Iterator[Placed]:
    """In the order of their keys; beside those that are taken at most a page is read."""
    joined = resources.outerjoin(machines, machines.c.resource == resources.c.key)
    columns = (resources.c.key, resources.c.id, resources.c.body, machines.c.facts)
    every = select(*columns).select_from(joined).where(_may(subscription, wanted))
    after = ""
    while True:
        some = every.where(resources.c.key > after).order_by(resources.c.key).limit(_AT_ONCE)
        rows = connection.execute(some).all()
        yield from (Placed(row.id, row.body, row.facts) for row in rows)
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1].key


def _may(subscription: str, wanted: Filter) -> ColumnElement[bool]:
    types = [one.lower() for one in wanted.types or RESOURCE_TYPES]
    found = [
        resources.c.subscription == subscription.lower(),
        resources.c.type.in_(types),
    ]
    if wanted.group:
        found.append(_in_groups(subscription, (wanted.group,)))
    if wanted.groups:
        found.append(_in_groups(subscription, wanted.groups))
    if wanted.locations:
        location = func.lower(resources.c.body["location"].as_string())
        found.append(location.in_([one.lower() for one in wanted.locations]))
    systems = {one.lower() for one in wanted.os_types}
    if len(systems) == 1:
        windows = func.lower(machines.c.facts["os_name"].as_string()).startswith("windows")
        said = windows if "windows" in systems else ~windows
        found.append(or_(machines.c.id.is_(None), said))
    if wanted.tags:
        either = or_ if wanted.any_tag else and_
        found.append(either(*(_has_value(values) for _, values in wanted.tags)))
    return and_(*found)


def _in_groups(subscription: str, groups: tuple[str, ...]) -> ColumnElement[bool]:
    """By the key, which is in the index."""
    place = f"/subscriptions/{subscription}/resourcegroups"
    keys = (f"{place}/{group}/".lower() for group in groups)
    return or_(*(resources.c.key.startswith(key, autoescape=True) for key in keys))


def _has_value(values: tuple[str, ...]) -> ColumnElement[bool]:
    """Somewhere in the body, as it was written there: names of tags have no case."""
    body = cast(resources.c.body, Text)
    return or_(false(), *(body.contains(json.dumps(value), autoescape=True) for value in values))
