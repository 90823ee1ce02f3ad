"""What a machine can be asked to do: assess, install, restart; and what nobody can ask of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from hotmend.model.agent_messages import Order, RebootSetting, RunKind
from hotmend.server.arm import install_request
from hotmend.server.arm.access import Access
from hotmend.server.arm.bodies import InstallBody, content
from hotmend.server.arm.long_running import accepted
from hotmend.server.arm.virtual_machines import PATH, TYPE, found
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId
from hotmend.server.storage import audit, machines, runs

_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Begun; ask where the headers say."}
}


def router(control: Control, access: Access) -> APIRouter:
    """Every action is an order that waits for the machine's agent."""
    routes = APIRouter(tags=["virtual machines"])

    def begin(subscription: str, group: str, name: str, order: Order) -> Response:
        identifier = ResourceId(subscription, group, TYPE, name)

        def work(connection: Connection) -> str:
            resource = found(connection, identifier)
            machine = machines.of_resource(connection, identifier.key)
            if machine is None:
                raise ArmError(
                    409,
                    "OperationNotAllowed",
                    f"No agent has enrolled as '{name}': run hotmend enroll on the machine.",
                )
            if order.kind is not RunKind.ASSESS:
                _refuse_second(connection, machine.id, name)
            location = str(resource.body["location"])
            now = control.clock()
            runs.ask(connection, machine.id, location, order, runs.USER, now)
            audit.append(
                connection, now, "api", order.kind.value, str(resource.id), {"run": order.id}
            )
            return location

        location = control.database.write(work)
        control.orders.notify()
        return accepted(control, location, order.id)

    @routes.post(
        f"{PATH}/{{name}}/assessPatches",
        status_code=202,
        response_class=Response,
        responses=_ACCEPTED,
        **access.to(f"{TYPE}/assessPatches/action"),
    )
    def assess(subscription: str, group: str, name: str) -> Response:
        return begin(subscription, group, name, Order(runs.new_id(), RunKind.ASSESS))

    @routes.post(
        f"{PATH}/{{name}}/installPatches",
        status_code=202,
        response_class=Response,
        responses=_ACCEPTED,
        **access.to(f"{TYPE}/installPatches/action"),
    )
    def install(subscription: str, group: str, name: str, body: InstallBody) -> Response:
        order = install_request.parsed(content(body), runs.new_id())
        return begin(subscription, group, name, order)

    @routes.post(
        f"{PATH}/{{name}}/restart",
        status_code=202,
        response_class=Response,
        responses=_ACCEPTED,
        **access.to(f"{TYPE}/restart/action"),
    )
    def restart(subscription: str, group: str, name: str) -> Response:
        order = Order(runs.new_id(), RunKind.RESTART, reboot=RebootSetting.ALWAYS)
        return begin(subscription, group, name, order)

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
            raise ArmError(
                409,
                "OperationNotAllowed",
                f"Operation '{action}' is not allowed on '{name}': Hotmend has an agent in the "
                "machine and no hypervisor under it.",
            )

    for action in ("start", "powerOff", "deallocate"):
        refuse(action)
    return routes


def _refuse_second(connection: Connection, machine: str, name: str) -> None:
    """One installation or restart at a time."""
    other = runs.busy(connection, machine)
    if other is not None:
        raise ArmError(
            409,
            "Conflict",
            f"The request failed due to conflict with a concurrent request: '{name}' is busy with "
            f"the {other.kind.value} '{other.id}'.",
        )
