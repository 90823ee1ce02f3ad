"""The application: routes put together, and what surrounds every request."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from hotmend import __version__
from hotmend.server.agents import routes as agents
from hotmend.server.arm import (
    apply_updates,
    configuration_assignments,
    deployments,
    groups,
    hybrid_machines,
    images,
    license_profiles,
    listing,
    long_running,
    machine_actions,
    maintenance_configurations,
    metadata,
    plain,
    resource_graph,
    subscriptions,
    virtual_machines,
)
from hotmend.server.arm.access import Access
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.fleet_api import audit as fleet_audit
from hotmend.server.fleet_api import machines as fleet_machines
from hotmend.server.fleet_api import notifications as fleet_notifications
from hotmend.server.fleet_api import principals as fleet_principals
from hotmend.server.fleet_api import rollouts as fleet_rollouts
from hotmend.server.identity import authority, door, sessions
from hotmend.server.notifications.notifying import Notifying
from hotmend.server.portal import pages as portal
from hotmend.server.resource_id import canonical
from hotmend.server.rollouts.keeping import Keeping
from hotmend.server.storage import compliance, outbox, runs

_TIDY_EVERY_S = 3600.0


def app(control: Control) -> ASGIApp:
    """Everything behind one port: the agents' API, the authority, the repository, the portal, and
    ARM."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(control.orders.run()),
            asyncio.create_task(Keeping(control).run()),
            asyncio.create_task(Notifying(control).run()),
            asyncio.create_task(control.log.run()),
            asyncio.create_task(_tidy(control)),
            asyncio.create_task(listing.keep(control)),
        ]
        yield
        for task in tasks:
            task.cancel()

    api = _Canonical(arm(control))
    served = (control.repository.metadata, control.repository.targets)
    outer = Starlette(
        lifespan=lifespan,
        routes=[
            *agents.routes(control),
            *door.routes(control),
            *authority.routes(control),
            *(
                Mount(f"/repository/{folder.name}", StaticFiles(directory=folder, check_dir=False))
                for folder in served
            ),
            *portal.routes(control, api),
            Mount("/", api),
        ],
    )
    return outer


def arm(control: Control) -> FastAPI:
    """The ARM surface, with its OpenAPI."""
    access = Access(control)
    made = FastAPI(
        title="Hotmend",
        version=__version__,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={"default": {"description": "An error in Azure's form."}},
    )
    for router in (
        metadata.router(control),
        subscriptions.router(control, access),
        groups.router(control, access),
        virtual_machines.router(control, access),
        hybrid_machines.router(control, access),
        license_profiles.router(control, access),
        machine_actions.router(control, access),
        fleet_machines.router(control, access),
        fleet_audit.router(control, access),
        fleet_principals.router(control, access),
        fleet_rollouts.router(control, access),
        fleet_notifications.router(control, access),
        long_running.router(control, access),
        images.router(control, access),
        plain.router(control, access),
        deployments.router(control, access),
        resource_graph.router(control, access),
        maintenance_configurations.router(control, access),
        configuration_assignments.router(control, access),
        apply_updates.router(control, access),
    ):
        made.include_router(router)

    @made.middleware("http")
    async def headers(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        identifier = str(uuid.uuid4())
        response.headers["x-ms-request-id"] = identifier
        response.headers["x-ms-correlation-request-id"] = request.headers.get(
            "x-ms-correlation-request-id", identifier
        )
        if request.headers.get("x-ms-return-client-request-id", "").lower() == "true":
            response.headers["x-ms-client-request-id"] = request.headers.get(
                "x-ms-client-request-id", ""
            )
        response.headers["Cache-Control"] = "no-store"
        return response

    @made.exception_handler(ArmError)
    async def arm_error(_: Request, error: ArmError) -> Response:
        headers = {}
        if error.status == 401:
            headers["WWW-Authenticate"] = (
                f'Bearer authorization_uri="{control.authority}", error="invalid_token", '
                'error_description="The access token is missing or invalid."'
            )
        return JSONResponse(error.body(), error.status, headers)

    @made.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(word) for word in first["loc"] if word != "body")
        message = f"The request content was invalid: {place or 'body'}: {first['msg']}."
        return JSONResponse(ArmError(400, "InvalidRequestContent", message, place).body(), 400)

    @made.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        codes = {404: "InvalidResourceType", 405: "MethodNotAllowed"}
        message = f"There is no {request.method} {request.url.path} here."
        body = ArmError(error.status_code, codes.get(error.status_code, "BadRequest"), message)
        return JSONResponse(body.body(), error.status_code, error.headers)

    @made.exception_handler(SQLAlchemyError)
    async def no_database(_: Request, __: SQLAlchemyError) -> Response:
        body = ArmError(503, "ServiceUnavailable", "The database does not answer; try again.")
        return JSONResponse(body.body(), 503, {"Retry-After": "5"})

    return made


class _Canonical:
    """Paths are spelt as the routes are before they are looked up."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": canonical(scope["path"]).rstrip("/") or "/"}
        await self._inner(scope, receive, send)


async def _tidy(control: Control) -> None:
    """Old assessments, installations and sessions go, how machines stand is written down; the audit
    log stays."""
    while True:
        with contextlib.suppress(SQLAlchemyError):
            for work in (
                runs.forget_old,
                sessions.forget_old,
                outbox.forget_old,
                compliance.sample,
            ):
                done = control.database.submit(partial(work, now=control.clock()))
                await asyncio.wrap_future(done)
        await asyncio.sleep(_TIDY_EVERY_S)
