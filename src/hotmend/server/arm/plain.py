"""Resources that are kept as they come: sets, and the networks that az makes around a machine.

Hotmend has no hypervisor and no network of its own. What is stored here is what the references of
a machine lead to.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from hotmend.fleet import support
from hotmend.fleet.regions import normalised
from hotmend.server.arm import common_routes, groups, patch_settings
from hotmend.server.arm.access import Access
from hotmend.server.arm.bodies import ResourceBody, content, without_secrets
from hotmend.server.arm.common_routes import GROUP
from hotmend.server.arm.virtual_machines import found
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId, checked_name
from hotmend.server.storage import resources
from hotmend.server.storage.resources import Resource

AVAILABILITY_SET = "Microsoft.Compute/availabilitySets"
SCALE_SET = "Microsoft.Compute/virtualMachineScaleSets"
_COMPUTE = (AVAILABILITY_SET, SCALE_SET)
NETWORK = tuple(
    f"Microsoft.Network/{kind}"
    for kind in (
        *("virtualNetworks", "networkInterfaces", "networkSecurityGroups", "publicIPAddresses"),
        "loadBalancers",
    )
)
TYPES = (*_COMPUTE, *NETWORK)
_MOST_UPDATE_DOMAINS = 20


def router(control: Control, access: Access) -> APIRouter:
    """The same five routes for each type."""
    routes = APIRouter(tags=["sets and networks"])
    for kind in TYPES:
        _add(routes, control, access, kind)
    return routes


def _add(routes: APIRouter, control: Control, access: Access, kind: str) -> None:
    path = f"{GROUP}/providers/{kind}"
    operation = kind if kind in _COMPUTE else "Microsoft.Network"
    read = f"{operation}/read"

    @routes.put(f"{path}/{{name}}", responses={201: {}}, **access.to(f"{operation}/write"))
    def put(subscription: str, group: str, name: str, body: ResourceBody) -> Any:
        identifier = ResourceId(subscription, group, kind, checked_name(name))
        wanted = content(body)

        def work(connection: Connection) -> tuple[Resource, bool]:
            return written(control, connection, identifier, wanted)

        resource, new = control.database.write(work)
        # The SDK takes 201 for a failure of availability sets.
        created = new and kind != AVAILABILITY_SET
        return JSONResponse(resource.as_json(), 201 if created else 200)

    @routes.get(f"{path}/{{name}}", **access.to(read))
    def get(subscription: str, group: str, name: str) -> dict[str, Any]:
        with control.database.reading() as connection:
            return found(connection, ResourceId(subscription, group, kind, name)).as_json()

    common_routes.add(routes, control, access, kind, operation)


def written(
    control: Control, connection: Connection, identifier: ResourceId, wanted: dict[str, Any]
) -> tuple[Resource, bool]:
    """Made or replaced, and whether it is new. Raises ArmError."""
    groups.found(connection, identifier.subscription, identifier.group)
    properties = dict(wanted.get("properties") or {})
    if identifier.type == SCALE_SET:
        _check_scale_set(properties)
        profile = properties.get("virtualMachineProfile") or {}
        if profile.get("osProfile"):
            safe = {**profile, "osProfile": without_secrets(profile["osProfile"])}
            properties["virtualMachineProfile"] = safe
    if identifier.type == AVAILABILITY_SET:
        _check_domains(properties)
    body = {
        **{k: v for k, v in wanted.items() if k not in ("id", "name", "type")},
        "location": normalised(wanted["location"]),
        "properties": {**properties, "provisioningState": "Succeeded"},
    }
    new = resources.get(connection, identifier) is None
    return resources.put(connection, identifier, body, control.clock()), new


def _check_domains(properties: dict[str, Any]) -> None:
    count = properties.setdefault("platformUpdateDomainCount", 5)
    properties.setdefault("platformFaultDomainCount", 2)
    if not isinstance(count, int) or not 1 <= count <= _MOST_UPDATE_DOMAINS:
        raise ArmError(
            400,
            "InvalidParameter",
            f"The specified update domain count {str(count)[:40]} must fall in the range 1 to "
            f"{_MOST_UPDATE_DOMAINS}.",
            "platformUpdateDomainCount",
        )


def _check_scale_set(properties: dict[str, Any]) -> None:
    """The patch settings of a set's machines are under the machines' rules; a uniform set is not
    hotpatched at all."""
    profile = properties.get("virtualMachineProfile") or {}
    if not isinstance(profile, dict):
        raise ArmError(
            400,
            "InvalidParameter",
            "'virtualMachineProfile' is an object.",
            "virtualMachineProfile",
        )
    rows = support.shipped()
    image = patch_settings.image_of(profile)
    row = support.find(rows, "Azure", image) if image is not None else None
    settings = patch_settings.windows_settings(profile)
    # The flag is Windows'; what Hotmend itself hotpatches needs none.
    hot = row is not None and row.hotpatch and row.os == "Windows"
    uniform = properties.get("orchestrationMode", "Uniform") == "Uniform"
    if uniform and (hot or settings.get("enableHotpatching") is True):
        raise ArmError(
            400,
            "InvalidParameter",
            "Virtual Machine Scale Sets with orchestrationMode 'Uniform' cannot be hotpatched; "
            "use orchestrationMode 'Flexible'.",
            "orchestrationMode",
        )
    if hot and settings.get("enableHotpatching") is not True:
        raise ArmError(
            400,
            "InvalidParameter",
            "'EnableHotpatching' must be set to 'true' on Virtual Machine Scale Sets running "
            "Hotpatch-compatible images.",
        )
    patch_settings.check(profile, None, rows)
