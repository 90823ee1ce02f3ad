"""An order for a machine, from any of the routes that give one."""

from __future__ import annotations

from fastapi import Response
from sqlalchemy import Connection

from hotmend.fleet import support
from hotmend.model.agent_messages import Order, RunKind
from hotmend.server.arm import machine_support
from hotmend.server.arm.long_running import accepted
from hotmend.server.arm.virtual_machines import found
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId
from hotmend.server.storage import audit, machines, runs
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.resources import Resource


def begin(control: Control, identifier: ResourceId, order: Order) -> Response:
    """202, and where to ask what became of it. Raises ArmError."""
    location = control.database.write(lambda c: given(control, c, identifier, order))
    control.orders.notify()
    return accepted(control, identifier.type.partition("/")[0], location, order.id)


def given(control: Control, connection: Connection, identifier: ResourceId, order: Order) -> str:
    """The order waits for the machine's agent; the machine's location. Raises ArmError."""
    resource = found(connection, identifier)
    machine = machines.of_resource(connection, identifier.key)
    if machine is None:
        raise _not_allowed(
            f"No agent has enrolled as '{identifier.name}': run hotmend enroll on the machine."
        )
    if order.kind is RunKind.INSTALL:
        check_supported(resource, machine)
    if order.kind is not RunKind.ASSESS:
        _refuse_second(connection, machine.id, identifier.name)
    location = str(resource.body["location"])
    now = control.clock()
    runs.ask(connection, machine.id, location, order, runs.USER, now)
    audit.append(connection, now, "api", order.kind.value, str(resource.id), {"run": order.id})
    return location


def check_supported(resource: Resource, machine: Machine) -> None:
    """Whether updates are installed on it at all. Raises ArmError."""
    kind, body, facts = resource.id.type, resource.body, machine.facts
    platform, rows = machine_support.platform(kind, body), support.shipped()
    if platform == "AzureLocal":
        raise _not_allowed(
            f"'{resource.id.name}' is a machine of Azure Local: no platform orchestrates its "
            "updates. Use Group Policy, SConfig or another patch manager."
        )
    if machine_support.row(kind, body, facts, rows) is None:
        known = ", ".join(support.hotpatchable(rows, platform))
        raise _not_allowed(
            f"Updates are not installed on '{resource.id.name}': '{facts.os_name} "
            f"{facts.os_version}' is not in the support matrix. Hotpatch is supported on: {known}."
        )


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


def _not_allowed(message: str) -> ArmError:
    return ArmError(409, "OperationNotAllowed", message)
