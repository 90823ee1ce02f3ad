"""``licenseProfiles/default`` of a connected machine: whether it is enrolled for Hotpatch.

Nothing is sold: hotpatching by Arc has been free since 19 May 2026, and its life is kept without
money. The profile is kept in the machine's own body. Enrolment is under way until the machine has
been heard from, which is when it can know.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from hotmend.fleet import hotpatch_status, support
from hotmend.server.arm import listing, machine_support
from hotmend.server.arm.access import Access
from hotmend.server.arm.bodies import PatchBody, ResourceBody, content, merged, object_in
from hotmend.server.arm.hybrid_machines import PATH, TYPE
from hotmend.server.arm.hybrid_view import HOTPATCH, Body, features_of, profile_shown
from hotmend.server.arm.long_running import timestamp
from hotmend.server.arm.virtual_machines import found
from hotmend.server.control import Control
from hotmend.server.errors import ArmError, invalid
from hotmend.server.resource_id import ResourceId
from hotmend.server.storage import machines, resources
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.resources import Resource

_KIND = f"{TYPE}/licenseProfiles"
_NAME = "default"
_PATH = f"{PATH}/{{machine}}/licenseProfiles"
_ON, _OFF = ("enable", "enabled"), ("disable", "disabled")
_PRODUCTS = ("WindowsServer", "WindowsIoTEnterprise")


def router(control: Control, access: Access) -> APIRouter:
    """Made, changed, shown, taken away."""
    routes = APIRouter(tags=["connected machines"])
    read, write = f"{_KIND}/read", f"{_KIND}/write"

    def changed(identifier: ResourceId, wanted: Body, *, new: bool) -> Body:
        def work(connection: Connection) -> Body:
            resource = found(connection, identifier)
            machine = machines.of_resource(connection, identifier.key)
            kept = resource.body["properties"].get("licenseProfile")
            if kept is None and not new:
                raise _missing(identifier)
            profile = _written(resource, machine, kept or {}, wanted, control.clock(), new=new)
            body = merged(resource.body, {"properties": {"licenseProfile": None}})
            body["properties"]["licenseProfile"] = profile
            resources.put(connection, identifier, body, control.clock())
            listing.refresh(connection, [identifier.key], control.clock())
            # As it was written, before any machine can have heard of it.
            return _shown(resource, profile, None)

        return control.database.write(work)

    @routes.put(f"{_PATH}/{{name}}", **access.to(write))
    def put(
        subscription: str, group: str, machine: str, name: str, body: ResourceBody
    ) -> dict[str, Any]:
        identifier = _identifier(subscription, group, machine, name)
        return changed(identifier, content(body).get("properties") or {}, new=True)

    @routes.patch(f"{_PATH}/{{name}}", **access.to(write))
    def patch(
        subscription: str, group: str, machine: str, name: str, body: PatchBody
    ) -> dict[str, Any]:
        identifier = _identifier(subscription, group, machine, name)
        return changed(identifier, content(body).get("properties") or {}, new=False)

    @routes.get(f"{_PATH}/{{name}}", **access.to(read))
    def get(subscription: str, group: str, machine: str, name: str) -> dict[str, Any]:
        identifier = _identifier(subscription, group, machine, name)
        with control.database.reading() as connection:
            resource = found(connection, identifier)
            agent = machines.of_resource(connection, identifier.key)
        kept = resource.body["properties"].get("licenseProfile")
        if kept is None:
            raise _missing(identifier)
        return _shown(resource, kept, agent)

    @routes.get(_PATH, **access.to(read))
    def everything(subscription: str, group: str, machine: str) -> dict[str, Any]:
        identifier = _identifier(subscription, group, machine, _NAME)
        with control.database.reading() as connection:
            resource = found(connection, identifier)
            agent = machines.of_resource(connection, identifier.key)
        kept = resource.body["properties"].get("licenseProfile")
        return {"value": [] if kept is None else [_shown(resource, kept, agent)]}

    @routes.delete(
        f"{_PATH}/{{name}}",
        status_code=204,
        response_class=Response,
        **access.to(f"{_KIND}/delete"),
    )
    def delete(subscription: str, group: str, machine: str, name: str) -> Response:
        identifier = _identifier(subscription, group, machine, name)

        def work(connection: Connection) -> None:
            resource = found(connection, identifier)
            body = merged(resource.body, {"properties": {"licenseProfile": None}})
            resources.put(connection, identifier, body, control.clock())
            listing.refresh(connection, [identifier.key], control.clock())

        control.database.write(work)
        return Response(status_code=204)

    return routes


def _written(
    resource: Resource,
    machine: Machine | None,
    before: Body,
    wanted: Body,
    now: float,
    *,
    new: bool,
) -> Body:
    """The profile as it is kept. Raises ArmError."""
    kept = {} if new else before
    product = object_in(wanted, "productProfile")
    asked = product.get("productFeatures")
    if asked is not None and not isinstance(asked, list):
        raise invalid("'productFeatures' is a list.", "productFeatures")
    if product.get("productType") not in (None, *_PRODUCTS):
        raise invalid(f"'productType' is one of {', '.join(_PRODUCTS)}.", "productType")
    features = {one["name"]: one for one in features_of(before)}
    for one in asked or ():
        name = one.get("name") if isinstance(one, dict) else None
        if name != HOTPATCH:
            raise invalid(
                f"The feature '{str(name)[:40]}' is not known; there is '{HOTPATCH}'.",
                "productFeatures",
            )
        features[HOTPATCH] = _feature(resource, machine, features.get(HOTPATCH), one, now)
    profile = merged(kept, {k: v for k, v in wanted.items() if k != "provisioningState"})
    own = dict(object_in(profile, "productProfile"))
    if "subscriptionStatus" in product:
        own["subscriptionStatus"] = "Enabled" if _on(product) else "Disabled"
    own["productFeatures"] = list(features.values())
    return {**profile, "productProfile": own}


def _feature(
    resource: Resource, machine: Machine | None, before: Body | None, wanted: Body, now: float
) -> Body:
    on = _on(wanted)
    if before is not None and (before["subscriptionStatus"] in ("Enabling", "Enabled")) is on:
        return before
    if not on:
        if before is None:
            raise invalid("Hotpatch cannot be disenrolled: it is not enrolled.", HOTPATCH)
        return {**before, "subscriptionStatus": "Disabling", "disenrollmentDate": timestamp(now)}
    facts = machine.facts if machine is not None else None
    why = hotpatch_status.ineligible(
        machine_support.connected(resource.body, facts), support.shipped()
    )
    if why:
        raise ArmError(400, "HotpatchNotSupported", f"'{resource.id.name}': {why}", HOTPATCH)
    return {"name": HOTPATCH, "subscriptionStatus": "Enabling", "enrollmentDate": timestamp(now)}


def _on(wanted: Body) -> bool:
    """PUT says Enabled and Disabled, PATCH Enable and Disable; either is taken from both."""
    status = str(wanted.get("subscriptionStatus", "")).lower()
    if status not in (*_ON, *_OFF):
        raise invalid("'subscriptionStatus' is Enable or Disable.", "subscriptionStatus")
    return status in _ON


def _shown(resource: Resource, profile: Body, machine: Machine | None) -> Body:
    return {
        "id": f"{resource.id}/licenseProfiles/{_NAME}",
        "name": _NAME,
        "type": _KIND,
        "location": resource.body["location"],
        "properties": {**profile_shown(profile, machine), "provisioningState": "Succeeded"},
    }


def _identifier(subscription: str, group: str, machine: str, name: str) -> ResourceId:
    identifier = ResourceId(subscription, group, TYPE, machine)
    if name.lower() != _NAME:
        raise _missing(identifier)
    return identifier


def _missing(identifier: ResourceId) -> ArmError:
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{TYPE}/{identifier.name}/licenseProfiles/{_NAME}' under resource group "
        f"'{identifier.group}' was not found. For more details please go to "
        "https://aka.ms/ARMResourceNotFoundFix",
    )
