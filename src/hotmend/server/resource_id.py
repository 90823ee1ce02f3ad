"""Resource ids and paths: Azure compares them without case, and clients mix their spellings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hotmend.server.errors import ArmError

_NAME = re.compile(r"[\w.()-]{1,128}")
_WORDS = (
    *("subscriptions", "resourceGroups", "providers", "tenants", "locations", "operations"),
    *("resources", "deployments", "publishers", "artifacttypes", "vmimage", "offers", "skus"),
    *("versions", "vmSizes", "usages", "operationStatuses", "validate"),
    *("Microsoft.Compute", "Microsoft.Network", "Microsoft.Resources", "Microsoft.Storage"),
    *("Hotmend.Fleet", "enrolmentCodes", "machines", "patches", "history", "licenseProfiles"),
    *("rollouts", "turns", "pause", "resume", "halt", "cancel", "promote", "exclude", "waiting"),
    *("notificationSettings", "problems"),
    *("rolloutSettings", "auditEntries", "auditCheckpoint", "principals", "rotate", "assignments"),
    *("Microsoft.ResourceGraph", "Microsoft.HybridCompute", "Microsoft.Maintenance"),
    *("virtualMachines", "availabilitySets", "virtualMachineScaleSets", "instanceView"),
    *("assessPatches", "installPatches", "start", "restart", "powerOff", "deallocate", "reapply"),
    *("redeploy", "virtualNetworks", "networkInterfaces", "networkSecurityGroups"),
    *("maintenanceConfigurations", "configurationAssignments", "applyUpdates", "updates"),
    *("publicIPAddresses", "loadBalancers", "subnets", "disks", "storageAccounts"),
)
_CANONICAL = {word.lower(): word for word in _WORDS}


@dataclass(frozen=True)
class ResourceId:
    """``type``: "Microsoft.Compute/virtualMachines"; ``name``: the last one."""

    subscription: str
    group: str
    type: str
    name: str

    def __str__(self) -> str:
        place = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{place}/providers/{self.type}/{self.name}" if self.type else place

    @property
    def key(self) -> str:
        """By which it is found."""
        return str(self).lower()


def parsed(text: str) -> ResourceId:
    """A resource of a group, or the group itself. Raises ArmError."""
    words = canonical(text).strip("/").split("/")
    if len(words) == 4 and words[::2] == ["subscriptions", "resourceGroups"]:
        return ResourceId(words[1], checked_name(words[3]), "", words[3])
    if len(words) != 8 or words[:5:2] != ["subscriptions", "resourceGroups", "providers"]:
        raise ArmError(400, "LinkedInvalidPropertyId", f"'{text}' is not the id of a resource.")
    return ResourceId(
        words[1], checked_name(words[3]), f"{words[5]}/{words[6]}", checked_name(words[7])
    )


def canonical(path: str) -> str:
    """``path`` with the words of the API as they are written here; names stay as they are. Two
    slashes are one: az writes ``providers/Microsoft.Compute//availabilitySets``."""
    words = [word for word in path.split("/") if word]
    if not words or words[0].lower() not in ("subscriptions", "tenants", "providers"):
        return path
    # Words of the API and names that people gave alternate; a namespace stands where a name does.
    return "/" + "/".join(
        _CANONICAL.get(word.lower(), word)
        if number % 2 == 0 or words[number - 1].lower() == "providers"
        else word
        for number, word in enumerate(words)
    )


def checked_name(name: str) -> str:
    """Raises ArmError for what Azure takes for no name."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise ArmError(
            400, "InvalidResourceName", f"The name '{name[:80]}' is not valid for a resource."
        )
    return name
