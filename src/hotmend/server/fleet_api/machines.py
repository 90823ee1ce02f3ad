"""``Hotmend.Fleet``: the machines as an operator asks for them."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from hotmend.model.agent_messages import Health, RunKind
from hotmend.server.arm import patch_results, subscriptions
from hotmend.server.arm.access import Access
from hotmend.server.arm.common_routes import GROUP
from hotmend.server.arm.instance_view import SILENT_AFTER_S
from hotmend.server.arm.long_running import timestamp
from hotmend.server.arm.machine_support import CONNECTED
from hotmend.server.arm.virtual_machines import TYPE, found
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.resource_id import ResourceId, checked_name
from hotmend.server.storage import audit, machines, runs
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.runs import Kept

_READ = "Hotmend.Fleet/machines/read"
FLEET = f"{GROUP}/providers/Hotmend.Fleet/machines/{{name}}"
_HISTORY_DAYS = 30


class CodeBody(BaseModel):
    """The machine that may enrol with the code."""

    location: str = Field(default="local", min_length=1, max_length=64)
    type: Literal["Microsoft.Compute/virtualMachines", "Microsoft.HybridCompute/machines"] = (
        "Microsoft.Compute/virtualMachines"
    )


def router(control: Control, access: Access) -> APIRouter:
    """Read, and let enrol."""
    routes = APIRouter(tags=["fleet"])

    @routes.post(f"{FLEET}/enrolmentCodes", **access.to("Hotmend.Fleet/enrolmentCodes/write"))
    def code(subscription: str, group: str, name: str, body: CodeBody) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        identifier = ResourceId(subscription, checked_name(group), body.type, checked_name(name))

        def work(connection: Connection) -> str:
            now = control.clock()
            audit.append(connection, now, "api", "enrolment code", str(identifier), {})
            return machines.new_code(connection, str(identifier), body.location, now)

        return {"code": control.database.write(work), "expiresInSeconds": machines.CODE_LIFE_S}

    @routes.get(
        "/subscriptions/{subscription}/providers/Hotmend.Fleet/machines",
        **access.to(_READ, filtered=True),
    )
    def everything(subscription: str, request: Request) -> dict[str, Any]:
        subscriptions.check(control, subscription)
        with control.database.reading() as connection:
            known = machines.of_resources(connection)
            assessed = runs.latest_of(connection, RunKind.ASSESS)
            shown = [
                _machine(machine, assessed.get(machine.id), control.clock())
                for key, machine in sorted(known.items())
                if key.startswith(f"/subscriptions/{subscription.lower()}/")
                and access.readable(request, _READ, key)
            ]
        return {"value": shown}

    @routes.get(f"{FLEET}/patches", **access.to(_READ))
    def patches(subscription: str, group: str, name: str) -> dict[str, Any]:
        with control.database.reading() as connection:
            machine = enrolled(connection, subscription, group, name)
            kept = runs.latest(connection, machine.id, RunKind.ASSESS, ended=True)
        if kept is None or kept.run is None or kept.run.assessment is None:
            return {"assessed": None, "value": []}
        assessment = kept.run.assessment
        return {
            "assessed": timestamp(kept.finished or kept.asked),
            "rebootPending": assessment.reboot_pending,
            "processesNotExamined": assessment.unexamined,
            "releasesNotRead": list(assessment.unread),
            "staleProcesses": [
                {"pid": p.pid, "command": p.command, "files": list(p.files), "needs": p.needs.value}
                for p in assessment.stale
            ],
            "installed": list(assessment.installed),
            "value": [
                {
                    "article": patch.article,
                    "name": patch.name,
                    "classification": patch.classification,
                    "severity": patch.severity,
                    "hotpatch": patch.hotpatch,
                    "rebootBehavior": patch.reboot,
                    "advisories": list(patch.advisories),
                    "outdatedProcesses": list(patch.outdated),
                    "patchedProcesses": list(patch.patched),
                    "baselineFirst": patch.baseline_first,
                }
                for patch in assessment.patches
            ],
        }

    @routes.get(f"{FLEET}/health", **access.to(_READ))
    def health(subscription: str, group: str, name: str) -> dict[str, Any]:
        with control.database.reading() as connection:
            machine = enrolled(connection, subscription, group, name)
            told = machines.health(connection, machine.id)
        heard = {
            "connected": control.clock() - machine.seen <= SILENT_AFTER_S,
            "lastSeen": timestamp(machine.seen),
        }
        return {**heard, **(_health(*told) if told is not None else {"told": None})}

    @routes.get(f"{FLEET}/history", **access.to(_READ))
    def history(
        subscription: str,
        group: str,
        name: str,
        days: int = Query(default=_HISTORY_DAYS, ge=1, le=_HISTORY_DAYS),
    ) -> dict[str, Any]:
        with control.database.reading() as connection:
            machine = enrolled(connection, subscription, group, name)
            since = control.clock() - days * 86400
            known = runs.history(connection, machine.id, since)
        return {"value": [_run(kept) for kept in known]}

    return routes


def enrolled(connection: Connection, subscription: str, group: str, name: str) -> Machine:
    """A virtual machine by that name, or else a connected one."""
    for kind in (TYPE, CONNECTED):
        identifier = ResourceId(subscription, group, kind, name)
        machine = machines.of_resource(connection, identifier.key)
        if machine is not None:
            return machine
    found(connection, ResourceId(subscription, group, TYPE, name))
    raise ArmError(404, "MachineNotEnrolled", f"No agent has enrolled as '{name}'.")


def _machine(machine: Machine, assessed: Kept | None, now: float) -> dict[str, Any]:
    words = machine.resource.split("/")
    summary = patch_results.assessment_summary(assessed) if assessed is not None else None
    assessment = assessed.run.assessment if assessed and assessed.run else None
    return {
        "id": machine.resource,
        "name": words[-1],
        "host": machine.facts.host,
        "osName": machine.facts.os_name,
        "osVersion": machine.facts.os_version,
        "simulated": machine.simulated,
        "connected": now - machine.seen <= SILENT_AFTER_S,
        "lastSeen": timestamp(machine.seen),
        "assessed": timestamp(assessed.finished) if assessed and assessed.finished else None,
        "criticalAndSecurityPatchCount": summary and summary["criticalAndSecurityPatchCount"],
        "otherPatchCount": summary and summary["otherPatchCount"],
        "rebootPending": summary and summary["rebootPending"],
        "releasesNotRead": list(assessment.unread) if assessment else [],
    }


def _health(told: float, health: Health) -> dict[str, Any]:
    """As the machine said it, with the times at which each thing was seen."""
    verified = health.verified
    return {
        "told": timestamp(told),
        "observed": timestamp(health.time),
        "memoryVerified": timestamp(verified) if verified is not None else None,
        "processesIntact": health.intact,
        "processesDrifted": [
            {"pid": d.pid, "command": d.command, "because": d.because} for d in health.drifted
        ],
        "processesEnded": [
            {
                "pid": e.pid,
                "command": e.command,
                "time": timestamp(e.time),
                "ending": e.ending.value,
                "number": e.number,
            }
            for e in health.ended
        ],
        "probes": [
            {
                "name": p.name,
                "healthy": p.healthy,
                "time": timestamp(p.time),
                "tookSeconds": p.took_s,
                "because": p.because,
            }
            for p in health.probes
        ],
    }


def _run(kept: Kept) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": kept.id,
        "operation": kept.kind.value,
        "startedBy": kept.started_by,
        "started": timestamp(kept.asked),
        "ended": timestamp(kept.finished) if kept.finished is not None else None,
        "status": kept.status.value,
        "problem": kept.run.problem if kept.run is not None else "",
    }
    if kept.run is not None and kept.run.installation is not None:
        shown["rebootStatus"] = kept.run.installation.reboot.value
        shown["patches"] = [
            {
                "article": patch.article,
                "name": patch.name,
                "classification": patch.classification,
                "state": patch.state.value,
                "because": patch.because,
                "processes": [
                    {"pid": p.pid, "command": p.command, "outcome": p.kind, "because": p.because}
                    for p in patch.processes
                ],
            }
            for patch in kept.run.installation.patches
        ]
    return shown
