"""A dynamic scope: which machines a maintenance configuration is for, found when it runs. Pure.

Source: Update Manager's dynamic-scope-overview.md and ConfigurationAssignmentFilterProperties. An
empty list of a filter is no filter; texts are compared without case, but tags' values as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

RESOURCE_TYPES = ("microsoft.compute/virtualmachines", "microsoft.hybridcompute/machines")
OS_TYPES = ("windows", "linux")
MOST_TAGS = 50
MOST_GROUPS = 50
MOST_MACHINES = 1000


@dataclass(frozen=True)
class Candidate:
    """A machine of the scope's subscription. ``tags``: by name; ``os_type``: "" when not known."""

    id: str
    type: str
    group: str
    location: str
    os_type: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Filter:
    """``group``: the scope itself, "" for the subscription. ``tags``: names to accepted values;
    ``any_tag``: one of them is enough."""

    group: str = ""
    types: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    os_types: tuple[str, ...] = ()
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    any_tag: bool = False


def selected(candidates: Iterable[Candidate], wanted: Filter) -> list[Candidate]:
    """In the order of their ids; of more than a thousand the first thousand, as Azure does."""
    found = [one for one in candidates if matches(one, wanted)]
    return sorted(found, key=lambda one: one.id.lower())[:MOST_MACHINES]


def matches(machine: Candidate, wanted: Filter) -> bool:
    """Whether the filter finds it."""
    return (
        (not wanted.group or machine.group.lower() == wanted.group.lower())
        and _among(machine.type, wanted.types or RESOURCE_TYPES)
        and (not wanted.groups or _among(machine.group, wanted.groups))
        and (not wanted.locations or _among(machine.location, wanted.locations))
        and (not wanted.os_types or _among(machine.os_type, wanted.os_types))
        and _tagged(machine.tags, wanted)
    )


def _among(word: str, words: tuple[str, ...]) -> bool:
    return word.lower() in (one.lower() for one in words)


def _tagged(tags: Mapping[str, str], wanted: Filter) -> bool:
    if not wanted.tags:
        return True
    own = {name.lower(): value for name, value in tags.items()}
    hits = [own.get(name.lower()) in values for name, values in wanted.tags]
    return any(hits) if wanted.any_tag else all(hits)
