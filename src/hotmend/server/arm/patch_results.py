"""Runs as Azure's clients expect them: results of assessPatches and installPatches. Pure."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from hotmend.model.agent_messages import (
    Assessment,
    AvailablePatch,
    Installation,
    InstallationState,
    PatchResult,
    RebootStatus,
    RunKind,
)
from hotmend.server.storage.runs import Kept

# Azure's names of the counts; what has no classification of these is "other".
_COUNTED = {
    "Security": "security",
    "Critical": "critical",
    "Definition": "definition",
    "UpdateRollUp": "updateRollup",
    "FeaturePack": "featurePack",
    "ServicePack": "servicePack",
    "Tools": "tools",
    "Updates": "updates",
}
_URGENT = ("Critical", "Security")
_NAMESPACE = uuid.UUID("6f1c1a54-52b5-4a8e-9a55-9f4c6b4a3a10")


def of(kept: Kept) -> dict[str, Any] | None:
    """The result of a run; None for one that has none by its kind."""
    if kept.kind is RunKind.ASSESS:
        return assessed(kept)
    if kept.kind is RunKind.INSTALL:
        return installed(kept)
    return None


def of_connected(kept: Kept, os: str) -> dict[str, Any]:
    """The result of an assessment or installation of a connected machine: of the former only
    numbers, its patches are in Resource Graph. ``os``: Windows or Linux."""
    common = {**run_times(kept), **patching_of(os)}
    if kept.kind is RunKind.ASSESS:
        return {**assessment_numbers(kept), "assessmentActivityId": kept.id, **common}
    done = installation_summary(kept, "errorDetails")
    return {**done, "rebootStatus": reboot_of(kept), **common}


def patching_of(os: str) -> dict[str, str]:
    """What every result of a machine says of its system."""
    return {"osType": os, "patchServiceUsed": "WU" if os == "Windows" else "APT"}


def assessed(kept: Kept) -> dict[str, Any]:
    """VirtualMachineAssessPatchesResult."""
    found = (kept.run and kept.run.assessment) or Assessment(False, ())
    return {
        **assessment_summary(kept),
        "startDateTime": _time(_started(kept)),
        "availablePatches": [_available(kept, patch) for patch in found.patches],
    }


def installed(kept: Kept) -> dict[str, Any]:
    """VirtualMachineInstallPatchesResult."""
    done = (kept.run and kept.run.installation) or Installation((), RebootStatus.UNKNOWN)
    return {
        **installation_summary(kept),
        "rebootStatus": reboot_of(kept),
        "startDateTime": _time(_started(kept)),
        "patches": [_result(patch) for patch in done.patches],
    }


def assessment_summary(kept: Kept) -> dict[str, Any]:
    """AvailablePatchSummary, without its times."""
    found = (kept.run and kept.run.assessment) or Assessment(False, ())
    urgent = sum(patch.classification in _URGENT for patch in found.patches)
    return {
        "status": kept.status.value,
        "assessmentActivityId": kept.id,
        "rebootPending": found.reboot_pending,
        "criticalAndSecurityPatchCount": urgent,
        "otherPatchCount": len(found.patches) - urgent,
        **_error(kept),
    }


def assessment_numbers(kept: Kept) -> dict[str, Any]:
    """As connected machines and Resource Graph have them: a number for each classification."""
    found = (kept.run and kept.run.assessment) or Assessment(False, ())
    counts = dict.fromkeys((*_COUNTED.values(), "other"), 0)
    for patch in found.patches:
        counts[_COUNTED.get(patch.classification, "other")] += 1
    return {
        "status": kept.status.value,
        "rebootPending": found.reboot_pending,
        "availablePatchCountByClassification": counts,
        **_error(kept, "errorDetails"),
    }


def installation_summary(kept: Kept, error: str = "error") -> dict[str, Any]:
    """LastPatchInstallationSummary, without its times; ``error``: what a problem is called."""
    done = (kept.run and kept.run.installation) or Installation((), RebootStatus.UNKNOWN)
    states = Counter(patch.state for patch in done.patches)
    return {
        "status": kept.status.value,
        "installationActivityId": kept.id,
        "maintenanceWindowExceeded": done.window_exceeded,
        "excludedPatchCount": states[InstallationState.EXCLUDED],
        "notSelectedPatchCount": states[InstallationState.NOT_SELECTED],
        "pendingPatchCount": states[InstallationState.PENDING],
        "installedPatchCount": states[InstallationState.INSTALLED],
        "failedPatchCount": states[InstallationState.FAILED],
        **_error(kept, error),
    }


def reboot_of(kept: Kept) -> str:
    """What became of a restart, of an installation that may not have ended."""
    return kept.run.installation.reboot.value if kept.run and kept.run.installation else "Unknown"


def summary_times(kept: Kept) -> dict[str, str]:
    """As summaries in an instance view name them."""
    return {
        "startTime": _time(_started(kept)),
        "lastModifiedTime": _time(kept.finished or _started(kept)),
    }


def run_times(kept: Kept) -> dict[str, str]:
    """As connected machines and Resource Graph name them, and who began it."""
    return {
        "startDateTime": _time(_started(kept)),
        "lastModifiedDateTime": _time(kept.finished or _started(kept)),
        "startedBy": kept.started_by,
    }


def patch_id(article: str) -> str:
    """The same article has the same id everywhere."""
    return str(uuid.uuid5(_NAMESPACE, article))


def _available(kept: Kept, patch: AvailablePatch) -> dict[str, Any]:
    content = {
        "patchId": patch_id(patch.article),
        "name": patch.name,
        "version": patch.version,
        "kbId": patch.kb or None,
        "classifications": [patch.classification],
        "rebootBehavior": patch.reboot,
        "activityId": kept.id,
        "publishedDate": patch.published or None,
        "lastModifiedDateTime": _time(kept.finished or _started(kept)),
        "assessmentState": "Available",
    }
    return {name: value for name, value in content.items() if value is not None}


def _result(patch: PatchResult) -> dict[str, Any]:
    content = {
        "patchId": patch_id(patch.article),
        "name": patch.name,
        "version": patch.version,
        "kbId": patch.kb or None,
        "classifications": [patch.classification],
        "installationState": patch.state.value,
    }
    return {name: value for name, value in content.items() if value is not None}


def _error(kept: Kept, name: str = "error") -> dict[str, Any]:
    problem = kept.run.problem if kept.run is not None else ""
    if not problem:
        return {}
    detail = {"code": "VMGuestPatchInternalError", "message": problem}
    return {name: {**detail, "details": [detail]}}


def _started(kept: Kept) -> float:
    return kept.run.started if kept.run is not None else kept.asked


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
