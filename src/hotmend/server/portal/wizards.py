"""The wizards: a one-time update of up to twenty machines, and a schedule. Each has its steps on
one page, then shows what it will ask the API for, and asks only when that is confirmed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.fleet.dynamic_scope import Candidate
from hotmend.fleet.regions import known as regions
from hotmend.server.arm import maintenance_configurations, scope_filter
from hotmend.server.errors import ArmError
from hotmend.server.notifications.notifying import NAME
from hotmend.server.notifications.settings import parsed as parsed_notices
from hotmend.server.portal import installing
from hotmend.server.portal.machine import KINDS
from hotmend.server.portal.machines import READ, path_of
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit, elsewhere
from hotmend.server.resource_id import ResourceId, checked_name, parsed
from hotmend.server.storage import inventory, settings
from hotmend.server.storage.inventory import Wanted

MOST_MACHINES = 20
_MOST_SCOPES = 5
_SHOWN = 100
_NOTICES = "Hotmend.Fleet/notificationSettings/read"
_ASSIGNMENT = "providers/Microsoft.Maintenance/configurationAssignments"
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NTH = ("First", "Second", "Third", "Fourth", "Last")


def routes(portal: Portal) -> list[BaseRoute]:
    async def update(visit: Visit, form: FormData) -> Response:
        machines = _machines(form)
        asked = [
            (machine, installing.body(form, windows=form.get("os") == "Windows"))
            for machine in machines
        ]
        if form.get("step") != "confirmed":
            return await _review(visit, form, "/portal/settings/one-time", machines, dict(asked))
        for machine, body in asked:
            await portal.api.call(visit.who, "POST", f"{machine}/installPatches", body)
        return elsewhere("/portal/history?kind=install")

    async def schedule(visit: Visit, form: FormData) -> Response:
        place, body = configuration(visit.subscription, form)
        machines = _machines(form, least=0)
        groups = [checked_name(name) for name in installing.words(form, "groups")][:_MOST_SCOPES]
        wanted = scope_filter_of(form)
        scope = {"maintenanceConfigurationId": str(place), "filter": wanted}
        if form.get("step") != "confirmed":
            shown: dict[str, Any] = {str(place): body}
            shown |= {machine: {"maintenanceConfigurationId": str(place)} for machine in machines}
            shown |= {f"{_group(visit, name)}": scope for name in groups}
            now = await run_in_threadpool(_within, visit, groups, wanted)
            return await _review(visit, form, "/portal/settings/schedule", machines, shown, now)
        call, name = portal.api.call, place.name
        await call(visit.who, "PUT", _group(visit, place.group), {"location": body["location"]})
        await call(visit.who, "PUT", str(place), body)
        given = {"properties": {"maintenanceConfigurationId": str(place)}}
        for machine in machines:
            await call(visit.who, "PUT", f"{machine}/{_ASSIGNMENT}/{name}", given)
        for group in groups:
            path = f"{_group(visit, group)}/{_ASSIGNMENT}/{name}"
            await call(visit.who, "PUT", path, {"properties": scope})
        return elsewhere("/portal/settings?done=scheduled")

    return [
        portal.page("/portal/settings/one-time", one_time),
        portal.action("/portal/settings/one-time", update),
        portal.page("/portal/settings/schedule", scheduled),
        portal.action("/portal/settings/schedule", schedule),
    ]


def one_time(visit: Visit) -> Response:
    return visit.draw("one_time.html", machines=_choice(visit), most=MOST_MACHINES, tab="one-time")


def scheduled(visit: Visit) -> Response:
    told = visit.may(_NOTICES)
    with visit.reading() as connection:
        channels = parsed_notices(settings.get(connection, NAME)).channels if told else ()
    tomorrow = datetime.fromtimestamp(visit.now, UTC) + timedelta(days=1)
    return visit.draw(
        "schedule.html",
        machines=_choice(visit),
        zones=sorted(zone for zone in available_timezones() if "/" in zone),
        regions=regions(),
        start=tomorrow.strftime("%Y-%m-%dT22:00"),
        days=_DAYS,
        nth=_NTH,
        channels=len(channels),
        told=told,
        tab="schedule",
    )


def configuration(subscription: str, form: FormData) -> tuple[ResourceId, dict[str, Any]]:
    """The maintenance configuration that a form describes: (where, what). Raises ArmError."""
    group, name = str(form.get("group", "")) or "schedules", str(form.get("name", ""))
    place = ResourceId(
        subscription, checked_name(group), maintenance_configurations.TYPE, checked_name(name)
    )
    length = installing.minutes(form)
    window = {
        "startDateTime": str(form.get("start", "")).replace("T", " "),
        "duration": f"{length // 60:02}:{length % 60:02}",
        "timeZone": str(form.get("zone", "")),
    }
    recurs = recurrence(form)
    window |= {"recurEvery": recurs} if recurs else {}
    ends = str(form.get("ends", ""))
    window |= {"expirationDateTime": f"{ends} 00:00"} if ends else {}
    patches = installing.parameters(form, windows=form.get("os") == "Windows")
    properties = {
        "maintenanceScope": maintenance_configurations.SCOPE,
        "extensionProperties": {"InGuestPatchMode": "User"},
        "maintenanceWindow": window,
        "installPatches": {"rebootSetting": str(form.get("reboot", "")), **patches},
    }
    location = str(form.get("location", "")) or "local"
    return place, {"location": location, "tags": _tags(form, "tags"), "properties": properties}


def scope_filter_of(form: FormData) -> dict[str, Any]:
    """Of a dynamic scope: what is left empty narrows nothing. Raises ArmError."""
    system = str(form.get("scope_os", ""))
    tags = {name: [value] for name, value in _tags(form, "scope_tags").items()}
    return {
        "resourceTypes": [*KINDS.values()],
        "locations": installing.words(form, "scope_locations"),
        "osTypes": [system] if system else [],
        "tagSettings": {"tags": tags, "filterOperator": "All"},
    }


def _tags(form: FormData, name: str) -> dict[str, str]:
    """NAME=VALUE, several of them. Raises ArmError."""
    found = [word.partition("=") for word in installing.words(form, name)]
    if not all(name and sign for name, sign, _ in found):
        raise ArmError(400, "InvalidParameter", "A tag is written as NAME=VALUE.", name)
    return {name: value for name, _, value in found}


def _within(visit: Visit, groups: list[str], wanted: dict[str, Any]) -> list[Candidate]:
    """The machines that the filter finds now, of those that the viewer may see."""
    with visit.reading() as connection:
        found = [
            one
            for name in groups
            for one in scope_filter.found(
                connection, visit.subscription, scope_filter.parsed(wanted, name)
            )
        ]
    return [one for one in found if visit.may(READ, one.id)]


def recurrence(form: FormData) -> str:
    """Azure's ``recurEvery``; "" for once. Raises ArmError."""
    every = str(form.get("every", "1"))
    if not re.fullmatch(r"[1-9][0-9]?", every, re.ASCII):
        raise ArmError(400, "InvalidParameter", "It repeats every 1 to 99 days, weeks or months.")
    match str(form.get("repeats", "")):
        case "":
            return ""
        case "Day":
            return f"{every}Day"
        case "Week":
            days = [day for day in _DAYS if day in form.getlist("weekday")]
            return f"{every}Week {','.join(days)}".strip()
        case "Month":
            nth, day = str(form.get("nth", "")), str(form.get("day", ""))
            if nth in _NTH and day in _DAYS:
                offset = str(form.get("offset", "0"))
                known = re.fullmatch(r"-?[0-6]", offset, re.ASCII) and int(offset)
                return f"{every}Month {nth} {day}" + (f" Offset{known:+d}" if known else "")
    raise ArmError(400, "InvalidParameter", "Say when it repeats.", "repeats")


