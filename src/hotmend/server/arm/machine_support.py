"""A machine's row of the support matrix: by what its agent says it is, else by what it was made
from. Pure."""

from __future__ import annotations

from typing import Any

from hotmend.fleet import support
from hotmend.fleet.hotpatch_status import Connected
from hotmend.fleet.support import Image, Row
from hotmend.model.agent_messages import Facts
from hotmend.server.arm import patch_settings

CONNECTED = "Microsoft.HybridCompute/machines"
AZURE_LOCAL_KIND = "hci"

Body = dict[str, Any]


def platform(kind: str, body: Body) -> str:
    """As the support matrix has it; ``kind``: a resource type."""
    if kind.lower() != CONNECTED.lower():
        return "Azure"
    return "AzureLocal" if str(body.get("kind", "")).lower() == AZURE_LOCAL_KIND else "Arc"


def os_type(facts: Facts) -> str:
    """Windows or Linux, as Azure spells them."""
    return "Windows" if facts.os_name.lower().startswith("windows") else "Linux"


def stated_os(kind: str, body: Body) -> str:
    """Of a machine without an agent, as far as its owner said; "" when nobody did."""
    properties = body["properties"]
    if kind.lower() == CONNECTED.lower():
        return str(properties.get("osType") or "")
    profile = properties.get("osProfile") or {}
    for name, system in (("windowsConfiguration", "Windows"), ("linuxConfiguration", "Linux")):
        if profile.get(name):
            return system
    disk = (properties.get("storageProfile") or {}).get("osDisk") or {}
    return str(disk.get("osType") or "") if isinstance(disk, dict) else ""


def row(kind: str, body: Body, facts: Facts | None, rows: tuple[Row, ...]) -> Row | None:
    """None for a machine that is not supported."""
    where = platform(kind, body)
    if facts is not None:
        found = support.find(rows, where, _image_of(facts))
        if found is not None:
            return found
    if where != "Azure":
        return support.find(rows, where, connected(body, facts).image)
    image = patch_settings.image_of(body["properties"])
    return None if image is None else support.find(rows, where, image)


def connected(body: Body, facts: Facts | None) -> Connected:
    """A connected machine as its agent says it is; without one as its owner says."""
    properties = body["properties"]
    place = platform(CONNECTED, body)
    firmware = properties.get("firmwareProfile")
    kind = str(firmware.get("type") or "") if isinstance(firmware, dict) else ""
    if facts is not None and os_type(facts) == "Linux":
        return Connected("linux", facts.os_version, _image_of(facts), kind, place)
    version = facts.os_version if facts is not None else str(properties.get("osVersion") or "")
    system = str(properties.get("osType") or ("windows" if facts is not None else "")).lower()
    edition = str(properties.get("osEdition") or properties.get("osSku") or "").lower()
    image = patch_settings.image_of(properties)
    if image is None:
        image = Image("MicrosoftWindowsServer", "WindowsServer", edition)
    return Connected(system, version, image, kind, place)


def _image_of(facts: Facts) -> Image:
    name, version = facts.os_name.lower(), facts.os_version
    return Image(name, f"{name}-{version}", version)
