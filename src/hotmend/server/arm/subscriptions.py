"""Subscriptions, tenants, locations, providers: what clients look up before they begin."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from hotmend.fleet import regions
from hotmend.fleet.regions import Region
from hotmend.server.arm.access import Access
from hotmend.server.control import Control
from hotmend.server.errors import ArmError

# Any version is taken; these are what is said to clients that ask.
API_VERSIONS = ("2026-04-01", "2024-11-01", "2022-12-01")
_READ = "Microsoft.Resources/subscriptions/read"
_PROVIDERS = {
    "Microsoft.Compute": (
        *("virtualMachines", "availabilitySets", "virtualMachineScaleSets", "locations"),
        "locations/operations",
    ),
    "Microsoft.Network": (
        *("virtualNetworks", "networkInterfaces", "networkSecurityGroups", "publicIPAddresses"),
        "loadBalancers",
    ),
    "Microsoft.Resources": ("deployments", "resourceGroups", "subscriptions"),
    "Microsoft.HybridCompute": (
        *("machines", "machines/licenseProfiles", "locations", "locations/operations"),
    ),
    "Microsoft.Maintenance": (
        *("maintenanceConfigurations", "configurationAssignments", "applyUpdates", "updates"),
    ),
    "Microsoft.ResourceGraph": ("resources",),
}


def router(control: Control, access: Access) -> APIRouter:
    """All that is read only."""
    routes = APIRouter(tags=["subscriptions"])
    own = control.folder.subscription

    @routes.get("/subscriptions", **access.to(_READ, filtered=True))
    def subscriptions(request: Request) -> dict[str, Any]:
        given = request.state.principal.assignments
        seen = any(a.scope == "/" or own in a.scope for a in given)
        return {"value": [_subscription(control)] if seen else []}

    @routes.get("/subscriptions/{subscription}", **access.to(_READ))
    def subscription(subscription: str) -> dict[str, Any]:
        check(control, subscription)
        return _subscription(control)

    @routes.get("/tenants", **access.to(_READ, filtered=True))
    def tenants() -> dict[str, Any]:
        tenant = control.folder.tenant
        return {"value": [{"id": f"/tenants/{tenant}", "tenantId": tenant}]}

    @routes.get("/subscriptions/{subscription}/locations", **access.to(_READ))
    def locations(subscription: str) -> dict[str, Any]:
        check(control, subscription)
        return {"value": [_location(own, region) for region in regions.known().values()]}

    @routes.get("/subscriptions/{subscription}/providers", **access.to(_READ))
    def providers(subscription: str) -> dict[str, Any]:
        check(control, subscription)
        return {"value": [_provider(own, namespace) for namespace in _PROVIDERS]}

    @routes.get("/subscriptions/{subscription}/providers/{namespace}", **access.to(_READ))
    def provider(subscription: str, namespace: str) -> dict[str, Any]:
        check(control, subscription)
        found = next((n for n in _PROVIDERS if n.lower() == namespace.lower()), None)
        if found is None:
            raise ArmError(
                404,
                "InvalidResourceNamespace",
                f"The resource namespace '{namespace}' is invalid.",
            )
        return _provider(own, found)

    return routes


def check(control: Control, subscription: str) -> None:
    """Raises ArmError for one that is not here."""
    if subscription.lower() != control.folder.subscription:
        raise ArmError(
            404,
            "SubscriptionNotFound",
            f"The subscription '{subscription}' could not be found.",
        )


def _subscription(control: Control) -> dict[str, Any]:
    identifier = control.folder.subscription
    return {
        "id": f"/subscriptions/{identifier}",
        "subscriptionId": identifier,
        "tenantId": control.folder.tenant,
        "displayName": "Hotmend",
        "state": "Enabled",
        "subscriptionPolicies": {"spendingLimit": "Off"},
        "authorizationSource": "RoleBased",
    }


def _location(subscription: str, region: Region) -> dict[str, Any]:
    pair = {"name": region.pair, "id": f"/subscriptions/{subscription}/locations/{region.pair}"}
    return {
        "id": f"/subscriptions/{subscription}/locations/{region.name}",
        "name": region.name,
        "type": "Region",
        "displayName": region.display,
        "regionalDisplayName": f"({region.geography}) {region.display}",
        "metadata": {
            "regionType": "Physical",
            "regionCategory": "Recommended",
            "geographyGroup": region.geography,
            "pairedRegion": [pair] if region.pair else [],
        },
    }


def _provider(subscription: str, namespace: str) -> dict[str, Any]:
    locations = [region.display for region in regions.known().values()]
    return {
        "id": f"/subscriptions/{subscription}/providers/{namespace}",
        "namespace": namespace,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationFree",
        "resourceTypes": [
            {
                "resourceType": kind,
                "locations": locations,
                "apiVersions": list(API_VERSIONS),
                "capabilities": "None",
            }
            for kind in _PROVIDERS[namespace]
        ],
    }
