"""``Microsoft.Maintenance/configurationAssignments``: which machines a configuration is for: one by
one, or by a filter over a resource group or the subscription."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from hotmend.server.arm import groups, scope_filter, subscriptions
from hotmend.server.arm.access import Access
from hotmend.server.arm.bodies import content, merged
from hotmend.server.arm.common_routes import GROUP
from hotmend.server.arm.maintenance_configurations import TYPE as CONFIGURATION
from hotmend.server.arm.virtual_machines import found
from hotmend.server.control import Control
from hotmend.server.errors import ArmError, invalid
from hotmend.server.resource_id import ResourceId, checked_name, parsed
from hotmend.server.storage import audit, maintenance
from hotmend.server.storage.maintenance import Assignment

TYPE = "Microsoft.Maintenance/configurationAssignments"
_READ, _WRITE, _DELETE = (f"{TYPE}/{verb}" for verb in ("read", "write", "delete"))
RESOURCE = f"{GROUP}/providers/{{provider}}/{{kind}}/{{resource}}"
_SUBSCRIPTION = "/subscriptions/{subscription}"
MOST_RESOURCES = 3000
MOST_SCOPES = 200
MOST_SCOPES_OF_A_PLACE = 250
_ASSIGNABLE = (
    *("microsoft.compute/virtualmachines", "microsoft.hybridcompute/machines"),
    "microsoft.compute/virtualmachinescalesets",
)

Body = dict[str, Any]


class AssignmentBody(BaseModel):
    """What is not named here is kept as it comes; PATCH sends only what changes."""

    model_config = ConfigDict(extra="allow")

    location: str | None = None
    properties: dict[str, Any] | None = None


def router(control: Control, access: Access) -> APIRouter:
    """On a machine; on a resource group; on the subscription."""
    routes = APIRouter(tags=["maintenance"])
    assignments = _Assignments(control, access)

    def target(subscription: str, group: str, provider: str, kind: str, resource: str) -> str:
        return str(ResourceId(subscription, group, f"{provider}/{kind}", resource))

    @routes.put(f"{RESOURCE}/providers/{TYPE}/{{name}}", responses={201: {}}, **access.to(_WRITE))
    def put(
        subscription: str,
        group: str,
        provider: str,
        kind: str,
        resource: str,
        name: str,
        body: AssignmentBody,
        request: Request,
    ) -> Any:
        place = target(subscription, group, provider, kind, resource)
        return assignments.put(place, name, content(body), request)

    @routes.get(f"{RESOURCE}/providers/{TYPE}/{{name}}", **access.to(_READ))
    def get(
        subscription: str, group: str, provider: str, kind: str, resource: str, name: str
    ) -> dict[str, Any]:
        return assignments.get(target(subscription, group, provider, kind, resource), name)

    @routes.delete(
        f"{RESOURCE}/providers/{TYPE}/{{name}}",
        response_class=Response,
        responses={204: {}},
        **access.to(_DELETE),
    )
    def delete(
        subscription: str, group: str, provider: str, kind: str, resource: str, name: str
    ) -> Response:
        return assignments.delete(target(subscription, group, provider, kind, resource), name)

    @routes.get(f"{RESOURCE}/providers/{TYPE}", **access.to(_READ))
    def of_resource(
        subscription: str, group: str, provider: str, kind: str, resource: str
    ) -> dict[str, Any]:
        place = target(subscription, group, provider, kind, resource)
        with control.database.reading() as connection:
            found(connection, parsed(place))
            known = maintenance.of_target(connection, place.lower())
        return {"value": [shown(one) for one in known]}

    @routes.get(f"{_SUBSCRIPTION}/providers/{TYPE}", **access.to(_READ, filtered=True))
    def everything(subscription: str, request: Request) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            known = maintenance.of_subscription(connection, subscription)
        return {"value": [shown(one) for one in known if access.readable(request, _READ, one.id)]}

    for scope in (_SUBSCRIPTION, GROUP):
        _add_dynamic(routes, access, assignments, scope)
    return routes


def _add_dynamic(routes: APIRouter, access: Access, assignments: _Assignments, scope: str) -> None:
    """A filter over a scope."""
    path = f"{scope}/providers/{TYPE}/{{name}}"

    def place(request: Request) -> str:
        words = request.path_params
        whole = f"/subscriptions/{words['subscription']}"
        return f"{whole}/resourceGroups/{words['group']}" if "group" in words else whole

    @routes.put(path, responses={201: {}}, **access.to(_WRITE))
    def put(name: str, body: AssignmentBody, request: Request) -> Any:
        return assignments.put(place(request), name, content(body), request)

    @routes.patch(path, **access.to(_WRITE))
    def patch(name: str, body: AssignmentBody, request: Request) -> Any:
        return assignments.patch(place(request), name, content(body), request)

    @routes.get(path, **access.to(_READ))
    def get(name: str, request: Request) -> dict[str, Any]:
        return assignments.get(place(request), name)

    @routes.delete(path, response_class=Response, responses={204: {}}, **access.to(_DELETE))
    def delete(name: str, request: Request) -> Response:
        return assignments.delete(place(request), name)


class _Assignments:
    """The same four operations, wherever they are. ``place``: the id of a machine, group or
    subscription."""

    def __init__(self, control: Control, access: Access) -> None:
        self._control = control
        self._access = access

    def put(self, place: str, name: str, wanted: Body, request: Request) -> Response:
        assignment, new = self._control.database.write(
            lambda c: self._written(c, place, name, wanted, request)
        )
        return JSONResponse(shown(assignment), 201 if new else 200)

    def patch(self, place: str, name: str, changes: Body, request: Request) -> Body:
        def work(connection: Connection) -> Assignment:
            kept = _kept(connection, place, name)
            wanted = merged({"properties": kept.body}, changes)
            return self._written(connection, place, name, wanted, request)[0]

        return shown(self._control.database.write(work))

    def get(self, place: str, name: str) -> Body:
        with self._control.database.reading() as connection:
            return shown(_kept(connection, place, name))

    def delete(self, place: str, name: str) -> Response:
        identifier = _identifier(place, name)
        now = self._control.clock()

        def work(connection: Connection) -> bool:
            gone = maintenance.remove(connection, identifier)
            if gone:
                audit.append(connection, now, "api", "unassign", identifier, {})
            return gone

        return Response(status_code=200 if self._control.database.write(work) else 204)

    def _written(
        self, connection: Connection, place: str, name: str, wanted: Body, request: Request
    ) -> tuple[Assignment, bool]:
        properties = dict(wanted.get("properties") or {})
        words = place.strip("/").split("/")
        subscription, group = words[1], words[3] if len(words) > 3 else ""
        subscriptions.check(self._control, subscription)
        configuration = self._configuration(connection, properties, request)
        target = ""
        if len(words) > 4:
            target = _target(connection, place, properties)
            properties |= {"resourceId": place}
            properties.pop("filter", None)
        else:
            if group:
                groups.found(connection, subscription, group)
            scope_filter.parsed(properties.get("filter"), group)
        now = self._control.clock()
        identifier = _identifier(place, checked_name(name))
        made = Assignment(
            identifier, configuration.key, target, subscription, group, properties, now
        )
        _check_counts(connection, made, maintenance.get(connection, identifier))
        new = maintenance.put(connection, made)
        audit.append(
            connection, now, "api", "assign", identifier, {"configuration": str(configuration)}
        )
        return made, new

    def _configuration(
        self, connection: Connection, properties: Body, request: Request
    ) -> ResourceId:
        """The one that is named: there, and one that the caller may read."""
        text = properties.get("maintenanceConfigurationId")
        if not isinstance(text, str):
            raise invalid(
                "'maintenanceConfigurationId' is the id of a maintenance configuration.",
                "maintenanceConfigurationId",
            )
        identifier = parsed(text)
        if identifier.type.lower() != CONFIGURATION.lower():
            raise invalid(
                f"'{text[:200]}' is not the id of a maintenance configuration.",
                "maintenanceConfigurationId",
            )
        if not self._access.readable(request, f"{CONFIGURATION}/read", str(identifier)):
            raise ArmError(
                403,
                "LinkedAuthorizationFailed",
                "The client does not have authorization to perform action "
                f"'{CONFIGURATION}/read' on the linked scope '{identifier}'.",
            )
        return found(connection, identifier).id


def shown(assignment: Assignment) -> Body:
    """As Azure's clients see it."""
    return {
        "id": assignment.id,
        "name": assignment.id.rpartition("/")[2],
        "type": TYPE,
        "properties": assignment.body,
    }


