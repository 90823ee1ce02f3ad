"""A fleet's machines by name: what they are, what they miss, what was done, and doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hotmend.client.api import Api, Begun
from hotmend.client.errors import ClientError

_MACHINE = "/providers/Microsoft.Compute/virtualMachines/"


@dataclass(frozen=True)
class Wish:
    """What to install, in Azure's words; ``maximum``: an ISO 8601 duration."""

    classifications: Sequence[str]
    include: Sequence[str]
    exclude: Sequence[str]
    maximum: str
    reboot: str

    def body(self) -> dict[str, Any]:
        """Of installPatches."""
        return {
            "maximumDuration": self.maximum,
            "rebootSetting": self.reboot,
            "linuxParameters": {
                "classificationsToInclude": list(self.classifications),
                "packageNameMasksToInclude": list(self.include),
                "packageNameMasksToExclude": list(self.exclude),
            },
        }


class Fleet:
    """Of one login. Everything raises ClientError."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._subscription = f"/subscriptions/{api.login.subscription}"

    def machines(self) -> list[dict[str, Any]]:
        """All that the login may see."""
        path = f"{self._subscription}/providers/Hotmend.Fleet/machines"
        return list(self._api.get(path)["value"])

    def resource(self, name: str) -> str:
        """The id of a machine that is named by its id, by GROUP/NAME, or by a name that only one
        has."""
        if name.startswith("/subscriptions/"):
            return name
        group, _, last = name.rpartition("/")
        if group:
            return f"{self._subscription}/resourceGroups/{group}{_MACHINE}{last}"
        found = [m["id"] for m in self.machines() if m["name"].lower() == name.lower()]
        if len(found) == 1:
            return str(found[0])
        if not found:
            raise ClientError(f"there is no machine {name} → hotmend machines")
        raise ClientError(f"{name} is the name of {len(found)} machines: say GROUP/{name}")

    def patches(self, resource: str) -> dict[str, Any]:
        """As the last assessment found it."""
        found: dict[str, Any] = self._api.get(f"{_fleet(resource)}/patches")
        return found

    def waiting(self, resource: str) -> dict[str, Any]:
        """Why it waits, in its newest rollout."""
        found: dict[str, Any] = self._api.get(f"{_fleet(resource)}/waiting")
        return found

    def history(self, resource: str, days: int) -> list[dict[str, Any]]:
        """The newest first."""
        return list(self._api.get(f"{_fleet(resource)}/history?days={days}")["value"])

    def assess(self, resource: str) -> Begun:
        """Begin an assessment."""
        return self._api.begin(f"{resource}/assessPatches")

    def install(self, resource: str, wish: Wish) -> Begun:
        """Begin an installation."""
        return self._api.begin(f"{resource}/installPatches", wish.body())

    def ended(self, begun: Begun, patience_s: float) -> dict[str, Any] | None:
        """What came of it; None when it has not ended."""
        found: dict[str, Any] | None = self._api.ended(begun, patience_s)
        return found


def _fleet(resource: str) -> str:
    return resource.lower().replace(_MACHINE.lower(), "/providers/Hotmend.Fleet/machines/")
