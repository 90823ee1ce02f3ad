"""Resource groups, and the resources in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from hotmend.fleet.regions import normalised
from hotmend.server.arm import pages, subscriptions
from hotmend.server.arm.access import Access
from hotmend.server.arm.bodies import ResourceBody, content
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId, checked_name
from hotmend.server.storage import machines, resources
from hotmend.server.storage.resources import Resource

_PATH = "/subscriptions/{subscription}/resourceGroups"
_OPERATION = "Microsoft.Resources/subscriptions/resourceGroups"
_READ = f"{_OPERATION}/read"
_SHOWN_TYPE = "Microsoft.Resources/resourceGroups"


def router(control: Control, access: Access) -> APIRouter:
    """Groups by name; what they hold as one list."""
    routes = APIRouter(tags=["resource groups"])

    @routes.put(f"{_PATH}/{{group}}", responses={201: {}}, **access.to(f"{_OPERATION}/write"))
    def put(subscription: str, group: str, body: ResourceBody) -> Any:
        subscriptions.check(control, subscription)
        identifier = ResourceId(subscription, checked_name(group), "", group)
        wanted = content(body)
        wanted = {
            **{k: v for k, v in wanted.items() if k not in ("id", "name", "type")},
            "location": normalised(wanted["location"]),
            "properties": {"provisioningState": "Succeeded"},
        }

        def work(connection: Connection) -> tuple[Resource, bool]:
            new = resources.get(connection, identifier) is None
            return resources.put(connection, identifier, wanted, control.clock()), new

        resource, new = control.database.write(work)
        return JSONResponse(_shown(resource), 201 if new else 200)

    @routes.get(_PATH, **access.to(_READ, filtered=True))
    def everything(subscription: str, request: Request) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        shown = partial(_all, of=_shown)
        return pages.page(control, access, request, _READ, subscription, "", shown=shown)

    @routes.get(f"{_PATH}/{{group}}", **access.to(_READ))
    def get(subscription: str, group: str) -> dict[str, Any]:
        with control.database.reading() as connection:
            return _shown(found(connection, subscription, group))

    @routes.head(
        f"{_PATH}/{{group}}",
        response_class=Response,
        responses={204: {}, 404: {}},
        **access.to(_READ),
    )
    def there(subscription: str, group: str) -> Response:
        with control.database.reading() as connection:
            known = resources.get(connection, ResourceId(subscription, group, "", group))
        return Response(status_code=404 if known is None else 204)

    @routes.delete(
        f"{_PATH}/{{group}}",
        response_class=Response,
        responses={204: {}},
        **access.to(f"{_OPERATION}/delete"),
    )
    def delete(subscription: str, group: str) -> Response:
        def work(connection: Connection) -> bool:
            for resource in list(resources.listed(connection, subscription, None, group)):
                machines.remove(connection, resource.id.key, control.clock())
                resources.remove(connection, resource.id)
            return resources.remove(connection, ResourceId(subscription, group, "", group))

        return Response(status_code=200 if control.database.write(work) else 204)

    @routes.get("/subscriptions/{subscription}/resources", **access.to(_READ, filtered=True))
    def all_resources(subscription: str, request: Request) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        return _resources(request, subscription, _filtered_group(request))

    @routes.get(f"{_PATH}/{{group}}/resources", **access.to(_READ, filtered=True))
    def resources_of(subscription: str, group: str, request: Request) -> dict[str, Any]:
        return _resources(request, subscription, group)

    def _resources(request: Request, subscription: str, group: str) -> dict[str, Any]:
        shown = partial(_all, of=_brief)
        return pages.page(control, access, request, _READ, subscription, None, group, shown)

    return routes


def found(connection: Connection, subscription: str, group: str) -> Resource:
    """Raises ArmError where there is none."""
    resource = resources.get(connection, ResourceId(subscription, group, "", group))
    if resource is None:
        raise ArmError(
            404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found."
        )
    return resource


def _all(
    _: Connection, known: Sequence[Resource], of: Callable[[Resource], dict[str, Any]]
) -> list[dict[str, Any]]:
    return [of(resource) for resource in known]


def _shown(resource: Resource) -> dict[str, Any]:
    return {**resource.as_json(), "type": _SHOWN_TYPE}


def _brief(resource: Resource) -> dict[str, Any]:
    whole = resource.as_json()
    names = ("id", "name", "type", "location", "tags", "kind", "sku", "zones")
    return {name: whole[name] for name in names if name in whole}


def _filtered_group(request: Request) -> str:
    """Of ``$filter=resourceGroup eq 'name'``, the one filter that az sends."""
    words = request.query_params.get("$filter", "").split("'")
    return words[1] if len(words) == 3 and words[0].strip().lower() == "resourcegroup eq" else ""