def _target(connection: Connection, place: str, properties: Body) -> str:
    identifier = parsed(place)
    if identifier.type.lower() not in _ASSIGNABLE:
        raise invalid(
            f"Resources of type '{identifier.type[:80]}' are not maintained.", "resourceId"
        )
    stated = properties.get("resourceId")
    if stated is not None and str(stated).lower().strip("/") != place.lower().strip("/"):
        raise invalid("'resourceId' is another resource than the address names.", "resourceId")
    return found(connection, identifier).id.key


def _check_counts(connection: Connection, made: Assignment, before: Assignment | None) -> None:
    """Azure's limits: machines and scopes of a schedule, scopes of a place. What is there counts
    already."""
    dynamic = not made.target
    if before is None or before.configuration != made.configuration:
        most = MOST_SCOPES if dynamic else MOST_RESOURCES
        what = "dynamic scopes" if dynamic else "resources"
        if maintenance.count(connection, made.configuration, dynamic=dynamic) >= most:
            raise ArmError(409, "QuotaExceeded", f"A schedule has at most {most} {what}.")
    if dynamic and before is None:
        others = maintenance.of_subscription(connection, made.subscription, dynamic=True)
        same = sum(other.group == made.group.lower() for other in others)
        if same >= MOST_SCOPES_OF_A_PLACE:
            raise ArmError(
                409,
                "QuotaExceeded",
                f"A resource group or subscription has at most {MOST_SCOPES_OF_A_PLACE} dynamic "
                "scopes.",
            )


def _kept(connection: Connection, place: str, name: str) -> Assignment:
    known = maintenance.get(connection, _identifier(place, name))
    if known is None:
        raise ArmError(
            404,
            "ResourceNotFound",
            f"The Resource '{TYPE}/{name[:128]}' under '{place}' was not found.",
        )
    return known


def _identifier(place: str, name: str) -> str:
    return f"{place}/providers/{TYPE}/{name}"
