"""What a machine can be asked to do: assess, install, restart; and what nobody can ask of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from hotmend.model.agent_messages import Order, RebootSetting, RunKind
from hotmend.server.arm import common_routes, hybrid_machines, install_request, orders
from hotmend.server.arm.access import Access
from hotmend.server.arm.bodies import InstallBody, content
from hotmend.server.arm.instance_view import SILENT_AFTER_S
from hotmend.server.arm.virtual_machines import PATH, TYPE, found
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId
from hotmend.server.storage import machines, runs

_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Begun; ask where the headers say."}
}


def router(control: Control, access: Access) -> APIRouter:
    """Every action is an order that waits for the machine's agent."""
    routes = APIRouter(tags=["machine actions"])
    for kind in (TYPE, hybrid_machines.TYPE):
        _add_patching(routes, control, access, kind)

    @routes.post(
        f"{PATH}/{{name}}/restart",
        status_code=202,
        response_class=Response,
        responses=_ACCEPTED,
        **access.to(f"{TYPE}/restart/action"),
    )
    def restart(subscription: str, group: str, name: str) -> Response:
        order = Order(runs.new_id(), RunKind.RESTART, reboot=RebootSetting.ALWAYS)
        return orders.begin(control, ResourceId(subscription, group, TYPE, name), order)

    @routes.post(
        f"{PATH}/{{name}}/start", response_class=Response, **access.to(f"{TYPE}/start/action")
    )
    def start(subscription: str, group: str, name: str) -> Response:
        """A machine that runs has been started; another one nobody here can start."""
        identifier = ResourceId(subscription, group, TYPE, name)
        with control.database.reading() as connection:
            found(connection, identifier)
            machine = machines.of_resource(connection, identifier.key)
        if machine is None or control.clock() - machine.seen > SILENT_AFTER_S:
            raise _no_hypervisor("start", name)
        return Response(status_code=200)

    def refuse(action: str) -> None:
        @routes.post(
            f"{PATH}/{{name}}/{action}",
            status_code=202,
            response_class=Response,
            responses=_ACCEPTED,
            name=action,
            **access.to(f"{TYPE}/{action}/action"),
        )
        def no(subscription: str, group: str, name: str) -> Response:
            with control.database.reading() as connection:
                found(connection, ResourceId(subscription, group, TYPE, name))
            raise _no_hypervisor(action, name)

    for action in ("powerOff", "deallocate"):
        refuse(action)
    return routes


def _add_patching(routes: APIRouter, control: Control, access: Access, kind: str) -> None:
    path = f"{common_routes.GROUP}/providers/{kind}/{{name}}"

    @routes.post(
        f"{path}/assessPatches",
        status_code=202,
        response_class=Response,
        responses=_ACCEPTED,
        **access.to(f"{kind}/assessPatches/action"),
    )
    def assess(subscription: str, group: str, name: str) -> Response:
        order = Order(runs.new_id(), RunKind.ASSESS)
        return orders.begin(control, ResourceId(subscription, group, kind, name), order)

    @routes.post(
        f"{path}/installPatches",
        status_code=202,
        response_class=Response,
        responses=_ACCEPTED,
        **access.to(f"{kind}/installPatches/action"),
    )
    def install(subscription: str, group: str, name: str, body: InstallBody) -> Response:
        order = install_request.parsed(content(body), runs.new_id())
        return orders.begin(control, ResourceId(subscription, group, kind, name), order)


def _no_hypervisor(action: str, name: str) -> ArmError:
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation '{action}' is not allowed on '{name}': Hotmend has an agent in the machine and "
        "no hypervisor under it.",
    )
