"""A connected machine as Azure's clients see it: what its owner wrote, over it what its agent says,
and the hotpatch status that follows. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hotmend.fleet import hotpatch_status, support
from hotmend.fleet.hotpatch_status import Feature, HotpatchStatus, Observed
from hotmend.server.arm import machine_support
from hotmend.server.arm.instance_view import SILENT_AFTER_S
from hotmend.server.arm.long_running import timestamp
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.resources import Resource
from hotmend.server.storage.runs import Kept

HOTPATCH = "Hotpatch"
Body = dict[str, Any]


def shown(resource: Resource, machine: Machine | None, assessed: Kept | None, now: float) -> Body:
    """``machine``: None for one without an agent; ``assessed``: the last one that has ended."""
    whole = resource.as_json()
    properties = dict(whole["properties"])
    if "licenseProfile" in properties:
        properties["licenseProfile"] = profile_shown(properties["licenseProfile"], machine)
    if machine is not None:
        properties |= _said(machine, now)
    else:
        properties |= {"status": "Disconnected", "statusReason": "NoAgent"}
    observed = observed_of(resource, machine, assessed)
    connected = machine_support.connected(
        resource.body, machine.facts if machine is not None else None
    )
    enablement = hotpatch_status.enablement(connected, support.shipped(), observed)
    properties["osProfile"] = _with_status(resource.body, connected.os_type, enablement.value)
    return {**whole, "properties": properties}


def label(resource: Resource, machine: Machine | None, assessed: Kept | None) -> HotpatchStatus:
    """As a portal says it."""
    facts = machine.facts if machine is not None else None
    return hotpatch_status.of_connected(
        machine_support.connected(resource.body, facts),
        support.shipped(),
        observed_of(resource, machine, assessed),
    )


def observed_of(resource: Resource, machine: Machine | None, assessed: Kept | None) -> Observed:
    """What is known of it."""
    feature = feature_of(resource, machine)
    enrolled = _seconds((feature or {}).get("enrollmentDate"))
    found = assessed.run.assessment if assessed is not None and assessed.run is not None else None
    since = assessed is not None and (assessed.finished or 0.0) >= enrolled
    return Observed(
        wanted=wanted(resource.body),
        feature=Feature(feature["subscriptionStatus"]) if feature is not None else Feature.NONE,
        assessed=found is not None and since,
        restart_due=found is not None and found.reboot_pending,
    )


def wanted(body: Body) -> bool | None:
    """``enableHotpatching``, wherever it was written."""
    for settings in _settings(body).values():
        value = settings.get("enableHotpatching")
        if isinstance(value, bool):
            return value
    return None


def modes(body: Body) -> set[Any]:
    """Its patch modes, for whichever system they were written."""
    return {settings.get("patchMode") for settings in _settings(body).values()}


def feature_of(resource: Resource, machine: Machine | None) -> Body | None:
    """The Hotpatch feature of its licence as it stands."""
    profile = resource.body["properties"].get("licenseProfile") or {}
    known = features_of(profile_shown(profile, machine))
    return next((one for one in known if one["name"] == HOTPATCH), None)


def features_of(profile: Body) -> list[Body]:
    """Those of its product."""
    return list((profile.get("productProfile") or {}).get("productFeatures") or ())


def profile_shown(profile: Body, machine: Machine | None) -> Body:
    """A change of a feature has come about when the machine has been heard from since."""
    product = profile.get("productProfile")
    if not product:
        return profile
    seen = machine.seen if machine is not None else 0.0
    features = [_feature_shown(one, seen) for one in product.get("productFeatures") or ()]
    return {**profile, "productProfile": {**product, "productFeatures": features}}


def _feature_shown(feature: Body, seen: float) -> Body:
    status = feature["subscriptionStatus"]
    if status == "Enabling" and seen > _seconds(feature.get("enrollmentDate")):
        return {**feature, "subscriptionStatus": "Enabled"}
    if status == "Disabling" and seen > _seconds(feature.get("disenrollmentDate")):
        return {**feature, "subscriptionStatus": "Disabled"}
    return feature


def _said(machine: Machine, now: float) -> Body:
    facts = machine.facts
    connected = now - machine.seen <= SILENT_AFTER_S
    return {
        "status": "Connected" if connected else "Disconnected",
        "lastStatusChange": timestamp(machine.seen),
        "agentVersion": facts.agent,
        "machineFqdn": facts.host,
        "displayName": facts.host,
        "osType": machine_support.os_type(facts).lower(),
        "osName": facts.os_name + (" (simulated)" if machine.simulated else ""),
        "osVersion": facts.os_version,
    }


def _with_status(body: Body, os_type: str, status: str) -> Body:
    """``osProfile`` with the status where the machine's system has it."""
    profile = dict(body["properties"].get("osProfile") or {})
    name = "windowsConfiguration" if os_type == "windows" else "linuxConfiguration"
    configuration = dict(profile.get(name) or {})
    settings = {
        **(configuration.get("patchSettings") or {}),
        "status": {"hotpatchEnablementStatus": status},
    }
    return {**profile, name: {**configuration, "patchSettings": settings}}


def _settings(body: Body) -> dict[str, Body]:
    profile = body["properties"].get("osProfile") or {}
    return {
        name: (profile.get(name) or {}).get("patchSettings") or {}
        for name in ("windowsConfiguration", "linuxConfiguration")
    }


def _seconds(text: Any) -> float:
    return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else 0.0
