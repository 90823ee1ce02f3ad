"""``Microsoft.HybridCompute/machines``: machines of one's own that are connected by Arc."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection

from hotmend.fleet.regions import normalised
from hotmend.model.agent_messages import RunKind
from hotmend.server.arm import (
    common_routes,
    groups,
    hybrid_view,
    listing,
    machine_support,
    patch_settings,
)
from hotmend.server.arm.access import Access
from hotmend.server.arm.bodies import PatchBody, ResourceBody, content, merged
from hotmend.server.arm.common_routes import GROUP
from hotmend.server.arm.virtual_machines import check_place, found, view_of
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId, checked_name
from hotmend.server.storage import machines, resources, runs, standing
from hotmend.server.storage.resources import Resource

TYPE = machine_support.CONNECTED
PATH = f"{GROUP}/providers/{TYPE}"
_READ, _WRITE = f"{TYPE}/read", f"{TYPE}/write"
# Answered by the server, never taken from a client; the licence has a resource of its own.
_OWN = ("vmId", "provisioningState", "instanceView", "status", "statusReason", "lastStatusChange")

Body = dict[str, Any]


def router(control: Control, access: Access) -> APIRouter:
    """All but the actions."""
    routes = APIRouter(tags=["connected machines"])

    @routes.put(f"{PATH}/{{name}}", **access.to(_WRITE))
    def put(subscription: str, group: str, name: str, body: ResourceBody) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, TYPE, checked_name(name))
        wanted = content(body)

        def work(connection: Connection) -> Body:
            return one(connection, written(control, connection, identifier, wanted))

        # The SDK takes 201 for a failure.
        return control.database.write(work)

    @routes.patch(f"{PATH}/{{name}}", **access.to(_WRITE))
    def patch(subscription: str, group: str, name: str, body: PatchBody) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, TYPE, name)
        changes = content(body)

        def work(connection: Connection) -> Body:
            wanted = merged(found(connection, identifier).body, changes)
            return one(connection, written(control, connection, identifier, wanted))

        return control.database.write(work)

    @routes.get(f"{PATH}/{{name}}", **access.to(_READ))
    def get(subscription: str, group: str, name: str, request: Request) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, TYPE, name)
        with control.database.reading() as connection:
            resource = found(connection, identifier)
            answer = one(connection, resource)
            if request.query_params.get("$expand", "").lower() == "instanceview":
                answer["properties"]["instanceView"] = view_of(control, connection, resource)
        return answer

    def one(connection: Connection, resource: Resource) -> Body:
        return several(connection, [resource])[0]

    def several(connection: Connection, known: Sequence[Resource]) -> list[Body]:
        return shown(control, connection, known)

    common_routes.add(routes, control, access, TYPE, shown=several, gone=204)
    return routes


def shown(control: Control, connection: Connection, known: Sequence[Resource]) -> list[Body]:
    """As clients see them; two statements for all."""
    agents = machines.of_keys(connection, [resource.id.key for resource in known])
    assessed = runs.latest_of(connection, RunKind.ASSESS, [agent.id for agent in agents.values()])
    now = control.clock()
    answers = []
    for resource in known:
        agent = agents.get(resource.id.key)
        last = assessed.get(agent.id) if agent is not None else None
        answers.append(hybrid_view.shown(resource, agent, last, now))
    return answers


def written(
    control: Control, connection: Connection, identifier: ResourceId, wanted: Body
) -> Resource:
    """The machine made or replaced. Raises ArmError."""
    groups.found(connection, identifier.subscription, identifier.group)
    before = resources.get(connection, identifier)
    own = before.body["properties"] if before is not None else {}
    sent = wanted.get("properties") or {}
    properties = {k: v for k, v in sent.items() if k not in (*_OWN, "licenseProfile")}
    properties |= {"vmId": own.get("vmId", str(uuid.uuid4())), "provisioningState": "Succeeded"}
    if "licenseProfile" in own:
        properties["licenseProfile"] = own["licenseProfile"]
    body = {
        **{k: v for k, v in wanted.items() if k not in ("id", "name", "type", "resources")},
        "location": normalised(wanted["location"]),
        "properties": properties,
    }
    check_place(identifier, before, body["location"])
    _check_settings(body)
    now = control.clock()
    resource = resources.put(connection, identifier, body, now)
    standing.place(connection, identifier)
    listing.refresh(connection, [identifier.key], now)
    return resource


def _check_settings(body: Body) -> None:
    patch_settings.check_connected(body["properties"])
    patch_settings.image_of(body["properties"])
    if machine_support.platform(TYPE, body) != "AzureLocal":
        return
    if hybrid_view.wanted(body) is False:
        raise ArmError(
            400,
            "InvalidParameter",
            "EnableHotpatching cannot be set to false: on Azure Local hotpatch cannot be switched "
            "off.",
            "patchSettings.enableHotpatching",
        )
    if "AutomaticByPlatform" in hybrid_view.modes(body):
        raise ArmError(
            400,
            "InvalidParameter",
            "The patchMode 'AutomaticByPlatform' is invalid: no platform orchestrates updates on "
            "Azure Local. Use Group Policy, SConfig or another patch manager.",
            "patchSettings.patchMode",
        )
