"""``Microsoft.Resources/deployments``: az makes machines by a template, not by PUT.

What az writes is understood: literal resources, ``dependsOn``, outputs, and the expressions of
``template_expressions``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from hotmend.fleet import support
from hotmend.server.arm import common_routes, groups, plain, subscriptions, virtual_machines
from hotmend.server.arm.access import Access
from hotmend.server.arm.long_running import timestamp
from hotmend.server.arm.template_expressions import ExpressionError, evaluated, is_expression
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId, canonical, checked_name
from hotmend.server.storage import resources
from hotmend.server.storage.resources import Resource

TYPE = "Microsoft.Resources/deployments"
_PATH = f"{common_routes.GROUP}/providers/{TYPE}/{{name}}"
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
            made = {}
            for resource in _in_order(_filled(body.properties, subscription, group)):
                done = _deploy(control, connection, subscription, group, resource)
                made[str(done.id).lower()] = done
            properties = {
                "provisioningState": "Succeeded",
                "mode": body.properties.get("mode", "Incremental"),
                "timestamp": timestamp(control.clock()),
                "outputs": _outputs(body.properties, subscription, group, made),
                "outputResources": [{"id": str(one.id)} for one in made.values()],
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
) -> Resource:
    if str(resource.get("type")).count("/") > 1:
        return _deploy_part(control, connection, subscription, group, resource)
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
        rows = support.shipped()
        return virtual_machines.written(control, connection, identifier, wanted, rows)[0]
    return plain.written(control, connection, identifier, wanted)[0]


def _deploy_part(
    control: Control,
    connection: Connection,
    subscription: str,
    group: str,
    resource: dict[str, Any],
) -> Resource:
    """A part of a network's resource, such as loadBalancers/inboundNatRules: kept in it."""
    kind, _, part = str(resource["type"]).rpartition("/")
    owner, _, name = str(resource.get("name", "")).partition("/")
    known = {kind.lower(): kind for kind in plain.NETWORK}
    if kind.lower() not in known or not name:
        raise ArmError(
            400,
            "InvalidTemplateDeployment",
            f"Resources of type '{str(resource['type'])[:80]}' cannot be deployed here.",
        )
    identifier = ResourceId(subscription, group, known[kind.lower()], checked_name(owner))
    body = virtual_machines.found(connection, identifier).body
    before = body["properties"].get(part)
    known_parts = before if isinstance(before, list) else []
    others = [p for p in known_parts if not isinstance(p, dict) or p.get("name") != name]
    made = {"name": checked_name(name), "properties": resource.get("properties") or {}}
    whole = {**body, "properties": {**body["properties"], part: [*others, made]}}
    return plain.written(control, connection, identifier, whole)[0]


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
    functions = {
        **_functions(subscription, group),
        "parameters": values.__getitem__,
        "variables": variables.__getitem__,
    }

    def replaced(value: Any, depth: int = 0) -> Any:
        if depth > 40:
            raise _invalid("the template is nested too deeply")
        if isinstance(value, dict):
            return {name: replaced(inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner, depth + 1) for inner in value]
        if not isinstance(value, str) or not is_expression(value):
            return value
        try:
            return replaced(evaluated(value, functions), depth + 1)
        except ExpressionError as error:
            raise _invalid(str(error)) from None

    filled = replaced(found)
    if not all(isinstance(resource, dict) for resource in filled):
        raise _invalid("a resource is an object")
    return list(filled)


def _functions(subscription: str, group: str) -> dict[str, Callable[..., Any]]:
    def resource_id(kind: str, *names: str) -> str:
        words = kind.split("/")[1:]
        place = f"/subscriptions/{subscription}/resourceGroups/{group}/providers"
        pairs = (f"/{word}/{name}" for word, name in zip(words, names, strict=False))
        return canonical(f"{place}/{kind.split('/')[0]}{''.join(pairs)}")

    return {
        "concat": lambda *parts: "".join(map(str, parts)),
        "resourceid": resource_id,
        "providers": lambda *_: {"apiVersions": list(subscriptions.API_VERSIONS)},
    }


def _outputs(
    properties: dict[str, Any], subscription: str, group: str, made: dict[str, Resource]
) -> dict[str, Any]:
    """Of what the template made: ``[reference(resourceId(…), …)]``, and texts. Raises ArmError."""
    wanted = properties["template"].get("outputs")
    functions = {
        **_functions(subscription, group),
        "reference": lambda place, *_: made[place.lower()].body["properties"],
    }
    found = {}
    for name, output in (wanted if isinstance(wanted, dict) else {}).items():
        value = output.get("value") if isinstance(output, dict) else None
        if isinstance(value, str) and is_expression(value):
            try:
                value = evaluated(value, functions)
            except ExpressionError as error:
                raise _invalid(str(error)) from None
        found[name] = {"type": "object" if isinstance(value, dict) else "string", "value": value}
    return found


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
