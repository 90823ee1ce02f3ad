"""What a portal calls the hotpatch status of a machine. Pure.

The labels are Azure's (manage-hot-patching-arc-machines.md), the rules those of its portal's own
query over Resource Graph. On a virtual machine the label says what is wished for, as the portal's
does; on a connected machine it says what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hotmend.fleet.support import Image, Row, find

# Windows Server 2025: what the portal shows as possible, and what may be enrolled.
_SHOWN_FROM = (10, 0, 26100, 0)
_ENROLLED_FROM = (10, 0, 26100, 1742)


class HotpatchStatus(StrEnum):
    """The portal's words."""

    NOT_AVAILABLE = "Not Available"
    PENDING_EVALUATION = "Pending Evaluation"
    NOT_ENROLLED = "Not Enrolled"
    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING = "Pending"
    ACTION_REQUIRED = "Action Required"
    CANCELED = "Canceled"


class Feature(StrEnum):
    """Where the licence's Hotpatch feature stands: the API's words, and NONE for no licence."""

    NONE = "NoLicenseFound"
    ENABLING = "Enabling"
    ENABLED = "Enabled"
    DISABLING = "Disabling"
    DISABLED = "Disabled"


class Enablement(StrEnum):
    """The API's ``hotpatchEnablementStatus``."""

    UNKNOWN = "Unknown"
    PENDING_EVALUATION = "PendingEvaluation"
    DISABLED = "Disabled"
    ACTION_REQUIRED = "ActionRequired"
    ENABLED = "Enabled"


@dataclass(frozen=True)
class Connected:
    """A machine that is connected by Arc. ``os_type``: "windows" or "linux"; ``image``: by which
    the support matrix knows it, the edition standing for the sku; ``firmware``: "" when nobody
    said; ``platform``: "Arc" or "AzureLocal"."""

    os_type: str
    os_version: str
    image: Image
    firmware: str = ""
    platform: str = "Arc"


@dataclass(frozen=True)
class Observed:
    """What is known of a connected machine. ``wanted``: None when nobody has said; ``assessed``:
    since it was enrolled; ``restart_due``: it has something to finish by a restart."""

    wanted: bool | None
    feature: Feature
    assessed: bool
    restart_due: bool


def of_virtual_machine(row: Row | None, wanted: bool, assessed: bool) -> HotpatchStatus:
    """``row``: of the support matrix; ``wanted``: ``enableHotpatching``."""
    if row is None or not row.hotpatch:
        return HotpatchStatus.NOT_AVAILABLE
    if not assessed:
        return HotpatchStatus.PENDING_EVALUATION
    return HotpatchStatus.ENABLED if wanted else HotpatchStatus.DISABLED


def of_connected(machine: Connected, rows: tuple[Row, ...], seen: Observed) -> HotpatchStatus:
    """The licence first, then what the machine says."""
    match seen.feature:
        case Feature.ENABLED:
            return {
                Enablement.ENABLED: HotpatchStatus.ENABLED,
                Enablement.PENDING_EVALUATION: HotpatchStatus.PENDING,
                Enablement.ACTION_REQUIRED: HotpatchStatus.ACTION_REQUIRED,
            }.get(enablement(machine, rows, seen), HotpatchStatus.DISABLED)
        case Feature.DISABLED:
            return HotpatchStatus.CANCELED
        case Feature.ENABLING | Feature.DISABLING:
            return HotpatchStatus.PENDING
    possible = _supported(machine, rows, _SHOWN_FROM)
    return HotpatchStatus.NOT_ENROLLED if possible else HotpatchStatus.NOT_AVAILABLE


def enablement(machine: Connected, rows: tuple[Row, ...], seen: Observed) -> Enablement:
    """What was observed, never what is wished for alone."""
    enrolled = seen.feature in (Feature.ENABLING, Feature.ENABLED)
    if not (enrolled if seen.wanted is None else seen.wanted):
        return Enablement.DISABLED
    if enrolled and not seen.assessed:
        return Enablement.PENDING_EVALUATION
    if seen.feature is not Feature.ENABLED or seen.restart_due:
        return Enablement.ACTION_REQUIRED
    return Enablement.ACTION_REQUIRED if ineligible(machine, rows) else Enablement.ENABLED


def ineligible(machine: Connected, rows: tuple[Row, ...]) -> str:
    """Why the Hotpatch feature cannot be enrolled, as a sentence; "" when it can."""
    if not _supported(machine, rows, (0,)):
        name = machine.image.sku or machine.os_type or "what it runs"
        return f"Hotpatch is not supported for '{name}' on {machine.platform}."
    if machine.os_type == "windows" and _version(machine.os_version) < _ENROLLED_FROM:
        return f"Hotpatch needs build 10.0.26100.1742 or later; it is '{machine.os_version}'."
    if machine.os_type == "windows" and machine.firmware.lower() == "bios":
        return "Hotpatch needs virtualization-based security: UEFI firmware with Secure Boot."
    return ""


def _supported(machine: Connected, rows: tuple[Row, ...], since: tuple[int, ...]) -> bool:
    row = find(rows, machine.platform, machine.image)
    if row is None or not row.hotpatch:
        return False
    return machine.os_type != "windows" or _version(machine.os_version) >= since


def _version(text: str) -> tuple[int, ...]:
    """(0,) for what is no version."""
    parts = text.split(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return (0,)
    return tuple(map(int, parts))
