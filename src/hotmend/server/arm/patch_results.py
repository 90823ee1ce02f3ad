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

_URGENT = ("Critical", "Security")
_NAMESPACE = uuid.UUID("6f1c1a54-52b5-4a8e-9a55-9f4c6b4a3a10")


def of(kept: Kept) -> dict[str, Any] | None:
    """The result of a run; None for one that has none by its kind."""
    if kept.kind is RunKind.ASSESS:
        return assessed(kept)
    if kept.kind is RunKind.INSTALL:
        return installed(kept)
    return None


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
        "rebootStatus": done.reboot.value,
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


def installation_summary(kept: Kept) -> dict[str, Any]:
    """LastPatchInstallationSummary, without its times."""
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
        **_error(kept),
    }


def summary_times(kept: Kept) -> dict[str, str]:
    """As summaries in an instance view name them."""
    return {
        "startTime": _time(_started(kept)),
        "lastModifiedTime": _time(kept.finished or _started(kept)),
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


def _error(kept: Kept) -> dict[str, Any]:
    problem = kept.run.problem if kept.run is not None else ""
    if not problem:
        return {}
    detail = {"code": "VMGuestPatchInternalError", "message": problem}
    return {"error": {**detail, "details": [detail]}}


def _started(kept: Kept) -> float:
    return kept.run.started if kept.run is not None else kept.asked


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
