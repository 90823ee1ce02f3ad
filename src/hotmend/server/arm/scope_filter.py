"""The filter of a dynamic scope, and the machines that it finds now."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from hotmend.fleet import dynamic_scope
from hotmend.fleet.dynamic_scope import Candidate, Filter
from hotmend.fleet.regions import normalised
from hotmend.server.arm import machine_support
from hotmend.server.errors import invalid
from hotmend.server.storage import machines, resources

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


def candidates(connection: Connection, subscription: str) -> list[Candidate]:
    """All machines of a subscription, in three statements."""
    agents = machines.of_resources(connection)
    found = []
    for kind in ("Microsoft.Compute/virtualMachines", machine_support.CONNECTED):
        for resource in resources.listed(connection, subscription, kind):
            agent = agents.get(resource.id.key)
            system = (
                machine_support.os_type(agent.facts)
                if agent is not None
                else machine_support.stated_os(kind, resource.body)
            )
            found.append(
                Candidate(
                    str(resource.id),
                    kind,
                    resource.id.group,
                    str(resource.body["location"]),
                    system,
                    resource.body.get("tags") or {},
                )
            )
    return found


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
