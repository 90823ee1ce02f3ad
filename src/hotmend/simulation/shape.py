"""The fleet's shape on the server: made through the same REST API as everybody's machines."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hotmend.client.api import VERSION, Api
from hotmend.simulation.population import Layout, Place

_AT_ONCE = 8
_COMPUTE = "/providers/Microsoft.Compute"


def make(api: Api, layout: Layout, places: Iterable[Place]) -> list[str]:
    """The group, the sets and the machines; a one-time code for each of ``places``. Raises
    ClientError."""
    group = f"/subscriptions/{api.login.subscription}/resourceGroups/{layout.group}"
    known = list(places)
    _put(api, group, {"location": layout.regions[0], "tags": {"simulated": "true"}})
    sets = {(p.availability_set, p.region) for p in known if p.availability_set}
    for name, region in sorted(sets):
        properties = {"platformUpdateDomainCount": layout.update_domains}
        body = {"location": region, "sku": {"name": "Aligned"}, "properties": properties}
        _put(api, f"{group}{_COMPUTE}/availabilitySets/{name}", body)

    def one(place: Place) -> str:
        _put(api, f"{group}{_COMPUTE}/virtualMachines/{place.name}", _machine(group, place))
        path = f"{group}/providers/Hotmend.Fleet/machines/{place.name}/enrolmentCodes"
        return str(api.send("POST", path, {"location": place.region})["code"])

    with ThreadPoolExecutor(_AT_ONCE) as workers:
        return list(workers.map(one, known))


def _put(api: Api, path: str, body: dict[str, Any]) -> None:
    api.send("PUT", f"{path}?api-version={VERSION}", body)


def _machine(group: str, place: Place) -> dict[str, Any]:
    settings = {"patchMode": "AutomaticByPlatform", "assessmentMode": "AutomaticByPlatform"}
    image = {"publisher": "debian", "offer": "debian-12", "sku": "12", "version": "latest"}
    properties: dict[str, Any] = {
        "osProfile": {
            "computerName": place.name,
            "linuxConfiguration": {"provisionVMAgent": True, "patchSettings": settings},
        },
        "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage"}},
    }
    body: dict[str, Any] = {"location": place.region, "tags": dict(place.tags)}
    if place.availability_set:
        path = f"{group}{_COMPUTE}/availabilitySets/{place.availability_set}"
        properties["availabilitySet"] = {"id": path}
    if place.zone:
        body["zones"] = [place.zone]
    return {**body, "properties": properties}
