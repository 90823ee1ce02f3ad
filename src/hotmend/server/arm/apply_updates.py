"""``Microsoft.Maintenance/applyUpdates`` and ``updates``: maintenance of a machine at once, a
schedule's occurrence cancelled, and what a machine waits for.

At once means: as the machine's own maintenance configuration says, but now.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from hotmend.fleet import orchestration, schedule
from hotmend.model.agent_messages import RunKind, RunStatus
from hotmend.server.arm import (
    machine_support,
    maintenance_configurations,
    orders,
    patch_results,
    scope_filter,
    subscriptions,
)
from hotmend.server.arm.access import Access
from hotmend.server.arm.common_routes import GROUP
from hotmend.server.arm.configuration_assignments import RESOURCE
from hotmend.server.arm.long_running import timestamp
from hotmend.server.arm.maintenance_configurations import SCOPE
from hotmend.server.arm.patch_settings import settings_of
from hotmend.server.arm.virtual_machines import found
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId, parsed
from hotmend.server.storage import audit, machines, maintenance, resources, runs
from hotmend.server.storage.maintenance import ApplyUpdate
from hotmend.server.storage.resources import Resource
from hotmend.server.storage.runs import Kept

TYPE = "Microsoft.Maintenance/applyUpdates"
_READ, _WRITE = f"{TYPE}/read", f"{TYPE}/write"
_UPDATES = "Microsoft.Maintenance/updates"
_NOTICE = timedelta(minutes=10)
_CONNECTED = machine_support.CONNECTED.lower()
_MACHINES = ("microsoft.compute/virtualmachines", _CONNECTED)

Body = dict[str, Any]


class ApplyBody(BaseModel):
    """Empty to apply now; ``properties.status`` "Cancel" to cancel an occurrence."""

    model_config = ConfigDict(extra="allow")

    properties: dict[str, Any] | None = None


def router(control: Control, access: Access) -> APIRouter:
    """On a machine, or on a maintenance configuration."""
    routes = APIRouter(tags=["maintenance"])
    path = f"{RESOURCE}/providers/{TYPE}/{{name}}"

    @routes.put(path, responses={201: {}}, **access.to(_WRITE))
    def put(
        subscription: str,
        group: str,
        provider: str,
        kind: str,
        resource: str,
        name: str,
        body: ApplyBody | None = None,
    ) -> Any:
        identifier = ResourceId(subscription, group, f"{provider}/{kind}", resource)
        status = ((body.properties if body else None) or {}).get("status")

        def work(connection: Connection) -> Body:
            if str(status).lower() == "cancel":
                return _cancelled(control, connection, identifier, name)
            return _begun(control, connection, identifier, name)

        made = control.database.write(work)
        control.orders.notify()
        return JSONResponse(made, 201)

    @routes.get(path, **access.to(_READ))
    def get(
        subscription: str, group: str, provider: str, kind: str, resource: str, name: str
    ) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, f"{provider}/{kind}", resource)
        with control.database.reading() as connection:
            owner = found(connection, identifier)
            known = maintenance.updates(connection, [owner.id.key])
            wanted = name.lower()
            for one in known:
                if wanted in ("default", one.id, one.occurrence):
                    kept = runs.get(connection, one.run) if one.run else None
                    return _shown(str(owner.id), one, kept)
        raise ArmError(404, "ResourceNotFound", f"The Resource '{TYPE}/{name[:64]}' was not found.")

    @routes.get(f"{RESOURCE}/providers/{_UPDATES}", **access.to(f"{_UPDATES}/read"))
    def updates(
        subscription: str, group: str, provider: str, kind: str, resource: str
    ) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, f"{provider}/{kind}", resource)
        with control.database.reading() as connection:
            owner = found(connection, identifier)
            machine = machines.of_resource(connection, identifier.key)
            kept = (
                runs.latest(connection, machine.id, RunKind.ASSESS, ended=True)
                if machine is not None
                else None
            )
        return {"value": _pending(str(owner.id), kept)}

    def listed(subscription: str, group: str, request: Request) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            known = {r.id.key: r for r in resources.listed(connection, subscription, None, group)}
            mine = {key for key, r in known.items() if access.readable(request, _READ, str(r.id))}
            noted = [one for one in maintenance.updates(connection) if one.resource in mine]
            ran = runs.several(connection, [one.run for one in noted if one.run])
        return {
            "value": [_shown(str(known[one.resource].id), one, ran.get(one.run)) for one in noted]
        }

    @routes.get(
        f"/subscriptions/{{subscription}}/providers/{TYPE}", **access.to(_READ, filtered=True)
    )
    def everywhere(subscription: str, request: Request) -> dict[str, Any]:
        return listed(subscription, "", request)

    @routes.get(f"{GROUP}/providers/{TYPE}", **access.to(_READ, filtered=True))
    def in_group(subscription: str, group: str, request: Request) -> dict[str, Any]:
        return listed(subscription, group, request)

    return routes


def configuration_of(connection: Connection, machine: Resource) -> Resource | None:
    """The one that was assigned to it first, by itself or else by a dynamic scope."""
    own = maintenance.of_target(connection, machine.id.key)
    subscription = machine.id.subscription
    scopes = maintenance.of_subscription(connection, subscription, dynamic=True) if not own else []
    for assignment in scopes:
        wanted = scope_filter.parsed(assignment.body.get("filter"), assignment.group)
        found = scope_filter.found(connection, subscription, wanted)
        if any(one.id.lower() == machine.id.key for one in found):
            own = [assignment]
            break
    if not own:
        return None
    return resources.get(connection, parsed(own[0].body["maintenanceConfigurationId"]))


def unmet(machine: Resource) -> bool:
    """Whether its patch settings keep a schedule from it. Those of connected machines do not."""
    if machine.id.type.lower() == _CONNECTED:
        return False
    settings = settings_of(machine.body["properties"])
    bypass = settings.get("automaticByPlatformSettings") or {}
    own_schedule = bypass.get("bypassPlatformSafetyChecksOnUserSchedule") is True
    return orchestration.orchestration(
        str(settings.get("patchMode")), own_schedule, scheduled=True
    ).unmet


def nothing_for(system: str) -> str:
    """The reason why a machine with ``system`` is left alone."""
    return f"The maintenance configuration chooses no updates for {system}."


def _begun(control: Control, connection: Connection, identifier: ResourceId, name: str) -> Body:
    if identifier.type.lower() not in _MACHINES or name.lower() != "default":
        raise ArmError(
            400, "InvalidParameter", "Updates are applied to a machine, as 'default'.", "name"
        )
    machine = found(connection, identifier)
    configuration = configuration_of(connection, machine)
    if configuration is None:
        raise ArmError(
            409,
            "OperationNotAllowed",
            f"No maintenance configuration is assigned to '{identifier.name}'; installPatches "
            "installs without one.",
        )
    if unmet(machine):
        raise ArmError(409, "OperationNotAllowed", orchestration.UNMET)
    agent = machines.of_resource(connection, identifier.key)
    system = machine_support.os_type(agent.facts) if agent is not None else "Linux"
    order = maintenance_configurations.order_of(configuration, runs.new_id(), system)
    if order is None:
        raise ArmError(409, "OperationNotAllowed", nothing_for(system))
    orders.given(control, connection, machine.id, order)
    noted = ApplyUpdate(
        order.id, machine.id.key, configuration.id.key, order.id, "", control.clock()
    )
    maintenance.note(connection, noted)
    return _shown(str(machine.id), noted, runs.get(connection, order.id))


def _cancelled(control: Control, connection: Connection, identifier: ResourceId, name: str) -> Body:
    """``name``: yyyyMMddHHmm00 by the schedule's clock."""
    if identifier.type.lower() != maintenance_configurations.TYPE.lower():
        raise ArmError(
            400,
            "InvalidParameter",
            "What is cancelled is an occurrence of a maintenance configuration.",
            "name",
        )
    configuration = found(connection, identifier)
    now = datetime.fromtimestamp(control.clock(), UTC)
    opens = _occurrence(configuration, name)
    if opens is None:
        raise ArmError(
            400,
            "InvalidParameter",
            f"'{name[:40]}' is not a time at which the schedule begins, such as 20260131220000.",
            "name",
        )
    for one in maintenance.updates(connection, [configuration.id.key]):
        if one.occurrence == name:
            return _shown(str(configuration.id), one, None)
    if opens < now + _NOTICE:
        raise ArmError(
            409, "Conflict", "Maintenance is cancelled at least 10 minutes before it begins."
        )
    noted = ApplyUpdate(
        runs.new_id(), configuration.id.key, configuration.id.key, "", name, control.clock()
    )
    maintenance.note(connection, noted)
    audit.append(
        connection, control.clock(), "api", "cancel", str(configuration.id), {"begins": name}
    )
    return _shown(str(configuration.id), noted, None)


