"""What kind of update something is, in Azure's words (Microsoft.Compute, virtualMachines,
assessPatches and installPatches: three for Linux, eight for Windows)."""

from __future__ import annotations

from enum import StrEnum

_CRITICAL_URGENCIES = ("critical", "emergency")


class Classification(StrEnum):
    """Only *Critical* and *Security* updates are installed by themselves."""

    CRITICAL = "Critical"
    SECURITY = "Security"
    OTHER = "Other"
    UPDATE_ROLLUP = "UpdateRollUp"
    FEATURE_PACK = "FeaturePack"
    SERVICE_PACK = "ServicePack"
    DEFINITION = "Definition"
    TOOLS = "Tools"
    UPDATES = "Updates"

    @property
    def automatic(self) -> bool:
        return self in (Classification.CRITICAL, Classification.SECURITY)


def classify(*, from_security_suite: bool, advisories: int, urgency: str = "") -> Classification:
    """``urgency``: of the changelog's entry (deb-changelog(5)). What the security suite publishes
    is a security update, also where no advisory is named."""
    if not from_security_suite and not advisories:
        return Classification.OTHER
    if urgency.lower() in _CRITICAL_URGENCIES:
        return Classification.CRITICAL
    return Classification.SECURITY
