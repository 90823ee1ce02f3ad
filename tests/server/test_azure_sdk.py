"""Microsoft's own SDKs, unmodified, over TLS: each call, and what it gives."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from hotmend.model.agent_messages import (
    RunKind,
)
from server.conftest import Plane
from server.machine import PATCH, answering, assessment, enrolled, installation
from server.sdk import client

IMAGE = {
    "publisher": "MicrosoftWindowsServer",
    "offer": "WindowsServer",
    "sku": "2022-datacenter-azure-edition-core",
    "version": "latest",
}


@pytest.fixture(scope="module")
def compute(plane: Plane, trusted: None) -> ComputeManagementClient:
    return client(ComputeManagementClient, plane, "adfs")


@pytest.fixture(scope="module", autouse=True)
def group(plane: Plane, trusted: None) -> str:
    # The tenant's own authority, where the fixture above takes ADFS's.
    resources = client(ResourceManagementClient, plane, plane.control.folder.tenant)
    made = resources.resource_groups.create_or_update("Rg1", {"location": "West Europe"})
    assert (made.name, made.location) == ("Rg1", "westeurope")
    assert resources.resource_groups.check_existence("rg1")
    assert not resources.resource_groups.check_existence("rg2")
    return "rg1"


def windows(**settings: Any) -> dict[str, Any]:
    wanted = {"patchMode": "AutomaticByPlatform", "enableHotpatching": True} | settings
    configuration = {
        "provisionVMAgent": True,
        "enableAutomaticUpdates": True,
        "patchSettings": wanted,
    }
    return {
        "location": "westeurope",
        "tags": {"owner": "me"},
        "properties": {
            "storageProfile": {"imageReference": IMAGE},
            "osProfile": {
                "computerName": "vm1",
                "adminUsername": "a",
                "adminPassword": "secret-1",
                "windowsConfiguration": configuration,
            },
        },
    }


def test_a_machine_from_beginning_to_end(compute: ComputeManagementClient) -> None:
    vms = compute.virtual_machines
    made = vms.begin_create_or_update("rg1", "Vm1", windows()).result()
    assert made.name == "Vm1" and made.provisioning_state == "Succeeded"
    assert made.os_profile.admin_password is None, "secrets are not given back"
    got = vms.get("RG1", "vm1")
    assert (got.id, got.vm_id, got.tags) == (made.id, made.vm_id, {"owner": "me"})
    changed = vms.begin_update(
        "rg1",
        "vm1",
        {
            "properties": {
                "osProfile": {
                    "windowsConfiguration": {"patchSettings": {"enableHotpatching": False}}
                }
            }
        },
    ).result()
    settings = changed.os_profile.windows_configuration.patch_settings
    assert (settings.enable_hotpatching, settings.patch_mode) == (False, "AutomaticByPlatform")
    assert "Vm1" in [vm.name for vm in vms.list("rg1")]
    assert "Vm1" in [vm.name for vm in vms.list_all()]
    view = vms.instance_view("rg1", "vm1")
    [mode] = view.patch_status.configuration_statuses
    assert mode.code == "PatchModeConfigurationState/Pending", "no agent has enrolled"
    assert [s.code for s in view.statuses] == ["ProvisioningState/succeeded", "PowerState/unknown"]
    expanded = vms.get("rg1", "vm1", expand="instanceView")
    assert expanded.instance_view.vm_agent.statuses[0].display_status == "Not Ready"
    vms.begin_delete("rg1", "vm1").result()
    with pytest.raises(ResourceNotFoundError) as gone:
        vms.get("rg1", "vm1")
    assert gone.value.error.code == "ResourceNotFound"
    vms.begin_delete("rg1", "vm1").result()


def test_assess_and_install_are_the_machines_own_results(
    plane: Plane, compute: ComputeManagementClient, tmp_path: Path
) -> None:
    machine = enrolled(plane, "worker1", tmp_path)
    answers = {RunKind.ASSESS: assessment, RunKind.INSTALL: installation}
    with answering(machine, answers):
        assessed = compute.virtual_machines.begin_assess_patches("fleet", "worker1").result()
        assert assessed.status == "Succeeded" and assessed.critical_and_security_patch_count == 1
        patch = assessed.available_patches[0]
        assert (patch.name, patch.reboot_behavior) == (PATCH.name, "NeverReboots")
        installed = compute.virtual_machines.begin_install_patches(
            "fleet",
            "worker1",
            {
                "maximumDuration": timedelta(hours=2),
                "rebootSetting": "IfRequired",
                "linuxParameters": {"classificationsToInclude": ["Critical", "Security"]},
            },
        ).result()
    assert (installed.status, installed.reboot_status) == ("Succeeded", "NotNeeded")
    assert installed.installed_patch_count == 1
    assert installed.patches[0].installation_state == "Installed"
    assert installed.patches[0].patch_id == patch.patch_id
    view = compute.virtual_machines.instance_view("fleet", "worker1")
    status = view.patch_status
    assert status.available_patch_summary.assessment_activity_id
    assert status.last_patch_installation_summary.installed_patch_count == 1
    assert {s.code for s in status.configuration_statuses} == {
        "PatchModeConfigurationState/Ready",
        "AssessmentModeConfigurationState/Ready",
    }
    assert "PowerState/running" in [s.code for s in view.statuses]


def test_a_machine_without_an_agent_is_not_assessed(compute: ComputeManagementClient) -> None:
    compute.virtual_machines.begin_create_or_update("rg1", "bare", windows()).result()
    with pytest.raises(HttpResponseError) as no:
        compute.virtual_machines.begin_assess_patches("rg1", "bare").result()
    assert (no.value.status_code, no.value.error.code) == (409, "OperationNotAllowed")
    assert "hotmend enroll" in no.value.error.message


def test_sets(compute: ComputeManagementClient) -> None:
    made = compute.availability_sets.create_or_update(
        "rg1", "set1", {"location": "westeurope", "sku": {"name": "Aligned"}}
    )
    assert made.platform_update_domain_count == 5
    vm = windows() | {"zones": None}
    vm["properties"]["availabilitySet"] = {"id": made.id}
    compute.virtual_machines.begin_create_or_update("rg1", "member", vm).result()
    vm["properties"]["availabilitySet"] = {"id": f"{made.id}x"}
    with pytest.raises(ResourceNotFoundError):
        compute.virtual_machines.begin_create_or_update("rg1", "member2", vm).result()
