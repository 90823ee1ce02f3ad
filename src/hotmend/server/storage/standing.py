"""Where a machine stands, and what may be done to it unasked: read from its resource, and kept in
its row so that one statement can ask it of all machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update

from hotmend.fleet import zone as zones
from hotmend.fleet.orchestration import orchestration
from hotmend.fleet.place import place_of
from hotmend.model.agent_messages import RebootSetting
from hotmend.server.resource_id import ResourceId, parsed
from hotmend.server.storage import groups, resources, turns
from hotmend.server.storage.tables import machines

CANARY_TAG = "hotmend-ring"
_CANARY = "canary"
_DOMAINS = 5
_OF_TURNS = ("owner", "region", "zone", "group", "domain", "time_zone")


@dataclass(frozen=True)
class Standing:
    """``group``: its availability set's key, or one made of owner, region and zone; ``reboot``:
    as its owner set it, "" for not at all."""

    owner: str
    region: str
    zone: str
    group: str
    time_zone: str
    automatic: bool
    canary: bool
    reboot: str


def standing(identifier: ResourceId, body: Mapping[str, Any], own_zone: str) -> Standing:
    """From a machine's resource. ``own_zone``: the IANA name that the machine itself says; a time
    zone that its owner wrote comes first."""
    properties = _of(body, "properties")
    written = body.get("zones") or [""]
    place = place_of(
        identifier.subscription,
        str(body.get("location", "")),
        str(written[0]) if isinstance(written, list) else "",
        str(_of(properties, "availabilitySet").get("id") or ""),
        0,
    )
    profile = _of(properties, "osProfile")
    windows, linux = _of(profile, "windowsConfiguration"), _of(profile, "linuxConfiguration")
    settings = _of(windows, "patchSettings") or _of(linux, "patchSettings")
    platform = _of(settings, "automaticByPlatformSettings")
    bypass = platform.get("bypassPlatformSafetyChecksOnUserSchedule") is True
    return Standing(
        owner=identifier.subscription.lower(),
        region=place.region,
        zone=place.zone,
        group=place.group,
        time_zone=_time_zone(windows.get("timeZone"), own_zone),
        automatic=orchestration(str(settings.get("patchMode", "")), bypass, False).automatic,
        canary=str(_of(body, "tags").get(CANARY_TAG, "")).lower() == _CANARY,
        reboot=_reboot(platform.get("rebootSetting")),
    )


def columns(known: Standing) -> dict[str, Any]:
    """Of a machine's row."""
    return asdict(known)


def place(connection: Connection, identifier: ResourceId) -> None:
    """Bring the row of the machine that enrolled as ``identifier``, if one did, up to date with
    its resource."""
    found = select(machines).where(machines.c.resource == identifier.key)
    row = connection.execute(found).first()
    resource = resources.get(connection, identifier)
    if row is None or resource is None:
        return
    known = standing(identifier, resource.body, str(row.facts.get("zone", "")))
    values = columns(known)
    if row.group != known.group:
        groups.add(connection, {known.group: (known.region, known.zone)})
        values["domain"] = _next_domain(connection, known.group)
    connection.execute(update(machines).where(machines.c.id == row.id).values(values))
    now_at = {name: values.get(name, row._mapping[name]) for name in _OF_TURNS}
    turns.follow(connection, row.id, now_at)
    groups.count_machines(connection, {row.group, known.group})


def _next_domain(connection: Connection, group: str) -> int:
    """Update domains are given out in turn, as Azure does; outside a set there are none."""
    if group.startswith("loose:"):
        return 0
    size = connection.execute(
        select(func.count()).select_from(machines).where(machines.c.group == group)
    ).scalar_one()
    found = resources.get(connection, parsed(group))
    count = _DOMAINS
    if found is not None:
        count = int(_of(found.body, "properties").get("platformUpdateDomainCount", _DOMAINS))
    return int(size) % count


def _time_zone(written: object, own: str) -> str:
    for name in (written, own):
        if isinstance(name, str) and name:
            try:
                return zones.zone(name).key
            except ValueError:
                continue
    return "Etc/UTC"


def _reboot(written: object) -> str:
    known = {setting.value.lower(): setting.value for setting in RebootSetting}
    return known.get(str(written).lower(), "")


def _of(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, Mapping) else {}