def _occurrence(configuration: Resource, name: str) -> datetime | None:
    """When it begins, in UTC; None if that is no time at which the schedule does."""
    window = maintenance_configurations.window_of(configuration)
    if window is None or len(name) != 14 or not (name.isascii() and name.isdigit()):
        return None
    try:
        local = datetime.strptime(name, "%Y%m%d%H%M%S")
        since = local.replace(tzinfo=window.zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    found_at = next(schedule.occurrences(window, since), None)
    return since if found_at is not None and found_at.opens == since else None


def _pending(owner: str, kept: Kept | None) -> list[Body]:
    """What the last assessment found, as one piece of maintenance."""
    found_now = kept.run.assessment if kept is not None and kept.run is not None else None
    if kept is None or found_now is None or not found_now.patches:
        return []
    restarts = any(patch.reboot != "NeverReboots" for patch in found_now.patches)
    return [
        {
            "maintenanceScope": SCOPE,
            "impactType": "Restart" if restarts else "None",
            "status": "Pending",
            "impactDurationInSec": 0,
            "notBefore": patch_results.run_times(kept)["lastModifiedDateTime"],
            "properties": {"resourceId": owner},
        }
    ]


def status_of(noted: ApplyUpdate, kept: Kept | None) -> str:
    """Azure's words. A run that the server has forgotten has ended."""
    if not noted.run:
        return "Failed" if noted.because else "Cancelled"
    if kept is not None and kept.finished is None:
        return "Pending" if kept.run is None else "InProgress"
    bad = kept is not None and kept.status in (RunStatus.FAILED, RunStatus.UNKNOWN)
    return "RetryLater" if bad else "Completed"


def message_of(noted: ApplyUpdate) -> str:
    """Of one that did not run."""
    day = datetime.fromtimestamp(noted.created, UTC)
    return noted.because or f"Maintenance cancelled using cancellation API at {day:%Y-%m-%d}"


def _shown(owner: str, noted: ApplyUpdate, kept: Kept | None) -> Body:
    name = noted.occurrence or noted.id
    properties = {
        "status": status_of(noted, kept),
        "resourceId": owner,
        "lastUpdateTime": timestamp(
            kept.finished if kept is not None and kept.finished is not None else noted.created
        ),
    }
    if not noted.run:
        properties["message"] = message_of(noted)
    return {
        "id": f"{owner}/providers/{TYPE}/{name}",
        "name": name,
        "type": TYPE,
        "properties": properties,
    }
