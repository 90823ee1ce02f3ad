"""Bodies of requests: what they have in common, and how one is merged into another."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hotmend.server.errors import invalid

_SECRETS = ("adminPassword", "customData")


class ResourceBody(BaseModel):
    """A tracked resource, as PUT sends it. What is not named here is kept as it comes."""

    model_config = ConfigDict(extra="allow")

    location: str = Field(min_length=1, max_length=64)
    tags: dict[str, str] | None = None
    properties: dict[str, Any] | None = None


class PatchBody(BaseModel):
    """As PATCH sends it: only what changes."""

    model_config = ConfigDict(extra="allow")

    tags: dict[str, str] | None = None
    properties: dict[str, Any] | None = None


class InstallBody(BaseModel):
    """VirtualMachineInstallPatchesParameters."""

    model_config = ConfigDict(extra="allow")

    maximumDuration: str = "PT3H55M"
    rebootSetting: str
    windowsParameters: dict[str, Any] | None = None
    linuxParameters: dict[str, Any] | None = None


def content(body: BaseModel) -> dict[str, Any]:
    """What was sent, and no more."""
    return body.model_dump(exclude_unset=True)


def object_in(holder: dict[str, Any], name: str) -> dict[str, Any]:
    """``holder``'s object of that name; empty where there is none. Raises ArmError."""
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"'{name}' is an object.", name)
    return value


def without_secrets(profile: dict[str, Any]) -> dict[str, Any]:
    """An ``osProfile`` without what is never kept nor given back."""
    return {name: value for name, value in profile.items() if name not in _SECRETS}


def merged(old: Any, new: Any) -> Any:
    """``new`` merged into ``old``, as RFC 7396 says: null takes away."""
    if not isinstance(new, dict):
        return new
    result = dict(old) if isinstance(old, dict) else {}
    for name, value in new.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
