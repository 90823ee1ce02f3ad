"""Azure's limits on schedules: the last one that fits, the one that does not, what is beside it."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from sqlalchemy import Connection

from hotmend.server.arm.configuration_assignments import (
    MOST_RESOURCES,
    MOST_SCOPES,
    MOST_SCOPES_OF_A_PLACE,
)
from hotmend.server.arm.maintenance_configurations import MOST_IN_A_REGION
from hotmend.server.resource_id import parsed
from hotmend.server.storage import maintenance, resources
from hotmend.server.storage.maintenance import Assignment
from server.conftest import Answer, Plane
from server.machine import CONNECTED
from server.test_hybrid_machines import WINDOWS
from server.test_maintenance import TYPE, wanted

GROUP = "resourceGroups/quotas"
ASSIGNMENTS = "providers/Microsoft.Maintenance/configurationAssignments"
REFUSED = (409, "QuotaExceeded")


@pytest.fixture(scope="module", autouse=True)
def group(plane: Plane) -> None:
    for name in ("quotas", "other"):
        answer = plane.call("PUT", f"resourceGroups/{name}", {"location": "westeurope"})
        assert answer.status < 300


def configured(plane: Plane, name: str, location: str = "westeurope") -> Answer:
    path = f"{GROUP}/providers/{TYPE}/{name}"
    return plane.call("PUT", path, wanted() | {"location": location})


def assign(plane: Plane, place: str, name: str, configuration: str) -> Answer:
    body = {"properties": {"maintenanceConfigurationId": configuration}}
    return plane.call("PUT", f"{place}/{ASSIGNMENTS}/{name}".lstrip("/"), body)


def fill(plane: Plane, configuration: str, count: int, group: str = "", kind: str = "") -> None:
    """``count`` rows as the API writes them: of machines of that ``kind``, else dynamic scopes."""
    scope = f"/subscriptions/{plane.subscription}" + f"/resourceGroups/{group}" * bool(group)
    salt = secrets.token_hex(4)

    def work(connection: Connection) -> None:
        for number in range(count):
            target = f"{scope}/providers/{kind}/{salt}-{number}" if kind else ""
            identifier = f"{target or scope}/{ASSIGNMENTS}/{salt}-{number}"
            body: dict[str, Any] = {"maintenanceConfigurationId": configuration}
            key, owner = parsed(configuration).key, plane.subscription
            row = Assignment(identifier, key, target.lower(), owner, group, body, float(number))
            assert maintenance.put(connection, row)

    plane.control.database.write(work)


def said(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body["error"]["code"]


def test_configurations_of_a_region(plane: Plane) -> None:
    first = configured(plane, "first", "northeurope")
    assert first.status == 201
    known = parsed(first.body["id"])

    def work(connection: Connection) -> None:
        body = {"location": "northeurope", "properties": first.body["properties"]}
        for number in range(MOST_IN_A_REGION - 2):
            named = f"{str(known).rpartition('/')[0]}/c{number}"
            resources.put(connection, parsed(named), body, 0.0)

    plane.control.database.write(work)
    assert configured(plane, "last", "northeurope").status == 201, "the control: it is the 250th"
    refused = configured(plane, "more", "northeurope")
    assert said(refused) == REFUSED
    assert refused.body["error"]["message"] == (
        "A subscription has at most 250 maintenance configurations in a region."
    )
    assert plane.call("GET", f"{GROUP}/providers/{TYPE}/more").status == 404
    assert configured(plane, "last", "northeurope").status == 200, "it is there already"
    assert configured(plane, "elsewhere", "westus").status == 201


def test_machines_of_a_schedule(plane: Plane) -> None:
    full = configured(plane, "machines").body["id"]
    for name in ("m1", "m2", "m3"):
        made = plane.call("PUT", f"{GROUP}/providers/{CONNECTED}/{name}", WINDOWS)
        assert made.status == 200
    fill(plane, full, MOST_RESOURCES - 1, "quotas", CONNECTED)
    place = f"{GROUP}/providers/{CONNECTED}"
    assert assign(plane, f"{place}/m1", "a", full).status == 201
    refused = assign(plane, f"{place}/m2", "a", full)
    assert said(refused) == REFUSED
    assert refused.body["error"]["message"] == "A schedule has at most 3000 resources."
    assert assign(plane, f"{place}/m1", "a", full).status == 200
    other = configured(plane, "machines2").body["id"]
    assert assign(plane, f"{place}/m3", "a", other).status == 201
    assert said(assign(plane, f"{place}/m3", "a", full)) == REFUSED, "it would come to it"


def test_dynamic_scopes_of_a_schedule(plane: Plane) -> None:
    full = configured(plane, "scopes").body["id"]
    fill(plane, full, MOST_SCOPES - 1, "other")
    assert assign(plane, GROUP, "last", full).status == 201
    refused = assign(plane, GROUP, "more", full)
    assert said(refused) == REFUSED
    assert refused.body["error"]["message"] == "A schedule has at most 200 dynamic scopes."


def test_dynamic_scopes_of_a_place(plane: Plane) -> None:
    schedules = [configured(plane, f"place{number}").body["id"] for number in range(3)]
    for schedule in schedules[:2]:
        fill(plane, schedule, (MOST_SCOPES_OF_A_PLACE - 1) // 2, "crowded")
    answer = plane.call("PUT", "resourceGroups/crowded", {"location": "westeurope"})
    assert answer.status < 300
    place = "resourceGroups/crowded"
    spare = (MOST_SCOPES_OF_A_PLACE - 1) % 2
    fill(plane, schedules[2], spare, "crowded")
    assert assign(plane, place, "last", schedules[2]).status == 201
    refused = assign(plane, place, "more", schedules[2])
    assert said(refused) == REFUSED
    assert refused.body["error"]["message"] == (
        "A resource group or subscription has at most 250 dynamic scopes."
    )
    assert assign(plane, GROUP, "beside", schedules[2]).status == 201
