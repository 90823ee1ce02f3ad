"""``Microsoft.Maintenance/maintenanceConfigurations``: when updates are installed, and which.

Stored and checked here. Of Azure's scopes there is the one that is about guests.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from hotmend.fleet import schedule
from hotmend.fleet.regions import normalised
from hotmend.fleet.schedule import Schedule
from hotmend.model.agent_messages import Order
from hotmend.server.arm import common_routes, groups, install_request
from hotmend.server.arm.access import Access
from hotmend.server.arm.bodies import PatchBody, ResourceBody, content, merged, object_in
from hotmend.server.arm.common_routes import GROUP
from hotmend.server.arm.virtual_machines import check_place, found
from hotmend.server.control import Control
from hotmend.server.errors import ArmError, invalid
from hotmend.server.resource_id import ResourceId, checked_name
from hotmend.server.storage import resources
from hotmend.server.storage.resources import Resource

TYPE = "Microsoft.Maintenance/maintenanceConfigurations"
PATH = f"{GROUP}/providers/{TYPE}"
SCOPE = "InGuestPatch"
MOST_IN_A_REGION = 250
_MOST_NAME = 128
_VISIBILITIES = ("Custom", "Public")
_PATCH_MODES = ("User", "Platform")
_READ, _WRITE = f"{TYPE}/read", f"{TYPE}/write"
_CHOOSES = (
    *("classificationsToInclude", "kbNumbersToInclude"),
    *("patchNameMasksToInclude", "packageNameMasksToInclude"),
)

Body = dict[str, Any]


def router(control: Control, access: Access) -> APIRouter:
    """Made, changed, shown, taken away."""
    routes = APIRouter(tags=["maintenance"])

    @routes.put(f"{PATH}/{{name}}", responses={201: {}}, **access.to(_WRITE))
    def put(subscription: str, group: str, name: str, body: ResourceBody) -> Any:
        identifier = ResourceId(subscription, group, TYPE, checked_name(name))
        wanted = content(body)

        def work(connection: Connection) -> tuple[Resource, bool]:
            before = resources.get(connection, identifier)
            return _written(control, connection, identifier, wanted, before), before is None

        resource, new = control.database.write(work)
        return JSONResponse(resource.as_json(), 201 if new else 200)

    @routes.patch(f"{PATH}/{{name}}", **access.to(_WRITE))
    def patch(subscription: str, group: str, name: str, body: PatchBody) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, TYPE, name)
        changes = content(body)

        def work(connection: Connection) -> Resource:
            before = found(connection, identifier)
            wanted = merged(before.body, changes)
            return _written(control, connection, identifier, wanted, before)

        return control.database.write(work).as_json()

    @routes.get(f"{PATH}/{{name}}", **access.to(_READ))
    def get(subscription: str, group: str, name: str) -> dict[str, Any]:
        with control.database.reading() as connection:
            return found(connection, ResourceId(subscription, group, TYPE, name)).as_json()

    common_routes.add(routes, control, access, TYPE)
    return routes


def window_of(configuration: Resource) -> Schedule | None:
    """Its window; None for one without, which the platform's own rules replace."""
    window = configuration.body["properties"].get("maintenanceWindow")
    return schedule.parsed(window) if window else None


def order_of(configuration: Resource, identifier: str, system: str) -> Order | None:
    """What a machine with ``system``, Windows or Linux, is asked to do when the window opens; None
    where nothing was chosen for it."""
    properties = configuration.body["properties"]
    patches = dict(object_in(properties, "installPatches"))
    own = f"{system.lower()}Parameters"
    chosen = object_in(patches, own)
    if not any(chosen.get(name) for name in _CHOOSES):
        return None
    alone = {"rebootSetting": patches.get("rebootSetting"), own: chosen}
    return _order({**properties, "installPatches": alone}, identifier)


