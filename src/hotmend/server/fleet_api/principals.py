"""``Hotmend.Fleet``: who may do what, for admins of everything."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from hotmend.server.arm.access import Access
from hotmend.server.control import Control
from hotmend.server.errors import ArmError, ServerError
from hotmend.server.identity import principals
from hotmend.server.identity.principals import Principal
from hotmend.server.identity.roles import Role
from hotmend.server.storage import audit

_PATH = "/providers/Hotmend.Fleet/principals"
_ONE = f"{_PATH}/{{principal}}"
_READ, _WRITE = "Hotmend.Fleet/principals/read", "Hotmend.Fleet/principals/write"
_Id = Annotated[str, Path(pattern="^[0-9a-f-]{36}$")]
_SCOPE = Field(default="/", min_length=1, max_length=1024)


class AssignmentBody(BaseModel):
    """A role in a scope: a resource id's beginning, or / for everything."""

    role: Role
    scope: str = _SCOPE


class PrincipalBody(AssignmentBody):
    """With a password it is a person, without one a service principal."""

    name: str = Field(min_length=1, max_length=200)
    password: str = Field(default="", max_length=128)


def router(control: Control, access: Access) -> APIRouter:
    """Everything is done in one transaction with its entry in the audit log."""
    routes = APIRouter(tags=["principals"])

    def done(request: Request, what: str, subject: str, work: Any, **details: str) -> Any:
        by = request.state.principal.id

        def all_of_it(connection: Connection) -> Any:
            result = work(connection)
            audit.append(connection, control.clock(), by, what, subject, details)
            return result

        try:
            return control.database.write(all_of_it)
        except ServerError as error:
            raise ArmError(409, "PrincipalOperationNotAllowed", str(error)) from None

    @routes.get(_PATH, **access.to(_READ))
    def everybody() -> dict[str, Any]:
        with control.database.reading() as connection:
            return {"value": [_shown(one) for one in principals.everybody(connection)]}

    @routes.post(_PATH, status_code=201, **access.to(_WRITE))
    def create(request: Request, body: PrincipalBody) -> dict[str, Any]:
        def work(connection: Connection) -> tuple[str, str]:
            now = control.clock()
            return principals.create(
                connection, body.name, body.role, body.scope, now, body.password
            )

        identifier, secret = done(
            request, "principal", body.name, work, role=body.role.value, scope=body.scope
        )
        return {"id": identifier, "name": body.name, "secret": None if body.password else secret}

    @routes.post(f"{_ONE}/rotate", **access.to(_WRITE))
    def rotate(request: Request, principal: _Id) -> dict[str, Any]:
        secret = done(
            request, "rotate secret", principal, lambda c: principals.rotate(c, principal)
        )
        return {"id": principal, "secret": secret}

    @routes.delete(_ONE, status_code=204, response_class=Response, **access.to(_WRITE))
    def remove(request: Request, principal: _Id) -> Response:
        done(request, "remove principal", principal, lambda c: principals.remove(c, principal))
        return Response(status_code=204)

    @routes.put(
        f"{_ONE}/assignments", status_code=204, response_class=Response, **access.to(_WRITE)
    )
    def give(request: Request, principal: _Id, body: AssignmentBody) -> Response:
        done(
            request,
            "give role",
            principal,
            lambda c: principals.give(c, principal, body.role, body.scope),
            role=body.role.value,
            scope=body.scope,
        )
        return Response(status_code=204)

    @routes.delete(
        f"{_ONE}/assignments", status_code=204, response_class=Response, **access.to(_WRITE)
    )
    def take(
        request: Request,
        principal: _Id,
        role: Role,
        scope: str = Query(default="/", min_length=1, max_length=1024),
    ) -> Response:
        done(
            request,
            "take role",
            principal,
            lambda c: principals.take(c, principal, role, scope),
            role=role.value,
            scope=scope,
        )
        return Response(status_code=204)

    return routes


def _shown(one: Principal) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "kind": "person" if one.person else "service",
        "elsewhere": one.elsewhere or None,
        "created": one.created,
        "assignments": [{"role": a.role.value, "scope": a.scope} for a in one.assignments],
    }
