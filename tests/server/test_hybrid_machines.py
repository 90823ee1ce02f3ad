"""Connected machines by azure-mgmt-hybridcompute, unmodified: each call, and what it gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.hybridcompute import HybridComputeManagementClient

from hotmend.model.agent_messages import RunKind
from server.conftest import Plane
from server.machine import (
    CONNECTED,
    FACTS,
    PATCH,
    Machine,
    answering,
    assessment,
    enrolled,
    installation,
)
from server.sdk import client

WINDOWS = {
    "location": "westeurope",
    "properties": {
        "osType": "windows",
        "osName": "Windows Server 2025 Datacenter",
        "osVersion": "10.0.26100.1742",
        "osEdition": "serverdatacenter",
        "firmwareProfile": {"type": "UEFI"},
        "osProfile": {
            "windowsConfiguration": {
                "patchSettings": {"patchMode": "AutomaticByPlatform", "enableHotpatching": True}
            }
        },
    },
}
FEATURE = {"name": "Hotpatch", "subscriptionStatus": "Enabled"}
ENROL = {
    "location": "westeurope",
    "properties": {
        "productProfile": {"productType": "WindowsServer", "productFeatures": [FEATURE]}
    },
}


@pytest.fixture(scope="module")
def hybrid(plane: Plane, trusted: None) -> HybridComputeManagementClient:
    plane.call("PUT", "resourceGroups/arc", {"location": "westeurope"})
    return client(HybridComputeManagementClient, plane)


def windows(**changes: Any) -> dict[str, Any]:
    return {**WINDOWS, "properties": {**WINDOWS["properties"], **changes}}


def test_a_connected_machine_from_beginning_to_end(hybrid: HybridComputeManagementClient) -> None:
    made = hybrid.machines.create_or_update("arc", "Own1", WINDOWS)
    assert (made.name, made.properties.provisioning_state) == ("Own1", "Succeeded")
    got = hybrid.machines.get("ARC", "own1", expand="instanceView")
    assert (got.id, got.properties.vm_id) == (made.id, made.properties.vm_id)
    assert got.properties.status == "Disconnected", "no agent has enrolled"
    settings = got.properties.os_profile.windows_configuration.patch_settings
    assert settings.patch_mode == "AutomaticByPlatform"
    change = {
        "tags": {"ring": "canary"},
        "properties": {
            "osProfile": {"windowsConfiguration": {"patchSettings": {"enableHotpatching": False}}}
        },
    }
    changed = hybrid.machines.update("arc", "own1", change)
    settings = changed.properties.os_profile.windows_configuration.patch_settings
    assert (settings.patch_mode, settings.enable_hotpatching, changed.tags) == (
        "AutomaticByPlatform",
        False,
        {"ring": "canary"},
    )
    assert settings.status.hotpatch_enablement_status == "Disabled"
    assert "Own1" in [m.name for m in hybrid.machines.list_by_resource_group("arc")]
    assert "Own1" in [m.name for m in hybrid.machines.list_by_subscription()]
    hybrid.machines.begin_delete("arc", "own1").result()
    with pytest.raises(ResourceNotFoundError):
        hybrid.machines.get("arc", "own1")
    hybrid.machines.begin_delete("arc", "own1").result()


def test_assess_and_install_have_results_of_their_own(
    plane: Plane, hybrid: HybridComputeManagementClient, tmp_path: Path
) -> None:
    machine = enrolled(plane, "arcworker", tmp_path, CONNECTED)
    with answering(machine, {RunKind.ASSESS: assessment, RunKind.INSTALL: installation}):
        assessed = hybrid.machines.begin_assess_patches("fleet", "arcworker").result()
        wanted = {
            "maximumDuration": "PT2H",
            "rebootSetting": "IfRequired",
            "linuxParameters": {"classificationsToInclude": ["Security"]},
        }
        installed = hybrid.machines.begin_install_patches("fleet", "arcworker", wanted).result()
    counts = assessed.available_patch_count_by_classification
    assert (assessed.status, counts.security, counts.critical, counts.other) == (
        ("Succeeded", 1, 0, 0)
    )
    assert (assessed.started_by, assessed.patch_service_used, assessed.os_type) == (
        ("User", "APT", "Linux")
    )
    assert assessed.start_date_time <= assessed.last_modified_date_time
    assert (installed.status, installed.installed_patch_count) == ("Succeeded", 1)
    assert (installed.reboot_status, installed.os_type) == ("NotNeeded", "Linux")
    got = hybrid.machines.get("fleet", "arcworker", expand="instanceView")
    said = got.properties
    assert (said.status, said.os_name, said.os_type) == ("Connected", "debian", "linux")
    assert said.agent_version == FACTS.agent
    fleet = plane.call(
        "GET", "resourceGroups/fleet/providers/Hotmend.Fleet/machines/arcworker/history"
    )
    assert [run["operation"] for run in fleet.body["value"]] == ["install", "assess"]


def test_a_licence_is_enrolled_and_disenrolled(
    plane: Plane, hybrid: HybridComputeManagementClient, tmp_path: Path
) -> None:
    machine = enrolled(plane, "licensed", tmp_path, CONNECTED)
    place = ("fleet", "licensed")

    def status() -> Any:
        got = hybrid.machines.get(*place).properties.os_profile
        return got.linux_configuration.patch_settings.status.hotpatch_enablement_status

    with pytest.raises(ResourceNotFoundError):
        hybrid.license_profiles.get(*place)
    assert status() == "Disabled", "nobody has asked for it"
    put = hybrid.license_profiles.begin_create_or_update(*place, ENROL).result()
    feature = put.properties.product_profile.product_features[0]
    assert (feature.name, feature.subscription_status) == ("Hotpatch", "Enabling")
    assert feature.enrollment_date is not None and feature.disenrollment_date is None
    assert status() == "PendingEvaluation"
    assert machine.report().accepted
    assert _feature(hybrid, *place).subscription_status == "Enabled", "the machine has been heard"
    assert status() == "PendingEvaluation", "and not assessed yet"
    assert machine.report(machine.assessed("first")).accepted
    assert status() == "Enabled"
    hybrid.machines.update(*place, _opted(False))
    assert status() == "Disabled", "the licence stays"
    hybrid.machines.update(*place, _opted(True))
    assert status() == "Enabled"
    off = {"productProfile": {"productFeatures": [FEATURE | {"subscriptionStatus": "Disable"}]}}
    hybrid.license_profiles.begin_update(*place, {"properties": off}).result()
    assert _feature(hybrid, *place).subscription_status == "Disabling"
    assert machine.report().accepted
    ended = _feature(hybrid, *place)
    assert ended.subscription_status == "Disabled"
    assert ended.disenrollment_date >= ended.enrollment_date
    assert status() == "ActionRequired", "wished for, and not licensed"
    [listed] = hybrid.license_profiles.list(*place)
    assert listed.name == "default"
    hybrid.license_profiles.begin_delete(*place).result()
    with pytest.raises(ResourceNotFoundError):
        hybrid.license_profiles.get(*place)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"osVersion": "10.0.26100.1741"}, "Hotpatch needs build 10.0.26100.1742 or later"),
        ({"osVersion": "10.0.20348.2700"}, "Hotpatch needs build 10.0.26100.1742 or later"),
        ({"osVersion": "nonsense"}, "Hotpatch needs build 10.0.26100.1742 or later"),
        ({"osEdition": "serverstorage"}, "Hotpatch is not supported for 'serverstorage' on Arc"),
        ({"firmwareProfile": {"type": "BIOS"}}, "Hotpatch needs virtualization-based security"),
    ],
)
def test_what_is_not_eligible_is_not_enrolled(
    hybrid: HybridComputeManagementClient, changes: dict[str, Any], why: str
) -> None:
    hybrid.machines.create_or_update("arc", "other", windows(**changes))
    with pytest.raises(HttpResponseError) as no:
        hybrid.license_profiles.begin_create_or_update("arc", "other", ENROL).result()
    assert (no.value.status_code, no.value.error.code) == (400, "HotpatchNotSupported")
    assert f"'other': {why}" in no.value.error.message
    hybrid.machines.create_or_update("arc", "other", WINDOWS)
    done = hybrid.license_profiles.begin_create_or_update("arc", "other", ENROL).result()
    assert done.properties.product_profile.product_features[0].subscription_status == "Enabling"
    hybrid.license_profiles.begin_delete("arc", "other").result()


def test_a_machine_that_is_not_supported_is_assessed_and_not_installed(
    plane: Plane, hybrid: HybridComputeManagementClient, tmp_path: Path
) -> None:
    old = replace(FACTS, os_version="10")
    machine: Machine = enrolled(plane, "old", tmp_path, CONNECTED, old)
    with answering(machine, {RunKind.ASSESS: assessment}):
        assert hybrid.machines.begin_assess_patches("fleet", "old").result().status == "Succeeded"
    wanted = {
        "maximumDuration": "PT2H",
        "rebootSetting": "Never",
        "linuxParameters": {"classificationsToInclude": ["Security"]},
    }
    with pytest.raises(HttpResponseError) as no:
        hybrid.machines.begin_install_patches("fleet", "old", wanted).result()
    assert no.value.error.code == "OperationNotAllowed"
    assert "'debian 10' is not in the support matrix" in no.value.error.message
    assert "debian:debian-12:12" in no.value.error.message, "and what would be"
    assert PATCH.name not in no.value.error.message


def test_azure_local_has_no_orchestrator(
    plane: Plane, hybrid: HybridComputeManagementClient, tmp_path: Path
) -> None:
    enrolled(plane, "local", tmp_path, CONNECTED)
    body = plane.call("GET", f"resourceGroups/fleet/providers/{CONNECTED}/local").body
    path = f"resourceGroups/fleet/providers/{CONNECTED}/local"
    refused = plane.call("PUT", path, body | {"kind": "HCI"})
    assert refused.status == 400
    assert "no platform orchestrates updates on Azure Local" in refused.body["error"]["message"]
    settings = {"linuxConfiguration": {"patchSettings": {"enableHotpatching": False}}}
    off = body | {"kind": "HCI", "properties": {"osProfile": settings}}
    refused = plane.call("PUT", path, off)
    assert "hotpatch cannot be switched off" in refused.body["error"]["message"]
    plain = {"location": "westeurope", "kind": "HCI", "properties": {}}
    assert plane.call("PUT", path, plain).status == 200
    with pytest.raises(HttpResponseError) as no:
        hybrid.machines.begin_install_patches(
            "fleet",
            "local",
            {
                "maximumDuration": "PT2H",
                "rebootSetting": "Never",
                "linuxParameters": {"classificationsToInclude": ["Security"]},
            },
        ).result()
    assert "is a machine of Azure Local" in no.value.error.message


def _feature(hybrid: HybridComputeManagementClient, group: str, name: str) -> Any:
    return hybrid.license_profiles.get(group, name).properties.product_profile.product_features[0]


def _opted(value: bool) -> dict[str, Any]:
    settings = {"patchSettings": {"enableHotpatching": value}}
    return {"properties": {"osProfile": {"linuxConfiguration": settings}}}
