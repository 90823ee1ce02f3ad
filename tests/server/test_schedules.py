"""Maintenance schedules that run, set up by azure-mgmt-maintenance, unmodified; both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from azure.mgmt.maintenance import MaintenanceManagementClient
from sqlalchemy import select

from hotmend.model.agent_messages import RebootSetting
from hotmend.server.storage import audit
from hotmend.server.storage.tables import keeper
from server.conftest import Plane, new_database, serving
from server.machine import CONNECTED, FACTS, VIRTUAL, Machine, enrolled, installation
from server.sdk import client
from server.test_hybrid_machines import WINDOWS
from server.test_rollouts import eventually, well

PACIFIC = ZoneInfo("America/Los_Angeles")
UNMET = "The prerequisites for schedule patching are not met."
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FLEET = "providers/Hotmend.Fleet"


@pytest.fixture
def own_plane(
    request: pytest.FixtureRequest, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plane]:
    """Of its own, and alone in its database: its clock is moved by days."""
    url = new_database(request.getfixturevalue("cluster")) if database_url else ""
    with alone(tmp_path_factory.mktemp("schedules"), url) as made:
        yield made


@pytest.fixture
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """As above, on SQLite."""
    with alone(tmp_path_factory.mktemp("embedded"), "") as made:
        yield made


@contextmanager
def alone(folder: Path, database_url: str) -> Iterator[Plane]:
    with pytest.MonkeyPatch.context() as patch, serving(folder, database_url) as made:
        patch.setenv("REQUESTS_CA_BUNDLE", str(made.authority))
        assert made.call("PUT", "resourceGroups/care", {"location": "westeurope"}).status < 300
        quick = {"soak_s": 5, "signal_max_age_s": 5}
        assert made.call("PUT", f"{FLEET}/rolloutSettings/default", quick).status == 200
        yield made


def sdk(plane: Plane) -> Any:
    """With a token of the time that the plane's clock shows."""
    return client(MaintenanceManagementClient, plane)


def move(plane: Plane, to: datetime) -> None:
    plane.clock.ahead += to.timestamp() - plane.clock()
    holder = plane.client
    plane.token = plane.control.tokens.issue(holder, plane.clock())


def now(plane: Plane) -> datetime:
    return datetime.fromtimestamp(plane.clock(), UTC)


def next_opening(plane: Plane) -> datetime:
    """Within the life of the machines' certificates, and in no hour that Pacific clocks show
    twice."""
    opens = (now(plane) + timedelta(hours=20)).replace(second=0, microsecond=0)
    return opens + timedelta(hours=2 * opens.astimezone(PACIFIC).fold)


def schedule(plane: Plane, opens: datetime, later: int = 0, **properties: Any) -> dict[str, Any]:
    """Weekly from ``opens`` on, by Pacific clocks, on that day of the week, or so many days
    later."""
    start = opens.astimezone(PACIFIC)
    return {
        "location": "westeurope",
        "properties": {
            "maintenanceScope": "InGuestPatch",
            "extensionProperties": {"InGuestPatchMode": "User"},
            "maintenanceWindow": {
                "startDateTime": f"{start:%Y-%m-%d %H:%M}",
                "duration": "02:00",
                "timeZone": "Pacific Standard Time",
                "recurEvery": f"Week {DAYS[(start.weekday() + later) % 7]}",
            },
            "installPatches": {
                "rebootSetting": "Never",
                "linuxParameters": {"classificationsToInclude": ["Security"]},
            },
            **properties,
        },
    }


def scope(configuration: Any, **tags: list[str]) -> dict[str, Any]:
    wanted = {"tagSettings": {"tags": tags, "filterOperator": "All"}} if tags else {}
    return {"properties": {"maintenanceConfigurationId": configuration.id, "filter": wanted}}


def tagged(
    plane: Plane, machine: Machine, kind: str, bypass: bool = True, **platform: Any
) -> Machine:
    """In ring one, and, if a virtual machine, on its owner's schedules where ``bypass`` is set."""
    change: dict[str, Any] = {"tags": {"ring": "one"}}
    if kind == VIRTUAL:
        own = {"bypassPlatformSafetyChecksOnUserSchedule": bypass, **platform}
        settings = {"patchMode": "AutomaticByPlatform", "automaticByPlatformSettings": own}
        change["properties"] = {"osProfile": {"linuxConfiguration": {"patchSettings": settings}}}
    path = f"resourceGroups/fleet/providers/{kind}/{machine.name}"
    assert plane.call("PATCH", path, change).status == 200
    return machine


def scheduled(plane: Plane) -> list[dict[str, Any]]:
    shown = plane.call("GET", f"{FLEET}/rollouts").body["value"]
    return [one for one in shown if one["kind"] == "scheduled"]


