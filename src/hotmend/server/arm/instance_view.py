"""What a machine is doing, as Azure's instance view says it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hotmend.server.arm import patch_results
from hotmend.server.storage.machines import Machine
from hotmend.server.storage.runs import Kept

SILENT_AFTER_S = 180.0


def instance_view(
    machine: Machine | None,
    assessed: Kept | None,
    installed: Kept | None,
    now: float,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """``machine``: None for one without an agent. What is not known is said to be unknown.
    ``settings``: the machine's patchSettings."""
    power = "unknown"
    if machine is not None and now - machine.seen <= SILENT_AFTER_S:
        power = "running"
    view: dict[str, Any] = {
        "vmAgent": _agent(machine, now),
        "statuses": [
            _status("ProvisioningState/succeeded", "Provisioning succeeded", now),
            _status(f"PowerState/{power}", f"VM {power}", now),
        ],
        "patchStatus": {
            **_patch_status(assessed, installed),
            **_configured(settings or {}, machine, now),
        },
    }
    if machine is not None:
        facts = machine.facts
        view |= {
            "computerName": facts.host,
            "osName": facts.os_name + (" (simulated)" if machine.simulated else ""),
            "osVersion": facts.os_version,
        }
    return view


def _agent(machine: Machine | None, now: float) -> dict[str, Any]:
    if machine is None:
        message = "No agent has enrolled as this machine: hotmend enroll."
        return {
            "vmAgentVersion": "Unknown",
            "statuses": [
                _status("ProvisioningState/Unavailable", "Not Ready", now, message, "Warning")
            ],
        }
    silent = now - machine.seen
    ready = silent <= SILENT_AFTER_S
    return {
        "vmAgentVersion": machine.facts.agent,
        "statuses": [
            _status(
                "ProvisioningState/succeeded", "Ready", machine.seen, "Hotmend agent is running."
            )
            if ready
            else _status(
                "ProvisioningState/Unavailable",
                "Not Ready",
                machine.seen,
                f"The agent has been silent for {silent:.0f} seconds.",
                "Warning",
            )
        ],
    }


def _configured(settings: dict[str, Any], machine: Machine | None, now: float) -> dict[str, Any]:
    """A mode that is the platform's is ready when there is an agent to do the platform's work."""
    statuses = []
    for name, kind in (("patchMode", "PatchMode"), ("assessmentMode", "AssessmentMode")):
        mode = settings.get(name)
        if mode is None:
            continue
        ready = mode != "AutomaticByPlatform" or machine is not None
        word = "Ready" if ready else "Pending"
        code = f"{kind}ConfigurationState"
        when = machine.seen if machine is not None else now
        statuses.append(_status(f"{code}/{word}", f"Status_{code}_{word}", when))
    return {"configurationStatuses": statuses} if statuses else {}


def _patch_status(assessed: Kept | None, installed: Kept | None) -> dict[str, Any]:
    status: dict[str, Any] = {}
    if assessed is not None:
        status["availablePatchSummary"] = {
            **patch_results.assessment_summary(assessed),
            **patch_results.summary_times(assessed),
        }
    if installed is not None:
        status["lastPatchInstallationSummary"] = {
            **patch_results.installation_summary(installed),
            **patch_results.summary_times(installed),
        }
    return status


def _status(
    code: str, display: str, when: float, message: str = "", level: str = "Info"
) -> dict[str, Any]:
    time = datetime.fromtimestamp(when, UTC).isoformat(timespec="microseconds")
    said = {"message": message} if message else {}
    return {"code": code, "level": level, "displayStatus": display, "time": time, **said}
