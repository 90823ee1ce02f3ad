"""Every page of the portal, with something to show on it."""

from __future__ import annotations

from urllib.parse import quote

from sqlalchemy import select

from hotmend.server.storage import compliance, rollouts
from hotmend.server.storage.tables import compliance as table
from hotmend.server.storage.tables import machines
from portal import fleet
from server.conftest import Plane


def prepare(plane: Plane, count: int) -> None:
    """A simulated fleet of ``count`` with a past."""
    now = plane.clock()
    plane.control.database.write(lambda c: fleet.fill(c, plane.subscription, count, now))
    plane.control.database.write(lambda c: fleet.past(c, plane.subscription, count, now))
    plane.control.database.write(lambda c: compliance.sample(c, now))
    plane.control.database.write(lambda c: fleet.roll(c, now))


def machine(plane: Plane) -> str:
    """The page of a machine on which much is old."""
    with plane.control.database.reading() as connection:
        row = connection.execute(
            select(machines.c.resource)
            .join(table, table.c.machine == machines.c.id)
            .where(machines.c.resource.contains("virtualmachines"))
            .order_by((table.c.waiting + table.c.restart).desc(), machines.c.resource)
        ).first()
    assert row is not None
    words = row.resource.split("/")
    return f"/portal/machines/{words[2]}/{words[4]}/vm/{words[8]}"


def rollout(plane: Plane) -> str:
    with plane.control.database.reading() as connection:
        return rollouts.listed(connection)[0].id


def paths(plane: Plane) -> dict[str, str]:
    one = machine(plane)
    return {
        "overview": "/portal/",
        "calendar": "/portal/calendar",
        "rollouts": "/portal/rollouts",
        "rollout": f"/portal/rollouts/{rollout(plane)}",
        "patches": "/portal/patches",
        "patch": f"/portal/patch?article={quote(fleet.EXPAT)}",
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
    }


TABS = ("updates", "compliance", "history", "processes", "timeline", "policy")
