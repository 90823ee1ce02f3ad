"""The tables of Resource Graph, out of what the server knows. A table is read when a query names
it, in a few statements, and has only the rows that ``readable`` lets through.

Shapes: Microsoft's query-logs.md and the properties that its sample queries use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from hotmend.model.agent_messages import AvailablePatch, PatchResult, RunKind
from hotmend.server.arm import (
    apply_updates,
    configuration_assignments,
    hybrid_view,
    machine_support,
    patch_results,
)
from hotmend.server.arm.maintenance_configurations import SCOPE
from hotmend.server.graph.evaluate import Row, Rows, Tables
from hotmend.server.storage import machines, maintenance, resources, runs
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.resources import Resource
from hotmend.server.storage.runs import Kept

_COLUMNS = (
    *("id", "name", "type", "tenantId", "kind", "location", "resourceGroup", "subscriptionId"),
    *("managedBy", "sku", "plan", "properties", "tags", "identity", "zones", "extendedLocation"),
)
_RESTARTS = ("AlwaysRequiresReboot", "CanRequestReboot")


@dataclass(frozen=True)
class Asked:
    """``readable``: whether a resource with that id is shown to who asks."""

    connection: Connection
    subscription: str
    tenant: str
    readable: Callable[[str], bool]
    now: float


def tables(asked: Asked) -> Tables:
    """By name."""
    made = {
        "resources": _resources,
        "patchassessmentresources": _assessments,
        "patchinstallationresources": _installations,
        "maintenanceresources": _maintenance,
    }
    return {name: partial(_rows, of, asked) for name, of in made.items()}


def _rows(of: Callable[[Asked], Iterator[Row]], asked: Asked) -> Rows:
    return Rows(_COLUMNS, list(of(asked)))


def _resources(asked: Asked) -> Iterator[Row]:
    agents = machines.of_resources(asked.connection)
    assessed = runs.latest_of(asked.connection, RunKind.ASSESS)
    for resource in _readable(asked):
        shown = resource.as_json()
        if resource.id.type.lower() == machine_support.CONNECTED.lower():
            agent = agents.get(resource.id.key)
            last = assessed.get(agent.id) if agent is not None else None
            shown = hybrid_view.shown(resource, agent, last, asked.now)
        yield _row(asked, resource, resource.id.type, str(resource.id), resource.id.name, shown)


def _assessments(asked: Asked) -> Iterator[Row]:
    """The last one of each machine, and its patches."""
    latest = runs.latest_of(asked.connection, RunKind.ASSESS)
    for resource, agent in _machines(asked):
        kept = latest.get(agent.id)
        if kept is None:
            continue
        os = machine_support.os_type(agent.facts)
        times = patch_results.run_times(kept)
        whole = {
            **patch_results.assessment_numbers(kept),
            **times,
            **patch_results.patching_of(os),
        }
        kind, place = f"{resource.id.type}/patchAssessmentResults", f"{resource.id}"
        place = f"{place}/patchAssessmentResults/latest"
        yield _row(asked, resource, kind, place, kept.id, {"properties": whole})
        found = kept.run.assessment if kept.run is not None else None
        for patch in found.patches if found is not None else ():
            name = patch_results.patch_id(patch.article)
            properties = _available(patch, os, times["lastModifiedDateTime"])
            yield _row(
                asked,
                resource,
                f"{kind}/softwarePatches",
                f"{place}/softwarePatches/{name}",
                name,
                {"properties": properties},
            )


def _installations(asked: Asked) -> Iterator[Row]:
    """Those of thirty days, and their patches."""
    since = asked.now - runs.KEPT_S[RunKind.INSTALL]
    noted = maintenance.updates(asked.connection)
    maintained = {one.run: one.maintenance_run for one in noted if one.occurrence and one.run}
    by_machine: dict[str, list[Kept]] = {}
    for kept in runs.of_kind(asked.connection, RunKind.INSTALL, since):
        by_machine.setdefault(kept.machine, []).append(kept)
    for resource, agent in _machines(asked):
        os = machine_support.os_type(agent.facts)
        kind = f"{resource.id.type}/patchInstallationResults"
        for kept in by_machine.get(agent.id, ()):
            times = patch_results.run_times(kept)
            whole = {
                **patch_results.installation_summary(kept, "errorDetails"),
                "rebootStatus": patch_results.reboot_of(kept),
                "maintenanceRunId": maintained.get(kept.id),
                **times,
                **patch_results.patching_of(os),
            }
            place = f"{resource.id}/patchInstallationResults/{kept.id}"
            yield _row(asked, resource, kind, place, kept.id, {"properties": whole})
            done = kept.run.installation if kept.run is not None else None
            for patch in done.patches if done is not None else ():
                name = patch_results.patch_id(patch.article)
                yield _row(
                    asked,
                    resource,
                    f"{kind}/softwarePatches",
                    f"{place}/softwarePatches/{name}",
                    name,
                    {"properties": _installed(patch, os, times["lastModifiedDateTime"])},
                )


def _maintenance(asked: Asked) -> Iterator[Row]:
    """What was applied or cancelled, and what is assigned to machines."""
    known = {resource.id.key: resource for resource in _readable(asked)}
    updates = [one for one in maintenance.updates(asked.connection) if one.resource in known]
    ran = runs.several(asked.connection, [one.run for one in updates if one.run])
    for one in updates:
        owner, kept = known[one.resource], ran.get(one.run)
        times = patch_results.run_times(kept) if kept is not None else {}
        ended = kept is not None and kept.finished is not None
        properties = {
            "maintenanceConfigurationId": one.configuration,
            "maintenanceScope": SCOPE,
            "resourceId": owner.id.key,
            "correlationId": one.maintenance_run,
            "startDateTime": times.get("startDateTime"),
            "endDateTime": times.get("lastModifiedDateTime") if ended else None,
            "status": apply_updates.status_of(one, kept),
        }
        name = one.occurrence or one.id
        place = f"{owner.id}/providers/{apply_updates.TYPE}/{name}"
        yield _row(asked, owner, apply_updates.TYPE, place, name, {"properties": properties})
    for assignment in maintenance.of_subscription(asked.connection, asked.subscription):
        target = known.get(assignment.target)
        if target is None:
            continue
        shown = {"properties": {**assignment.body, "resourceId": target.id.key}}
        name = assignment.id.rpartition("/")[2]
        kind = configuration_assignments.TYPE
        yield _row(asked, target, kind, assignment.id, name, shown)


def _readable(asked: Asked) -> Iterator[Resource]:
    for resource in resources.listed(asked.connection, asked.subscription):
        if asked.readable(str(resource.id)):
            yield resource


def _machines(asked: Asked) -> Iterator[tuple[Resource, Machine]]:
    agents = machines.of_resources(asked.connection)
    for resource in _readable(asked):
        agent = agents.get(resource.id.key)
        if agent is not None:
            yield resource, agent


def _row(
    asked: Asked, resource: Resource, kind: str, identifier: str, name: str, shown: Row
) -> Row:
    """Types in lower case, as Resource Graph has them."""
    return {
        **dict.fromkeys(_COLUMNS),
        "id": identifier,
        "name": name,
        "type": kind.lower(),
        "tenantId": asked.tenant,
        "kind": str(shown.get("kind") or ""),
        "location": resource.body.get("location"),
        "resourceGroup": resource.id.group.lower(),
        "subscriptionId": resource.id.subscription,
        **{
            name: shown.get(name)
            for name in ("sku", "plan", "properties", "tags", "identity", "zones")
        },
    }


def _available(patch: AvailablePatch, os: str, when: str) -> dict[str, Any]:
    return {
        **_patch(patch, os),
        "classifications": [patch.classification],
        "rebootBehavior": patch.reboot,
        "rebootRequired": patch.reboot in _RESTARTS,
        "msrcSeverity": patch.severity or None,
        "publishedDateTime": patch.published or None,
        "lastModifiedDateTime": when,
    }


def _installed(patch: PatchResult, os: str, when: str) -> dict[str, Any]:
    return {
        **_patch(patch, os),
        "classifications": [patch.classification],
        "installationState": patch.state.value,
        "lastModifiedDateTime": when,
    }


def _patch(patch: AvailablePatch | PatchResult, os: str) -> dict[str, Any]:
    """Windows' updates have a KB and no version, Linux' packages a version: queries tell them apart
    by that."""
    known = {"kbId": patch.kb} if os == "Windows" else {"version": patch.version}
    return {
        "patchId": patch_results.patch_id(patch.article),
        "patchName": patch.name,
        **known,
    }
