"""Long-running operations: how a client learns that what it began has ended.

Both headers are always sent: with Azure-AsyncOperation alone the SDK takes the status for the
result of an assessment (seen with azure-mgmt-compute 39 and az 2.91).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from hotmend.model.agent_messages import RunKind, RunStatus
from hotmend.server.arm import machine_support, patch_results
from hotmend.server.arm.access import Access
from hotmend.server.control import Control
from hotmend.server.errors import ArmError
from hotmend.server.storage import machines, runs
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.runs import Kept

_NAMESPACES = ("Microsoft.Compute", "Microsoft.HybridCompute")
_PATH = "/subscriptions/{{subscription}}/providers/{}/locations/{{location}}/operations"
_POLL_AGAIN_S = "1"
_VERSION = "2026-04-01"


def accepted(control: Control, namespace: str, location: str, run: str) -> Response:
    """202, and where to ask."""
    own = control.folder.subscription
    path = _PATH.format(namespace).format(subscription=own, location=location)
    url = f"{control.base_url}{path}/{run}"
    return Response(
        status_code=202,
        headers={
            "Azure-AsyncOperation": f"{url}?api-version={_VERSION}",
            "Location": f"{url}?monitor=true&api-version={_VERSION}",
            "Retry-After": _POLL_AGAIN_S,
        },
    )


def router(control: Control, access: Access) -> APIRouter:
    """One route for both headers' URLs."""
    routes = APIRouter(tags=["operations"])
    for namespace in _NAMESPACES:
        _add(routes, control, access, namespace)
    return routes


def _add(routes: APIRouter, control: Control, access: Access, namespace: str) -> None:
    read = f"{namespace}/locations/operations/read"
    path = f"{_PATH.format(namespace)}/{{run}}"

    @routes.get(path, responses={202: {}, 204: {}}, **access.to(read))
    def operation(location: str, run: str, request: Request) -> Any:
        with control.database.reading() as connection:
            kept = runs.get(connection, run)
            machine = machines.get(connection, kept.machine) if kept is not None else None
        if kept is None or kept.location != location.lower():
            raise ArmError(404, "OperationNotFound", f"The operation '{run}' was not found.")
        if "monitor" not in request.query_params:
            content = _status(kept, _result(kept, namespace, machine))
            return JSONResponse(content, headers={"Retry-After": _POLL_AGAIN_S})
        if kept.finished is None:
            return accepted(control, namespace, location, run)
        result = _result(kept, namespace, machine)
        return JSONResponse(result) if result is not None else Response(status_code=204)


def _result(kept: Kept, namespace: str, machine: Machine | None) -> dict[str, Any] | None:
    """As the namespace's clients expect it; None for a run that has no result by its kind."""
    if namespace == "Microsoft.Compute" or kept.kind is RunKind.RESTART:
        return patch_results.of(kept)
    return patch_results.of_connected(
        kept, machine_support.os_type(machine.facts) if machine is not None else "Linux"
    )


def _status(kept: Kept, result: dict[str, Any] | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": kept.id,
        "startTime": timestamp(kept.asked),
        "status": "InProgress",
    }
    if kept.finished is not None:
        failed = kept.status is RunStatus.FAILED and kept.kind is RunKind.RESTART
        content |= {
            "endTime": timestamp(kept.finished),
            "status": "Failed" if failed else "Succeeded",
            "properties": {"output": result or {}},
        }
        if failed:
            problem = kept.run.problem if kept.run is not None else ""
            content["error"] = {"code": "VMAgentStatusCommunicationError", "message": problem}
    return content


def timestamp(seconds: float) -> str:
    """As Azure writes times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
