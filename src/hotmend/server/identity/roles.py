"""Roles, and the one table of what each may do. Every route names its operation; nothing else
decides. Names follow Azure's where Azure has the operation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """*viewer* reads. *operator* works on machines. *approver* lets machines enrol, and is the
    second person where two are asked for. *publisher* offers releases. *admin* gives roles."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    PUBLISHER = "publisher"
    ADMIN = "admin"


@dataclass(frozen=True)
class Assignment:
    """``scope``: the beginning of a resource id; "/" is everything."""

    scope: str
    role: Role


_READ = frozenset(Role)
_WORK = frozenset({Role.OPERATOR, Role.ADMIN})
_APPROVE = frozenset({Role.APPROVER, Role.ADMIN})
_ADMIN = frozenset({Role.ADMIN})

OPERATIONS: dict[str, frozenset[Role]] = {
    "Microsoft.Resources/subscriptions/read": _READ,
    "Microsoft.Resources/subscriptions/resourceGroups/read": _READ,
    "Microsoft.Resources/subscriptions/resourceGroups/write": _WORK,
    "Microsoft.Resources/subscriptions/resourceGroups/delete": _ADMIN,
    "Microsoft.Resources/deployments/read": _READ,
    "Microsoft.Resources/deployments/write": _WORK,
    "Microsoft.Network/read": _READ,
    "Microsoft.Network/write": _WORK,
    "Microsoft.Network/delete": _WORK,
    "Microsoft.Compute/locations/operations/read": _READ,
    "Microsoft.Compute/locations/publishers/read": _READ,
    "Microsoft.Compute/availabilitySets/read": _READ,
    "Microsoft.Compute/availabilitySets/write": _WORK,
    "Microsoft.Compute/availabilitySets/delete": _WORK,
    "Microsoft.Compute/virtualMachineScaleSets/read": _READ,
    "Microsoft.Compute/virtualMachineScaleSets/write": _WORK,
    "Microsoft.Compute/virtualMachineScaleSets/delete": _WORK,
    "Microsoft.Compute/virtualMachines/read": _READ,
    "Microsoft.Compute/virtualMachines/write": _WORK,
    "Microsoft.Compute/virtualMachines/delete": _WORK,
    "Microsoft.Compute/virtualMachines/start/action": _WORK,
    "Microsoft.Compute/virtualMachines/restart/action": _WORK,
    "Microsoft.Compute/virtualMachines/powerOff/action": _WORK,
    "Microsoft.Compute/virtualMachines/deallocate/action": _WORK,
    "Microsoft.Compute/virtualMachines/assessPatches/action": _WORK,
    "Microsoft.Compute/virtualMachines/installPatches/action": _WORK,
    "Microsoft.HybridCompute/locations/operations/read": _READ,
    "Microsoft.HybridCompute/machines/read": _READ,
    "Microsoft.HybridCompute/machines/write": _WORK,
    "Microsoft.HybridCompute/machines/delete": _WORK,
    "Microsoft.HybridCompute/machines/assessPatches/action": _WORK,
    "Microsoft.HybridCompute/machines/installPatches/action": _WORK,
    "Microsoft.HybridCompute/machines/licenseProfiles/read": _READ,
    "Microsoft.HybridCompute/machines/licenseProfiles/write": _WORK,
    "Microsoft.HybridCompute/machines/licenseProfiles/delete": _WORK,
    "Microsoft.Maintenance/maintenanceConfigurations/read": _READ,
    "Microsoft.Maintenance/maintenanceConfigurations/write": _WORK,
    "Microsoft.Maintenance/maintenanceConfigurations/delete": _WORK,
    "Microsoft.Maintenance/configurationAssignments/read": _READ,
    "Microsoft.Maintenance/configurationAssignments/write": _WORK,
    "Microsoft.Maintenance/configurationAssignments/delete": _WORK,
    "Microsoft.Maintenance/applyUpdates/read": _READ,
    "Microsoft.Maintenance/applyUpdates/write": _WORK,
    "Microsoft.Maintenance/updates/read": _READ,
    "Microsoft.ResourceGraph/resources/read": _READ,
    "Hotmend.Fleet/machines/read": _READ,
    "Hotmend.Fleet/audit/read": _READ,
    "Hotmend.Fleet/principals/read": _ADMIN,
    "Hotmend.Fleet/principals/write": _ADMIN,
    "Hotmend.Fleet/enrolmentCodes/write": _APPROVE,
    "Hotmend.Fleet/rollouts/read": _READ,
    "Hotmend.Fleet/rollouts/pause/action": _WORK | _APPROVE,
    "Hotmend.Fleet/rollouts/halt/action": _WORK | _APPROVE,
    "Hotmend.Fleet/rollouts/resume/action": _APPROVE,
    "Hotmend.Fleet/rollouts/promote/action": _APPROVE,
    "Hotmend.Fleet/rollouts/cancel/action": _APPROVE,
    "Hotmend.Fleet/rollouts/exclude/action": _WORK,
    "Hotmend.Fleet/rolloutSettings/read": _READ,
    "Hotmend.Fleet/rolloutSettings/write": _ADMIN,
    "Hotmend.Fleet/notificationSettings/read": _ADMIN,
    "Hotmend.Fleet/notificationSettings/write": _ADMIN,
}


def permits(assignments: Iterable[Assignment], operation: str, scope: str) -> bool:
    """Whether any of ``assignments`` allows ``operation`` on ``scope``, a resource id. An operation
    that the table does not have is nobody's."""
    allowed = OPERATIONS.get(operation, frozenset())
    return any(a.role in allowed and _covers(a.scope, scope) for a in assignments)


def _covers(wide: str, narrow: str) -> bool:
    """Case-insensitive, by whole segments: /a/b covers /A/B/c, and not /a/bc."""
    above, below = wide.lower().strip("/"), narrow.lower().strip("/")
    return not above or below == above or below.startswith(f"{above}/")
