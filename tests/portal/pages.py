"""Every page of the portal, with something to show on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Page
from sqlalchemy import select

from hotmend import pairs
from hotmend.demo.publisher import run
from hotmend.server.storage import compliance, rollouts
from hotmend.server.storage.tables import compliance as table
from hotmend.server.storage.tables import machines
from portal import browser, fleet
from server import repository
from server.conftest import Plane

PROOFS = Path(__file__).parents[2] / "proofs"


def prepare(plane: Plane, count: int) -> None:
    """A simulated fleet of ``count`` with a past."""
    now = plane.clock()
    plane.control.database.write(lambda c: fleet.fill(c, plane.subscription, count, now))
    plane.control.database.write(lambda c: fleet.past(c, plane.subscription, count, now))
    plane.control.database.write(lambda c: compliance.sample(c, now))
    plane.control.database.write(lambda c: fleet.roll(c, now))
    _schedule(plane)


def _schedule(plane: Plane) -> None:
    """One for two groups; what was done for it is in the audit log."""
    provider = "providers/Microsoft.Maintenance"
    window = {"startDateTime": "2040-01-02 22:00", "duration": "02:00", "timeZone": "Etc/UTC"}
    patches = {"linuxParameters": {"classificationsToInclude": ["Critical", "Security"]}}
    properties = {
        "maintenanceScope": "InGuestPatch",
        "extensionProperties": {"InGuestPatchMode": "User"},
        "maintenanceWindow": {**window, "recurEvery": "1Month Second Tuesday Offset3"},
        "installPatches": {"rebootSetting": "IfRequired", **patches},
    }
    groups = ("schedules", "shop1")
    asked: list[tuple[str, Any]] = [
        (f"resourceGroups/{group}", {"location": "westeurope"}) for group in groups
    ]
    path = f"resourceGroups/schedules/{provider}/maintenanceConfigurations/nightly"
    asked.append((path, {"location": "westeurope", "properties": properties}))
    given = {"maintenanceConfigurationId": f"/subscriptions/{plane.subscription}/{path}"}
    one = _resource(plane, "virtualmachines").partition("/resourcegroups/")[2]
    places = (f"resourceGroups/{place}" for place in ("shop1", one))
    asked += [
        (f"{place}/{provider}/configurationAssignments/nightly", {"properties": given})
        for place in places
    ]
    for place, body in asked:
        answer = plane.call("PUT", f"{place}?api-version=2023-10-01-preview", body)
        assert answer.status in (200, 201), answer.body


def publish(plane: Plane, folder: Path) -> bool:
    """libexpat's hotpatch and its release, of Debian's own packages, into the server's repository;
    False where the packages are not here. Nobody has signed them: the portal vouches for nothing.
    """
    pair = pairs.PAIRS["libexpat1"]
    channel, out = folder / "channel", folder / "out"
    channel.mkdir()
    try:
        for package in (pair.old, pair.new):
            (channel / package.file_name).symlink_to(pairs.find(package))
    except pairs.PackageMissing:
        return False
    words = ["--month", "2026-11", "--proofs", str(PROOFS), "-o", str(out)]
    run("release", "plan", "--folder", str(channel), *words)
    files = {file.name: file.read_bytes() for file in out.glob("*.hotpatch")}
    files["2026-11.release.json"] = (out / "release.json").read_bytes()
    repository.publish(plane.control.folder.repository, files)
    return True


def machine(plane: Plane, kind: str = "vm") -> str:
    """The page of a machine of that kind (``arc``: a connected one) on which much is old."""
    types = {"vm": "virtualmachines", "arc": "microsoft.hybridcompute"}
    words = _resource(plane, types[kind]).split("/")
    return f"/portal/machines/{words[2]}/{words[4]}/{kind}/{words[8]}"


def _resource(plane: Plane, kind: str) -> str:
    with plane.control.database.reading() as connection:
        row = connection.execute(
            select(machines.c.resource)
            .join(table, table.c.machine == machines.c.id)
            .where(machines.c.resource.contains(kind))
            .order_by((table.c.waiting + table.c.restart).desc(), machines.c.resource)
        ).first()
    assert row is not None
    return str(row.resource)


def rollout(plane: Plane) -> str:
    with plane.control.database.reading() as connection:
        return rollouts.listed(connection)[0].id


def everything(plane: Plane) -> dict[str, str]:
    """The portal's pages, and the door."""
    return {**paths(plane), "login": "/login"}


def paths(plane: Plane) -> dict[str, str]:
    """By name; the page of a function only where a hotpatch is published."""
    one = machine(plane)
    found = {
        "overview": "/portal/",
        "calendar": "/portal/calendar",
        "rollouts": "/portal/rollouts",
        "rollout": f"/portal/rollouts/{rollout(plane)}",
        "patches": "/portal/patches",
        "patch": f"/portal/patch?article={quote(fleet.EXPAT)}",
        "function": f"/portal/patch/function?article={quote(fleet.EXPAT)}&image=0&function=0",
        "history": "/portal/history",
        "history-runs": "/portal/history/runs",
        "audit": "/portal/audit?verify=yes",
        "reports": "/portal/reports",
        "settings": "/portal/settings",
        "roles": "/portal/settings/roles",
        "enrol": "/portal/settings/enrol",
        "one-time": "/portal/settings/one-time",
        "schedule": "/portal/settings/schedule",
        "refused": "/portal/patch?article=nothing",
        "machines": "/portal/machines",
        **{f"machine-{tab}": f"{one}/{tab}" for tab in TABS},
        "arc-policy": f"{machine(plane, 'arc')}/policy",
    }
    if not plane.control.repository.releases():
        del found["function"]
    return found


# What a wizard shows before anything is done: the wizard's own page, and a form that was filled in.
REVIEWS = {
    "one-time-review": "/portal/settings/one-time",
    "schedule-review": "/portal/settings/schedule",
}


def opened(page: Page, name: str, path: str) -> int:
    """As a person gets there; the last status."""
    status = browser.settled(page, path)
    if name not in REVIEWS:
        return status
    page.locator("[name=machine]").first.check()
    if name == "schedule-review":
        page.locator("[name=name]").fill("weekends")
        page.locator("[name=groups]").fill("shop1")
    with page.expect_navigation() as done:
        page.locator("form[method=post] .actions button.first").click()
    answer = done.value
    assert answer is not None
    return answer.status


TABS = ("updates", "compliance", "history", "processes", "timeline", "policy")
