"""Clients of Microsoft's own SDKs, unmodified, for a plane."""

from __future__ import annotations

from typing import Any

from azure.identity import ClientSecretCredential

from server.conftest import Plane


def client(kind: Any, plane: Plane, tenant: str = "adfs", *, whole: bool = False) -> Any:
    """``tenant``: "adfs", or the tenant's own authority; ``whole``: of no subscription."""
    credential = ClientSecretCredential(
        tenant, plane.client, plane.secret, authority=plane.base, disable_instance_discovery=True
    )
    scopes = [f"{plane.base}/.default"]
    words = {} if whole else {"subscription_id": plane.subscription}
    return kind(credential, **words, base_url=plane.base, credential_scopes=scopes)
