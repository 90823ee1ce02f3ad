"""A place: where a machine stands, for availability. Pure.

Two machines of one group carry the same work, so only few of them may be away at once. Azure's
groups are availability sets with their update domains; what is in no set is batched best effort,
by subscription, region and zone (automatic-vm-guest-patching.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from hotmend.fleet.regions import normalised


@dataclass(frozen=True, order=True)
class Place:
    """``region``: normalised name. ``zone``: "1" to "3", "" for none. ``group``: of whose machines
    only few may be away at once, all in one region and zone. ``domain``: the update domain in a
    set, 0 outside any."""

    region: str
    zone: str
    group: str
    domain: int


def place_of(
    subscription: str, location: str, zone: str, availability_set: str, domain: int
) -> Place:
    """``availability_set``: its resource id, which Azure compares without case; "" outside any.
    Azure has machines in a set or in a zone, and not in both."""
    region = normalised(location)
    if availability_set:
        return Place(region, "", availability_set.lower(), domain)
    return Place(region, zone, f"loose:{subscription.lower()}/{region}/{zone}", 0)
