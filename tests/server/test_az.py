"""``az``, unmodified, over TLS: each command, and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hotmend.model.agent_messages import Installation, RebootStatus, Run, RunKind, RunStatus
from server.conftest import Plane
from server.machine import PATCH, Machine, answering, enrolled

AZ = os.environ.get("HOTMEND_AZ", "")
pytestmark = pytest.mark.skipif(not AZ, reason="HOTMEND_AZ names no az: scripts/test installs it")
IMAGE = "MicrosoftWindowsServer:WindowsServer:2022-datacenter-azure-edition-core:latest"


class Az:
    """The command with a configuration of its own."""

    def __init__(self, plane: Plane, folder: Path) -> None:
        self._environment = os.environ | {
            "AZURE_CONFIG_DIR": str(folder / "azure"),
            "REQUESTS_CA_BUNDLE": str(plane.authority),
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_CORE_NO_COLOR": "yes",
        }

    def __call__(self, *words: str) -> Any:
        """What it printed, as JSON."""
        done = self.fails(*words, code=0)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def fails(self, *words: str, code: int) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [AZ, *words, "-o", "json"],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, (words, done.stderr)
        return done


@pytest.fixture(scope="module")
def az(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Az:
    made = Az(plane, tmp_path_factory.mktemp("az"))
    made("cloud", "register", "-n", "Hotmend", "--endpoint-resource-manager", plane.base)
    made("cloud", "set", "-n", "Hotmend")
    tenant = plane.control.folder.tenant
    words = (
        "--service-principal",
        "-u",
        plane.client,
        f"--password={plane.secret}",
        "--tenant",
        tenant,
    )
    accounts = made("login", *words)
    assert [a["id"] for a in accounts] == [plane.subscription]
    group = made("group", "create", "-n", "az1", "-l", "westeurope")
    assert group["properties"]["provisioningState"] == "Succeeded"
    return made


def test_groups_locations_providers(az: Az) -> None:
    assert "az1" in [group["name"] for group in az("group", "list")]
    pairs = {
        row["name"]: [pair["name"] for pair in row["metadata"]["pairedRegion"]]
        for row in az("account", "list-locations")
    }
    assert pairs["westeurope"] == ["northeurope"]
    assert "Microsoft.Compute" in [row["namespace"] for row in az("provider", "list")]


def test_a_machine_by_a_template(az: Az) -> None:
    made = az("vm", "availability-set", "create", "-g", "az1", "-n", "set1")
    assert made["platformUpdateDomainCount"] == 5
    made = az(
        *("vm", "create", "-g", "az1", "-n", "vm1", "--image", IMAGE, "--size", "Standard_D2s_v5"),
        *("--admin-username", "hotmend", "--admin-password", "Aa1!aaaaaaaaaa"),
        *("--enable-agent", "true", "--patch-mode", "AutomaticByPlatform"),
        *("--enable-hotpatching", "true", "--availability-set", "set1"),
    )
    assert made["id"].endswith("/virtualMachines/vm1")
    shown = az("vm", "show", "-g", "az1", "-n", "vm1")
    settings = shown["osProfile"]["windowsConfiguration"]["patchSettings"]
    assert settings["enableHotpatching"] is True
    assert shown["availabilitySet"]["id"].lower().endswith("/set1")
    assert "vm1" in [vm["name"] for vm in az("vm", "list")]
    changed = az("vm", "update", "-g", "az1", "-n", "vm1", "--set", "tags.ring=canary")
    assert changed["tags"] == {"ring": "canary"} and changed["vmId"] == shown["vmId"]
    view = az("vm", "get-instance-view", "-g", "az1", "-n", "vm1")["instanceView"]
    assert view["vmAgent"]["statuses"][0]["displayStatus"] == "Not Ready"
    refused = az.fails("vm", "restart", "-g", "az1", "-n", "vm1", code=1)
    assert "OperationNotAllowed" in refused.stderr and "hotmend enroll" in refused.stderr
    kinds = {row["type"] for row in az("resource", "list", "-g", "az1")}
    assert {"Microsoft.Network/networkInterfaces", "Microsoft.Compute/virtualMachines"} <= kinds
    missing = az.fails("vm", "show", "-g", "az1", "-n", "none", code=3)
    assert "ResourceNotFound" in missing.stderr


def test_a_template_that_breaks_a_rule_changes_nothing(az: Az) -> None:
    refused = az.fails(
        *("vm", "create", "-g", "az1", "-n", "vm2", "--image", IMAGE, "--size", "Standard_D2s_v5"),
        *("--admin-username", "hotmend", "--admin-password", "Aa1!aaaaaaaaaa"),
        *("--enable-agent", "true", "--patch-mode", "Manual", "--enable-hotpatching", "true"),
        code=1,
    )
    assert "EnableHotpatching cannot be set to true" in refused.stderr
    assert not [row for row in az("resource", "list", "-g", "az1") if "vm2" in row["name"]]


def test_assess_install_restart(plane: Plane, az: Az, tmp_path: Path) -> None:
    machine = enrolled(plane, "azworker", tmp_path)
    answers = {RunKind.ASSESS: _assessed, RunKind.INSTALL: _installed, RunKind.RESTART: _restarted}
    place = ("-g", "fleet", "-n", "azworker")
    with answering(machine, answers):
        assessed = az("vm", "assess-patches", *place)
        assert assessed["status"] == "Succeeded"
        assert [p["name"] for p in assessed["availablePatches"]] == [PATCH.name]
        words = ("--maximum-duration", "PT2H", "--reboot-setting", "Never")
        chosen = ("--classifications-to-include-linux", "Critical", "Security")
        installed = az("vm", "install-patches", *place, *words, *chosen)
        assert (installed["status"], installed["rebootStatus"]) == ("Succeeded", "NotNeeded")
        assert az("vm", "restart", *place)["status"] == "Succeeded"


def test_a_scale_set_by_a_template(az: Az) -> None:
    create = (
        *("vmss", "create", "-g", "az1", "-n", "ss1", "--instance-count", "1"),
        *("--admin-username", "hotmend", "--admin-password", "Aa1!aaaaaaaaaa"),
    )
    uniform = ("--image", IMAGE, "--orchestration-mode", "Uniform")
    refused = az.fails(*create, *uniform, code=1)
    assert "'Uniform' cannot be hotpatched" in refused.stderr
    flexible = ("--image", "debian:debian-12:12:latest", "--orchestration-mode", "Flexible")
    [made] = az(*create, *flexible).values()
    assert (made["orchestrationMode"], made["provisioningState"]) == ("Flexible", "Succeeded")
    shown = az("vmss", "show", "-g", "az1", "-n", "ss1")
    assert shown["virtualMachineProfile"]["osProfile"]["adminUsername"] == "hotmend"
    assert "adminPassword" not in shown["virtualMachineProfile"]["osProfile"]


def test_what_needs_a_hypervisor(plane: Plane, az: Az, tmp_path: Path) -> None:
    enrolled(plane, "azpower", tmp_path)
    place = ("-g", "fleet", "-n", "azpower")
    az("vm", "start", *place)  # it runs
    refused = az.fails("vm", "deallocate", *place, code=1)
    assert "OperationNotAllowed" in refused.stderr and "no hypervisor" in refused.stderr


def test_rest(plane: Plane, az: Az, tmp_path: Path) -> None:
    path = f"/subscriptions/{plane.subscription}/resourcegroups/az1?api-version=2024-11-01"
    assert az("rest", "--method", "get", "--url", path)["location"] == "westeurope"
    machine = enrolled(plane, "azquery", tmp_path)
    assert machine.report(machine.assessed("seen-by-az", PATCH)).accepted
    query = (
        "patchassessmentresources | where id contains '/azquery/' and type has 'softwarepatches' "
        "| project name = properties.patchName, classifications = properties.classifications"
    )
    answer = az(
        *("rest", "--method", "post", "--body", json.dumps({"query": query})),
        *("--url", "/providers/Microsoft.ResourceGraph/resources?api-version=2021-03-01"),
    )
    assert answer["data"] == [{"name": PATCH.name, "classifications": ["Security"]}]
    machine_path = f"{path.partition('?')[0]}/providers/Microsoft.HybridCompute/machines/own"
    body = {"location": "westeurope", "properties": {"osType": "linux"}}
    made = az(
        *("rest", "--method", "put", "--body", json.dumps(body)),
        *("--url", f"{machine_path}?api-version=2025-01-13"),
    )
    assert (made["name"], made["properties"]["status"]) == ("own", "Disconnected")


def _assessed(machine: Machine, order: str) -> Run:
    return machine.assessed(order, PATCH)


def _installed(machine: Machine, order: str) -> Run:
    run = machine.assessed(order)
    done = Installation((), RebootStatus.NOT_NEEDED)
    return Run(
        order, RunKind.INSTALL, run.started, RunStatus.SUCCEEDED, run.finished, installation=done
    )


def _restarted(machine: Machine, order: str) -> Run:
    run = machine.assessed(order)
    return Run(order, RunKind.RESTART, run.started, RunStatus.SUCCEEDED, run.finished)