def _written(
    control: Control,
    connection: Connection,
    identifier: ResourceId,
    wanted: Body,
    before: Resource | None,
) -> Resource:
    groups.found(connection, identifier.subscription, identifier.group)
    location = normalised(wanted["location"])
    check_place(identifier, before, location)
    if len(identifier.group) + len(identifier.name) >= _MOST_NAME:
        raise invalid(
            "The names of the resource group and the configuration have fewer than 128 characters "
            "together.",
            "name",
        )
    sent = wanted.get("properties") or {}
    properties = {
        "visibility": "Custom",
        **{name: value for name, value in sent.items() if name != "provisioningState"},
    }
    properties.setdefault("namespace", "Microsoft.Maintenance")
    _check_words(properties)
    _check_window(properties, before, datetime.fromtimestamp(control.clock(), UTC))
    if properties.get("installPatches") or properties.get("maintenanceWindow"):
        _order(properties, "")
    if before is None:
        _check_count(connection, identifier.subscription, location)
    body = {
        **{k: v for k, v in wanted.items() if k not in ("id", "name", "type", "systemData")},
        "location": location,
        "properties": properties,
    }
    return resources.put(connection, identifier, body, control.clock())


def _check_words(properties: Body) -> None:
    scope = properties.get("maintenanceScope")
    if scope != SCOPE:
        raise invalid(
            f"The maintenanceScope '{str(scope)[:40]}' is not supported: Hotmend maintains guests, "
            f"maintenanceScope '{SCOPE}'.",
            "maintenanceScope",
        )
    if properties["visibility"] not in _VISIBILITIES:
        raise invalid(f"'visibility' is one of {', '.join(_VISIBILITIES)}.", "visibility")
    if object_in(properties, "extensionProperties").get("InGuestPatchMode") not in _PATCH_MODES:
        raise invalid(
            f"extensionProperties.InGuestPatchMode must be User or Platform for maintenanceScope "
            f"'{SCOPE}'.",
            "extensionProperties.InGuestPatchMode",
        )


def _check_window(properties: Body, before: Resource | None, now: datetime) -> None:
    """It must not open, and must not have been about to open, in less than 15 minutes."""
    window = object_in(properties, "maintenanceWindow")
    if not window:
        if object_in(properties, "extensionProperties")["InGuestPatchMode"] == "User":
            raise invalid(
                "maintenanceWindow must be given for InGuestPatchMode 'User'.", "maintenanceWindow"
            )
        return
    try:
        wanted = schedule.parsed(window)
    except ValueError as error:
        raise invalid(f"maintenanceWindow: {error}.", "maintenanceWindow") from None
    known = window_of(before) if before is not None else None
    if (known is None or known.start != wanted.start or known.zone != wanted.zone) and (
        schedule.too_soon(wanted, now)
    ):
        raise invalid(
            "maintenanceWindow: startDateTime must be at least 15 minutes after the schedule is "
            "made or changed.",
            "maintenanceWindow.startDateTime",
        )
    coming = schedule.next_after(known, now) if known is not None else None
    if coming is not None and coming.opens < now + schedule.NOTICE:
        raise ArmError(
            409,
            "Conflict",
            "A schedule is changed at least 15 minutes before it begins; it begins at "
            f"{coming.opens:%Y-%m-%d %H:%M} UTC.",
            "maintenanceWindow",
        )


def _check_count(connection: Connection, subscription: str, location: str) -> None:
    known = resources.listed(connection, subscription, TYPE)
    if sum(other.body["location"] == location for other in known) >= MOST_IN_A_REGION:
        raise ArmError(
            409,
            "QuotaExceeded",
            f"A subscription has at most {MOST_IN_A_REGION} maintenance configurations in a "
            "region.",
        )


def _order(properties: Body, identifier: str) -> Order:
    """By the same rules as an installation that a person asks for. Raises ArmError."""
    patches = object_in(properties, "installPatches")
    window = object_in(properties, "maintenanceWindow")
    hours, _, minutes = str(window.get("duration", "03:55")).partition(":")
    request = {
        "rebootSetting": patches.get("rebootSetting") or "IfRequired",
        "windowsParameters": patches.get("windowsParameters"),
        "linuxParameters": patches.get("linuxParameters"),
        "maximumDuration": f"PT{hours}H{minutes}M",
    }
    return install_request.parsed(request, identifier)
