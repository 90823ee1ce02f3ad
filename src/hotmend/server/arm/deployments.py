"""``Microsoft.Resources/deployments``: az makes machines by a template, not by PUT.

What az writes is understood: literal resources, ``[parameters('…')]``, ``[variables('…')]``,
``[resourceId(…)]`` and ``dependsOn``. Any other expression is refused, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from hotmend.fleet import support
from hotmend.server.arm import groups, plain, virtual_machines
from hotmend.server.arm.access import Access
from hotmend.server.arm.long_running import timestamp
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId, canonical, checked_name
from hotmend.server.storage import resources

TYPE = "Microsoft.Resources/deployments"
_PATH = f"{virtual_machines.GROUP}/providers/{TYPE}/{{name}}"
_CALL = re.compile(r"\[(parameters|variables)\('([^']+)'\)\]")
_RESOURCE_ID = re.compile(r"\[resourceId\('([^']+)',\s*'([^']+)'\)\]")
_MOST_RESOURCES = 800


class DeploymentBody(BaseModel):
    """A template and what is filled in."""

    model_config = ConfigDict(extra="allow")

    properties: dict[str, Any]


def router(control: Control, access: Access) -> APIRouter:
    """A deployment is carried out whole, or not at all."""
    routes = APIRouter(tags=["deployments"])

    @routes.put(_PATH, responses={201: {}}, **access.to(f"{TYPE}/write"))
    def put(subscription: str, group: str, name: str, body: DeploymentBody) -> Any:
        identifier = ResourceId(subscription, group, TYPE, checked_name(name))

        def work(connection: Connection) -> dict[str, Any]:
            groups.found(connection, subscription, group)
            made = [
                str(_deploy(control, connection, subscription, group, resource))
                for resource in _in_order(_filled(body.properties, subscription, group))
            ]
            properties = {
                "provisioningState": "Succeeded",
                "mode": body.properties.get("mode", "Incremental"),
                "timestamp": timestamp(control.clock()),
                "outputs": {},
                "outputResources": [{"id": one} for one in made],
            }
            shown = {"properties": properties}
            return resources.put(connection, identifier, shown, control.clock()).as_json()

        try:
            return JSONResponse(control.database.write(work), 201)
        except ArmError as error:
            if error.status == 404:
                raise
            raise _failed(error) from None

    @routes.get(_PATH, **access.to(f"{TYPE}/read"))
    def get(subscription: str, group: str, name: str) -> dict[str, Any]:
        identifier = ResourceId(subscription, group, TYPE, name)
        with control.database.reading() as connection:
            return virtual_machines.found(connection, identifier).as_json()

    @routes.post(f"{_PATH}/validate", **access.to(f"{TYPE}/read"))
    def validate(subscription: str, group: str, name: str, body: DeploymentBody) -> dict[str, Any]:
        _in_order(_filled(body.properties, subscription, group))
        return {"name": name, "properties": {"provisioningState": "Succeeded"}}

    return routes


def _deploy(
    control: Control,
    connection: Connection,
    subscription: str,
    group: str,
    resource: dict[str, Any],
) -> ResourceId:
    known = {kind.lower(): kind for kind in (*plain.TYPES, virtual_machines.TYPE)}
    kind = known.get(str(resource.get("type", "")).lower())
    if kind is None:
        raise ArmError(
            400,
            "InvalidTemplateDeployment",
            f"Resources of type '{str(resource.get('type'))[:80]}' cannot be deployed here.",
        )
    identifier = ResourceId(subscription, group, kind, checked_name(str(resource.get("name", ""))))
    wanted = {
        name: value
        for name, value in resource.items()
        if name not in ("apiVersion", "dependsOn", "name", "type", "comments", "condition")
    }
    wanted.setdefault("location", "global")
    if kind == virtual_machines.TYPE:
        virtual_machines.written(control, connection, identifier, wanted, support.shipped())
    else:
        plain.written(control, connection, identifier, wanted)
    return identifier


def _filled(properties: dict[str, Any], subscription: str, group: str) -> list[dict[str, Any]]:
    """The template's resources with every expression replaced. Raises ArmError."""
    template = properties.get("template")
    found = template.get("resources") if isinstance(template, dict) else None
    if isinstance(found, dict):
        found = list(found.values())
    if not isinstance(found, list) or len(found) > _MOST_RESOURCES:
        raise _invalid("a template has a list of at most 800 resources")
    assert isinstance(template, dict)
    values = {
        **_values(template.get("parameters"), "defaultValue"),
        **_values(properties.get("parameters"), "value"),
    }
    variables = template.get("variables")
    variables = variables if isinstance(variables, dict) else {}

    def replaced(value: Any, depth: int = 0) -> Any:
        if depth > 40:
            raise _invalid("the template is nested too deeply")
        if isinstance(value, dict):
            return {name: replaced(inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner, depth + 1) for inner in value]
        if not isinstance(value, str) or not value.startswith("[") or value.startswith("[["):
            return value
        call, own = _CALL.fullmatch(value), _RESOURCE_ID.fullmatch(value)
        if own is not None:
            place = f"/subscriptions/{subscription}/resourceGroups/{group}"
            return canonical(f"{place}/providers/{own[1]}/{own[2]}")
        holder = {"parameters": values, "variables": variables}.get(call[1] if call else "", {})
        if call is None or call[2] not in holder:
            raise _invalid(f"the expression {value[:80]} is not understood")
        return replaced(holder[call[2]], depth + 1)

    filled = replaced(found)
    if not all(isinstance(resource, dict) for resource in filled):
        raise _invalid("a resource is an object")
    return list(filled)


def _in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What others depend on comes first. Raises ArmError for a circle."""
    waiting, done, ordered = list(found), set[str](), list[dict[str, Any]]()
    names = {name for resource in found for name in _names(resource)}
    while waiting:
        ready = [
            resource
            for resource in waiting
            if all(need in done or need not in names for need in _needs(resource))
        ]
        if not ready:
            raise _invalid("the template's resources depend on each other in a circle")
        for resource in ready:
            waiting.remove(resource)
            done.update(_names(resource))
            ordered.append(resource)
    return ordered


def _names(resource: dict[str, Any]) -> Iterator[str]:
    """How others may call it: by its name, or by type and name, or by id."""
    kind, name = str(resource.get("type")).lower(), str(resource.get("name")).lower()
    yield from (name, f"{kind}/{name}")


def _needs(resource: dict[str, Any]) -> Iterator[str]:
    needs = resource.get("dependsOn")
    for need in needs if isinstance(needs, list) else ():
        yield str(need).lower().rpartition("/providers/")[2].strip("/")


def _values(parameters: Any, name: str) -> dict[str, Any]:
    if not isinstance(parameters, dict):
        return {}
    return {
        key: value[name]
        for key, value in parameters.items()
        if isinstance(value, dict) and name in value
    }


def _invalid(why: str) -> ArmError:
    return ArmError(
        400, "InvalidTemplate", f"Deployment template validation failed: {why}.", "template"
    )


def _failed(error: ArmError) -> ArmError:
    """As Azure wraps what went wrong with a resource; what is wrong with the template itself it
    says as it is."""
    if error.code.startswith("InvalidTemplate"):
        return error
    return ArmError(
        400,
        "DeploymentFailed",
        "At least one resource deployment operation failed. Please list deployment operations for "
        "details. Please see https://aka.ms/arm-deployment-operations for usage details.",
        details=(error,),
    )
