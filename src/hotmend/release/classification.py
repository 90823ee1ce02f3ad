"""What kind of update something is, in the words that Azure uses for Linux machines.

(Microsoft.Compute, virtualMachines/assessPatches: patch classifications Critical, Security, Other.)
"""

from __future__ import annotations

from enum import StrEnum

_CRITICAL_URGENCIES = ("critical", "emergency")


class Classification(StrEnum):
    """Only *Critical* and *Security* updates are installed by themselves."""

    CRITICAL = "Critical"
    SECURITY = "Security"
    OTHER = "Other"

    @property
    def automatic(self) -> bool:
        return self is not Classification.OTHER


def classify(*, from_security_suite: bool, advisories: int, urgency: str = "") -> Classification:
    """``urgency``: of the changelog's entry (deb-changelog(5)). What the security suite publishes
    is a security update, also where no advisory is named."""
    if not from_security_suite and not advisories:
        return Classification.OTHER
    if urgency.lower() in _CRITICAL_URGENCIES:
        return Classification.CRITICAL
    return Classification.SECURITY
