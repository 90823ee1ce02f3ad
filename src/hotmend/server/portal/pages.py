"""All pages of the portal."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from hotmend.server.control import Control
from hotmend.server.portal import (
    calendar,
    history,
    machine,
    machine_actions,
    machines,
    overview,
    patches,
    reports,
    rollouts,
    settings,
    view,
    wizards,
)
from hotmend.server.portal.portal import Portal, files


def routes(control: Control, api: ASGIApp) -> list[BaseRoute]:
    """``/portal``, and the way there."""
    portal = Portal(control, api)

    def home(_: Request) -> Response:
        return RedirectResponse("/portal/", 303)

    rooms = (
        *(overview, calendar, machines, machine, machine_actions, patches, rollouts, history),
        *(reports, settings, wizards, view),
    )
    return [
        Route("/", home),
        Route("/portal", home),
        files(),
        *(route for room in rooms for route in room.routes(portal)),
    ]
