"""The list of machines: Update Manager's columns, the hotpatch status, filters, and a map."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.fleet import orchestration, support
from hotmend.fleet.hotpatch_status import HotpatchStatus
from hotmend.fleet.regions import known as regions
from hotmend.model.agent_messages import RunKind
from hotmend.server.arm import listing, machine_support, patch_settings
from hotmend.server.arm.instance_view import SILENT_AFTER_S
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit
from hotmend.server.storage import inventory, maintenance, runs
from hotmend.server.storage.inventory import Listed, Updates, Wanted
from hotmend.server.storage.runs import Kept

READ = "Hotmend.Fleet/machines/read"
PAGE = 50
_EXPORT = 5000
_FILTERS = ("search", "kind", "region", "state", "updates", "os", "missing", "hotpatch")
COLUMNS = (
    *("Name", "Update status", "Operating system", "Resource type", "Hotpatch status"),
    *("Patch orchestration", "Periodic assessment", "Associated schedules", "Status"),
    *("Vulnerable processes", "Resource group", "Location"),
)


@dataclass(frozen=True)
class Row:
    """A line of the list. ``hotpatch``: the portal's word; ``schedules``: how many are attached;
    ``connected``: heard within the last minutes, None without an agent."""

    machine: Listed
    path: str
    os: str
    hotpatch: str
    orchestration: str
    assessment: str
    schedules: int
    connected: bool | None
    preview: bool


def routes(portal: Portal) -> list[BaseRoute]:
    return [
        portal.page("/portal/machines", listed),
        portal.page("/portal/machines.csv", exported),
    ]


def listed(visit: Visit) -> Response:
    wanted = _wanted(visit)
    scopes = visit.scopes(READ)
    with visit.reading() as connection:
        found = inventory.page(
            connection, scopes, wanted, visit.now, PAGE + 1, visit.asked("after", 1024)
        )
        summary = inventory.summary(connection, scopes, wanted)
        rows = _rows(visit, found[:PAGE])
    return visit.draw(
        "machines.html",
        rows=rows,
        counts=summary.counts,
        total=sum(summary.counts.values()),
        places=summary.places,
        wanted=vars(wanted),
        more=found[PAGE - 1].key if len(found) > PAGE else "",
        regions=regions(),
        updates=list(Updates),
        hotpatches=list(HotpatchStatus),
        filtered=any(vars(wanted).values()),
    )


def exported(visit: Visit) -> Response:
    """The list as it is filtered, as CSV: at most ``_EXPORT`` lines."""
    with visit.reading() as connection:
        found = inventory.page(connection, visit.scopes(READ), _wanted(visit), visit.now, _EXPORT)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for start in range(0, len(found), PAGE):
        for row in _rows(visit, found[start : start + PAGE]):
            writer.writerow(map(_plain, _cells(row)))
    headers = {"Content-Disposition": 'attachment; filename="machines.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def path_of(machine: str) -> str:
    """The page of a machine, by its resource id."""
    words = machine.split("/")
    kind = "arc" if words[6].lower() == "microsoft.hybridcompute" else "vm"
    return f"/portal/machines/{words[2]}/{words[4]}/{kind}/{words[8]}"


def _rows(visit: Visit, found: list[Listed]) -> list[Row]:
    ids = [machine.id for machine in found if machine.id is not None]
    with visit.reading() as connection:
        assessed = runs.latest_of(connection, RunKind.ASSESS, ids)
        attached = maintenance.counts(connection, [machine.key for machine in found])
    return [
        row_of(one, assessed.get(one.id or ""), attached.get(one.key, 0), visit.now)
        for one in found
    ]


def row_of(one: Listed, assessed: Kept | None, schedules: int, now: float) -> Row:
    """A line of the list; ``assessed``: its last assessment."""
    agent = listing.agent_of(one)
    settings = patch_settings.settings_of(one.body["properties"])
    platform = settings.get("automaticByPlatformSettings") or {}
    bypass = platform.get("bypassPlatformSafetyChecksOnUserSchedule") is True
    facts = agent.facts if agent is not None else None
    row = machine_support.row(one.kind, one.body, facts, support.shipped())
    if agent is not None:
        os = f"{agent.facts.os_name} {agent.facts.os_version}"
    else:
        os = machine_support.stated_os(one.kind, one.body)
    return Row(
        machine=one,
        path=path_of(one.resource),
        os=os,
        hotpatch=listing.hotpatch_of(one, assessed),
        orchestration=orchestration.label(str(settings.get("patchMode", "")), bypass),
        assessment="Enabled"
        if settings.get("assessmentMode") == "AutomaticByPlatform"
        else "Disabled",
        schedules=schedules,
        connected=None if agent is None else now - agent.seen <= SILENT_AFTER_S,
        preview=row is not None and row.state == "Preview",
    )


def _cells(row: Row) -> Iterable[object]:
    one = row.machine
    status = {None: "no agent", True: "connected", False: "silent"}[row.connected]
    yield from (one.name, one.updates, row.os, one.kind, row.hotpatch, row.orchestration)
    yield from (row.assessment, row.schedules, status)
    yield from ("unknown" if one.vulnerable is None else one.vulnerable, one.group)
    yield one.body["location"]


def _plain(value: object) -> object:
    """Spreadsheets run what begins like a formula; a name of a machine is none."""
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _wanted(visit: Visit) -> Wanted:
    return Wanted(**{name: visit.asked(name, 256).strip() for name in _FILTERS})
