"""Who installs updates on a machine: the table of prerequisite-for-schedule-patching.md. Pure."""

from __future__ import annotations

from dataclasses import dataclass

BY_PLATFORM = "AutomaticByPlatform"
_LABELS = {
    "AutomaticByOS": "Windows Automatic Update",
    "ImageDefault": "Image Default",
    "Manual": "Manual",
}


@dataclass(frozen=True)
class Orchestration:
    """At most one is true. ``unmet``: a schedule is attached that may not run."""

    automatic: bool = False
    scheduled: bool = False
    unmet: bool = False


UNMET = "The prerequisites for schedule patching are not met."


def orchestration(mode: str, bypass: bool, scheduled: bool) -> Orchestration:
    """``mode``: patchMode; ``bypass``: bypassPlatformSafetyChecksOnUserSchedule; ``scheduled``:
    whether a maintenance configuration is assigned."""
    if mode == BY_PLATFORM and bypass:
        return Orchestration(scheduled=scheduled)
    return Orchestration(automatic=mode == BY_PLATFORM and not scheduled, unmet=scheduled)


def label(mode: str, bypass: bool) -> str:
    """As the portal says it; "N/A" when nobody has chosen."""
    if mode == BY_PLATFORM:
        return "Customer Managed Schedules" if bypass else "Azure Managed - Safe Deployment"
    return _LABELS.get(mode, "N/A")
