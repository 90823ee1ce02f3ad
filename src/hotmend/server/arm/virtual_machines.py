"""``Microsoft.Compute/virtualMachines``: made, changed, shown, taken away."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from hotmend.fleet import support
from hotmend.fleet.regions import normalised
from hotmend.model.agent_messages import RunKind
from hotmend.server.arm import common_routes, groups, listing, patch_settings
from hotmend.server.arm.access import Access
from hotmend.server.arm.bodies import PatchBody, ResourceBody, content, merged, without_secrets
from hotmend.server.arm.common_routes import GROUP
from hotmend.server.arm.instance_view import instance_view
from hotmend.server.arm.long_running import timestamp
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId, checked_name, parsed
from hotmend.server.storage import machines, resources, runs, standing
from hotmend.server.storage.resources import Resource

TYPE = "Microsoft.Compute/virtualMachines"
PATH = f"{GROUP}/providers/{TYPE}"
_READ, _WRITE = f"{TYPE}/read", f"{TYPE}/write"
# Answered by the server, never taken from a client.
_OWN = ("vmId", "timeCreated", "provisioningState", "instanceView")


def router(control: Control, access: Access) -> APIRouter:
    """All but the actions."""
    routes = APIRouter(tags=["virtual machines"])
    rows = support.shipped()

    @routes.put(f"{PATH}/{{name}}", responses={201: {}}, **access.to(_WRITE))
    def put(subscription: str, group: str, name: str, body: ResourceBody) -> Any:
        identifier = ResourceId(subscription, group, TYPE, checked_name(name))
        wanted = content(body)

        def work(connection: Connection) -> tuple[Resource, bool]:
            return written(control, connection, identifier, wanted, rows)

        resource, new = control.database.write(work)
        return JSONResponse(resource.as_json(), 201 if new else 200)

    @routes.patch(f"{PATH}/{{name}}", **access.to(_WRITE))
    def patch(subscription: str, group: str, name: str, body: PatchBody) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, TYPE, name)
        changes = content(body)

        def work(connection: Connection) -> Resource:
            before = found(connection, identifier)
            wanted = merged(before.body, changes)
            return written(control, connection, identifier, wanted, rows)[0]

        return control.database.write(work).as_json()

    @routes.get(f"{PATH}/{{name}}", **access.to(_READ))
    def get(subscription: str, group: str, name: str, request: Request) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, TYPE, name)
        with control.database.reading() as connection:
            resource = found(connection, identifier)
            shown = resource.as_json()
            if request.query_params.get("$expand", "").lower() == "instanceview":
                shown["properties"] = {
                    **shown["properties"],
                    "instanceView": view_of(control, connection, resource),
                }
        return shown

    @routes.get(f"{PATH}/{{name}}/instanceView", **access.to(_READ))
    def view(subscription: str, group: str, name: str) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, TYPE, name)
        with control.database.reading() as connection:
            return view_of(control, connection, found(connection, identifier))

    common_routes.add(routes, control, access, TYPE)
    return routes


def written(
    control: Control,
    connection: Connection,
    identifier: ResourceId,
    wanted: dict[str, Any],
    rows: tuple[support.Row, ...],
) -> tuple[Resource, bool]:
    """The machine made or replaced, and whether it is new. Raises ArmError."""
    groups.found(connection, identifier.subscription, identifier.group)
    before = resources.get(connection, identifier)
    own = before.body["properties"] if before is not None else {}
    properties = dict(wanted.get("properties") or {})
    patch_settings.check(properties, own or None, rows)
    _check_sets(connection, properties)
    now = control.clock()
    if properties.get("osProfile"):
        properties["osProfile"] = without_secrets(properties["osProfile"])
    for name in _OWN:
        properties.pop(name, None)
    properties |= {
        "vmId": own.get("vmId", str(uuid.uuid4())),
        "timeCreated": own.get("timeCreated", timestamp(now)),
        "provisioningState": "Succeeded",
    }
    body = {
        **{k: v for k, v in wanted.items() if k not in ("id", "name", "type", "resources")},
        "location": normalised(wanted["location"]),
        "properties": properties,
    }
    check_place(identifier, before, body["location"])
    resource = resources.put(connection, identifier, body, now)
    standing.place(connection, identifier)
    listing.refresh(connection, [identifier.key], now)
    return resource, before is None


def check_place(identifier: ResourceId, before: Resource | None, location: str) -> None:
    """A resource stays where it was made. Raises ArmError."""
    if before is not None and before.body["location"] != location:
        raise ArmError(
            409,
            "InvalidResourceLocation",
            f"The resource '{identifier.name}' already exists in location "
            f"'{before.body['location']}' in resource group '{identifier.group}'. A resource with "
            f"the same name cannot be created in location '{location}'.",
        )


def found(connection: Connection, identifier: ResourceId) -> Resource:
    """Raises ArmError where there is none."""
    resource = resources.get(connection, identifier)
    if resource is None:
        groups.found(connection, identifier.subscription, identifier.group)
        raise ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{identifier.type}/{identifier.name}' under resource group "
            f"'{identifier.group}' was not found. For more details please go to "
            "https://aka.ms/ARMResourceNotFoundFix",
        )
    return resource


def _check_sets(connection: Connection, properties: dict[str, Any]) -> None:
    """What a machine belongs to is there."""
    for name in ("availabilitySet", "virtualMachineScaleSet"):
        reference = properties.get(name)
        if reference is None:
            continue
        target = reference.get("id") if isinstance(reference, dict) else None
        if not isinstance(target, str):
            raise ArmError(400, "InvalidParameter", f"'{name}' names a resource by its id.", name)
        found(connection, parsed(target))


def view_of(control: Control, connection: Connection, resource: Resource) -> dict[str, Any]:
    """The instance view of a machine of either kind."""
    machine = machines.of_resource(connection, resource.id.key)
    settings = patch_settings.settings_of(resource.body["properties"])
    assessed = installed = None
    if machine is not None:
        assessed = runs.latest(connection, machine.id, RunKind.ASSESS)
        installed = runs.latest(connection, machine.id, RunKind.INSTALL)
    return instance_view(machine, assessed, installed, control.clock(), settings)
