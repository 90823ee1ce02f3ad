"""The filter of a dynamic scope, and the machines that it finds now."""

from __future__ import annotations

from itertools import islice
from typing import Any

from sqlalchemy import Connection

from hotmend.fleet import dynamic_scope
from hotmend.fleet.dynamic_scope import Candidate, Filter
from hotmend.fleet.regions import normalised
from hotmend.model.agent_messages import Facts
from hotmend.server import resource_id
from hotmend.server.arm import machine_support
from hotmend.server.errors import invalid
from hotmend.server.storage import scopes
from hotmend.server.storage.scopes import Placed

_MOST_TEXTS = 100

Body = dict[str, Any]


def parsed(body: Any, group: str) -> Filter:
    """``group``: the scope, "" for the subscription. Raises ArmError."""
    if body is None:
        return Filter(group)
    if not isinstance(body, dict):
        raise invalid("'filter' is an object.", "filter")
    types, systems = _texts(body, "resourceTypes"), _texts(body, "osTypes")
    _check_words(types, dynamic_scope.RESOURCE_TYPES, "resourceTypes")
    _check_words(systems, dynamic_scope.OS_TYPES, "osTypes")
    groups = _texts(body, "resourceGroups")
    if len(groups) > dynamic_scope.MOST_GROUPS:
        raise invalid(
            f"A filter has at most {dynamic_scope.MOST_GROUPS} resource groups.", "resourceGroups"
        )
    settings = body.get("tagSettings") or {}
    if not isinstance(settings, dict):
        raise invalid("'tagSettings' is an object.", "tagSettings")
    operator = settings.get("filterOperator", "All")
    if operator not in ("All", "Any"):
        raise invalid("'filterOperator' is All or Any.", "filterOperator")
    locations = tuple(normalised(one) for one in _texts(body, "locations"))
    return Filter(group, types, groups, locations, systems, _tags(settings), operator == "Any")


def found(connection: Connection, subscription: str, wanted: Filter) -> list[Candidate]:
    """The machines of a subscription that ``wanted`` finds now, the first thousand of them."""
    near = map(_candidate, scopes.near(connection, subscription, wanted))
    like = (one for one in near if dynamic_scope.matches(one, wanted))
    return list(islice(like, dynamic_scope.MOST_MACHINES))


def _candidate(placed: Placed) -> Candidate:
    where = resource_id.parsed(placed.id)
    if placed.facts is not None:
        system = machine_support.os_type(Facts(**placed.facts))
    else:
        system = machine_support.stated_os(where.type, placed.body)
    body = placed.body
    tags = body.get("tags") or {}
    return Candidate(str(where), where.type, where.group, str(body["location"]), system, tags)


def _tags(settings: Body) -> tuple[tuple[str, tuple[str, ...]], ...]:
    tags = settings.get("tags") or {}
    if not isinstance(tags, dict) or len(tags) > dynamic_scope.MOST_TAGS:
        raise invalid(
            f"'tags' is an object of at most {dynamic_scope.MOST_TAGS} names with lists of values.",
            "tags",
        )
    return tuple((name, _texts(tags, name)) for name in tags)


def _texts(holder: Body, name: str) -> tuple[str, ...]:
    value = holder.get(name)
    if value is None:
        return ()
    if (
        not isinstance(value, list)
        or len(value) > _MOST_TEXTS
        or not all(isinstance(one, str) for one in value)
    ):
        raise invalid(f"'{name[:80]}' is a list of at most {_MOST_TEXTS} texts.", name[:80])
    return tuple(value)


def _check_words(found: tuple[str, ...], words: tuple[str, ...], name: str) -> None:
    for one in found:
        if one.lower() not in words:
            raise invalid(f"'{one[:80]}' is not one of {', '.join(words)}.", name)
