"""What a person does to one machine: each is one call of the API."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.server.arm import machine_support
from hotmend.server.portal import installing
from hotmend.server.portal.machine import PATH, identifier
from hotmend.server.portal.machines import path_of
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit, elsewhere

_PROFILE = "licenseProfiles/default"


def routes(portal: Portal) -> list[BaseRoute]:
    async def assess(visit: Visit, _: FormData) -> Response:
        machine = identifier(visit.request)
        await portal.api.call(visit.who, "POST", f"{machine}/assessPatches")
        return elsewhere(f"{path_of(str(machine))}/updates?done=assess")

    async def install(visit: Visit, form: FormData) -> Response:
        machine = identifier(visit.request)
        body = installing.body(form, windows=form.get("os") == "Windows")
        await portal.api.call(visit.who, "POST", f"{machine}/installPatches", body)
        return elsewhere(f"{path_of(str(machine))}/updates?done=install")

    async def hotpatch(visit: Visit, form: FormData) -> Response:
        """Enrol a connected machine, or switch hotpatching of a virtual one."""
        machine = identifier(visit.request)
        on = form.get("hotpatch") == "on"
        if machine.type == machine_support.CONNECTED:
            await _licence(portal, visit, str(machine), on=on)
        else:
            settings: dict[str, object] = {"enableHotpatching": on}
            if on:
                settings["patchMode"] = "AutomaticByPlatform"
            await _settings(portal, visit, str(machine), "windowsConfiguration", settings)
        return elsewhere(f"{path_of(str(machine))}/policy?done=hotpatch")

    async def settings(visit: Visit, form: FormData) -> Response:
        """Who installs updates, and whether the machine is looked at by itself."""
        machine = identifier(visit.request)
        windows = form.get("os") == "Windows"
        mode, assessment = str(form.get("mode", "")), str(form.get("assessment", ""))
        bypass = mode == "CustomerManaged"
        wanted: dict[str, object] = {
            "patchMode": "AutomaticByPlatform" if bypass else mode,
            "assessmentMode": assessment,
        }
        if wanted["patchMode"] == "AutomaticByPlatform":
            name = "bypassPlatformSafetyChecksOnUserSchedule"
            wanted["automaticByPlatformSettings"] = {name: bypass}
        place = "windowsConfiguration" if windows else "linuxConfiguration"
        await _settings(portal, visit, str(machine), place, wanted)
        return elsewhere(f"{path_of(str(machine))}/policy?done=settings")

    return [
        portal.action(f"{PATH}/assess", assess),
        portal.action(f"{PATH}/install", install),
        portal.action(f"{PATH}/hotpatch", hotpatch),
        portal.action(f"{PATH}/settings", settings),
    ]


async def _licence(portal: Portal, visit: Visit, machine: str, *, on: bool) -> None:
    feature = {"name": "Hotpatch", "subscriptionStatus": "Enable" if on else "Disable"}
    product = {"productType": "WindowsServer", "productFeatures": [feature]}
    whole = await portal.api.call(visit.who, "GET", machine)
    body = {"location": whole["location"], "properties": {"productProfile": product}}
    await portal.api.call(visit.who, "PUT", f"{machine}/{_PROFILE}", body)


async def _settings(
    portal: Portal, visit: Visit, machine: str, place: str, settings: dict[str, object]
) -> None:
    changes = {"properties": {"osProfile": {place: {"patchSettings": settings}}}}
    await portal.api.call(visit.who, "PATCH", machine, changes)
