"""The image catalogue, as far as clients look into it before they make a machine: bare lists."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from hotmend.fleet import support
from hotmend.fleet.support import Image
from hotmend.server.arm.access import Access
from hotmend.server.control import Control
from hotmend.server.errors import ArmError

_READ = "Microsoft.Compute/locations/publishers/read"
_PATH = (
    "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/publishers/"
    "{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions"
)
# Hotmend makes no machines from images; the number says so and is what "latest" becomes.
_VERSION = "0.0.1"


def router(control: Control, access: Access) -> APIRouter:
    """Versions of the images that the support matrix knows."""
    routes = APIRouter(tags=["images"])

    @routes.get(_PATH, **access.to(_READ))
    def versions(
        subscription: str, location: str, publisher: str, offer: str, sku: str
    ) -> list[dict[str, Any]]:
        _row(publisher, offer, sku)
        path = _PATH.format(
            subscription=subscription, location=location, publisher=publisher, offer=offer, sku=sku
        )
        return [{"id": f"{path}/{_VERSION}", "name": _VERSION, "location": location}]

    @routes.get(f"{_PATH}/{{version}}", **access.to(_READ))
    def version(
        subscription: str, location: str, publisher: str, offer: str, sku: str, version: str
    ) -> dict[str, Any]:
        row = _row(publisher, offer, sku)
        path = _PATH.format(
            subscription=subscription, location=location, publisher=publisher, offer=offer, sku=sku
        )
        return {
            "id": f"{path}/{version}",
            "name": version,
            "location": location,
            "properties": {
                "osDiskImage": {"operatingSystem": row.os},
                "hyperVGeneration": "V2",
                "architecture": "x64",
                "dataDiskImages": [],
                "features": [{"name": "IsHotpatchSupported", "value": str(row.hotpatch)}],
                "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False},
            },
        }

    return routes


def _row(publisher: str, offer: str, sku: str) -> support.Row:
    row = support.find(support.shipped(), "Azure", Image(publisher, offer, sku))
    if row is None:
        raise ArmError(
            404,
            "PlatformImageNotFound",
            f"The platform image '{publisher}:{offer}:{sku}:latest' is not available. Verify that "
            "all fields in the storage profile are correct. Hotmend knows those of its support "
            "matrix.",
            "imageReference",
        )
    return row