def turns(plane: Plane, rollout: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = plane.call("GET", f"{FLEET}/rollouts/{rollout['id']}/turns").body["value"]
    return {turn["host"]: turn for turn in found}


def graph(plane: Plane, query: str) -> list[dict[str, Any]]:
    body = {"query": query}
    answer = plane.call("POST", "/providers/Microsoft.ResourceGraph/resources", body)
    found: list[dict[str, Any]] = answer.body["data"]
    return found


def ticked(plane: Plane) -> None:
    """Wait until the keeper has looked at everything by the clock as it is now."""

    def last() -> float:
        with plane.control.database.reading() as connection:
            return float(connection.execute(select(keeper)).one().ticked)

    since = plane.clock()
    eventually(lambda: last() > since)


def test_a_weekly_schedule_patches_the_machines_of_its_scope_at_its_local_time(
    own_plane: Plane, tmp_path: Path
) -> None:
    plane = own_plane
    machines = {
        name: enrolled(plane, name, tmp_path, kind)
        for name, kind in (
            *(("one", VIRTUAL), ("platform", VIRTUAL), ("never", VIRTUAL), ("arc", CONNECTED)),
            *(("late", CONNECTED), ("other", CONNECTED)),
        )
    }
    tagged(plane, machines["one"], VIRTUAL, rebootSetting="Always")
    tagged(plane, machines["platform"], VIRTUAL, bypass=False)
    tagged(plane, machines["arc"], CONNECTED)
    opens = next_opening(plane)
    made = sdk(plane).maintenance_configurations.create_or_update(
        "care", "Weekly", schedule(plane, opens)
    )
    next_day = sdk(plane).maintenance_configurations.create_or_update(
        "care", "Tomorrow", schedule(plane, opens, later=1)
    )
    scopes = sdk(plane).configuration_assignments_for_subscriptions
    scopes.create_or_update("ring-one", scope(made, ring=["one"]))
    scopes.create_or_update("tomorrow", scope(next_day))

    move(plane, opens - timedelta(minutes=2))
    for machine in machines.values():
        assert not machine.poll().orders
    ticked(plane)
    assert not scheduled(plane), "two minutes before"

    # In the scope since a moment ago: it is looked up when the window opens.
    tagged(plane, machines["late"], CONNECTED)
    move(plane, opens + timedelta(seconds=1))
    told: dict[str, Any] = {}

    def done() -> bool:
        for machine in machines.values():
            for order in machine.poll().orders:
                told[machine.name] = order
                assert machine.report(installation(machine, order.id)).accepted
            well(machine)
        return bool(scheduled(plane)) and scheduled(plane)[0]["state"] == "finished"

    eventually(done, 60)
    assert set(told) == {"one", "arc", "late"}
    assert {order.selection.classifications for order in told.values()} == {("Security",)}
    assert told["one"].reboot is RebootSetting.ALWAYS, "as the machine's own settings say"
    assert told["arc"].reboot is RebootSetting.NEVER, "as the schedule says"
    closes = (opens + timedelta(hours=2)).timestamp()
    assert {order.until for order in told.values()} == {closes}
    assert all(0 < order.maximum_s <= 7200 for order in told.values())
    (rollout,) = scheduled(plane)
    assert rollout["name"].startswith("care/Weekly ")
    states = {host: turn["state"] for host, turn in turns(plane, rollout).items()}
    assert states == {
        **dict.fromkeys(("one", "arc", "late"), "healthy"),
        "platform": "excluded",
    }
    assert turns(plane, rollout)["platform"]["because"] == UNMET

    rows = graph(plane, "maintenanceresources | where type == 'microsoft.maintenance/applyupdates'")
    status = {row["id"].split("/")[8]: row["properties"]["status"] for row in rows}
    assert status == {**dict.fromkeys(("one", "arc", "late"), "Completed"), "platform": "Failed"}
    stamp = f"{opens.astimezone(PACIFIC):%Y%m%d%H%M}00"
    run = f"{made.id}/providers/Microsoft.Maintenance/applyUpdates/{stamp}".lower()
    assert {row["properties"]["correlationId"] for row in rows} == {run}
    installed = graph(
        plane,
        "patchinstallationresources | where type endswith 'patchinstallationresults' "
        "| project run = tostring(properties.maintenanceRunId)",
    )
    assert [row["run"] for row in installed] == [run] * 3
    place = ("fleet", "Microsoft.Compute", "virtualMachines", "platform")
    refused = sdk(plane).apply_updates.get(*place, stamp)
    assert refused.status == "Failed"

    ticked(plane)
    move(plane, now(plane) + timedelta(minutes=2))
    ticked(plane)
    assert len(scheduled(plane)) == 1, "once in each window"


def test_what_was_cancelled_or_missed_does_not_run(embedded: Plane, tmp_path: Path) -> None:
    plane = embedded
    enrolled(plane, "one", tmp_path, CONNECTED)
    opens = next_opening(plane)
    daily = schedule(plane, opens)
    # By clocks that are never changed: days are counted below.
    daily["properties"]["maintenanceWindow"] |= {
        "startDateTime": f"{opens:%Y-%m-%d %H:%M}",
        "timeZone": "UTC",
        "recurEvery": "Day",
    }
    made = sdk(plane).maintenance_configurations.create_or_update("care", "Daily", daily)
    one = sdk(plane).configuration_assignments
    place = ("fleet", "Microsoft.HybridCompute", "machines", "one")
    one.create_or_update(*place, "a", scope(made))

    day = timedelta(days=1)
    third = opens + 2 * day
    stamp = f"{third:%Y%m%d%H%M}00"
    path = f"{made.id}/providers/Microsoft.Maintenance/applyUpdates/{stamp}"
    assert plane.call("PUT", path, {"properties": {"status": "Cancel"}}).status == 201

    # Nobody looked between now and then: two are missed, the third was cancelled.
    move(plane, third + timedelta(minutes=1))
    ticked(plane)
    assert not scheduled(plane)
    missed = [e for e in entries(plane) if e.what == "maintenance missed"]
    assert [(e.subject, e.details["occurrences"]) for e in missed] == [(made.id, 2)]

    move(plane, third + day + timedelta(minutes=1))
    (begun,) = eventually(lambda: scheduled(plane))
    assert turns(plane, begun)["one"]["state"] == "waiting"
    move(plane, third + day + timedelta(hours=2))
    (over,) = eventually(lambda: [r for r in scheduled(plane) if r["state"] == "finished"])
    assert turns(plane, over)["one"]["because"].startswith("ShutdownOrUnresponsive")
    assert len([e for e in entries(plane) if e.what == "maintenance missed"]) == 1


def test_of_two_schedules_at_one_time_one_fires(embedded: Plane, tmp_path: Path) -> None:
    plane = embedded
    machine = enrolled(plane, "one", tmp_path, CONNECTED)
    windows = replace(FACTS, os_name="windows", os_version="10.0.26100")
    assert (
        plane.call("PUT", f"resourceGroups/fleet/providers/{CONNECTED}/two", WINDOWS).status == 200
    )
    second = enrolled(plane, "two", tmp_path, CONNECTED, windows)
    opens = next_opening(plane)
    for name, parameters in (
        ("A", {"linuxParameters": {"classificationsToInclude": ["Critical"]}}),
        ("B", {"linuxParameters": {"classificationsToInclude": ["Security"]},
               "windowsParameters": {"kbNumbersToInclude": ["5068840"]}}),
    ):  # fmt: skip
        wanted = schedule(plane, opens, installPatches={"rebootSetting": "Never", **parameters})
        made = sdk(plane).maintenance_configurations.create_or_update("care", name, wanted)
        groups = sdk(plane).configuration_assignments_for_resource_group
        groups.create_or_update("fleet", f"all-{name}", scope(made))
    move(plane, opens + timedelta(seconds=1))
    # They are of one group, of which one may be away: which of them goes first is open.
    orders = carried_out(machine, second)
    assert orders["one"].selection.classifications == ("Critical",)
    assert orders["two"].selection.include == ("KB5068840",)
    assert orders["two"].selection.classifications == ()
    first, other = sorted(eventually(lambda: len(s := scheduled(plane)) == 2 and s), key=name_of)
    assert turns(plane, first)["two"]["because"].endswith("chooses no updates for Windows.")
    assert "at the same time" in turns(plane, other)["one"]["because"]


def told(wanted: Machine, *everybody: Machine) -> Any:
    def some() -> Any:
        for machine in everybody:
            well(machine)
        return wanted.poll().orders

    (order,) = eventually(some)
    return order


def carried_out(*machines: Machine) -> dict[str, Any]:
    """Each one's order, by its name; it is done as soon as it is heard."""
    found: dict[str, Any] = {}

    def all_heard() -> bool:
        for machine in machines:
            well(machine)
            for order in machine.poll().orders:
                found[machine.name] = order
                assert machine.report(installation(machine, order.id)).accepted
        return len(found) == len(machines)

    eventually(all_heard)
    return found


def name_of(rollout: dict[str, Any]) -> str:
    return str(rollout["name"])


def entries(plane: Plane) -> list[Any]:
    with plane.control.database.reading() as connection:
        return list(audit.entries(connection))
