"""Settings: how rollouts go, the schedules, codes to enrol, and who may do what."""

from __future__ import annotations

from datetime import time

from starlette.datastructures import FormData
from starlette.responses import Response
from starlette.routing import BaseRoute

from hotmend.fleet.settings import Settings, about, parsed
from hotmend.server.arm import maintenance_configurations
from hotmend.server.errors import ArmError
from hotmend.server.identity import principals
from hotmend.server.identity.roles import Role
from hotmend.server.portal.portal import Portal
from hotmend.server.portal.visit import Visit, elsewhere
from hotmend.server.storage import maintenance, resources, settings

READ, WRITE = "Hotmend.Fleet/rolloutSettings/read", "Hotmend.Fleet/rolloutSettings/write"
PEOPLE, GIVE = "Hotmend.Fleet/principals/read", "Hotmend.Fleet/principals/write"
_FLEET = "/providers/Hotmend.Fleet"
_KINDS = {"vm": "Microsoft.Compute/virtualMachines", "arc": "Microsoft.HybridCompute/machines"}

_SWITCH = {"true": True, "false": False}


def routes(portal: Portal) -> list[BaseRoute]:
    async def save(visit: Visit, form: FormData) -> Response:
        """Only what differs from the defaults is written down."""
        body = {name: _value(name, str(form.get(name, ""))) for name in about() if name in form}
        body = {name: value for name, value in body.items() if value != _default(name)}
        path = f"/subscriptions/{visit.subscription}{_FLEET}/rolloutSettings/default"
        await portal.api.call(visit.who, "PUT", path, body)
        return elsewhere("/portal/settings?done=saved")

    async def code(visit: Visit, form: FormData) -> Response:
        """Shown once, on the page that answers."""
        kind = _KINDS.get(str(form.get("kind", "")), _KINDS["vm"])
        name, group = str(form.get("name", "")), str(form.get("group", "")) or "machines"
        place = f"/subscriptions/{visit.subscription}/resourceGroups/{group}"
        body = {"location": str(form.get("location", "")) or "local", "type": kind}
        path = f"{place}{_FLEET}/machines/{name}/enrolmentCodes"
        made = await portal.api.call(visit.who, "POST", path, body)
        return visit.draw("code.html", name=name, made=made["code"])

    async def give(visit: Visit, form: FormData) -> Response:
        """A new person, with one role."""
        body = {
            "name": str(form.get("name", "")),
            "password": str(form.get("password", "")),
            "role": str(form.get("role", "")),
            "scope": str(form.get("scope", "")) or "/",
        }
        if not body["password"]:
            raise ArmError(400, "InvalidParameter", "A person has a password.", "password")
        await portal.api.call(visit.who, "POST", f"{_FLEET}/principals", body)
        return elsewhere("/portal/settings/roles?done=saved")

    async def remove(visit: Visit, form: FormData) -> Response:
        path = f"{_FLEET}/principals/{visit.request.path_params['principal']}"
        await portal.api.call(visit.who, "DELETE", path)
        return elsewhere("/portal/settings/roles?done=saved")

    return [
        portal.page("/portal/settings", shown),
        portal.action("/portal/settings", save),
        portal.page("/portal/settings/roles", roles),
        portal.action("/portal/settings/roles", give),
        portal.action("/portal/settings/roles/{principal}/remove", remove),
        portal.page("/portal/settings/enrol", enrol),
        portal.action("/portal/settings/enrol", code),
    ]


def shown(visit: Visit) -> Response:
    visit.check(READ)
    with visit.reading() as connection:
        written = settings.get(connection, "rollouts")
        known = [
            (one, maintenance.count(connection, one.id.key, dynamic=False))
            for one in resources.listed(
                connection, visit.subscription, maintenance_configurations.TYPE
            )
            if visit.may(f"{maintenance_configurations.TYPE}/read", str(one.id))
        ]
    return visit.draw(
        "settings.html",
        about=about(),
        values={name: _written(getattr(parsed(written), name)) for name in about()},
        changed=set(written),
        schedules=known,
        may=visit.may(WRITE),
        tab="rollouts",
        said=visit.asked("done"),
    )


def roles(visit: Visit) -> Response:
    visit.check(PEOPLE, "/")
    with visit.reading() as connection:
        people = principals.everybody(connection)
    return visit.draw(
        "roles.html",
        people=people,
        roles=list(Role),
        may=visit.may(GIVE, "/"),
        tab="roles",
        said=visit.asked("done"),
    )


def enrol(visit: Visit) -> Response:
    may = visit.may("Hotmend.Fleet/enrolmentCodes/write")
    return visit.draw("enrol.html", may=may, tab="enrol")


def _value(name: str, text: str) -> object:
    """As the API takes it; what is no number is the API's to refuse."""
    built_in = getattr(Settings(), name)
    if isinstance(built_in, time):
        return text[:5]
    if isinstance(built_in, bool):
        return _SWITCH.get(text, text)
    try:
        number = float(text)
    except ValueError:
        return text
    whole = isinstance(built_in, int)
    return int(number) if whole and number.is_integer() else number


def _written(value: object) -> str:
    if isinstance(value, time):
        return value.strftime("%H:%M")
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _default(name: str) -> object:
    return _value(name, _written(getattr(Settings(), name)))
