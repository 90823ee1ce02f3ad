"""Maintenance configurations, assignments and updates by azure-mgmt-maintenance, unmodified."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.maintenance import MaintenanceManagementClient

from hotmend.model.agent_messages import RebootSetting, RunKind
from hotmend.server.identity.roles import Role
from server.conftest import Plane
from server.machine import CONNECTED, PATCH, VIRTUAL, answering, enrolled, installation
from server.sdk import client
from server.test_hybrid_machines import WINDOWS

TYPE = "Microsoft.Maintenance/maintenanceConfigurations"
PATH = f"resourceGroups/care/providers/{TYPE}"


def wanted(**changes: Any) -> dict[str, Any]:
    """A schedule as the portal writes it; changes by the names of maintenanceWindow, or, for
    dictionaries, of properties."""
    window = {
        "startDateTime": "2040-01-02 22:00",
        "duration": "02:00",
        "timeZone": "Pacific Standard Time",
        "recurEvery": "Week Saturday,Sunday",
    }
    properties: dict[str, Any] = {
        "namespace": "Microsoft.Maintenance",
        "visibility": "Custom",
        "maintenanceScope": "InGuestPatch",
        "extensionProperties": {"InGuestPatchMode": "User"},
        "maintenanceWindow": window,
        "installPatches": {
            "rebootSetting": "IfRequired",
            "linuxParameters": {"classificationsToInclude": ["Critical", "Security"]},
        },
    }
    for name, value in changes.items():
        (window if name in (*window, "expirationDateTime") else properties)[name] = value
    return {"location": "westeurope", "properties": properties}


@pytest.fixture(scope="module", autouse=True)
def group(plane: Plane) -> None:
    assert plane.call("PUT", "resourceGroups/care", {"location": "westeurope"}).status < 300


@pytest.fixture(scope="module")
def maintenance(plane: Plane, trusted: None) -> MaintenanceManagementClient:
    return client(MaintenanceManagementClient, plane)


def test_a_configuration_from_beginning_to_end(maintenance: MaintenanceManagementClient) -> None:
    configurations = maintenance.maintenance_configurations
    made = configurations.create_or_update("care", "Weekly", wanted())
    assert (made.name, made.recur_every, made.duration) == (
        "Weekly",
        "Week Saturday,Sunday",
        "02:00",
    )
    got = configurations.get("CARE", "weekly")
    assert (got.id, got.time_zone, got.maintenance_scope) == (
        made.id,
        "Pacific Standard Time",
        "InGuestPatch",
    )
    assert got.install_patches.linux_parameters.classifications_to_include == [
        "Critical",
        "Security",
    ]
    change: Any = {"properties": {"maintenanceWindow": {"duration": "03:00"}}}
    changed = configurations.update("care", "weekly", change)
    assert (changed.duration, changed.recur_every) == ("03:00", "Week Saturday,Sunday")
    assert "Weekly" in [one.name for one in configurations.list()]
    in_group = maintenance.maintenance_configurations_for_resource_group.list("care")
    assert "Weekly" in [one.name for one in in_group]
    configurations.delete("care", "weekly")
    with pytest.raises(ResourceNotFoundError):
        configurations.get("care", "weekly")
    configurations.delete("care", "weekly")


@pytest.mark.parametrize(
    "text",
    [
        *("Day", "3Days", "Week Saturday,Sunday", "3Weeks", "Month", "2Months", "6Hours"),
        *("Month day23,day24", "Month Last Sunday", "Month Fourth Monday"),
        *(
            "Month Last Sunday Offset-3",
            "Month Third Sunday Offset6",
            "Month Second Tuesday Offset4",
        ),
    ],
)
def test_how_often_as_azure_documents_it(plane: Plane, text: str) -> None:
    answer = plane.call("PUT", f"{PATH}/often", wanted(recurEvery=text))
    assert answer.status in (200, 201), answer.body


@pytest.mark.parametrize(
    ("changes", "target", "message"),
    [
        ({"recurEvery": "5Hours"}, "maintenanceWindow", "at least 6 hours"),
        ({"recurEvery": "Fortnight"}, "maintenanceWindow", "must begin with [n]Hour"),
        ({"recurEvery": "Month day32"}, "maintenanceWindow", "no day of the month"),
        ({"recurEvery": "Month Second Tuesday Offset7"}, "maintenanceWindow", "Offset-6"),
        ({"recurEvery": "Week Caturday"}, "maintenanceWindow", "no day of the week"),
        ({"duration": "01:29"}, "maintenanceWindow", "from 01:30 to 03:55"),
        ({"duration": "03:56"}, "maintenanceWindow", "from 01:30 to 03:55"),
        ({"duration": "2 hours"}, "maintenanceWindow", "from 01:30 to 03:55"),
        ({"timeZone": "Middle-earth Standard Time"}, "maintenanceWindow", "no time zone"),
        ({"startDateTime": "2040-13-01 00:00"}, "maintenanceWindow", "startDateTime must be like"),
        (
            {"expirationDateTime": "2039-01-01 00:00"},
            "maintenanceWindow",
            "expirationDateTime must be after startDateTime",
        ),
        ({"maintenanceWindow": None}, "maintenanceWindow", "maintenanceWindow must be given"),
        (
            {"startDateTime": "2020-01-01 00:00"},
            "maintenanceWindow.startDateTime",
            "at least 15 minutes after",
        ),
        ({"maintenanceScope": "Host"}, "maintenanceScope", "maintenanceScope 'Host'"),
        ({"visibility": "Secret"}, "visibility", "Custom, Public"),
        (
            {"extensionProperties": {"InGuestPatchMode": "Nobody"}},
            "extensionProperties.InGuestPatchMode",
            "must be User or Platform",
        ),
        (
            {"extensionProperties": None},
            "extensionProperties.InGuestPatchMode",
            "must be User or Platform",
        ),
        (
            {"installPatches": {"rebootSetting": "NeverReboot"}},
            "classificationsToInclude",
            "At least one classification",
        ),
        (
            {
                "installPatches": {
                    "rebootSetting": "NeverReboot",
                    "linuxParameters": {"classificationsToInclude": ["Security"]},
                }
            },
            "rebootSetting",
            "IfRequired, Never, Always",
        ),
    ],
)
def test_a_configuration_that_breaks_a_rule(
    plane: Plane, changes: dict[str, Any], target: str, message: str
) -> None:
    path = f"{PATH}/wrong"
    answer = plane.call("PUT", path, wanted(**changes))
    error = answer.body["error"]
    assert (answer.status, error["code"], error["target"]) == (400, "InvalidParameter", target)
    assert message in error["message"]
    assert plane.call("GET", path).status == 404, "nothing was made"
    assert plane.call("PUT", path, wanted()).status == 201
    assert plane.call("DELETE", path).status == 200


def test_names_are_short(plane: Plane) -> None:
    longest = "n" * (127 - len("care"))
    assert plane.call("PUT", f"{PATH}/{longest}", wanted()).status == 201
    answer = plane.call("PUT", f"{PATH}/{longest}n", wanted())
    assert (answer.status, answer.body["error"]["target"]) == (400, "name")
    assert "fewer than 128 characters together" in answer.body["error"]["message"]


def test_a_schedule_that_is_about_to_begin_is_left_alone(plane: Plane) -> None:
    now = datetime.now(UTC)
    soon = f"{now + timedelta(minutes=20):%Y-%m-%d %H:%M}"
    path = f"{PATH}/soon"
    assert (
        plane.call("PUT", path, wanted(startDateTime=soon, timeZone="UTC", recurEvery="Day")).status
        == 201
    )
    later = wanted(startDateTime=soon, timeZone="UTC", recurEvery="Day", duration="03:00")
    assert plane.call("PUT", path, later).status == 200, "there are 20 minutes"
    plane.clock.ahead = 360.0
    try:
        refused = plane.call("PUT", path, later)
        assert (refused.status, refused.body["error"]["code"]) == (409, "Conflict")
        assert "at least 15 minutes before it begins" in refused.body["error"]["message"]
    finally:
        plane.clock.ahead = 0.0
    assert plane.call("DELETE", path).status == 200


def test_assignments_of_a_machine_a_group_and_the_subscription(
    plane: Plane, maintenance: MaintenanceManagementClient
) -> None:
    configuration = maintenance.maintenance_configurations.create_or_update(
        "care", "assigned", wanted()
    )
    assert plane.call("PUT", f"resourceGroups/care/providers/{CONNECTED}/m1", WINDOWS).status == 200
    body: Any = {
        "location": "westeurope",
        "properties": {"maintenanceConfigurationId": configuration.id},
    }
    one = maintenance.configuration_assignments
    place = ("care", "Microsoft.HybridCompute", "machines", "m1")
    made = one.create_or_update(*place, "mine", body)
    assert made.maintenance_configuration_id == configuration.id
    assert made.resource_id.endswith("/machines/m1")
    assert [a.name for a in one.list(*place)] == ["mine"]
    assert one.get(*place, "MINE").id == made.id
    scoped: Any = {
        "properties": {
            "maintenanceConfigurationId": configuration.id,
            "filter": {
                "osTypes": ["Windows"],
                "locations": ["West Europe"],
                "resourceTypes": ["Microsoft.HybridCompute/machines"],
                "tagSettings": {"tags": {"ring": ["one", "two"]}, "filterOperator": "Any"},
            },
        }
    }
    for_group = maintenance.configuration_assignments_for_resource_group
    assert for_group.create_or_update("care", "dynamic", scoped).filter.os_types == ["Windows"]
    change: Any = {"properties": {"filter": {"osTypes": ["Linux"]}}}
    changed = for_group.update("care", "dynamic", change)
    assert changed.filter.os_types == ["Linux"] and changed.filter.locations == ["West Europe"]
    assert for_group.get("care", "dynamic").filter.os_types == ["Linux"]
    whole = maintenance.configuration_assignments_for_subscriptions
    assert whole.create_or_update("everywhere", scoped).filter.tag_settings.filter_operator == "Any"
    names = {a.name for a in maintenance.configuration_assignments_within_subscription.list()}
    assert {"mine", "dynamic", "everywhere"} <= names
    graph = {"query": "maintenanceresources | where type has 'configurationassignments'"}
    rows = plane.call("POST", "/providers/Microsoft.ResourceGraph/resources", graph).body["data"]
    assert [row["properties"]["resourceId"] for row in rows if row["name"] == "mine"] == [
        made.resource_id.lower()
    ]
    whole.delete("everywhere")
    for_group.delete("care", "dynamic")
    one.delete(*place, "mine")
    with pytest.raises(ResourceNotFoundError):
        one.get(*place, "mine")
    one.create_or_update(*place, "mine", body)
    maintenance.maintenance_configurations.delete("care", "assigned")
    assert not list(one.list(*place)), "they go with their configuration"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"maintenanceConfigurationId": 5}, 400, "InvalidParameter"),
        ({"maintenanceConfigurationId": "nonsense"}, 400, "LinkedInvalidPropertyId"),
        ({"maintenanceConfigurationId": "{0}none"}, 404, "ResourceNotFound"),
        ({"filter": {"osTypes": ["BeOS"]}}, 400, "InvalidParameter"),
        ({"filter": {"resourceTypes": ["Microsoft.Web/sites"]}}, 400, "InvalidParameter"),
        ({"filter": {"tagSettings": {"filterOperator": "None"}}}, 400, "InvalidParameter"),
        (
            {"filter": {"tagSettings": {"tags": {str(n): ["x"] for n in range(51)}}}},
            400,
            "InvalidParameter",
        ),
        ({"filter": {"resourceGroups": [str(n) for n in range(51)]}}, 400, "InvalidParameter"),
        ({}, 201, ""),
    ],
)
def test_an_assignment_that_breaks_a_rule(
    plane: Plane,
    maintenance: MaintenanceManagementClient,
    change: dict[str, Any],
    status: int,
    code: str,
) -> None:
    configuration = maintenance.maintenance_configurations.create_or_update("care", "ok", wanted())
    properties = {"maintenanceConfigurationId": configuration.id, **change}
    text = properties["maintenanceConfigurationId"]
    if isinstance(text, str):
        properties["maintenanceConfigurationId"] = text.replace("{0}", configuration.id)
    path = "providers/Microsoft.Maintenance/configurationAssignments/rule"
    answer = plane.call("PUT", path, {"properties": properties})
    assert answer.status == status, answer.body
    if code:
        assert answer.body["error"]["code"] == code
        assert plane.call("GET", path).status == 404
    else:
        assert plane.call("DELETE", path).status == 200


def test_a_configuration_that_one_may_not_read_is_not_assigned(
    plane: Plane, maintenance: MaintenanceManagementClient
) -> None:
    configuration = maintenance.maintenance_configurations.create_or_update("care", "ok", wanted())
    assert plane.call("PUT", "resourceGroups/tenant", {"location": "westeurope"}).status < 300
    path = f"resourceGroups/tenant/providers/{CONNECTED}/t1"
    assert plane.call("PUT", path, WINDOWS).status == 200
    token = plane.token_for(
        Role.OPERATOR, f"/subscriptions/{plane.subscription}/resourceGroups/tenant"
    )
    place = f"{path}/providers/Microsoft.Maintenance/configurationAssignments/a"
    body = {"properties": {"maintenanceConfigurationId": configuration.id}}
    refused = plane.call("PUT", place, body, token=token)
    assert (refused.status, refused.body["error"]["code"]) == (403, "LinkedAuthorizationFailed")
    assert plane.call("PUT", place, body).status == 201
    assert plane.call("GET", place, token=token).status == 200


def test_updates_are_applied_now_as_the_configuration_says(
    plane: Plane, maintenance: MaintenanceManagementClient, tmp_path: Path
) -> None:
    machine = enrolled(plane, "careful", tmp_path, CONNECTED)
    place = ("fleet", "Microsoft.HybridCompute", "machines", "careful")
    with pytest.raises(HttpResponseError) as none:
        maintenance.apply_updates.create_or_update(*place)
    assert "No maintenance configuration is assigned to 'careful'" in none.value.error.message
    configuration = maintenance.maintenance_configurations.create_or_update(
        "care", "now", wanted(duration="01:30")
    )
    body: Any = {"properties": {"maintenanceConfigurationId": configuration.id}}
    maintenance.configuration_assignments_for_resource_group.create_or_update("fleet", "all", body)
    begun = maintenance.apply_updates.create_or_update(*place)
    assert begun.status == "Pending"
    [order] = machine.poll().orders
    assert (order.kind, order.maximum_s, order.reboot) == (
        RunKind.INSTALL,
        5400.0,
        RebootSetting.IF_REQUIRED,
    )
    assert order.selection.classifications == ("Critical", "Security")
    with pytest.raises(HttpResponseError) as twice:
        maintenance.apply_updates.create_or_update(*place)
    assert twice.value.error.code == "Conflict"
    assert machine.report(installation(machine, order.id)).accepted
    assert maintenance.apply_updates.get(*place, "default").status == "Completed"
    assert maintenance.apply_updates.get(*place, begun.name).id == begun.id
    in_group = maintenance.apply_update_for_resource_group.list("fleet")
    assert begun.name in [one.name for one in in_group]
    assert begun.name in [one.name for one in maintenance.apply_updates.list()]
    graph = {
        "query": "maintenanceresources | where ['id'] contains '/machines/careful' "
        "| where ['type'] == \"microsoft.maintenance/applyupdates\" "
        '| where properties.maintenanceScope == "InGuestPatch"'
    }
    rows = plane.call("POST", "/providers/Microsoft.ResourceGraph/resources", graph).body["data"]
    assert [row["properties"]["status"] for row in rows] == ["Completed"]
    assert list(maintenance.updates.list(*place)) == [], "it has not been assessed"
    assert machine.report(machine.assessed("found", PATCH)).accepted
    [pending] = maintenance.updates.list(*place)
    assert (pending.maintenance_scope, pending.impact_type) == ("InGuestPatch", "None")
    maintenance.configuration_assignments_for_resource_group.delete("fleet", "all")


@pytest.mark.parametrize(("bypass", "allowed"), [(False, False), (True, True)])
def test_a_virtual_machine_is_scheduled_by_its_owner_or_not_at_all(
    plane: Plane,
    maintenance: MaintenanceManagementClient,
    tmp_path: Path,
    bypass: bool,
    allowed: bool,
) -> None:
    name = f"scheduled{bypass}"
    machine = enrolled(plane, name, tmp_path, VIRTUAL)
    platform = {"bypassPlatformSafetyChecksOnUserSchedule": bypass}
    settings = {"patchMode": "AutomaticByPlatform", "automaticByPlatformSettings": platform}
    change = {"properties": {"osProfile": {"linuxConfiguration": {"patchSettings": settings}}}}
    path = f"resourceGroups/fleet/providers/{VIRTUAL}/{name}"
    assert plane.call("PATCH", path, change).status == 200
    configuration = maintenance.maintenance_configurations.create_or_update("care", "ok", wanted())
    place = ("fleet", "Microsoft.Compute", "virtualMachines", name)
    body: Any = {"properties": {"maintenanceConfigurationId": configuration.id}}
    maintenance.configuration_assignments.create_or_update(*place, "a", body)
    if not allowed:
        with pytest.raises(HttpResponseError) as no:
            maintenance.apply_updates.create_or_update(*place)
        assert "prerequisites for schedule patching are not met" in no.value.error.message
        assert not machine.poll().orders
        return
    with answering(machine, {RunKind.INSTALL: installation}):
        assert maintenance.apply_updates.create_or_update(*place).status == "Pending"


def test_an_occurrence_is_cancelled_in_time(plane: Plane) -> None:
    opens = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=30)
    start = f"{opens:%Y-%m-%d %H:%M}"
    path = f"{PATH}/cancel"
    body = wanted(startDateTime=start, timeZone="UTC", recurEvery="Day")
    assert plane.call("PUT", path, body).status == 201
    cancel = {"properties": {"status": "Cancel"}}

    def at(when: datetime) -> str:
        name = f"{when:%Y%m%d%H%M}00"
        return f"{path}/providers/Microsoft.Maintenance/applyUpdates/{name}"

    wrong = plane.call("PUT", at(opens + timedelta(hours=1)), cancel)
    assert (wrong.status, wrong.body["error"]["code"]) == (400, "InvalidParameter")
    done = plane.call("PUT", at(opens + timedelta(days=1)), cancel)
    assert (done.status, done.body["properties"]["status"]) == (201, "Cancelled")
    assert done.body["properties"]["message"].startswith(
        "Maintenance cancelled using cancellation API at 20"
    )
    again = plane.call("GET", at(opens + timedelta(days=1)))
    assert again.body["properties"]["status"] == "Cancelled"
    plane.clock.ahead = 1260.0
    try:
        late = plane.call("PUT", at(opens), cancel)
        assert (late.status, late.body["error"]["code"]) == (409, "Conflict")
        assert "at least 10 minutes before" in late.body["error"]["message"]
    finally:
        plane.clock.ahead = 0.0
    assert plane.call("PUT", at(opens), cancel).status == 201, "half an hour before it may"