def _choice(visit: Visit) -> list[inventory.Listed]:
    """Machines with an agent to choose from, as they are searched."""
    wanted = Wanted(search=visit.asked("search"))
    with visit.reading() as connection:
        found = inventory.page(connection, visit.scopes(READ), wanted, visit.now, _SHOWN)
    return [one for one in found if one.id is not None]


def _machines(form: FormData, least: int = 1) -> list[str]:
    found = [str(parsed(str(text)[:1024])) for text in form.getlist("machine")]
    if not least <= len(found) <= MOST_MACHINES:
        raise ArmError(
            400, "InvalidParameter", f"Choose from {least} to {MOST_MACHINES} machines.", "machine"
        )
    return found


async def _review(
    visit: Visit,
    form: FormData,
    action: str,
    machines: list[str],
    asked: dict[str, Any],
    scope: list[Candidate] | None = None,
) -> Response:
    """``scope``: what a dynamic one finds now; None where there is none."""
    return await run_in_threadpool(
        visit.draw,
        "review.html",
        action=action,
        form=form,
        recurs=recurrence(form) if "repeats" in form else "",
        machines=[(parsed(one).name, path_of(one)) for one in machines],
        asked=asked,
        scope=[(one, path_of(one.id)) for one in scope[:_SHOWN]] if scope is not None else None,
        found=len(scope or ()),
        fields=[(k, str(v)) for k, v in form.multi_items() if k not in ("csrf", "step")],
    )


def _group(visit: Visit, name: str) -> str:
    return f"/subscriptions/{visit.subscription}/resourceGroups/{name}"
