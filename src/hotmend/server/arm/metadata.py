"""What a client asks of a cloud that it does not know yet: where everything is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from hotmend.server.control import Control

_ONE_OBJECT_SINCE = "2022-09-01"


def router(control: Control) -> APIRouter:
    """``/metadata/endpoints``: a list of clouds up to 2022, one object since."""
    routes = APIRouter()

    @routes.get("/metadata/endpoints", tags=["metadata"])
    def endpoints(request: Request) -> Any:
        cloud = _cloud(control)
        version = request.query_params.get("api-version", _ONE_OBJECT_SINCE)
        return JSONResponse(cloud if version >= _ONE_OBJECT_SINCE else [cloud])

    return routes


def _cloud(control: Control) -> dict[str, Any]:
    base = control.base_url
    return {
        "name": "Hotmend",
        "portal": f"{base}/portal",
        "authentication": {
            "loginEndpoint": control.authority,
            "audiences": [base, f"{base}/"],
            "tenant": control.folder.tenant,
            "identityProvider": "ADFS",
        },
        "resourceManager": base,
        "graph": base,
        "graphAudience": base,
        "gallery": base,
        "media": base,
        "batch": base,
        "sqlManagement": base,
        "activeDirectoryDataLake": base,
        "vmImageAliasDoc": f"{base}/metadata/images",
        "suffixes": {
            "acrLoginServer": "hotmend.invalid",
            "keyVaultDns": "vault.hotmend.invalid",
            "storage": "storage.hotmend.invalid",
            "sqlServerHostname": "database.hotmend.invalid",
        },
    }
